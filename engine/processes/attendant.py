"""The orchestrator's slow half: log lines, counts, database, disk and memory, alarms.

Imported after the recorder runs, because numpy, structlog and sqlite3 come with it. Everything here
reads journal files and control words; nothing here can hold a record back.
"""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine import telemetry
from engine.domain.codes import EventType, TradingState
from engine.processes import logs, upkeep
from engine.processes.alert_events import AlertEvents
from engine.processes.alert_sender import AlertError, AlertSender, Apprise, rules_of
from engine.processes.archive import Archivist
from engine.processes.audit_log import AuditLog
from engine.processes.control import RolePage, RoleState, RoleWord
from engine.processes.emf import PERIOD_S, EmfLines
from engine.processes.event_lines import EventLines
from engine.processes.events import SubscriberTable
from engine.processes.follower import Follower
from engine.processes.guard import GuardReason
from engine.processes.projector import Projector, open_databases, present_names
from engine.processes.role_events import fault_payload, look_payload
from engine.processes.traces import trace_sender
from engine.store.errors import JournalError, StoreError
from engine.store.journal import SOURCE_EVENTS_BRAIN
from engine.store.retention import retire_sessions

if TYPE_CHECKING:
    from engine.processes.orchestrator import Orchestrator

UPKEEP_PERIOD_S: Final = 1.0
BOUND_PERIOD_S: Final = 30.0  # between looks at the size of all journals
HEARTBEAT_LINE_S: Final = 900.0
LOOK_PERIOD_S: Final = 60.0  # between two journaled looks at memory and disk
LAG_ALARM_RATIO: Final = 0.5  # of a ring's capacity
COUNTER: Final = {row.name: word for word, row in enumerate(telemetry.ORCHESTRATOR_COUNTERS)}


class Attendant:
    """Looks after one orchestrator on its main thread, which others take for the role's pulse.

    So each step is bounded: what was written comes in pieces, what is removed a few files at once.
    """

    def __init__(self, orchestrator: Orchestrator) -> None:
        """Wire subscribers, follower and projectors; nothing runs before `start`."""
        self._owner = orchestrator
        config = orchestrator.config
        self._home = Path(config.home)
        # At a terminal (profile dev) decisions go to the file alone; a platform collects both.
        level = logging.WARNING if config.profile == "dev" else logging.INFO
        self.logger = logs.configure("orchestrator", self._home, stderr_level=level)
        self._alarm_site = logs.RateLimitedSite(self.logger, "ALARM")
        table = SubscriberTable()
        lines = EventLines(self.logger, lambda: orchestrator.record.document)
        lines.subscribe(table)
        self._alerts = self._make_alerts(table)
        table.subscribe(EventType.CONTROL_RESUME, lambda _: orchestrator.guard.resume())
        table.seal()
        self._audit: AuditLog | None = None  # once the session has its instruments
        first = {drain.source: drain.writer.next_sequence for drain in orchestrator.drains}
        self._traces = trace_sender(
            config.traces,
            config.name,
            orchestrator.directory,
            lambda: orchestrator.record.document,
            first.get(SOURCE_EVENTS_BRAIN, 0),
            self.logger.warning,
        )
        self._follower = Follower(orchestrator.directory, table, first)
        self._projectors = self._make_projectors()
        self._archivist = Archivist(config, self._on_archive_alarm, self._retire_sessions)
        now = time.monotonic()
        self._upkeep_due = self._bound_due = self._look_due = self._metrics_due = now
        self._audit_due = now  # later where it could not be written
        self._metrics: EmfLines | None = None  # from the first line on
        self._heartbeat_due = now + HEARTBEAT_LINE_S

    def start(self) -> None:
        """Start the projectors, and the thread that tells people."""
        if self._alerts is not None:
            self._alerts[0].start()
        for projector in self._projectors:
            projector.start()
        self._archivist.start()
        if self._traces is not None:
            self._traces.start()

    def do_work(self) -> None:
        """Follow, alarm and look after everything that is due.

        Raises:
            RuntimeError: a thread of this role has died.
        """
        owner = self._owner
        if not owner.recorder.is_alive:
            raise RuntimeError("a recorder thread has died")
        self._follow()
        self._tell_alarms()
        now = time.monotonic()
        if now >= self._audit_due:
            self._write_audit()
        if now >= self._upkeep_due:
            self._upkeep_due = now + UPKEEP_PERIOD_S
            self._look_after()
        if now >= self._bound_due:
            self._bound_due = now + BOUND_PERIOD_S
            self._bound_journals()
        if now >= self._heartbeat_due:
            self._heartbeat_due = now + HEARTBEAT_LINE_S
            self.write_heartbeat()

    def stop(self, budget_s: float) -> None:
        """Follow and project what was written last, inside the budget."""
        deadline = time.monotonic() + budget_s
        while self._follow() and time.monotonic() < deadline:
            pass
        while self._write_audit() and time.monotonic() < deadline:
            pass
        self._tell_alarms()
        if self._alerts is not None:
            self._alerts[0].end()  # beside the others: the budget is one for all
        if self._traces is not None:
            self._traces.end()
        for projector in self._projectors:
            projector.stop(max(deadline - time.monotonic(), 0.1))
        self._archivist.stop(max(deadline - time.monotonic(), 0.1))
        if self._alerts is not None:
            self._alerts[0].stop(max(deadline - time.monotonic(), 0.1))
        if self._traces is not None:
            self._traces.stop(max(deadline - time.monotonic(), 0.1))
        self._count()

    def tell_end(self) -> None:
        """Tell people that the engine did not stop in order."""
        if self._alerts is not None:
            self._alerts[0].offer("stopped", "the engine ended, not in order: see its log")

    def write_heartbeat(self) -> None:
        """Write the line that says, every quarter of an hour, what this engine is doing."""
        owner, follower = self._owner, self._follower
        control = owner.context.control
        self.logger.warning(
            "HEARTBEAT",
            trading_state=TradingState(control.trading_state()).name,
            roles={
                page.name.lower(): RoleState(control.role(page, RoleWord.STATE)).name
                for page in RolePage
            },
            journaled=owner.recorder.journaled_count,
            projected=sum(projector.projected_count for projector in self._projectors),
            decisions=follower.count(EventType.SIGNAL_GENERATED),
            orders=follower.count(EventType.ORDER_REQUEST),
            fills=follower.count(EventType.FILL),
            refusals=follower.count(EventType.RISK_REFUSAL),
            faults=follower.count(EventType.ROLE_FAULT) + follower.count(EventType.EXECUTOR_FAULT),
            disk_free_mb=upkeep.free_bytes(self._home) >> 20,
            memory_mb=upkeep.resident_bytes(self._pids()) >> 20,
        )

    def _make_alerts(self, table: SubscriberTable) -> tuple[AlertSender, AlertEvents] | None:
        """Return who tells people and who notices; None: nobody is to be told."""
        config = self._owner.config
        if not config.alerts.urls.split():
            return None
        try:
            rules = rules_of(config.alerts)
        except AlertError as error:
            self.logger.warning("ALERTS_OFF", error=str(error))
            return None
        name = f"aegis {config.name}"
        sender = AlertSender(rules, lambda: Apprise(config.alerts, name), self.logger.warning)
        events = AlertEvents(sender, lambda: self._owner.record.document)
        events.subscribe(table)
        return sender, events

    def _make_projectors(self) -> list[Projector]:
        config, directory = self._owner.config, self._owner.directory
        names = present_names if config.journal.feature_rows == "all" else None
        # With `disk` an order waits for the recorder, and so for whoever has the interpreter.
        aside = config.journal.durability != "disk"
        alarm = self._on_projection_alarm
        return [
            Projector(open_one, directory, on_alarm=alarm, vector_names=names, is_aside=aside)
            for open_one in open_databases(config)
        ]

    def _follow(self) -> int:
        try:
            count = self._follower.poll()
        except JournalError as error:
            logs.log_fault(self.logger, "JOURNAL_UNREADABLE", error)
            self._owner.raise_alarm(GuardReason.JOURNAL_UNREADABLE, str(error))
            return 0
        if self._follower.lost_count:
            lost, self._follower.lost_count = self._follower.lost_count, 0
            self._owner.hold(GuardReason.RECORDS_LOST, f"{lost} events were never journaled")
        return count

    def _write_audit(self) -> bool:
        """Append a piece to the audit trail; return whether there is more; a failure is repeated.

        A piece at a time: what a killed engine left may be long, and this thread shows that the
        role is alive.
        """
        record = self._owner.record
        try:
            if self._audit is None and record.is_complete and record.document is not None:
                self._audit = AuditLog(self._home, self._owner.directory, record.document)
            return self._audit is not None and self._audit.poll()
        except (OSError, StoreError) as error:
            self._audit_due = time.monotonic() + UPKEEP_PERIOD_S
            self._owner.raise_alarm(GuardReason.AUDIT_UNWRITABLE, str(error))
            return False

    def _tell_alarms(self) -> None:
        owner = self._owner
        while owner.alarms:
            alarm = owner.alarms.popleft()
            self._alarm_site.warn(alarm.reason.name, text=alarm.text)
            if self._alerts is not None:
                self._alerts[1].alarm(alarm.reason, alarm.text)
            owner.producer.try_publish(fault_payload(alarm.reason, alarm.text))
            owner.producer.wake()

    def _look_after(self) -> None:
        owner = self._owner
        free = upkeep.free_bytes(self._home)
        if free < upkeep.DISK_FLOOR_BYTES:
            floor_mb = upkeep.DISK_FLOOR_BYTES >> 20
            text = f"{free >> 20} MB free under {self._home}, floor {floor_mb} MB"
            owner.hold(GuardReason.DISK_SPACE, text)
            self._bound_due = 0.0
        else:
            owner.guard.release(GuardReason.DISK_SPACE)
        resident = upkeep.resident_bytes(self._pids())
        limit_mb = owner.config.limits.max_memory_mb
        if resident >> 20 > limit_mb:
            owner.hold(GuardReason.MEMORY, f"{resident >> 20} MB in use, limit {limit_mb} MB")
        else:
            owner.guard.release(GuardReason.MEMORY)
        self._tell_metrics()
        self._journal_look(resident >> 20, free >> 20)
        self._watch_lag()
        self._store("disk_free_mb", free >> 20)
        self._store("memory_mb", resident >> 20)
        self._count()

    def _tell_metrics(self) -> None:
        now = time.monotonic()
        if not self._owner.config.cloudwatch_metrics or now < self._metrics_due:
            return
        self._metrics_due = now + PERIOD_S
        if self._metrics is None:
            self._metrics = EmfLines(*self._owner.metrics_of())
        state = self._owner.context.control.trading_state()
        line = self._metrics.line(time.time_ns() // 1_000_000, state)
        print(line, file=sys.stderr, flush=True)  # noqa: T201  whoever collects it reads it there

    def _journal_look(self, memory_mb: int, disk_free_mb: int) -> None:
        now = time.monotonic()
        if now >= self._look_due:
            self._look_due = now + LOOK_PERIOD_S
            self._owner.producer.try_publish(look_payload(memory_mb, disk_free_mb))
            self._owner.producer.wake()

    def _watch_lag(self) -> None:
        worst = 0
        for drain in self._owner.drains:
            lag = drain.take_lag_max()
            worst = max(worst, lag)
            if lag > drain.capacity * LAG_ALARM_RATIO and not drain.is_evicted:
                text = f"{drain.source}: {lag} records behind, room for {drain.capacity}"
                self._owner.raise_alarm(GuardReason.JOURNAL_LAG, text)
        self._store("journal_lag", worst)

    def _bound_journals(self) -> None:
        size = upkeep.bound_journals(self._home, self._owner.config.journal.max_bytes)
        self._store("journal_bytes", size.total_bytes)
        if size.removed_count:
            self.logger.warning(
                "MARKET_SEGMENTS_REMOVED",
                removed=size.removed_count,
                removed_bytes=size.removed_bytes,
                kept_bytes=size.total_bytes,
            )
        if size.removed_count == upkeep.REMOVED_MAX:
            self._bound_due = 0.0  # there may be more, and the next step comes soon
        journal = self._owner.config.journal
        if journal.archive and size.unarchived_count:
            text = f"{size.unarchived_count} market segments went without a copy in the archive"
            self._owner.raise_alarm(GuardReason.UNARCHIVED_REMOVED, text)
        if self._archivist.has_died:
            self._on_archive_alarm("the thread that makes copies has died; nothing is copied")

    def _retire_sessions(self) -> None:
        """Let old sessions go once no projector reads them any more; on the archivist's thread."""
        if not all(projector.has_passed for projector in self._projectors):
            return
        directory, keep_days = self._owner.directory, self._owner.config.journal.keep_days
        try:
            state = directory.parent.parent
            gone = retire_sessions(state, directory, keep_days, time.time_ns())
        except (OSError, StoreError) as error:
            self._owner.raise_alarm(GuardReason.JOURNAL_UNREADABLE, str(error))
            return
        if gone:
            self.logger.warning("SESSIONS_RETIRED", sessions=gone)

    def _count(self) -> None:
        self._store("journaled_total", self._owner.recorder.journaled_count)
        projected = sum(projector.projected_count for projector in self._projectors)
        self._store("projected_total", projected)

    def _store(self, name: str, number: int) -> None:
        self._owner.page.store(COUNTER[name], number)

    def _pids(self) -> list[int]:
        control = self._owner.context.control
        pids = [control.role(page, RoleWord.PID) for page in RolePage]
        return [control.segment.prefix.owner_pid, *(pid for pid in pids if pid)]

    def _on_archive_alarm(self, text: str) -> None:
        self._owner.raise_alarm(GuardReason.ARCHIVE_AWAY, text)

    def _on_projection_alarm(self, text: str) -> None:
        # A database that is away never delays an order: an alarm, and the files wait for it.
        self._owner.raise_alarm(GuardReason.DATABASE_AWAY, text)
