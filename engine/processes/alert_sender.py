"""Sends alerts through apprise, from a thread of its own: nothing ever waits for it.

        events, alarms -> offer() -> bounded queue -> thread: AlertBook -> apprise -> people

A full queue drops and counts, and the log says how many; its last places are kept for what is
critical, and for operators' answers. What cannot be delivered is tried ATTEMPTS times with growing
pauses, then counted and logged; an address is never logged, it holds the password of its service.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import urlsplit

from engine.config_people import AlertsConfig
from engine.extras import install
from engine.processes.alerts import KINDS, NS_PER_S, AlertBook, Message, Rules, Severity

WAITING_MAX: Final = 256
GRAVE_PLACES: Final = 64  # of them, for what is critical
POLL_S: Final = 0.5
ATTEMPTS: Final = 3
PAUSE_FIRST_S: Final = 1.0  # doubles
NEEDS_EXTRA: Final = f"alerts need the extra: {install('alerts')}"
LEVELS: Final = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "failure"}
Warn = Callable[..., object]


class AlertError(Exception):
    """Alerts cannot be sent as configured; the message is the sentence to show."""


class Outlet(Protocol):
    """Where messages go."""

    def send(self, message: Message) -> bool:
        """Deliver a message; return whether every address took it."""


class Offered(NamedTuple):
    """One event on its way to the thread; `kind` empty: an operator gave a command."""

    kind: str
    text: str
    time_ns: int


class Apprise:
    """Every address of a configuration, through the package of that name."""

    def __init__(self, config: AlertsConfig, name: str) -> None:
        """Read the addresses.

        Args:
            config: with the addresses, parted by white space.
            name: of the engine, as messages begin.

        Raises:
            AlertError: the package is missing, or an address is of no known service.
        """
        self._usual = _addresses(config.urls)
        self._further = _addresses(config.escalate_urls) or self._usual
        self._name = name

    def send(self, message: Message) -> bool:
        """Deliver a message; return whether every address took it."""
        return all(self.outcomes(message).values())

    def outcomes(self, message: Message) -> dict[str, bool]:
        """Deliver a message; return for each address, by service and place, whether it took it."""
        chosen = self._further if message.is_escalated else self._usual
        found: dict[str, bool] = {}
        for place, (service, address) in enumerate(chosen, start=1):
            found[f"{place} {service}"] = bool(
                address.notify(
                    title=f"{self._name} {message.title}",
                    body=message.text or message.kind,
                    notify_type=LEVELS[message.severity],
                )
            )
        return found


class AlertSender:
    """The thread between those who notice and those who are told."""

    def __init__(self, rules: Rules, outlet: Callable[[], Outlet], warn: Warn) -> None:
        """Prepare; nothing is imported or sent before `start`.

        Args:
            rules: what goes out.
            outlet: makes where to, called by the thread; may raise AlertError.
            warn: writes a line of the log: event, then values by name.
        """
        self._book = AlertBook(rules)
        self._outlet = outlet
        self._warn = warn
        self._waiting: queue.Queue[Offered] = queue.Queue(WAITING_MAX)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)
        self.sent_count = self.failed_count = self.dropped_count = 0

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def offer(self, kind: str, text: str) -> None:
        """Tell of an event of a kind; never waits."""
        assert kind in KINDS, kind
        self._put(Offered(kind, text, time.monotonic_ns()))

    def answered(self) -> None:
        """Tell that an operator gave a command."""
        self._put(Offered("", "", time.monotonic_ns()))

    def end(self) -> None:
        """Ask the thread to send what waits and to end; never waits."""
        self._stopping.set()

    def stop(self, budget_s: float) -> bool:
        """Send what waits and end; return whether that took no longer than the budget."""
        self.end()
        self._thread.join(budget_s)
        return not self._thread.is_alive()

    def _put(self, offered: Offered) -> None:
        is_grave = not offered.kind or KINDS[offered.kind] is Severity.CRITICAL
        room = WAITING_MAX if is_grave else WAITING_MAX - GRAVE_PLACES
        with suppress(queue.Full):
            if self._waiting.qsize() < room:
                self._waiting.put_nowait(offered)
                return
        self.dropped_count += 1

    def _run(self) -> None:
        try:
            outlet = self._outlet()
        except AlertError as error:
            self._warn("ALERTS_OFF", error=str(error))
            return
        told_count = 0
        while True:
            is_last = self._stopping.is_set() and self._waiting.empty()
            for message in self._next():
                self._deliver(outlet, message)
            if self.dropped_count > told_count:
                self._warn("ALERTS_DROPPED", count=self.dropped_count - told_count)
                told_count = self.dropped_count
            if is_last:
                return

    def _next(self) -> list[Message]:
        try:
            offered = self._waiting.get(timeout=POLL_S)
        except queue.Empty:
            return self._book.due(time.monotonic_ns())
        if offered.kind:
            return self._book.take(offered.kind, offered.text, offered.time_ns)
        self._book.answered()
        return []

    def _deliver(self, outlet: Outlet, message: Message) -> None:
        pause_s = PAUSE_FIRST_S
        for _ in range(ATTEMPTS):
            if outlet.send(message):
                self.sent_count += 1
                return
            if self._stopping.wait(pause_s):
                break
            pause_s *= 2
        self.failed_count += 1
        self._warn("ALERT_UNDELIVERED", kind=message.kind, severity=message.severity.name)


def rules_of(config: AlertsConfig) -> Rules:
    """Return a configuration's rules.

    Raises:
        AlertError: a rule names a kind that is none.
    """
    unknown = sorted(set(config.rules) - set(KINDS))
    if unknown:
        raise AlertError(f"alerts.rules: {unknown[0]!r} is none of {', '.join(KINDS)}")
    changed = {kind: Severity[word.upper()] for kind, word in config.rules.items()}
    return Rules(
        severities={**KINDS, **changed},
        least=Severity[config.min_severity.upper()],
        group_ns=config.group_s * NS_PER_S,
        per_hour_max=config.per_hour_max,
        escalate_ns=config.escalate_after_s * NS_PER_S,
    )


def _addresses(text: str) -> list[tuple[str, Any]]:
    """Return each address with the name of its service, which is all that may be shown."""
    if not text.split():
        return []
    try:
        import apprise
    except ImportError as error:
        raise AlertError(NEEDS_EXTRA) from error
    found = []
    for place, url in enumerate(text.split(), start=1):
        made = apprise.Apprise()
        service = urlsplit(url).scheme
        if not made.add(url):
            raise AlertError(f"alerts: address {place} ({service or 'no scheme'}) is of no service")
        found.append((service, made))
    return found
