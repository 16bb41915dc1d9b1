"""The data firewall: every poison has a name, is refused by it in both layers, and blinds nobody.

First layer: bytes through the C decoder. Second layer: the record that would have carried the same
poison, through the brain's kernel. What a record cannot express (bytes, steps, symbols) the second
layer cannot see; those rows say None.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from engine.domain.codes import RecordType
from engine.domain.firewall import check_record
from engine.domain.firewall_reasons import FirewallReason
from engine.domain.market_state import (
    CLOCK_ANCHOR_NS,
    CLOCK_OFFSET_NS,
    CLOCK_VALID,
    MarketState,
    create_market_state,
)
from engine.domain.strategy_table import select_rows
from native_ext import _feed
from tests import builders
from tests.feed_rig import FeedRig, Frames

DAY_MS = 86_400_000
R = FirewallReason

MakeFrame = Callable[[Frames, int], Any]
MakeRecord = Callable[[], np.ndarray]


class Poison(NamedTuple):
    """One way in which data is wrong."""

    name: str
    frame: MakeFrame
    reason: FirewallReason
    record: MakeRecord | None = None
    second: FirewallReason | None = None  # when the record breaks another law than the frame


def compact(frame: object) -> str:
    return json.dumps(frame, separators=(",", ":"))


def replaced(frame: object, text: str, by: str) -> str:
    changed = compact(frame).replace(text, by)
    assert changed != compact(frame), text
    return changed


def quote(**fields: int) -> MakeRecord:
    return lambda: builders.make_quote(**fields)


def trade(**fields: int) -> MakeRecord:
    return lambda: builders.make_trade(**({"trade_id": 1_000} | fields))  # type: ignore[arg-type]


def bar(**fields: int) -> MakeRecord:
    return lambda: builders.make_bar(**fields)  # type: ignore[arg-type]


NS_DAY = 86_400_000_000_000
START = builders.START_VENUE_NS

POISONS = [
    Poison("a truncated frame", lambda f, ms: compact(f.book_ticker(ms))[:-7], R.MALFORMED),
    Poison("bytes that are no JSON", lambda *_: b"\xff\x00}{", R.MALFORMED),
    Poison("an empty frame", lambda *_: b"", R.MALFORMED),
    Poison("text after the end", lambda f, ms: compact(f.trade(ms)) + "x", R.MALFORMED),
    Poison("a price of NaN", lambda f, ms: f.trade(ms, p="NaN"), R.NOT_FINITE),
    Poison(
        "a bare NaN",
        lambda f, ms: replaced(f.trade(ms), '"61800.00"', "NaN"),
        R.NOT_FINITE,
    ),
    Poison("an infinite price", lambda f, ms: f.trade(ms, p="Infinity"), R.NOT_FINITE),
    Poison("an infinite quantity", lambda f, ms: f.book_ticker(ms, B="-Infinity"), R.NOT_FINITE),
    Poison("a price with an exponent", lambda f, ms: f.trade(ms, p="6e4"), R.NOT_FINITE),
    Poison(
        "a price beyond any",
        lambda f, ms: f.trade(ms, p="9" * 30),
        R.NUMBER_RANGE,
        trade(price=1 << 61),
    ),
    Poison(
        "a price of nearly all of 64 bits",
        lambda f, ms: f.trade(ms, p="920000000000000000.0"),
        R.NUMBER_RANGE,
        trade(price=9_200_000_000_000_000_000),
    ),
    Poison(
        "a quantity of nearly all of 64 bits",
        lambda f, ms: f.book_ticker(ms, B="9200000000000000.000"),
        R.NUMBER_RANGE,
        quote(bid_qty=9_200_000_000_000_000_000),
    ),
    Poison(
        "a level of nearly all of 64 bits",
        lambda f, ms: f.depth(ms, [("920000000000000000.0", "1.000")]),
        R.NUMBER_RANGE,
        lambda: builders.make_level(9_200_000_000_000_000_000, 1_000, bid=True),
    ),
    Poison(
        "a bar of more than was ever traded",
        lambda f, ms: f.kline(ms, v="9200000000000000.000"),
        R.NUMBER_RANGE,
        bar(volume=9_200_000_000_000_000_000),
    ),
    Poison(
        "a price of zero", lambda f, ms: f.trade(ms, p="0.00"), R.PRICE_NOT_POSITIVE, trade(price=0)
    ),
    Poison(
        "a negative price",
        lambda f, ms: f.book_ticker(ms, b="-61800.00"),
        R.PRICE_NOT_POSITIVE,
        quote(bid=-618_000),
    ),
    Poison(
        "a mark price of zero",
        lambda f, ms: f.mark_price(ms, p="0"),
        R.PRICE_NOT_POSITIVE,
        lambda: builders.make_mark(0),
    ),
    Poison(
        "a negative quantity",
        lambda f, ms: f.trade(ms, q="-0.006"),
        R.QTY_NEGATIVE,
        trade(qty=-6),
    ),
    Poison("a trade of nothing", lambda f, ms: f.trade(ms, q="0.000"), R.QTY_ZERO, trade(qty=0)),
    Poison(
        "a quote of nothing",
        lambda f, ms: f.book_ticker(ms, A="0.000"),
        R.QTY_ZERO,
        quote(ask_qty=0),
    ),
    Poison("a price between two ticks", lambda f, ms: f.trade(ms, p="61800.05"), R.OFF_TICK),
    Poison("a quantity between two lots", lambda f, ms: f.trade(ms, q="0.0065"), R.OFF_LOT),
    Poison(
        "an unknown symbol",
        lambda _, ms: Frames("DOGEUSDT").book_ticker(ms),
        R.SYMBOL_UNKNOWN,
        lambda: builders.make_quote(instrument_index=7),
        R.INSTRUMENT_UNKNOWN,
    ),
    Poison(
        "another symbol than its stream's",
        lambda f, ms: f.trade(ms, s="ETHUSDT"),
        R.SYMBOL_MISMATCH,
    ),
    Poison(
        "another event than its stream's",
        lambda f, ms: replaced(f.trade(ms), "@trade", "@bookTicker"),
        R.EVENT_UNKNOWN,
    ),
    Poison("another product", lambda f, ms: f.agg_trade(ms, st=2), R.PRODUCT_OTHER),
    Poison(
        "an event nobody subscribed",
        lambda f, ms: f.trade(ms, e="24hrTicker"),
        R.EVENT_UNKNOWN,
        lambda: builders.make_record(99),
        R.RECORD_TYPE_UNKNOWN,
    ),
    Poison(
        "a missing price", lambda f, ms: replaced(f.trade(ms), '"p":', '"zz":'), R.FIELD_MISSING
    ),
    Poison(
        "a crossed quote",
        lambda f, ms: f.book_ticker(ms, b="61800.20"),
        R.QUOTE_CROSSED,
        quote(bid=618_004),
    ),
    Poison(
        "a locked quote",
        lambda f, ms: f.book_ticker(ms, b="61800.10"),
        R.QUOTE_LOCKED,
        quote(bid=618_003),
    ),
    Poison(
        "a spread as wide as the price",
        lambda f, ms: f.book_ticker(ms, b="31000.00"),
        R.SPREAD_WIDE,
        quote(bid=310_000),
    ),
    Poison(
        "a timestamp from tomorrow",
        lambda f, ms: f.trade(ms + DAY_MS),
        R.TIME_FUTURE,
        trade(venue_time_ns=START + NS_DAY),
    ),
    Poison(
        "a timestamp from yesterday",
        lambda f, ms: f.book_ticker(ms - DAY_MS),
        R.TIME_PAST,
        quote(venue_time_ns=START - NS_DAY),
    ),
    Poison(
        "a trade again",
        lambda f, ms: f.trade(ms, t=f.trade_id),
        R.ID_DUPLICATE,
        trade(trade_id=999),
    ),
    Poison(
        "a trade from before",
        lambda f, ms: f.trade(ms, t=f.trade_id - 50),
        R.ID_OUT_OF_ORDER,
        trade(trade_id=900),
    ),
    Poison(
        "a trade from far ahead",
        lambda f, ms: f.trade(ms, t=f.trade_id + 10**12),
        R.ID_JUMP,
        trade(trade_id=1_000 + 10**12),
    ),
    Poison(
        "a quote from before",
        lambda f, ms: f.book_ticker(ms, u=f.update_id - 11),
        R.ID_OUT_OF_ORDER,
        quote(aux=7),
    ),
    Poison(
        "a price from nowhere",
        lambda f, ms: f.trade(ms, p="30900.00"),
        R.PRICE_JUMP,
        trade(price=309_000),
    ),
    Poison("a bar upside down", lambda f, ms: f.kline(ms, h="61780.00"), R.BAR_RANGE, bar(high=-9)),
    Poison(
        "a bar that opens outside itself",
        lambda f, ms: f.kline(ms, o="61830.00"),
        R.BAR_OPEN_CLOSE,
        bar(high=-1, low=-5, close=-2),
    ),
    Poison(
        "a bar that closes outside itself",
        lambda f, ms: f.kline(ms, c="61780.00"),
        R.BAR_OPEN_CLOSE,
        bar(close=9),
    ),
    Poison(
        "a bar off its minute",
        lambda f, ms: f.kline(ms, t=ms // 60_000 * 60_000 + 1),
        R.BAR_TIME,
        bar(venue_time_ns=START // (60 * 10**9) * 60 * 10**9 + 1),
    ),
    Poison("a bar of no interval", lambda f, ms: f.kline(ms, i="7q"), R.BAR_TIME),
    Poison(
        "a bar with volume and no trades",
        lambda f, ms: f.kline(ms, n=0),
        R.BAR_VOLUME,
        bar(trades=0),
    ),
    Poison(
        "a diff that goes backwards",
        lambda f, ms: f.depth(ms, U=f.update_id + 200),
        R.DEPTH_RANGE,
    ),
    Poison(
        "more levels than fit",
        lambda f, ms: f.depth(
            ms, [(f"{1 + n / 10:.2f}", "1.000") for n in range(_feed.LEVELS_MAX + 1)]
        ),
        R.LEVEL_COUNT,
    ),
    Poison(
        "a level of NaN",
        lambda f, ms: f.depth(ms, [("NaN", "1.000")]),
        R.NOT_FINITE,
    ),
    Poison(
        "a level below nothing",
        lambda f, ms: f.depth(ms, [("61800.00", "-1.000")]),
        R.QTY_NEGATIVE,
        lambda: builders.make_level(618_000, -1_000, bid=True),
    ),
    Poison("a liquidation of no side", lambda f, ms: f.force_order(ms, S="HOLD"), R.SIDE_UNKNOWN),
    Poison(
        "a funding rate of a half",
        lambda f, ms: f.mark_price(ms, r="0.5"),
        R.FUNDING_RANGE,
        lambda: builders.make_mark(funding_rate_e8=50_000_000),
    ),
]
TWO_LAYERED = [poison for poison in POISONS if poison.record is not None]
IDS = [poison.name.replace(" ", "-") for poison in POISONS]


def test_at_least_seventeen_poisons_are_named() -> None:
    assert len(POISONS) >= 17
    assert len(set(IDS)) == len(IDS)
    named = {poison.reason for poison in POISONS} | {poison.second for poison in POISONS}
    # Named by tests of their own in test_frames.py and test_feed_book.py, or only in the brain.
    elsewhere = {R.NONE, R.FRAME_OVERSIZE, R.FRAME_KIND, R.DEPTH_GAP, R.BOOK_CROSSED}
    # Laws against what was said before: test_firewall_memory.py, test_book_check.py.
    elsewhere |= {R.QUOTE_FROZEN, R.PRICE_SPIKE, R.BAR_HISTORY, R.BOOK_DIVERGED}
    assert set(FirewallReason) - named - elsewhere == {R.SEQUENCE_BROKEN}


@pytest.mark.parametrize("poison", POISONS, ids=IDS)
def test_the_first_layer_refuses_the_frame_and_takes_its_neighbours(poison: Poison) -> None:
    rig, frames = FeedRig(), Frames()
    assert rig.decode(frames.trade(rig.venue_ms)) == 0
    assert rig.decode(frames.book_ticker(rig.venue_ms)) == 0
    rig.records()
    frame = poison.frame(frames, rig.venue_ms)
    assert rig.decode(frame) == poison.reason, R(rig.decode(frame)).name
    assert len(rig.records(*RecordType)) == 0, "nothing of a refused frame reaches the ring"
    assert rig.rejects() == {poison.reason: 1}
    kept = rig.core.kept(poison.reason)
    assert kept is not None
    raw = (
        frame
        if isinstance(frame, bytes)
        else (frame if isinstance(frame, str) else compact(frame)).encode()
    )
    assert kept[2] == len(raw)
    assert kept[3] == raw[:1024]
    later = Frames()
    later.trade_id, later.update_id = frames.trade_id + 1, frames.update_id + 1_000
    assert rig.decode(later.trade(rig.venue_ms)) == 0, "the neighbouring good trade is processed"
    assert rig.decode(later.book_ticker(rig.venue_ms)) == 0
    assert {int(t) for t in rig.records()["record_type"]} >= {RecordType.TRADE, RecordType.QUOTE}


@pytest.fixture
def market() -> MarketState:
    """Return a brain's market state whose clock is set and that has seen a quote and a trade."""
    state = create_market_state(builders.make_instruments(1), select_rows((), ()))
    state.progress[CLOCK_VALID] = 1
    state.progress[CLOCK_ANCHOR_NS] = builders.START_RECEIVE_NS
    state.progress[CLOCK_OFFSET_NS] = START - builders.START_RECEIVE_NS
    assert check_record(state, builders.make_quote(aux=100, sequence=1), 0) == 0
    assert check_record(state, builders.make_trade(trade_id=999, sequence=2), 0) == 0
    for name in ("quote", "trade"):  # as applying them does
        state.hot[f"{name}_receive_time_ns"][0] = builders.START_RECEIVE_NS
        state.hot[f"{name}_venue_time_ns"][0] = START
    return state


@pytest.mark.parametrize("poison", TWO_LAYERED, ids=[p.name.replace(" ", "-") for p in TWO_LAYERED])
def test_the_second_layer_refuses_the_record_too(market: MarketState, poison: Poison) -> None:
    assert poison.record is not None
    record = poison.record()
    record["sequence"] = 3
    if record["aux"][0] == 0 and record["record_type"][0] == RecordType.QUOTE:
        record["aux"] = 101
    before = int(market.reject_counts.sum())
    assert R(check_record(market, record, 0)) == (poison.second or poison.reason)
    assert int(market.reject_counts.sum()) == before + 1
    good = builders.make_trade(trade_id=1_001, sequence=4)
    assert check_record(market, good, 0) == 0, "the neighbouring good record is taken"


def test_a_broken_sequence_is_refused_by_the_second_layer(market: MarketState) -> None:
    assert check_record(market, builders.make_trade(trade_id=1_001, sequence=9), 0) == (
        R.SEQUENCE_BROKEN
    )


def test_refusals_count_per_instrument_when_it_is_known() -> None:
    rig = FeedRig()
    frames, other = Frames(), Frames("ETHUSDT", 2681.62)
    assert rig.decode(frames.trade(rig.venue_ms, q="0.0065")) == R.OFF_LOT
    assert rig.decode(other.trade(rig.venue_ms, p="-1.00")) == R.PRICE_NOT_POSITIVE
    assert rig.decode(b"{") == R.MALFORMED
    assert rig.core.instrument_rejects(0)[R.OFF_LOT] == 1
    assert rig.core.instrument_rejects(1)[R.PRICE_NOT_POSITIVE] == 1
    assert sum(rig.core.instrument_rejects(0)) == sum(rig.core.instrument_rejects(1)) == 1
    assert rig.core.kept(R.MALFORMED) == (rig.now_ns, -1, 1, b"{")
