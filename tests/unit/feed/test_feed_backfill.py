"""The past is asked for where ids are missing, within a share of the venue's weight."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clock import VenueClock
from engine.domain.codes import BAR_FINAL, Channel, RecordType
from engine.processes import feed_backfill
from engine.processes.feed_backfill import (
    SHARE_BURST,
    SHARE_PER_S,
    WEIGHT_USED_MAX,
    Backfill,
    WeightShare,
    interval_s,
)
from engine.venues.binance.backfill import bar_frames, quote_frames, trade_frames
from engine.venues.venue import NotExecutedError, ProtocolError
from tests.feed_rig import MS, VENUE_START_MS, FeedRig, Frames
from tests.stream_server import until

Trades = Callable[[int, int], list[int]]


class History:
    """A venue that has some trades, and notes what it was asked."""

    def __init__(self, rig: FeedRig, has: Trades) -> None:
        self.rig, self.has = rig, has
        self.used_weight = 0
        self.asked: list[tuple[str, int, int]] = []
        self.fails = 0
        self.age_ms = 0
        self.on_asked: Callable[[], object] = lambda: None

    async def fetch_trades(self, symbol: str, first_id: int, limit: int) -> bytes:
        self.asked.append((symbol, first_id, limit))
        self.on_asked()
        if self.fails:
            self.fails -= 1
            raise NotExecutedError("Service Unavailable.", http_status=503)
        at_ms = self.rig.venue_ms - self.age_ms
        rows = [
            {"a": i, "p": "61800.00", "q": "0.100", "f": i, "l": i, "T": at_ms, "m": True}
            for i in self.has(first_id, limit)
        ]
        return json.dumps(rows).encode()

    async def fetch_bars(self, symbol: str, interval: str, limit: int) -> bytes:
        assert (symbol, interval, limit) == ("BTCUSDT", "1m", 60)
        minute = self.rig.venue_ms // 60_000 * 60_000
        rows = [
            [start, "1", "2", "1", "2", "3.000", start + 59_999, "6", 4, "1", "2", "0"]
            for start in (minute - 120_000, minute - 60_000, minute)
        ]
        return json.dumps(rows).encode()


def filling(
    rig: FeedRig, history: History, body: Callable[[Backfill, list[str]], Awaitable[None]]
) -> None:
    async def run() -> None:
        said: list[str] = []
        clock = VenueClock()
        now_ns = time.monotonic_ns()
        clock.learn(now_ns, now_ns, rig.venue_ms * MS)
        backfill = Backfill(
            rig.core, history, clock, ["BTCUSDT", "ETHUSDT"],
            lambda symbol, text: said.append(f"{symbol} {text}"), lambda: said.append("bar"),
            lambda: said.append("trade"),
        )  # fmt: skip
        task = asyncio.create_task(backfill.run())
        try:
            await asyncio.wait_for(body(backfill, said), 20)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


def torn(hole: int) -> tuple[FeedRig, int]:
    """Return a rig with a hole of so many ids, and the first of them."""
    rig, frames = FeedRig(), Frames()
    rig.core.set_clock(0, rig.venue_ms * MS, -1_000_000_000, 0)
    rig.core.set_healing(3_600_000_000_000)
    rig.decode(frames.agg_trade(rig.venue_ms))
    first = frames.trade_id + 1
    rig.decode(frames.agg_trade(rig.venue_ms, a=first + hole))
    return rig, first


def test_a_hole_is_fetched_from_its_first_id_and_closes() -> None:
    rig, first = torn(5)
    history = History(rig, lambda start, limit: list(range(start, start + limit)))

    async def body(_: Backfill, said: list[str]) -> None:
        await until(lambda: not rig.core.holes())
        assert said == []

    filling(rig, history, body)
    assert history.asked == [("BTCUSDT", first, 5)]
    ids = rig.records(RecordType.TRADE)["trade_id"].tolist()
    assert ids == list(range(first - 1, first + 6))
    assert rig.rejects() == {}


def test_a_long_hole_takes_several_requests() -> None:
    rig, first = torn(2_500)
    history = History(rig, lambda start, limit: list(range(start, start + limit)))

    async def body(_: Backfill, __: list[str]) -> None:
        await until(lambda: not rig.core.holes())

    filling(rig, history, body)
    assert [start for _, start, _ in history.asked] == [first, first + 1_000, first + 2_000]


def test_a_history_that_fails_is_asked_again_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_backfill, "RETRY_S", 0.01)
    rig, _ = torn(2)
    history = History(rig, lambda start, limit: list(range(start, start + limit)))
    history.fails = 3

    async def body(_: Backfill, said: list[str]) -> None:
        await until(lambda: not rig.core.holes())
        assert said == ["BTCUSDT Service Unavailable."] * 3

    filling(rig, history, body)
    assert len(history.asked) == 4


def test_above_the_venues_own_count_nothing_is_asked() -> None:
    rig, _ = torn(2)
    history = History(rig, lambda start, limit: list(range(start, start + limit)))
    history.used_weight = WEIGHT_USED_MAX + 1

    async def body(backfill: Backfill, _: list[str]) -> None:
        await until(lambda: backfill.refused_count > 2)
        assert history.asked == []
        history.used_weight = 0
        await until(lambda: not rig.core.holes())

    filling(rig, history, body)


def test_trades_too_old_for_any_reader_are_given_up_at_once() -> None:
    rig, _ = torn(2)
    history = History(rig, lambda start, limit: list(range(start, start + limit)))
    rig.core.set_clock(0, (rig.venue_ms + 120_000) * MS, -1_000_000_000, 0)

    async def body(_: Backfill, __: list[str]) -> None:
        await until(lambda: not rig.core.holes())

    filling(rig, history, body)
    (gap,) = rig.records(RecordType.GAP)
    assert (gap["lost_count"], gap["aux"]) == (2, Channel.TRADE)


def test_bars_that_closed_meanwhile_are_filled_and_others_are_not() -> None:
    rig, _ = torn(0)
    rig.records()

    async def body(backfill: Backfill, said: list[str]) -> None:
        minute_ns = 60_000 * MS
        into_ns = rig.venue_ms % 60_000 * MS
        up_ns = time.monotonic_ns()
        backfill.bars_since(up_ns - into_ns - minute_ns // 2, "1m", [0], up_ns=up_ns)
        await until(lambda: "bar" in said)
        backfill.bars_since(up_ns - into_ns // 2, "1m", [0], up_ns=up_ns)
        await asyncio.sleep(0.1)
        assert said == ["bar"], "none closed in the second span"

    filling(rig, History(rig, lambda *_: []), body)
    (bar,) = rig.records(RecordType.BAR)
    assert bar["flags"] == BAR_FINAL
    assert bar["venue_time_ns"] == (VENUE_START_MS // 60_000 - 1) * 60_000 * MS


def test_what_follows_the_last_trade_is_asked_for_and_told() -> None:
    rig, first = torn(0)
    history = History(rig, lambda start, _: list(range(start, start + 3)))
    history.age_ms = 5_000

    async def body(backfill: Backfill, said: list[str]) -> None:
        backfill.ask_after_last([0])
        await until(lambda: backfill.done_count == backfill.asked_count == 1)
        assert said == ["trade"] * 3

    filling(rig, history, body)
    assert history.asked == [("BTCUSDT", first + 1, 1_000)]
    ids = rig.records(RecordType.TRADE)["trade_id"].tolist()
    assert ids == list(range(first - 1, first + 4))
    assert rig.rejects() == {}


def younger(_rig: FeedRig, _frames: Frames, history: History) -> None:
    """Have the history know only what the stream may still bring."""
    history.age_ms = 0


def gone_on(rig: FeedRig, frames: Frames, history: History) -> None:
    """Let the stream bring the first two of them before the history answers."""

    def bring() -> None:
        for _ in range(2):
            assert rig.decode(frames.agg_trade(rig.venue_ms - 5_000)) == 0

    history.on_asked = bring


def failing(_rig: FeedRig, _frames: Frames, history: History) -> None:
    """Let the history not answer."""
    history.fails = 1


@pytest.mark.parametrize(
    ("change", "more", "told"),
    [(younger, 0, []), (gone_on, 3, ["trade"]), (failing, 0, ["ETHUSDT Service Unavailable."])],
)
def test_after_the_last_trade_the_stream_comes_first(
    change: Callable[[FeedRig, Frames, History], None], more: int, told: list[str]
) -> None:
    rig, frames = FeedRig(), Frames("ETHUSDT")
    rig.core.set_clock(0, rig.venue_ms * MS, -1_000_000_000, 0)
    rig.core.set_healing(3_600_000_000_000)
    rig.decode(frames.agg_trade(rig.venue_ms - 5_000))
    first = frames.trade_id
    history = History(rig, lambda start, _: list(range(start, start + 3)))
    history.age_ms = 5_000
    change(rig, frames, history)

    async def body(backfill: Backfill, said: list[str]) -> None:
        backfill.ask_after_last([1])
        await until(lambda: backfill.done_count == 1)
        assert said == told

    filling(rig, history, body)
    ids = rig.records(RecordType.TRADE)["trade_id"].tolist()
    assert ids == list(range(first, first + more + 1))
    assert rig.rejects() == {}


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(1, 400)), max_size=60))
def test_no_minute_takes_more_than_the_share(asks: list[tuple[float, int]]) -> None:
    now_s = 0.0
    share = WeightShare(lambda: now_s)
    taken: list[tuple[float, int]] = []
    for pause_s, weight in asks:
        now_s += pause_s
        if share.take(weight, 0):
            taken.append((now_s, weight))
    for start_s, _ in taken:
        spent = sum(weight for at_s, weight in taken if start_s <= at_s <= start_s + 60)
        assert spent <= SHARE_BURST + 60 * SHARE_PER_S + 1


@pytest.mark.parametrize("body", [b"{}", b"[", b'[{"a":1}]', b'[["x"]]', b"\xff"])
def test_what_is_no_history_is_no_frame(body: bytes) -> None:
    for read in (
        lambda: trade_frames("BTCUSDT", body),
        lambda: bar_frames("BTCUSDT", "1m", body, (0, 1), 1),
        lambda: list(quote_frames(body, 0)),
    ):
        with pytest.raises(ProtocolError):
            read()


def test_a_quote_without_its_number_or_too_old_is_left_out() -> None:
    row = {"symbol": "BTCUSDT", "bidPrice": "1", "bidQty": "1", "askPrice": "2", "askQty": "1"}
    rows = [row | {"time": 99, "lastUpdateId": 7}, row | {"time": 100}]
    assert list(quote_frames(json.dumps(rows).encode(), 100)) == []
    kept = json.dumps([row | {"time": 100, "lastUpdateId": 7}]).encode()
    ((symbol, frame),) = quote_frames(kept, 100)
    assert symbol == "BTCUSDT"
    assert json.loads(frame)["data"]["u"] == 7


@pytest.mark.parametrize(("text", "seconds"), [("1m", 60), ("4h", 14_400), ("1d", 86_400)])
def test_an_interval_has_seconds(text: str, seconds: int) -> None:
    assert interval_s(text) == seconds
