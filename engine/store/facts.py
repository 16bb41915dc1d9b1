"""What a session came to, folded from its journal: decisions, orders, money, faults, memory.

        events-brain          decisions, refusals, requests, fills, adjustments, states, links
        events-feed           what the feed says of its connections
        events-orchestrator   alarms, and a look at memory and disk each minute

Reads only what is on the disk and changes nothing; a session that still runs is read as far as it
was written. Memory is bounded by the session's fills (24 bytes each) and by `KEPT_MAX` lines of
each kind; what was not kept is counted.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.domain.codes import (
    EVENT_DUPLICATE,
    EVENT_ENTRY,
    EventType,
    Role,
    TradingState,
)
from engine.domain.risk_reasons import RiskReason
from engine.domain.strategy_table import StrategyReason
from engine.store.event_names import Event, EventNames, member_name, text_of
from engine.store.fold import OPENING_CASH
from engine.store.frames import FrameKind
from engine.store.journal import (
    SOURCE_EVENTS_BRAIN,
    SOURCE_EVENTS_FEED,
    SOURCE_EVENTS_ORCHESTRATOR,
)
from engine.store.log_rows import ADJUSTMENT_NAME, FAULT_EVENTS
from engine.store.reader import read_batches
from engine.store.session import SessionDocument, read_document

KEPT_MAX: Final = 1_000  # lines of each kind
LOOK_TEXT: Final = re.compile(r"memory_mb=(\d+) disk_free_mb=(\d+)")
LINK_EVENTS: Final = (EventType.VENUE_CONNECTED, EventType.VENUE_DISCONNECTED)
_DECIDED: Final = (EventType.SIGNAL_GENERATED, EventType.INTENT_SETTLED)
_ASKED: Final = (EventType.CONTROL_ORDER, EventType.CHILD_ORDER)
_REASONS: Final = np.array(
    [reason for reason in StrategyReason if reason is not StrategyReason.NONE]
)

Records = NDArray[np.void]


class Line(NamedTuple):
    """Something that happened once: when, on the wall clock, who says it, and what."""

    time_ns: int
    role: str
    kind: str
    text: str


class Latency(NamedTuple):
    """Times from the receipt of the causing record to the decision, ns."""

    order_count: int = 0
    total_ns: int = 0
    max_ns: int = 0

    @property
    def mean_ms(self) -> float:
        """Return the average; 0 before the first."""
        return self.total_ns / self.order_count / 1e6 if self.order_count else 0.0


@dataclass
class Facts:
    """One session."""

    directory: Path
    document: SessionDocument
    first_ns: int = 0  # of the first and the last event of any role, wall clock
    last_ns: int = 0
    counts: Counter[int] = field(default_factory=Counter)  # the brain's events by type
    entries: int = 0  # decisions of that kind; the others are exits
    refusals: Counter[str] = field(default_factory=Counter)
    latency: Latency = field(default_factory=Latency)
    fill_times_ns: list[NDArray[np.int64]] = field(default_factory=list)
    fill_pnl_e8: list[NDArray[np.int64]] = field(default_factory=list)  # after fees
    fills_closing: int = 0  # that realised something
    fees_e8: int = 0
    pnl_by: Counter[tuple[str, str]] = field(default_factory=Counter)  # instrument, strategy; e8
    funding_e8: int = 0
    unexplained: list[Line] = field(default_factory=list)
    faults: list[Line] = field(default_factory=list)
    adjustments: list[Line] = field(default_factory=list)
    states: list[Line] = field(default_factory=list)
    links: list[Line] = field(default_factory=list)
    memory_mb_max: int | None = None  # None: nobody looked
    lost_count: int = 0
    cut: Counter[str] = field(default_factory=Counter)  # lines that were not kept, by kind

    @property
    def span_s(self) -> float:
        """Return how long the session wrote events, seconds."""
        return max(self.last_ns - self.first_ns, 0) / 1e9

    @property
    def net_e8(self) -> int:
        """Return the realised result after fees, with funding, 1e-8 quote."""
        return int(sum(int(part.sum()) for part in self.fill_pnl_e8)) + self.funding_e8


def read_facts(directory: Path) -> Facts:
    """Return what the journal in a session's directory says.

    Raises:
        StoreError: the journal or its document cannot be read.
    """
    facts = Facts(directory, read_document(directory))
    brain = _Brain(facts)
    for batch in read_batches(directory, SOURCE_EVENTS_BRAIN):
        if batch.kind is FrameKind.LOST:
            facts.lost_count += batch.record_count
        elif len(batch.records):
            brain.take(batch.records)
    for source in (SOURCE_EVENTS_FEED, SOURCE_EVENTS_ORCHESTRATOR):
        for batch in read_batches(directory, source):
            if batch.kind is FrameKind.LOST:
                facts.lost_count += batch.record_count
            elif len(batch.records):
                _take_others(facts, brain.names, batch.records)
    return facts


def fills_of(facts: list[Facts]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return times and results after fees of every fill, in the order of their times."""
    times = [part for each in facts for part in each.fill_times_ns]
    results = [part for each in facts for part in each.fill_pnl_e8]
    if not times:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    joined = np.concatenate(times)
    order = np.argsort(joined, kind="stable")
    return joined[order], np.concatenate(results)[order]


class _Brain:
    """The brain's events, given in order."""

    def __init__(self, facts: Facts) -> None:
        self.names = EventNames(facts.document)
        self._facts = facts
        self._decision_id = -1  # request_id of the last decision, or of the last that was approved
        self._asked_sequence = -1  # of the last order asked for from outside

    def take(self, records: Records) -> None:
        """Fold one batch."""
        facts = self._facts
        _stretch(facts, self.names, records)
        kinds, counts = np.unique(records["event_type"], return_counts=True)
        facts.counts.update(dict(zip(kinds.tolist(), counts.tolist(), strict=True)))
        self._decisions(records)
        self._requests(records)
        self._fills(_of(records, EventType.FILL))
        for event in _of(records, EventType.RISK_REFUSAL):
            name = member_name(RiskReason, int(event["reason"]))
            facts.refusals[name] += 1 + max(int(event["request_id"]), 0)
        facts.funding_e8 += int(_of(records, EventType.FUNDING)["funding_e8"].sum())
        for event in records[np.isin(records["event_type"], FAULT_EVENTS)]:
            _keep(facts, "faults", facts.faults, _line(self.names, event, text_of(event)))
        for event in _of(records, EventType.ADJUSTMENT):
            if int(event["reason"]) != OPENING_CASH:
                self._adjustment(event)
        for event in _of(records, EventType.TRADING_STATE_CHANGED):
            text = member_name(TradingState, int(event["trading_state"]))
            _keep(facts, "states", facts.states, _line(self.names, event, text))
        for event in records[np.isin(records["event_type"], LINK_EVENTS)]:
            _keep(facts, "links", facts.links, _line(self.names, event, text_of(event)))

    def _decisions(self, records: Records) -> None:
        decisions = _of(records, EventType.SIGNAL_GENERATED)
        facts = self._facts
        facts.entries += int(np.count_nonzero(decisions["flags"] & EVENT_ENTRY))
        named = np.isin(decisions["reason"], _REASONS)
        known = (decisions["strategy_index"] >= 0) & np.isfinite(decisions["input_0"])
        for event in decisions[~(named & known)]:
            text = f"decision {int(event['request_id'])}: reason {int(event['reason'])}, "
            text += f"score {float(event['input_0'])}, {self.names.strategy(event)}"
            _keep(facts, "unexplained", facts.unexplained, _line(self.names, event, text))

    def _requests(self, records: Records) -> None:
        """Look whether each order that opens something follows a decision, and how soon.

        A person or a parent order decided what was asked for from outside.
        """
        facts, kinds = self._facts, records["event_type"]
        decided = _newest(records, _DECIDED, "request_id", self._decision_id)
        ordered = _newest(records, _ASKED, "order_sequence", self._asked_sequence)
        if len(records):
            self._decision_id, self._asked_sequence = int(decided[-1]), int(ordered[-1])
        is_request = kinds == EventType.ORDER_REQUEST
        is_entry = is_request & (records["flags"] & EVENT_ENTRY != 0)
        follows = (decided == records["request_id"]) | (ordered == records["order_sequence"])
        for event in records[is_entry & ~follows]:
            text = f"order {self.names.client_order_id(event)} follows no decision"
            _keep(facts, "unexplained", facts.unexplained, _line(self.names, event, text))
        asked = records[is_request & (records["cause_receive_time_ns"] > 0)]
        took = asked["decision_time_ns"] - asked["cause_receive_time_ns"]
        if len(took):
            before = facts.latency
            facts.latency = Latency(
                before.order_count + len(took),
                before.total_ns + int(took.sum()),
                max(before.max_ns, int(took.max())),
            )

    def _fills(self, fills: Records) -> None:
        facts = self._facts
        fills = fills[(fills["flags"] & EVENT_DUPLICATE) == 0]
        if not len(fills):
            return
        result = fills["realised_pnl_e8"] - fills["fee_e8"]
        document = facts.document
        offset = document.started_realtime_ns - document.started_monotonic_ns
        facts.fill_times_ns.append(fills["time_ns"] + offset)
        facts.fill_pnl_e8.append(result)
        facts.fills_closing += int(np.count_nonzero(fills["realised_pnl_e8"]))
        facts.fees_e8 += int(fills["fee_e8"].sum())
        for event, each in zip(fills, result.tolist(), strict=True):
            key = (self.names.instrument(event), self.names.strategy(event))
            facts.pnl_by[key] += each

    def _adjustment(self, event: Event) -> None:
        kind = ADJUSTMENT_NAME.get(int(event["reason"]), str(int(event["reason"])))
        text = f"{kind} {self.names.instrument(event)}".strip()
        _keep(self._facts, "adjustments", self._facts.adjustments, _line(self.names, event, text))


def _take_others(facts: Facts, names: EventNames, records: Records) -> None:
    _stretch(facts, names, records)
    for event in records[np.isin(records["event_type"], FAULT_EVENTS)]:
        _keep(facts, "faults", facts.faults, _line(names, event, text_of(event)))
    for event in _of(records, EventType.ROLE_STATE_CHANGED):
        looked = LOOK_TEXT.match(text_of(event))
        if looked:
            facts.memory_mb_max = max(facts.memory_mb_max or 0, int(looked[1]))


def _newest(
    records: Records, kinds: tuple[EventType, ...], field: str, before: int
) -> NDArray[np.int64]:
    """Return for each record a field of the newest one of these kinds up to it, or `before`."""
    place = np.where(np.isin(records["event_type"], kinds), np.arange(len(records)), -1)
    last = np.maximum.accumulate(place)
    return np.where(last >= 0, records[field][last], before)


def _of(records: Records, event_type: EventType) -> Records:
    chosen: Records = records[records["event_type"] == event_type]
    return chosen


def _line(names: EventNames, event: Event, text: str) -> Line:
    role = member_name(Role, int(event["role"])).lower()
    kind = member_name(EventType, int(event["event_type"]))
    if int(event["event_type"]) in FAULT_EVENTS:
        kind = f"{kind} {int(event['reason'])}"
    return Line(names.time_ns(event), role, kind, text)


def _keep(facts: Facts, kind: str, lines: list[Line], line: Line) -> None:
    if len(lines) < KEPT_MAX:
        lines.append(line)
    else:
        facts.cut[kind] += 1


def _stretch(facts: Facts, names: EventNames, records: Records) -> None:
    times = records["time_ns"][records["time_ns"] > 0]
    if not len(times):
        return
    first, last = (names.document.realtime_ns(int(t)) for t in (times.min(), times.max()))
    facts.first_ns = min(facts.first_ns or first, first)
    facts.last_ns = max(facts.last_ns, last)
