"""The tape on the venue clock: 503 before the snapshot, timing, the end, loops, unlimited speed."""

import asyncio
import contextlib
import json
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from exchange.clock import UNLIMITED
from exchange.events import TRADE, Event
from exchange.listing import Yesterday
from exchange.server import Options
from exchange.symbols import SymbolSpec
from tests.exchange_rig import (
    Stream,
    TapeWriter,
    btc,
    run,
    running,
    short_tape,
    tape_of,
)

MANY = 20_000


async def closing_code(stream: Stream) -> int:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await stream.next_text()
    code = stream.socket.close_code
    assert code is not None
    return code


def test_depth_is_unavailable_before_the_recorded_snapshot(tmp_path: Path) -> None:
    async def test() -> None:
        tape = tape_of(short_tape(tmp_path / "a", gap_ms=150))
        async with running(tape) as exchange:
            rest = exchange.rest()
            before = await rest.open("/fapi/v1/depth", symbol="BTCUSDT")
            assert before.status == 503
            stream = await exchange.stream("/public/ws/btcusdt@depth")
            await stream.take(2)
            early = await rest.open("/fapi/v1/depth", symbol="BTCUSDT")
            assert early.status == 503
            await exchange.until(lambda: exchange.exchange.venue.markets["BTCUSDT"].book.synced)
            answer = await rest.open("/fapi/v1/depth", symbol="BTCUSDT", limit=5)
            assert answer.status == 200
            # The snapshot (id 1015) and the earlier diff that reaches beyond it (id 1020).
            assert answer.json["lastUpdateId"] == 1020
            assert answer.json["bids"][:2] == [["60000.00", "1.000"], ["59999.90", "2.000"]]
            await stream.close()

    run(test())


def test_snapshot_and_diffs_make_the_same_book_for_a_client(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a", gap_ms=30))) as exchange:
            stream = await exchange.stream("/public/ws/btcusdt@depth")
            seen = await stream.take(2)
            await exchange.until(lambda: exchange.exchange.venue.markets["BTCUSDT"].book.synced)
            rest = exchange.rest()
            snapshot = (await rest.open("/fapi/v1/depth", symbol="BTCUSDT", limit=100)).json
            seen += await stream.take(2)
            applied = follow(snapshot, seen)
            final = (await rest.open("/fapi/v1/depth", symbol="BTCUSDT", limit=100)).json
            assert applied == {side: dict(final[side]) for side in ("bids", "asks")}
            await stream.close()

    run(test())


def follow(snapshot: dict, diffs: list[dict]) -> dict[str, dict[str, str]]:
    """Keep a book as the venue's manual says."""
    book = {side: dict(snapshot[side]) for side in ("bids", "asks")}
    last = snapshot["lastUpdateId"]
    waiting = True
    for diff in diffs:
        if diff["u"] < last:
            continue
        if waiting:
            assert diff["U"] <= last <= diff["u"]
            waiting = False
        else:
            assert diff["pu"] == last
        last = diff["u"]
        for side, rows in (("bids", diff["b"]), ("asks", diff["a"])):
            for price, qty in rows:
                if float(qty):
                    book[side][price] = qty
                else:
                    book[side].pop(price, None)
    return book


@pytest.mark.parametrize("speed", [1.0, 4.0])
def test_frames_leave_when_they_are_due(tmp_path: Path, speed: float) -> None:
    async def test() -> None:
        tape = tape_of(short_tape(tmp_path / "a", gap_ms=100))
        async with running(tape, Options(speed=speed)) as exchange:
            stream = await exchange.stream("/public/ws/btcusdt@depth/btcusdt@bookTicker")
            clock = asyncio.get_running_loop()
            first = await stream.next()
            start_s = clock.time()
            last = (await stream.take(5))[-1]
            elapsed_s = clock.time() - start_s
            assert last["E"] - first["E"] == 800
            # Never early; how late depends on the machine and is not judged here.
            assert elapsed_s >= 0.8 / speed - 0.02
            now_ms = exchange.exchange.clock.now_ms()
            assert now_ms >= last["E"] - 2
            await stream.close()

    run(test())


def test_first_event_time_is_the_venue_time_of_the_start(tmp_path: Path) -> None:
    async def test() -> None:
        options = Options(start_ms=1_800_000_000_000)
        async with running(tape_of(short_tape(tmp_path / "a")), options) as exchange:
            rest = exchange.rest()
            before = await rest.open("/fapi/v1/time")
            assert before.json["serverTime"] == 1_800_000_000_000
            stream = await exchange.stream("/public/ws/btcusdt@depth")
            assert (await stream.next())["E"] == 1_800_000_000_000
            await stream.close()

    run(test())


def test_end_of_the_tape_cancels_orders_and_closes_market_streams(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a", tail_ms=1_500))) as exchange:
            rest = exchange.rest()
            user = await exchange.user_stream(rest)
            market = await exchange.stream("/public/ws/btcusdt@bookTicker")
            quote = await market.next()
            placed = await rest.order(side="BUY", quantity="0.010", price=quote["b"])
            assert placed.status == 200
            assert await closing_code(market) == 1001
            assert (await user.next_event("ORDER_TRADE_UPDATE"))["o"]["x"] == "NEW"
            last = await user.next_event("ORDER_TRADE_UPDATE")
            assert (last["o"]["x"], last["o"]["X"]) == ("CANCELED", "CANCELED")
            state = await rest.open("/practice/state")
            assert state.json["tape_ended"] is True
            assert state.json["events"] == 10
            first_ms = exchange.exchange.clock.now_ms()
            await asyncio.sleep(0.01)
            assert exchange.exchange.clock.now_ms() > first_ms
            await user.close()

    run(test())


def test_loop_starts_again_with_later_ids_for_the_next_subscriber(tmp_path: Path) -> None:
    async def test() -> None:
        options = Options(loop_tape=True)
        path = short_tape(tmp_path / "a", tail_ms=700)
        async with running(tape_of(path), options) as exchange:
            first = await exchange.stream("/public/ws/btcusdt@depth")
            seen = await first.take(4)
            assert await closing_code(first) == 1001
            rest = exchange.rest()
            between = await rest.open("/fapi/v1/depth", symbol="BTCUSDT")
            assert between.status == 503
            second = await exchange.stream("/public/ws/btcusdt@depth")
            again = await second.take(4)
            assert again[0]["U"] > seen[-1]["u"]
            assert again[0]["E"] > seen[-1]["E"]
            steps = [[d["u"] - d["U"], d["U"] - d["pu"]] for d in seen]
            assert [[d["u"] - d["U"], d["U"] - d["pu"]] for d in again] == steps
            answer = await rest.open("/fapi/v1/depth", symbol="BTCUSDT")
            assert answer.json["lastUpdateId"] == again[-1]["u"]
            state = await rest.open("/practice/state")
            assert (state.json["tape_ended"], state.json["passes"]) == (False, 2)
            await second.close()

    run(test())


class ManyTrades:
    """A long market made of numbered trades."""

    def __init__(self, count: int) -> None:
        self.specs: list[SymbolSpec] = [btc()]
        self.yesterdays: list[Yesterday] = []
        self.marked: frozenset[int] = frozenset()
        self._count = count
        self._next = 0
        self._start_ns = 0

    def prepare(self) -> None:
        """Nothing to load."""

    def begin(self, start_ns: int) -> None:
        self._start_ns = start_ns

    def begin_again(self, not_before_ns: int) -> int:
        return not_before_ns

    def body_of(self, event: Event) -> bytes:
        return json.dumps({"e": "trade", "t": event[3][3], "fill": "x" * 200}).encode()

    def next_batch(self) -> list[Event]:
        batch: list[Event] = []
        for _ in range(min(100, self._count - self._next)):
            due_ns = self._start_ns + self._next * 1_000_000
            fields = (60_000_00, 1, False, self._next, due_ns // 10**6, due_ns // 10**6)
            batch.append((due_ns, 0, TRADE, fields, None))
            self._next += 1
        return batch


def test_unlimited_speed_waits_for_the_slowest_reader_and_drops_nothing() -> None:
    async def test() -> None:
        options = Options(speed=UNLIMITED)
        async with running(ManyTrades(MANY), options) as exchange:
            slow = await exchange.stream("/market/ws/btcusdt@trade")
            quick = await exchange.stream("/market/ws/btcusdt@trade")
            drained = asyncio.create_task(quick.take(MANY))
            await exchange.until(lambda: exchange.exchange.player.event_count > 0)
            await exchange.until(lambda: exchange.exchange.hub.congested)
            stalled = exchange.exchange.player.event_count
            assert stalled < MANY
            received = await slow.take(MANY)
            assert [trade["t"] for trade in received] == list(range(MANY))
            assert [trade["t"] for trade in await drained] == list(range(MANY))
            assert exchange.exchange.clock.now_ms() > 0
            await slow.close()
            await quick.close()

    run(test())


def test_readers_that_never_catch_up_are_cut_at_a_finite_speed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("exchange.connection.MAX_BACKLOG_BYTES", 500_000)

    async def test() -> None:
        options = Options(speed=10_000.0)
        async with running(ManyTrades(4 * MANY), options) as exchange:
            stream = await exchange.stream("/market/ws/btcusdt@trade")
            stream.socket.transport.pause_reading()
            await exchange.until(lambda: exchange.exchange.slow_clients == 1)
            stream.socket.transport.abort()

    run(test())


def test_autostart_plays_for_nobody(tmp_path: Path) -> None:
    async def test() -> None:
        options = Options(autostart=True)
        async with running(tape_of(short_tape(tmp_path / "a")), options) as exchange:
            await exchange.until(lambda: exchange.exchange.player.ended)
            assert exchange.exchange.player.event_count == 9

    run(test())


def test_autostarted_loop_repeats_for_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exchange.player.REPEAT_PAUSE_S", 0.01)

    async def test() -> None:
        options = Options(autostart=True, loop_tape=True, speed=50.0)
        async with running(tape_of(short_tape(tmp_path / "a")), options) as exchange:
            await exchange.until(lambda: exchange.exchange.player.passes >= 3)
            assert not exchange.exchange.player.ended

    run(test())


def test_play_can_be_commanded(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a"))) as exchange:
            assert (await exchange.rest().practice("/practice/play", {})).json == {"playing": True}
            await exchange.until(lambda: exchange.exchange.player.ended)

    run(test())


def test_an_ended_market_sends_no_more_and_has_counted_what_it_sent(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a", gap_ms=1_000))) as exchange:
            stream = await exchange.stream("/public/ws/btcusdt@bookTicker")
            received = [await stream.next()]
            rest = exchange.rest()
            assert (await rest.practice("/practice/end", {})).json == {"playing": False}
            state = (await rest.open("/practice/state")).json
            while len(received) < state["frames_delivered"]:
                received.append(await stream.next())
            later = (await rest.open("/practice/state")).json
            assert later["frames_delivered"] == state["frames_delivered"]
            assert later["events"] == state["events"]
            assert state["tape_ended"]
            assert state["events"] < 9
            await stream.close()

    run(test())


def test_tape_that_breaks_in_the_middle_ends_the_market_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exchange.tape.MAX_BAD_LINES", 3)
    tape = TapeWriter()
    for k in range(100):
        tape.quote(k, 10 + k, ("60000.00", "1.000"), ("60000.10", "1.000"))
    path = tape.write(tmp_path / "a")
    path.write_text(path.read_text() + "nonsense\n" * 10)

    async def test() -> None:
        async with running(tape_of(path)) as exchange:
            stream = await exchange.stream("/public/ws/btcusdt@bookTicker")
            assert await closing_code(stream) == 1001
            state = (await exchange.rest().open("/practice/state")).json
            assert state["tape_ended"] is True
            assert "unreadable" in state["failure"]

    run(test())


def test_resting_order_fills_from_the_tape(tmp_path: Path) -> None:
    tape = TapeWriter()
    tape.quote(0, 10, ("60000.00", "0.500"), ("60000.10", "0.500"))
    tape.trade(600, 1, "60000.00", "0.505", seller=True)
    tape.trade(700, 2, "59999.90", "1.000", seller=True)
    tape.quote(800, 11, ("59999.00", "0.500"), ("60000.10", "0.500"))

    async def test() -> None:
        async with running(tape_of(tape.write(tmp_path / "a"))) as exchange:
            rest = exchange.rest()
            user = await exchange.user_stream(rest)
            market = await exchange.stream("/public/ws/btcusdt@bookTicker")
            await market.next()
            placed = await rest.order(side="BUY", quantity="0.010", price="60000.00")
            assert placed.json["status"] == "NEW"
            events = [await user.next_event("ORDER_TRADE_UPDATE") for _ in range(3)]
            told = [(e["o"]["x"], e["o"]["X"], e["o"]["l"], e["o"]["m"]) for e in events]
            assert told == [
                ("NEW", "NEW", "0.000", False),
                ("TRADE", "PARTIALLY_FILLED", "0.005", True),
                ("TRADE", "FILLED", "0.005", True),
            ]
            await user.close()
            await market.close()

    run(test())


def test_fill_at_unlimited_speed_carries_the_time_of_its_trade(tmp_path: Path) -> None:
    tape = TapeWriter()
    tape.quote(0, 10, ("60000.00", "0.500"), ("60000.10", "0.500"))
    for k in range(1, 40):
        tape.quote(1_000 * k, 10 + k, ("60000.00", "0.500"), ("60000.10", "0.500"))
    tape.trade(20_500, 1, "59999.90", "1.000", seller=True)
    tape.lines.sort()

    async def test() -> None:
        options = Options(speed=UNLIMITED, start_ms=1_700_000_000_000)
        async with running(tape_of(tape.write(tmp_path / "a")), options) as exchange:
            venue = exchange.exchange.venue
            venue.markets["BTCUSDT"].book.apply_quote((1, 60_000_00, 500, 60_000_10, 500))
            rest = exchange.rest()
            await rest.order(side="BUY", quantity="0.010", price="60000.00")
            user = await exchange.user_stream(rest)
            stream = await exchange.stream("/public/ws/btcusdt@bookTicker")
            fill = await user.next_event("ORDER_TRADE_UPDATE")
            assert fill["o"]["X"] == "FILLED"
            assert fill["T"] == 1_700_000_020_500
            await user.close()
            await stream.close()

    run(test())
