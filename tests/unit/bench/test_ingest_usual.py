"""The usual ways from frame to ring: both decoders publish the same market."""

from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from bench.decode import synthetic
from bench.sides.ingest_usual import (
    RECORD,
    Take,
    UsualFeed,
    msgspec_only,
    msgspec_to,
    orjson_only,
    orjson_to,
)
from engine.domain.codes import TRADE_BUYER_AGGRESSOR, RecordType
from engine.domain.records import MARKET_DTYPE

MS = 1_723_161_256_000
QUOTE = {"e": "bookTicker", "E": MS, "T": MS, "s": "BTCUSDT", "u": 2**40 + 7}
QUOTE |= {"b": "61800.20", "B": "2.507", "a": "61800.30", "A": "2.510"}
TRADE = {"e": "trade", "E": MS, "T": MS, "s": "ETHUSDT", "t": 9, "p": "2680.72", "q": "0.5"}
TRADE |= {"X": "MARKET", "m": False}
DIFF = {"e": "depthUpdate", "E": MS, "T": MS, "s": "BTCUSDT", "U": 1, "u": 5, "pu": 0}
DIFF |= {"b": [["61800.00", "1.000"], ["61799.90", "0.000"]], "a": [["61801.00", "2.000"]]}
DECODERS = [orjson_to, msgspec_to]


def frame(data: dict[str, object]) -> bytes:
    return msgspec.json.encode({"stream": "any", "data": data})


def records(feed: UsualFeed) -> np.ndarray:
    return feed.ring.slots(MARKET_DTYPE)[: feed.records].copy()


def test_a_record_fills_a_slot_behind_its_sequence() -> None:
    assert RECORD.size == MARKET_DTYPE.itemsize - 8


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_quote_becomes_ticks_and_lots(decoder: Callable[[UsualFeed], Take]) -> None:
    feed = UsualFeed()
    decoder(feed)(frame(QUOTE))
    (row,) = records(feed)
    names = ("bid_price_ticks", "ask_price_ticks", "bid_qty_lots", "ask_qty_lots", "aux")
    assert [int(row[name]) for name in names] == [618_002, 618_003, 2_507, 2_510, 7]
    assert (row["record_type"], row["venue_time_ns"]) == (RecordType.QUOTE, MS * 1_000_000)
    assert feed.close() == 1


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_trade_keeps_its_instrument_and_side(decoder: Callable[[UsualFeed], Take]) -> None:
    feed = UsualFeed()
    decoder(feed)(frame(TRADE))
    (row,) = records(feed)
    assert (row["price_ticks"], row["qty_lots"], row["trade_id"]) == (268_072, 500, 9)
    assert (row["instrument_index"], row["flags"]) == (1, TRADE_BUYER_AGGRESSOR)
    feed.close()


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_diff_sets_and_removes_levels(decoder: Callable[[UsualFeed], Take]) -> None:
    feed = UsualFeed()
    feed.books["BTCUSDT"][0][61_799.9] = 3.0
    decoder(feed)(frame(DIFF))
    assert feed.books["BTCUSDT"] == ({61_800.0: 1.0}, {61_801.0: 2.0})
    assert feed.close() == 1


def test_both_decoders_publish_the_same_records() -> None:
    frames = [made[1] for _, made in zip(range(200), synthetic(), strict=False)]
    found = []
    for decoder in DECODERS:
        feed = UsualFeed()
        take = decoder(feed)
        for one in frames:
            take(one)
        rows = records(feed)
        rows["receive_time_ns"] = 0
        found.append(rows.tobytes())
        assert feed.close() == 200
    assert found[0] == found[1]


@pytest.mark.parametrize("decoder", [orjson_only, msgspec_only])
def test_reading_only_takes_every_kind(decoder: Callable[[], Take]) -> None:
    take = decoder()
    assert all(take(frame(data)) for data in (QUOTE, TRADE, DIFF))
