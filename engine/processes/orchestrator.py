"""The orchestrator: every ring into the journal, and everything that may be slow, beside it.

        event rings, control ring, market ring --recorder--> journal files
        journal files --follower--> log lines, resume, counts
                      `-projector-> SQLite, and PostgreSQL when it is configured
        every second: disk floor, memory, lag; every minute: the journal's bound
        every 15 minutes: one heartbeat line

The recorder runs before numpy is imported, so the role is attached and beating early. Records of
market and brain wait in their rings until the session's document names the instruments.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from engine.domain.codes import TradingState
from engine.domain.kernel import leave_plain
from engine.processes import runner, segments
from engine.processes.control import RolePage, RoleState, RoleWord
from engine.processes.guard import GuardReason, TradingGuard
from engine.processes.recorder import Recorder
from engine.processes.role_counters import PAGES, Counters
from engine.processes.session_record import SessionRecord
from engine.store.drain import RingDrain, open_drain
from engine.store.errors import JournalWriteError
from engine.store.instrument_segment import KIND_INSTRUMENTS
from engine.store.journal import (
    SOURCE_CONTROL,
    SOURCE_EVENTS_BRAIN,
    SOURCE_EVENTS_FEED,
    SOURCE_EVENTS_ORCHESTRATOR,
    SOURCE_FEATURES,
    SOURCE_MARKET,
)
from engine.store.session import session_directory, state_key
from engine.telemetry import ORCHESTRATOR_COUNTERS
from ringbuffer.counters import CounterPage, CountersSegment
from ringbuffer.ring import Consumer, Producer, Ring
from ringbuffer.segment import Segment

if TYPE_CHECKING:
    from engine.processes.attendant import Attendant
    from engine.processes.runner import RoleContext

LOOP_PERIOD_S: Final = 0.02
STOP_MARGIN_S: Final = 1.0  # of the drain budget, kept for closing files and the database
THREAD_MAIN: Final = 0
THREAD_RECORDER: Final = 1
ALARMS_MAX: Final = 256

# source, ring, our reader index; events before the market: they matter more and are fewer.
SOURCE_ROWS: Final = (
    (SOURCE_CONTROL, "control-ring", segments.READER_ORCHESTRATOR),
    (SOURCE_EVENTS_BRAIN, "events-brain", segments.READER_JOURNAL),
    (SOURCE_EVENTS_FEED, "events-feed", segments.READER_JOURNAL),
    (SOURCE_EVENTS_ORCHESTRATOR, "events-orchestrator", segments.READER_JOURNAL),
    (SOURCE_MARKET, "market", segments.READER_RECORDER),
    (SOURCE_FEATURES, "features", segments.READER_JOURNAL),
)
EVENTS_SYNCED: Final = [row.name for row in ORCHESTRATOR_COUNTERS].index("events_synced")
NEEDS_INSTRUMENTS: Final = frozenset({SOURCE_EVENTS_BRAIN, SOURCE_MARKET, SOURCE_FEATURES})


class Alarm(NamedTuple):
    """Something a person should know, on its way to the log and the journal."""

    reason: GuardReason
    text: str


class Orchestrator:
    """Owns the journal, the database and the role's word."""

    def __init__(self, context: RoleContext) -> None:
        """Nothing is opened before `start`."""
        self.context = context
        self.config = context.config
        self.directory = session_directory(context.config)
        self.alarms: deque[Alarm] = deque(maxlen=ALARMS_MAX)
        self.guard = TradingGuard(self._set_trading_state)
        self.drains: list[RingDrain] = []
        self._rings: list[Ring] = []
        self._pages: list[CounterPage] = []
        self._consumers: list[Consumer] = []
        self._attendant: Attendant | None = None

    def start(self) -> None:
        """Attach, open the journal, start the recorder, then bring in what is heavy."""
        context = self.context
        self._attach()
        context.set_state(RoleState.ATTACHED)
        context.beat(THREAD_MAIN)
        self.record = SessionRecord(self.directory, context, self.instruments)
        self.record.write_first()
        self._open_journal()
        self.recorder = Recorder(
            self.drains,
            beat=lambda: context.beat(THREAD_RECORDER),
            on_write_error=self._on_write_error,
            on_evicted=self._on_evicted,
            on_written=self._on_written,
            on_synced=self._on_synced,
            urgent=SOURCE_EVENTS_BRAIN if self.config.journal.durability == "disk" else "",
        )
        if not self.record.is_complete:
            self.recorder.hold(NEEDS_INSTRUMENTS)
        self.recorder.start()
        context.set_state(RoleState.WARM)
        # Imports numpy, structlog and sqlite3: after the recorder has begun.
        from engine.processes.attendant import Attendant

        self._attendant = Attendant(self)
        self._attendant.start()
        context.set_state(RoleState.SYNCED)
        context.set_state(RoleState.READY)
        context.freeze_heap()

    def do_work(self) -> None:
        """Look after everything once; called every LOOP_PERIOD_S."""
        assert self._attendant is not None, "started"
        self.context.beat(THREAD_MAIN)
        self._complete_record()
        self._attendant.do_work()

    def stop(self, *, is_orderly: bool) -> None:
        """Drain what is left, close the journal and the database.

        Args:
            is_orderly: every producer has stopped, so that each source may be marked as ended.
        """
        assert self._attendant is not None, "started"
        budget_s = max(self.config.drain_budget_s - STOP_MARGIN_S, STOP_MARGIN_S)
        self._complete_record()
        self.recorder.stop()
        self.recorder.release()
        is_empty = self.recorder.drain_all(budget_s / 2)
        is_end = is_orderly and is_empty
        for drain in self.drains:
            try:
                drain.lose_rest()
                for writer in drain.writers:
                    writer.close(is_end=is_end)
            except JournalWriteError as error:
                self._on_write_error(error)
                is_end = False
        if is_end:
            self.record.seal([writer for drain in self.drains for writer in drain.writers])
        if not is_orderly:
            self._attendant.tell_end()
        self._attendant.stop(budget_s / 2)
        self._detach()

    def metrics_of(self) -> tuple[Counters, str, str]:
        """Return every role's counters, and the names they go by: instance and account."""
        pages = {role: self.counters.page(page) for role, (page, _, _) in PAGES.items()}
        self._pages += pages.values()
        return Counters(pages), self.config.name, state_key(self.config)

    def hold(self, reason: GuardReason, text: str) -> None:
        """Restrict trading for a reason and raise one alarm when it is news."""
        if self.guard.hold(reason):
            self.alarms.append(Alarm(reason, text))

    def raise_alarm(self, reason: GuardReason, text: str) -> None:
        """Tell a person without restricting trading."""
        self.alarms.append(Alarm(reason, text))

    def _attach(self) -> None:
        name = self.context.segment_name
        self.counters = CountersSegment.attach(name("counters"))
        self.page = self.counters.page(RolePage.ORCHESTRATOR)
        self.instruments = Segment.attach(name("instruments"), kind=KIND_INSTRUMENTS)
        self._rings = [Ring.attach(name(kind)) for _, kind, _ in SOURCE_ROWS]
        by_source = dict(zip((row[0] for row in SOURCE_ROWS), self._rings, strict=True))
        self.producer = Producer(by_source[SOURCE_EVENTS_ORCHESTRATOR])

    def _open_journal(self) -> None:
        is_replayable = self.config.journal.market != "off"
        left = set() if is_replayable else {SOURCE_MARKET}
        if self.config.journal.features == "off":
            left.add(SOURCE_FEATURES)
        for (source, _, reader_index), ring in zip(SOURCE_ROWS, self._rings, strict=True):
            if source in left:
                self._leave(ring, reader_index)
                continue
            consumer = Consumer(ring, reader_index)
            self._consumers.append(consumer)
            self.drains.append(
                open_drain(consumer, self.directory, source, is_replayable=is_replayable)
            )

    @staticmethod
    def _leave(ring: Ring, reader_index: int) -> None:
        # Main reserved the recorder's place; without a recorder nobody may hold the feed back.
        consumer = Consumer(ring, reader_index)
        consumer.leave()
        consumer.close()

    def _complete_record(self) -> None:
        if self.record.is_complete:
            self.record.extend()
        elif self.record.complete():
            self.recorder.release()

    def _detach(self) -> None:
        for consumer in self._consumers:
            consumer.close()
        self.producer.close()
        for ring in self._rings:
            ring.close()
        for page in (*self._pages, self.page):
            page.release()
        self.counters.close()
        self.instruments.close()

    def _set_trading_state(self, state: TradingState, reason: int) -> None:
        control = self.context.control
        control.set_role(RolePage.ORCHESTRATOR, RoleWord.TRADING_STATE_REASON, reason)
        control.set_role(RolePage.ORCHESTRATOR, RoleWord.TRADING_STATE, state)

    def _on_write_error(self, error: JournalWriteError) -> None:
        self.hold(GuardReason.JOURNAL_UNWRITABLE, str(error))

    def _on_written(self) -> None:
        self.guard.release(GuardReason.JOURNAL_UNWRITABLE)

    def _on_synced(self) -> None:
        # With durability `disk` the executor sends an order only below this number.
        synced = next(
            d.writer.synced_sequence for d in self.drains if d.source == SOURCE_EVENTS_BRAIN
        )
        self.page.store(EVENTS_SYNCED, synced)

    def _on_evicted(self, source: str) -> None:
        text = f"{source}: the recorder was too slow and was taken out; records are missing"
        self.hold(GuardReason.RECORDER_EVICTED, text)


def run(context: RoleContext) -> None:
    """Live until main asks to stop or is gone."""
    orchestrator = Orchestrator(context)
    orchestrator.start()
    while not context.stop_request():
        orchestrator.do_work()
        time.sleep(LOOP_PERIOD_S)
    orchestrator.stop(is_orderly=context.stop_request() == 1 and not context.orphaned)


if __name__ == "__main__":
    leave_plain()  # it folds what kernels said, and runs none
    runner.main(RolePage.ORCHESTRATOR, run)
