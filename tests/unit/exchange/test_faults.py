"""Faults on command, as clients meet them: on the wire, with good frames before and after."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from exchange.book import Book
from exchange.errors import ApiError
from exchange.matching import Market
from exchange.poison import DAY_MS, POISON, poisoned_quote
from exchange.stream_faults import Drop, HoldBack, Repeat, StreamFaults, StreamRule
from tests.exchange_rig import (
    TapeWriter,
    btc,
    fault,
    fill_book,
    run,
    running,
    settled,
    tape_of,
)

NOW_MS = 1_800_000_000_000


def quoted() -> Market:
    market = Market(btc(), 0)
    fill_book(market)
    market.book.apply_quote((200, 60_000_00, 1_000, 60_000_10, 500))
    return market


def test_healthy_poison_differs_from_a_good_quote_in_one_thing() -> None:
    for kind in POISON - {"malformed"}:
        frame = json.loads(poisoned_quote(kind, quoted(), NOW_MS))
        good = {
            "e": "bookTicker", "u": 201, "s": "BTCUSDT", "b": "60000.00", "B": "1.000",
            "a": "60000.10", "A": "0.500", "T": NOW_MS, "E": NOW_MS,
        }  # fmt: skip
        changed = {name for name in good if frame[name] != good[name]}
        assert changed, kind
        assert len(changed) <= 2, kind


@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [
        ("nan_price", "b", "NaN"),
        ("infinite_price", "a", "Infinity"),
        ("negative_price", "b", "-60000.00"),
        ("zero_price", "b", "0.00"),
        ("negative_quantity", "B", "-1.000"),
        ("unknown_symbol", "s", "NOSUCHUSDT"),
        ("tomorrow", "E", NOW_MS + DAY_MS),
        ("yesterday", "T", NOW_MS - DAY_MS),
        ("off_tick", "b", "60000.005"),
        ("price_jump", "b", "600000.00"),
        ("huge_update_id", "u", 200 + 10**15),
        ("stale_update_id", "u", 0),
    ],
)
def test_poison_is_what_its_name_says(kind: str, name: str, text: object) -> None:
    assert json.loads(poisoned_quote(kind, quoted(), NOW_MS))[name] == text


def test_crossed_poison_has_bid_above_ask() -> None:
    frame = json.loads(poisoned_quote("crossed_quote", quoted(), NOW_MS))
    assert float(frame["b"]) > float(frame["a"])


def test_malformed_poison_is_no_json() -> None:
    with pytest.raises(json.JSONDecodeError):
        json.loads(poisoned_quote("malformed", quoted(), NOW_MS))


def test_poison_needs_no_book() -> None:
    market = Market(btc(), 0)
    assert isinstance(market.book, Book)
    assert json.loads(poisoned_quote("zero_price", market, NOW_MS))["a"] == "100.10"


def test_stream_rules_act_in_turn_and_end() -> None:
    faults = StreamFaults()
    key = (0, 0, "")
    faults.add(key, StreamRule(Drop(), 2))
    faults.add(key, StreamRule(Repeat(), 1))
    faults.add(key, StreamRule(HoldBack(), 1))
    sent = [list(faults.tamper(key, b"%d" % k)) for k in range(6)]
    assert sent == [[], [], [b"2", b"2"], [], [b"4", b"3"], [b"5"]]
    assert faults.rules == {}
    assert list(faults.tamper((1, 0, ""), b"x")) == [b"x"]


def test_stream_rules_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exchange.stream_faults.MAX_RULES", 1)
    faults = StreamFaults()
    faults.add((0, 0, ""), StreamRule(Drop(), 1))
    with pytest.raises(ApiError):
        faults.add((0, 0, ""), StreamRule(Drop(), 1))


@pytest.mark.parametrize("kind", sorted(POISON))
def test_every_poison_reaches_subscribers_on_the_wire(tmp_path: Path, kind: str) -> None:
    async def test() -> None:
        async with settled(tmp_path) as exchange:
            stream = await exchange.stream("/public/stream?streams=btcusdt@bookTicker")
            answer = await fault(exchange.rest(), kind=kind, symbol="BTCUSDT")
            assert answer.json == {"sent": 1}
            text = await stream.next_text()
            assert text.startswith('{"stream":"btcusdt@bookTicker","data":')
            await stream.close()

    run(test())


def test_any_text_can_be_sent_as_a_frame(tmp_path: Path) -> None:
    async def test() -> None:
        async with settled(tmp_path) as exchange:
            stream = await exchange.stream("/market/ws/btcusdt@trade/btcusdt@forceOrder")
            rest = exchange.rest()
            for name in ("trade", "forceOrder"):
                await fault(rest, kind="frame", stream=f"btcusdt@{name}", text=f"any {name} \u20ac")
            assert await stream.next_text() == "any trade \u20ac"
            assert await stream.next_text() == "any forceOrder \u20ac"
            await stream.close()

    run(test())


@pytest.mark.parametrize(
    "order",
    [
        {"kind": "unheard_of"},
        {"kind": "frame", "stream": "nonsense", "text": "x"},
        {"kind": "gap", "symbol": "XXXUSDT"},
        {"kind": "nan_price", "symbol": "XXXUSDT"},
    ],
)
def test_commands_that_make_no_sense_are_refused(tmp_path: Path, order: dict[str, Any]) -> None:
    async def test() -> None:
        async with settled(tmp_path) as exchange:
            answer = await exchange.rest().practice("/practice/fault", order)
            assert answer.status == 400

    run(test())


def ticking_tape(tmp_path: Path) -> Path:
    tape = TapeWriter()
    tape.snapshot(0, 100, [("60000.00", "1.000")], [("60000.10", "1.000")])
    for k in range(400):
        ids = (101 + k, 101 + k, 100 + k)
        tape.diff(10 + 10 * k, ids, [("60000.00", f"{k % 9 + 1}.000")], [])
        tape.quote(12 + 10 * k, 101 + k, ("60000.00", "1.000"), ("60000.10", "1.000"))
    return tape.write(tmp_path / "ticking")


def test_gap_breaks_the_chain_once_and_good_frames_follow(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tape_of(ticking_tape(tmp_path))) as exchange:
            stream = await exchange.stream("/public/ws/btcusdt@depth")
            seen = await stream.take(3)
            await fault(exchange.rest(), kind="gap", symbol="BTCUSDT")
            while seen[-1]["pu"] == seen[-2]["u"]:
                seen.append(await stream.next())
            assert seen[-1]["pu"] == seen[-2]["u"] + 1
            after = await stream.take(3)
            chain = [seen[-1], *after]
            assert all(b["pu"] == a["u"] for a, b in itertools.pairwise(chain))
            # The exchange's own book had no gap: a new snapshot continues the chain.
            assert exchange.exchange.venue.markets["BTCUSDT"].book.gap_count == 0
            await stream.close()

    run(test())


def test_duplicates_and_wrong_order(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tape_of(ticking_tape(tmp_path))) as exchange:
            stream = await exchange.stream("/public/ws/btcusdt@bookTicker")
            await stream.take(2)
            rest = exchange.rest()
            await fault(rest, kind="duplicate", stream="btcusdt@bookTicker", count=1)
            ids = [(await stream.next())["u"] for _ in range(30)]
            assert len(ids) - len(set(ids)) == 1
            await fault(rest, kind="reorder", stream="btcusdt@bookTicker")
            ids = [(await stream.next())["u"] for _ in range(30)]
            assert sum(b < a for a, b in itertools.pairwise(ids)) == 1
            assert len(set(ids)) == 30
            await stream.close()

    run(test())


def test_silent_stream_comes_back(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tape_of(ticking_tape(tmp_path))) as exchange:
            stream = await exchange.stream("/public/ws/btcusdt@bookTicker")
            other = await exchange.stream("/public/ws/btcusdt@depth")
            last = (await stream.take(2))[-1]["u"]
            await fault(
                exchange.rest(), kind="silent", stream="btcusdt@bookTicker", duration_ms=200
            )
            await other.take(25)
            while (following := (await stream.next())["u"]) == last + 1:
                last = following
            assert following > last + 5
            await stream.close()
            await other.close()

    run(test())


def test_connections_can_be_cut_by_category(tmp_path: Path) -> None:
    async def test() -> None:
        async with settled(tmp_path) as exchange:
            rest = exchange.rest()
            public = await exchange.stream("/public/ws/btcusdt@depth")
            private = await exchange.user_stream(rest)
            assert (await fault(rest, kind="disconnect", category="public")).json == {"closed": 1}
            with pytest.raises(ConnectionClosed):
                await public.next_text()
            await rest.order(side="BUY", quantity="0.010", price="59990.00")
            assert (await private.next())["e"] == "ORDER_TRADE_UPDATE"
            assert (await fault(rest, kind="disconnect")).json == {"closed": 1}
            with pytest.raises(ConnectionClosed):
                await private.next_text()

    run(test())


def test_server_shutdown_is_announced_everywhere(tmp_path: Path) -> None:
    async def test() -> None:
        async with settled(tmp_path) as exchange:
            rest = exchange.rest()
            streams = [await exchange.stream("/public/ws"), await exchange.user_stream(rest)]
            await fault(rest, kind="server_shutdown")
            for stream in streams:
                assert (await stream.next())["e"] == "serverShutdown"
                await stream.close()

    run(test())
