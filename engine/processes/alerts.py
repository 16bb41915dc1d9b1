"""Which events a person is told of, how gravely, and how often: rules without a clock of their own.

        kind of event -> severity (a table; `alerts.rules` changes rows, `off` drops one)
                      -> group: the first of a kind at once, what follows in `group_s` as one more
                      -> limit: warnings and lines below share `per_hour_max`; criticals do not
                      -> escalation: a critical that nobody answered goes out once more

Answered means that what is wrong is over (trading is ENABLED again), or that an operator gave any
command since: somebody is there. Kinds are a fixed table, so nothing here grows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from enum import IntEnum
from typing import Final, NamedTuple

HOUR_NS: Final = 3_600_000_000_000
NS_PER_S: Final = 1_000_000_000


class Severity(IntEnum):
    """How much a person must care; the word is the setting's."""

    OFF = 0
    INFO = 1
    WARNING = 2
    CRITICAL = 3


# Every kind there is, and what it is when no rule says otherwise.
KINDS: Final[Mapping[str, Severity]] = {
    "trading_halted": Severity.CRITICAL,
    "trading_reducing": Severity.WARNING,
    "trading_paused": Severity.WARNING,
    "trading_enabled": Severity.INFO,
    "journal": Severity.CRITICAL,  # it cannot be written, or records are missing
    "disk": Severity.CRITICAL,
    "memory": Severity.WARNING,
    "database": Severity.WARNING,
    "orchestrator": Severity.WARNING,  # its other alarms
    "market_data": Severity.WARNING,  # refused, late, polled
    "market_data_back": Severity.INFO,
    "feed": Severity.INFO,  # what else the feed says
    "executor": Severity.WARNING,
    "venue_state": Severity.WARNING,  # orders and positions could not be fetched
    "forced_close": Severity.CRITICAL,  # the venue closed a position: liquidation, ADL, settlement
    "foreign_fill": Severity.WARNING,  # an order that is not ours was filled
    "adjustment": Severity.WARNING,  # our books were moved to the venue's
    "stopped": Severity.CRITICAL,  # not in order: a role died, or main is gone
}
ENDED_BY: Final = "trading_enabled"
TRADING: Final = frozenset({"trading_halted", "trading_reducing", "trading_paused"})


class Message(NamedTuple):
    """What goes out."""

    severity: Severity
    kind: str
    text: str
    is_escalated: bool = False

    @property
    def title(self) -> str:
        """Return the first line."""
        again = " (nobody answered)" if self.is_escalated else ""
        return f"[{self.severity.name}] {self.kind.replace('_', ' ')}{again}"


class Rules(NamedTuple):
    """The settings, in the units they are used in."""

    severities: Mapping[str, Severity]
    least: Severity
    group_ns: int
    per_hour_max: int
    escalate_ns: int  # 0: never


class _Kind:
    """What is remembered of one kind."""

    def __init__(self) -> None:
        self.sent_ns: int | None = None
        self.held = 0
        self.text = ""


class AlertBook:
    """Decides what goes out; one thread, times in ns of any clock that does not step back."""

    def __init__(self, rules: Rules) -> None:
        """Start with nothing told."""
        self._rules = rules
        self._kinds = {kind: _Kind() for kind in KINDS}
        self._spent: deque[int] = deque()  # times of the last hour's messages under the limit
        self._open: dict[str, tuple[int, Message]] = {}  # criticals nobody answered yet
        self.suppressed_count = 0  # by the limit, since the last message that went out

    def take(self, kind: str, text: str, now_ns: int) -> list[Message]:
        """Hear of an event; return what goes out because of it."""
        severity = self._rules.severities[kind]
        if kind == ENDED_BY:
            for ended in TRADING:
                self._open.pop(ended, None)
        if severity is Severity.OFF or severity < self._rules.least:
            return []
        state = self._kinds[kind]
        if state.sent_ns is not None and now_ns - state.sent_ns < self._rules.group_ns:
            state.held, state.text = state.held + 1, text
            return []
        return self._send(kind, severity, self._with_held(state, text), now_ns)

    def answered(self) -> None:
        """Hear that an operator gave a command: nothing that is open escalates."""
        self._open.clear()

    def due(self, now_ns: int) -> list[Message]:
        """Return what goes out because time has passed."""
        found: list[Message] = []
        for kind, state in self._kinds.items():
            waited = state.sent_ns is not None and now_ns - state.sent_ns >= self._rules.group_ns
            if state.held and waited:
                severity = self._rules.severities[kind]
                state.held -= 1  # the newest is the text, the others are counted
                found += self._send(kind, severity, self._with_held(state, state.text), now_ns)
        return found + self._escalated(now_ns)

    def _escalated(self, now_ns: int) -> list[Message]:
        limit_ns = self._rules.escalate_ns
        late = [
            kind
            for kind, (since, _) in self._open.items()
            if limit_ns and now_ns - since >= limit_ns
        ]
        return [self._open.pop(kind)[1]._replace(is_escalated=True) for kind in late]

    def _send(self, kind: str, severity: Severity, text: str, now_ns: int) -> list[Message]:
        state = self._kinds[kind]
        state.sent_ns, state.held = now_ns, 0
        if severity < Severity.CRITICAL and not self._has_room(now_ns):
            self.suppressed_count += 1
            return []
        if self.suppressed_count:
            text += f"\n({self.suppressed_count} others were over the limit of this hour)"
            self.suppressed_count = 0
        message = Message(severity, kind, text)
        if severity is Severity.CRITICAL:
            self._open.setdefault(kind, (now_ns, message))
        return [message]

    def _has_room(self, now_ns: int) -> bool:
        while self._spent and now_ns - self._spent[0] >= HOUR_NS:
            self._spent.popleft()
        if len(self._spent) >= self._rules.per_hour_max:
            return False
        self._spent.append(now_ns)
        return True

    @staticmethod
    def _with_held(state: _Kind, text: str) -> str:
        return f"{text}\n({state.held} more of this kind since)" if state.held else text
