"""What goes out: rules by severity, groups, a limit, escalation; and a real webhook takes it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import Config, shown
from engine.config_load import ConfigError, load_config
from engine.config_people import AlertsConfig
from engine.domain.codes import EventType, Role, TradingState
from engine.processes import alert_sender
from engine.processes.alert_events import OPERATOR_EVENTS, AlertEvents
from engine.processes.alert_sender import AlertError, AlertSender, Apprise, rules_of
from engine.processes.alerts import HOUR_NS, KINDS, NS_PER_S, AlertBook, Message, Rules, Severity
from engine.processes.events import SubscriberTable
from engine.processes.feed_faults import FeedFault
from engine.processes.guard import GuardReason
from engine.store.fold import ADJUSTED_POSITION, OPENING_CASH
from tests.engine_process import aegis, wait_for
from tests.ring_builders import ROOT
from tests.store_builders import event_records, session_document
from tests.store_events import Row, event, fill, repeated
from tests.unit.processes.test_attendant import InProcess

# What apprise itself imports; it does without from Python 3.13 on.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
GROUP_NS = 60 * NS_PER_S
ESCALATE_NS = 300 * NS_PER_S


def rules(**changes: Any) -> Rules:  # noqa: ANN401  fields of the rules
    fields: dict[str, Any] = {
        "severities": KINDS,
        "least": Severity.INFO,
        "group_ns": GROUP_NS,
        "per_hour_max": 5,
        "escalate_ns": ESCALATE_NS,
    }
    return Rules(**(fields | changes))


# -- the book --------------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["memory", "disk", "feed", "trading_halted", "trading_enabled", ""]),
        st.integers(0, 90 * NS_PER_S),
    ),
    max_size=60,
)


@given(steps=STEPS)
def test_groups_limits_and_counts_hold_whatever_happens(steps: list[tuple[str, int]]) -> None:
    book, now, sent, offered = AlertBook(rules()), 0, [], 0
    for kind, pause_ns in steps:
        now += pause_ns
        offered += bool(kind)
        found = book.take(kind, "x", now) if kind else book.due(now)
        sent += [(now, message) for message in found]
    for kind in KINDS:
        times = [at for at, message in sent if message.kind == kind and not message.is_escalated]
        assert all(b - a >= GROUP_NS for a, b in pairwise(times))
    mild = [at for at, message in sent if message.severity < Severity.CRITICAL]
    assert all(sum(at <= other < at + HOUR_NS for other in mild) <= 5 for at in mild)
    now += HOUR_NS
    told = [*(message for _, message in sent), *book.due(now)]
    counted = sum(1 + held_in(message) for message in told if not message.is_escalated)
    counted += over_limit(told)
    assert counted + book.suppressed_count <= offered
    if not over_limit(told) and not book.suppressed_count:
        assert counted == offered, "nothing is lost without being counted"


def held_in(message: Message) -> int:
    return sum(int(w.split()[0]) for w in message.text.split("(") if "more of this kind" in w)


def over_limit(messages: list[Message]) -> int:
    texts = [message.text for message in messages]
    return sum(int(w.split()[0]) for t in texts for w in t.split("(") if "over the limit" in w)


def test_the_first_goes_out_at_once_and_the_others_as_one() -> None:
    book = AlertBook(rules())
    (first,) = book.take("disk", "255 MB free", 0)
    assert (first.severity, first.text) == (Severity.CRITICAL, "255 MB free")
    assert [book.take("disk", f"{n} MB free", n) for n in range(1, 5)] == [[]] * 4
    assert book.due(GROUP_NS - 1) == []
    (second,) = book.due(GROUP_NS)
    assert second.text == "4 MB free\n(3 more of this kind since)"
    assert book.due(10 * GROUP_NS) == [first._replace(is_escalated=True)]


def test_what_is_below_the_least_severity_or_off_is_told_nobody() -> None:
    book = AlertBook(rules(least=Severity.WARNING))
    assert book.take("trading_enabled", "", 0) == []
    off = AlertBook(rules(severities={**KINDS, "disk": Severity.OFF}))
    assert off.take("disk", "", 0) == []


def test_critical_ones_are_never_over_the_limit() -> None:
    book = AlertBook(rules(per_hour_max=1))
    assert len(book.take("memory", "a", 0)) == 1
    assert book.take("database", "b", 1) == []
    (halted,) = book.take("trading_halted", "c", 2)
    assert halted.text == "c\n(1 others were over the limit of this hour)"
    assert len(book.take("executor", "d", HOUR_NS)) == 1, "the hour is over"


@pytest.mark.parametrize(
    ("answer", "escalates"), [("", True), ("operator", False), ("over", False)]
)
def test_a_critical_one_goes_on_when_nobody_answers(answer: str, *, escalates: bool) -> None:
    book = AlertBook(rules())
    book.take("trading_halted", "ENABLED -> HALTED", 0)
    if answer == "operator":
        book.answered()
    elif answer == "over":
        book.take("trading_enabled", "", 1)
    assert book.due(ESCALATE_NS - 1) == []
    found = book.due(ESCALATE_NS)
    assert [message.is_escalated for message in found] == [True] * escalates
    assert book.due(2 * ESCALATE_NS) == [], "once"
    if escalates:
        assert found[0].title == "[CRITICAL] trading halted (nobody answered)"


def test_nothing_escalates_where_that_is_off() -> None:
    book = AlertBook(rules(escalate_ns=0))
    book.take("trading_halted", "", 0)
    assert book.due(10**18) == []


# -- the settings ----------------------------------------------------------------------------------


def test_a_rule_changes_one_kind_and_an_unknown_one_is_named() -> None:
    changed = rules_of(AlertsConfig(rules={"disk": "info", "feed": "off"}))
    assert changed.severities == {**KINDS, "disk": Severity.INFO, "feed": Severity.OFF}
    with pytest.raises(AlertError, match="'nosuch' is none of trading_halted"):
        rules_of(AlertsConfig(rules={"nosuch": "info"}))


def test_the_runbook_lists_each_kind_with_its_severity() -> None:
    rows = (ROOT / "docs" / "runbook.md").read_text("utf-8").split("## Alerts")[1].splitlines()
    for kind, severity in KINDS.items():
        (row,) = [row for row in rows if row.startswith("|") and f"`{kind}`" in row.split("|")[1]]
        assert row.split("|")[2].strip() == severity.name.lower()


def test_settings_of_no_severity_are_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "aegis.toml"
    for text, field in (
        ("[alerts]\nmin_severity = 'loud'", "min_severity"),
        ("[alerts.rules]\ndisk = 'loud'", "alerts.rules"),
        ("[alerts]\nper_hour_max = 0", "per_hour_max"),
    ):
        file.write_text(text, encoding="ascii")
        with pytest.raises(ConfigError, match=field):
            load_config({}, str(file))


def test_addresses_are_secrets() -> None:
    secret = "json://user:in-clear@host"
    alerts = AlertsConfig(urls=secret, escalate_urls=secret)
    assert "in-clear" not in str(shown(Config(alerts=alerts)))
    assert load_config({"ALERT_URLS": secret}).alerts.urls == secret


# -- the thread ------------------------------------------------------------------------------------


class Outlet:
    """Takes messages; the first `failures` of them it refuses."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.taken: list[Message] = []

    def send(self, message: Message) -> bool:
        if self.failures:
            self.failures -= 1
            return False
        self.taken.append(message)
        return True


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []

    def __call__(self, name: str, **values: object) -> None:
        self.lines.append((name, values))


@pytest.mark.parametrize(("failures", "sent", "failed"), [(0, 1, 0), (2, 1, 0), (99, 0, 1)])
def test_a_message_is_tried_a_bounded_number_of_times(
    monkeypatch: pytest.MonkeyPatch, failures: int, sent: int, failed: int
) -> None:
    monkeypatch.setattr(alert_sender, "PAUSE_FIRST_S", 0.001)
    outlet, log = Outlet(failures), Log()
    sender = AlertSender(rules(), lambda: outlet, log)
    sender.start()
    sender.offer("disk", "full")
    wait_for("an end", lambda: sender.sent_count + sender.failed_count == 1)
    assert sender.stop(10)
    assert (len(outlet.taken), sender.failed_count) == (sent, failed)
    assert [name for name, _ in log.lines] == ["ALERT_UNDELIVERED"] * failed


def test_a_full_queue_drops_and_counts_and_never_waits() -> None:
    log = Log()
    sender = AlertSender(rules(), Outlet, log)  # nobody drains it: it was not started
    for _ in range(alert_sender.WAITING_MAX - alert_sender.GRAVE_PLACES + 7):
        sender.offer("foreign_fill", "")
    assert sender.dropped_count == 7
    for _ in range(alert_sender.GRAVE_PLACES):
        sender.offer("stopped", "what is critical has room still")
    assert sender.dropped_count == 7
    sender.offer("stopped", "until all of it is taken")
    sender.answered()
    assert sender.dropped_count == 9
    sender.start()
    assert sender.stop(10)
    assert log.lines == [("ALERTS_DROPPED", {"count": 9})], "once, and not for ever"


def test_what_waits_is_sent_before_the_end() -> None:
    outlet = Outlet()
    sender = AlertSender(rules(), lambda: outlet, Log())
    for kind in ("disk", "memory", "stopped"):
        sender.offer(kind, "")
    sender.start()
    assert sender.stop(10)
    assert [message.kind for message in outlet.taken] == ["disk", "memory", "stopped"]


def test_an_outlet_that_cannot_be_made_is_a_line_of_the_log() -> None:
    def fails() -> Outlet:
        raise AlertError("no such service")

    log = Log()
    sender = AlertSender(rules(), fails, log)
    sender.start()
    sender.offer("disk", "")
    assert sender.stop(10)
    assert log.lines == [("ALERTS_OFF", {"error": "no such service"})]


# -- the events ------------------------------------------------------------------------------------


class Heard(AlertSender):
    """A sender that remembers what it was offered."""

    def __init__(self) -> None:
        super().__init__(rules(), Outlet, Log())
        self.offered: list[tuple[str, str]] = []
        self.answers = 0

    def offer(self, kind: str, text: str) -> None:
        assert kind in KINDS
        self.offered.append((kind, text))

    def answered(self) -> None:
        self.answers += 1


def heard(*rows: Row) -> Heard:
    sender, table = Heard(), SubscriberTable()
    AlertEvents(sender, session_document).subscribe(table)
    table.seal()
    table.publish_events(event_records(*rows))
    return sender


FAULT = EventType.ROLE_FAULT


@pytest.mark.parametrize(
    ("row", "offered"),
    [
        *(
            (
                event(EventType.TRADING_STATE_CHANGED, trading_state=state, reason=22),
                [(f"trading_{state.name.lower()}", f"ENABLED -> {state.name}, DAILY_LOSS")],
            )
            for state in TradingState
        ),
        (
            event(FAULT, role=Role.FEED, reason=FeedFault.LATE, instrument_index=1, text=b"9 s"),
            [("market_data", "LATE ETHUSDT 9 s")],
        ),
        (
            event(FAULT, role=Role.FEED, reason=FeedFault.RECOVERED, text=b"9 healed"),
            [("market_data_back", "RECOVERED 9 healed")],
        ),
        (
            event(FAULT, role=Role.FEED, reason=FeedFault.WIND_DOWN, text=b"ends"),
            [("feed", "WIND_DOWN ends")],
        ),
        (event(FAULT, role=Role.BRAIN, reason=3, text=b"x"), [("executor", "3 x")]),
        (event(FAULT, role=Role.ORCHESTRATOR, reason=4, text=b"x"), []),
        (event(EventType.EXECUTOR_FAULT, text=b"late"), [("executor", "late")]),
        (event(EventType.FETCH_FAILED, reason=-1003, text=b"x"), [("venue_state", "code -1003 x")]),
        (
            event(EventType.ADJUSTMENT, reason=ADJUSTED_POSITION, instrument_index=0),
            [("adjustment", "POSITION BTCUSDT ")],
        ),
        (event(EventType.ADJUSTMENT, reason=OPENING_CASH), []),
        (fill(1, 501, 2), []),
        (
            fill(0, 502, 2, side=-1, text=b"autoclose-77"),
            [("forced_close", "LIQUIDATION BTCUSDT SELL autoclose-77")],
        ),
        (fill(0, 503, 2, text=b"web_x"), [("foreign_fill", "FOREIGN_ORDER BTCUSDT BUY web_x")]),
        (repeated(fill(0, 504, 2, text=b"web_x")), []),
    ],
)
def test_an_event_is_offered_under_its_kind(row: Row, offered: list[tuple[str, str]]) -> None:
    assert heard(row).offered == offered


def test_a_command_of_an_operator_is_an_answer() -> None:
    sender = heard(*(event(kind) for kind in OPERATOR_EVENTS))
    assert (sender.answers, sender.offered) == (len(OPERATOR_EVENTS), [])


@pytest.mark.parametrize("reason", sorted(GuardReason))
def test_every_alarm_of_the_orchestrator_has_a_kind(reason: GuardReason) -> None:
    sender = Heard()
    AlertEvents(sender, session_document).alarm(reason, "why")
    (offered,) = sender.offered
    assert offered[1] == f"{reason.name}: why"


# -- a real webhook --------------------------------------------------------------------------------


class Webhook:
    """A local service that takes what apprise posts."""

    def __init__(self, status: int = 200) -> None:
        self.taken: list[dict[str, Any]] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                hook.taken.append(json.loads(self.rfile.read(length)))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Keep the test's output clean."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://127.0.0.1:{self._server.server_port}/secret-path"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()


@contextmanager
def webhook(status: int = 200) -> Iterator[Webhook]:
    pytest.importorskip("apprise", reason="the extra alerts is not installed")
    hook = Webhook(status)
    try:
        yield hook
    finally:
        hook.close()


def test_a_webhook_gets_severity_title_and_text() -> None:
    with webhook() as usual, webhook() as further:
        config = AlertsConfig(urls=usual.url, escalate_urls=further.url)
        outlet = Apprise(config, "aegis main")
        message = Message(Severity.CRITICAL, "trading_halted", "ENABLED -> HALTED, DAILY_LOSS")
        assert outlet.send(message)
        assert outlet.send(message._replace(is_escalated=True))
    (got,), (late,) = usual.taken, further.taken
    assert got["title"] == "aegis main [CRITICAL] trading halted"
    assert got["message"] == "ENABLED -> HALTED, DAILY_LOSS"
    assert got["type"] == "failure"
    assert late["title"].endswith("(nobody answered)")


def test_one_address_that_refuses_does_not_keep_the_others_from_theirs() -> None:
    with webhook(500) as bad, webhook() as good:
        outlet = Apprise(AlertsConfig(urls=f"{bad.url} {good.url}"), "aegis")
        outcomes = outlet.outcomes(Message(Severity.WARNING, "disk", "x"))
    assert outcomes == {"1 json": False, "2 json": True}


def test_an_address_of_no_service_is_named_by_place_and_never_shown() -> None:
    pytest.importorskip("apprise", reason="the extra alerts is not installed")
    with pytest.raises(AlertError, match=r"address 2 \(nosuch\)") as caught:
        Apprise(AlertsConfig(urls="json://h nosuch://user:in-clear@h"), "aegis")
    assert "in-clear" not in str(caught.value)


def test_a_full_disk_of_a_running_orchestrator_reaches_the_webhook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.processes import upkeep

    with webhook() as hook:
        role = InProcess(tmp_path, alerts=AlertsConfig(urls=hook.url))
        try:
            monkeypatch.setattr(upkeep, "free_bytes", lambda _: upkeep.DISK_FLOOR_BYTES - 1)
            role.work_until("the message", lambda: hook.taken)
        finally:
            role.close()
    assert hook.taken[0]["title"].endswith("[CRITICAL] disk")
    assert "floor 256 MB" in hook.taken[0]["message"]
    assert "secret-path" not in (tmp_path / "logs" / "orchestrator.log").read_text("utf-8")


def test_an_end_that_is_not_in_order_is_told(tmp_path: Path) -> None:
    with webhook() as hook:
        role = InProcess(tmp_path, alerts=AlertsConfig(urls=hook.url))
        role.orchestrator.stop(is_orderly=False)
        role.rig.__exit__(None, None, None)
    assert [got["title"].split("] ")[1] for got in hook.taken] == ["stopped"]


def test_rules_that_cannot_be_are_a_line_of_the_log_and_stop_nothing(tmp_path: Path) -> None:
    alerts = AlertsConfig(urls="json://h", rules={"nosuch": "info"})
    role = InProcess(tmp_path, alerts=alerts)
    role.close()
    assert "nosuch" in role.lines("ALERTS_OFF")[0]["error"]


def test_the_command_tries_each_address(tmp_path: Path) -> None:
    assert aegis(tmp_path, "alert", "test").returncode == 2, "none is configured"
    with webhook() as good, webhook(500) as bad:
        for urls, code in ((good.url, 0), (f"{good.url} {bad.url}", 1), ("nosuch://h", 2)):
            file = tmp_path / "aegis.toml"
            file.write_text(f'[alerts]\nurls = "{urls}"\n', encoding="ascii")
            done = aegis(tmp_path, "alert", "test", "--config", str(file), "--severity", "info")
            assert done.returncode == code, done.stderr
            assert "secret-path" not in done.stdout + done.stderr
    assert good.taken[0]["message"] == "This is a test of the alerts."
