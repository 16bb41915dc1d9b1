"""The kernel thread's loop on local rings: publish records, run slices, read what came out."""

import os
import threading
import time
from collections.abc import Callable

import numpy as np

from engine.domain.codes import EventType, Liveness
from engine.domain.decide import create_out
from engine.domain.records import EVENT_DTYPE, MARK_WORD_FIRST, MARKET_DTYPE, MARKS_PER_RECORD
from engine.domain.state import create_state
from engine.domain.strategy_table import StrategyKind, StrategyRow
from engine.domain.words import Word
from engine.processes.brain_loop import run_slice
from engine.processes.brain_ports import LoopAddresses, create_ports
from engine.processes.brain_rings import Rings
from engine.processes.brain_words import LoopWord, SliceEnd
from native_ext import _native
from ringbuffer.counters import PAGE_WORDS, CounterPage
from ringbuffer.idle import IdleKind, choose
from ringbuffer.ring import Consumer, Producer, Ring
from tests.builders import make_instruments, make_quote
from tests.desk_rig import GENEROUS, WALLET_E8, make_event

MS = 1_000_000
DEADLINE_S = 20.0
BID, ASK = 618_002, 618_003
VENUE_OFFSET_NS = 1_723_161_256_000_000_000
ROWS = (
    StrategyRow(
        name="imbalance",
        kind=StrategyKind.QUOTE_IMBALANCE,
        notional=500.0,
        parameters={"threshold": 0.9},
    ),
)
SHOWN_OWN, SHOWN_REASON, SHOWN_BEAT, SHOWN_OUTER, SHOWN_SYNCED = 0, 1, 2, 3, 4


class LoopRig:
    """One loop with every ring in this process; the test plays feed, main, venue and journal."""

    def __init__(
        self,
        *,
        event_slots: int = 32_768,
        market_slots: int = 1_024,
        disk: bool = False,
        idle: IdleKind = IdleKind.SLEEP,
        instruments: int = 1,
    ) -> None:
        self.rings = Rings(
            Ring.local("market", market_slots, MARKET_DTYPE.itemsize, gating=(0,)),
            Ring.local("control", 64, EVENT_DTYPE.itemsize, gating=(0,)),
            Ring.local("events", event_slots, EVENT_DTYPE.itemsize, gating=(0,)),
        )
        self.market = Producer(self.rings.market_ring)
        self.control = Producer(self.rings.control.ring)
        self.journal = Consumer(self.rings.events.ring, 0)
        self.state = create_state(make_instruments(instruments), ROWS, GENEROUS, epoch=1)
        self.out = create_out()
        self.desk = self.state.desk
        self.shown = np.zeros(8, dtype=np.int64)
        base = self.shown.ctypes.data
        addresses = LoopAddresses(
            heartbeat=base + 8 * SHOWN_BEAT,
            trading_state=base + 8 * SHOWN_OWN,
            reason=base + 8 * SHOWN_REASON,
            synced=base + 8 * SHOWN_SYNCED if disk else 0,
            outer=(base + 8 * SHOWN_OUTER,),
        )
        strategy = choose(idle, spinner_count=0)
        self.page = CounterPage(memoryview(bytearray(8 * PAGE_WORDS)).cast("q"))
        self.clock = _native.Clock()
        self.ports = create_ports(
            self.rings, self.state, self.page, addresses, self.clock, strategy
        )
        self.update_id = 0
        self.thread: threading.Thread | None = None

    # The loop.

    def run(self, slice_ms: float = 2.0) -> int:
        """Run one slice on this thread."""
        return int(run_slice(self.ports, self.state, self.out, round(slice_ms * MS)))

    def run_until_taken(self) -> None:
        """Run slices until nothing waits in the market ring."""
        deadline = time.monotonic() + DEADLINE_S
        while self.rings.market.lag() > 0:
            assert time.monotonic() < deadline, "market records are left"
            self.run()

    def run_behind(self) -> None:
        """Run slices on a thread of its own until `stop`."""

        def slices() -> None:
            while self.run(10.0) == SliceEnd.OVER:
                pass

        self.thread = threading.Thread(target=slices)
        self.thread.start()

    def stop(self) -> None:
        """Set the stop word and wait for the thread."""
        self.ports.words[LoopWord.STOP] = 1
        self.rings.market_ring.wake()
        if self.thread is not None:
            self.thread.join(DEADLINE_S)
            assert not self.thread.is_alive(), "the stop word ends the loop"

    def word(self, word: LoopWord) -> int:
        """Return one word of the loop."""
        return int(self.ports.words[word])

    # What others publish.

    def publish_market(self, *records: np.ndarray) -> None:
        """Publish market records and wake the loop."""
        for record in records:
            assert self.market.try_publish(record.tobytes()[8:]) >= 0
        self.market.wake()

    def quote(self, bid_lots: int = 5_000, ask_lots: int = 5_000) -> np.ndarray:
        """Return a quote received now."""
        self.update_id += 1
        now_ns = time.monotonic_ns()
        return make_quote(
            bid=BID,
            ask=ASK,
            bid_qty=bid_lots,
            ask_qty=ask_lots,
            aux=self.update_id,
            receive_time_ns=now_ns,
            venue_time_ns=now_ns + VENUE_OFFSET_NS,
        )

    def report(self, *records: np.ndarray) -> None:
        """Publish reports as the executor does."""
        for record in records:
            assert self.rings.reports.try_publish(record.tobytes()[8:]) >= 0
        self.rings.market_ring.wake()

    def command_main(self, event_type: EventType) -> None:
        """Publish a control record as main does."""
        assert self.control.try_publish(make_event(event_type).tobytes()[8:]) >= 0
        self.rings.market_ring.wake()

    def sync(self) -> None:
        """Restore nothing, connect and reconcile an empty account; every channel live."""
        self.state.market.liveness[:] = Liveness.LIVE
        clock = make_event(EventType.VENUE_CLOCK, clock_offset_ns=VENUE_OFFSET_NS)
        self.report(clock, make_event(EventType.RESTORE_END), make_event(EventType.VENUE_CONNECTED))
        self.run()
        self.report(
            make_event(EventType.FETCH_BEGIN),
            make_event(EventType.VENUE_BALANCE, wallet_e8=WALLET_E8),
            make_event(EventType.FETCH_END),
        )
        self.run()
        assert self.desk.words[Word.SYNCED] == 1

    # What came out.

    def drain_events(self) -> np.ndarray:
        """Take every published event, as the journal does."""
        return _drain(self.journal)

    def drain_commands(self) -> np.ndarray:
        """Take every command, as the executor does."""
        return _drain(self.rings.commands_read)

    def wait_for(self, holds: Callable[[], bool], what: str) -> None:
        """Wait for a condition with a deadline."""
        deadline = time.monotonic() + DEADLINE_S
        while not holds():
            assert time.monotonic() < deadline, what
            time.sleep(0.001)

    def doorbell_rang(self) -> bool:
        """Return whether the command ring rang its doorbell; resets it."""
        try:
            return len(os.read(self.rings.doorbell, 8)) == 8
        except BlockingIOError:
            return False

    def close(self) -> None:
        """Drop every view, then the rings."""
        self.ports = None  # type: ignore[assignment]
        self.journal.close()
        self.market.close()
        self.control.close()
        self.rings.close()


def marks(events: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Return the rows of every DRAIN_MARK: now, market, report and control word."""
    rows: list[tuple[int, int, int, int]] = []
    for record in events[events["event_type"] == EventType.DRAIN_MARK]:
        words = np.frombuffer(record.tobytes(), np.int64)[MARK_WORD_FIRST:]
        columns = words[: 4 * MARKS_PER_RECORD].reshape(4, MARKS_PER_RECORD)
        for k in range(int(record["mark_count"])):
            now_ns, market, report, control = map(int, columns[:, k])
            rows.append((now_ns, market, report, control))
    return rows


def _drain(consumer: Consumer) -> np.ndarray:
    raw = bytearray()
    while True:
        first, count = consumer.poll(256)
        if count <= 0:
            break
        for sequence in range(first, first + count):
            raw += (sequence + 1).to_bytes(8, "little") + consumer.read(sequence)
        consumer.advance(first + count)
    return np.frombuffer(bytes(raw), EVENT_DTYPE)
