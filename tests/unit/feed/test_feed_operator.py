"""What an operator asks of the feed: each word is done once, nothing is cut, gaps are healed."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine.config import SourcesConfig
from engine.domain.codes import Channel, Liveness, RecordType, TradingState
from engine.domain.instrument_row import unpack_row
from engine.processes import feed_words
from engine.processes.control import CONTROL_BYTES, ControlSegment, MainWord, RolePage, RoleWord
from engine.processes.feed_faults import FeedFault
from engine.processes.feed_operator import HISTORIES_MAX, QUIET_NS, FeedOperator
from engine.processes.feed_panel import SILENT, FeedPanel
from engine.processes.feed_words import (
    ALL,
    Answered,
    FeedAnswer,
    FeedLine,
    FeedRequest,
    FeedRequests,
    FeedWords,
)
from engine.venues.binance.routing import Subscription
from ringbuffer import layout
from ringbuffer.segment import Segment
from tests.exchange_process import PracticeExchange
from tests.feed_role import DEADLINE_S, FeedRole
from tests.unit.feed.test_feed_failover import Running, hosts_up

NAMES = itertools.count()


@pytest.fixture
def control() -> Iterator[ControlSegment]:
    name = f"feed-words-{next(NAMES)}"
    made = ControlSegment(Segment.anonymous(name, CONTROL_BYTES, kind=layout.KIND_CONTROL))
    yield made
    made.close()


def answering(
    control: ControlSegment, ask: Callable[[], Any], answer: Callable[[FeedRequests], bool]
) -> Any:  # noqa: ANN401  whatever is asked for
    """Return what `ask` does in a thread, while the feed's side answers in this one."""
    found: list[Any] = []
    requests = FeedRequests(control)
    thread = threading.Thread(target=lambda: found.append(ask()))
    thread.start()
    while not answer(requests):
        assert thread.is_alive(), found
    thread.join()
    return found[0]


# ---- words


@pytest.mark.parametrize("argument", [0, 1, 499, ALL])
@pytest.mark.parametrize("number", [0, 1, 2**40])
def test_a_request_and_its_answer_are_the_same_on_both_sides(
    control: ControlSegment, argument: int, number: int
) -> None:
    words, seen = FeedWords(control), []

    def answer(requests: FeedRequests) -> bool:
        asked = requests.take()
        if asked is None:
            return False
        seen.append(asked)
        requests.done(Answered(FeedAnswer.INCIDENT, number))
        assert requests.take() is None, "once"
        return True

    for _ in range(3):
        found = answering(control, lambda: words.ask(FeedRequest.FIND_GAPS, argument), answer)
        assert found == (FeedAnswer.INCIDENT, number)
    assert seen == [(FeedRequest.FIND_GAPS, argument)] * 3


def test_what_is_not_answered_in_time_is_taken_back(
    control: ControlSegment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_words, "ANSWER_S", 0.0)
    requests = FeedRequests(control)
    assert FeedWords(control).ask(FeedRequest.CARRY_BY, FeedLine.SECOND) is None
    asked = requests.take()
    assert asked is not None
    assert asked.request == FeedRequest.NOTHING


def test_a_feed_that_begins_does_nothing_that_another_was_asked(control: ControlSegment) -> None:
    control.set_main(MainWord.FEED_REQUEST, 7 << 24 | FeedRequest.CARRY_BY << 16 | 1)
    control.set_role(RolePage.FEED, RoleWord.REQUEST_DONE, 0)  # as main does before a start
    assert FeedRequests(control).take() is None


# ---- what the feed does


class Lines:
    """Connections that are what a test says."""

    def __init__(self, second_lines: str, rows: list[Subscription]) -> None:
        self.second_lines, self.carried_by = second_lines, FeedLine.FIRST
        self.plan = SimpleNamespace(subscriptions=rows)
        self.plans = [SimpleNamespace(plan=self.plan, is_up=True)]

    def carry_by(self, line: FeedLine, _now_ns: int) -> None:
        self.carried_by = line


class Wire:
    """A supply of three instruments; each spoke at `spoke_ns`."""

    def __init__(self, backup: str = "demand") -> None:
        self.symbols = ["BTCUSDT", "ETHUSDT", "XRPUSDT"]
        self.spoke_ns = {0: 1, 1: 2 * QUIET_NS, 2: 3 * QUIET_NS}
        self.last_ids = dict.fromkeys(range(40), 5)
        self.hole_at: list[int] = []
        self.bars_asked = 0
        self.histories: list[int] = []
        self.asked_count = self.done_count = 0
        self.opened: list[tuple[str, str, Callable[[], bool]]] = []
        self.still_open = 0
        self.told: list[FeedFault] = []
        self.onboarded = 0
        rows = [Subscription(f"s{k}@aggTrade", k, Channel.TRADE) for k in range(3)]
        self.sources = Lines(backup, rows)
        self.core = self.incidents = self.backfill = self

    def channel(self, index: int, _channel: Channel) -> tuple[int, int, int, int]:
        return Liveness.LIVE, 0, self.spoke_ns.get(index, 1), 0

    def last_trade(self, index: int) -> int:
        return self.last_ids[index]

    def holes(self) -> list[tuple[int, int, int, int]]:
        return [(index, 1, 2, 3) for index in self.hole_at]

    def open_number(self, source: str) -> int:
        assert source == "operator"
        return self.still_open

    def open(self, _: str, what: str, reason: str, is_over: Callable[[], bool], __: int) -> int:
        self.opened.append((what, reason, is_over))
        return 12

    def ask_after_last(self, indices: list[int]) -> None:
        self.histories += indices
        self.asked_count += len(indices)

    def ask_bars(self, _down_ns: int, rows: list[Subscription], _up_ns: int) -> int:
        self.bars_asked += len(rows)
        return len(rows)

    def tell(self, fault: FeedFault, _text: str) -> None:
        self.told.append(fault)


def asked(control: ControlSegment, wire: Wire, *request: int) -> Any:  # noqa: ANN401
    """Return what a feed over a wire answers."""
    now_ns = 4 * QUIET_NS
    feed = FeedOperator(control, cast("Any", wire), cast("Any", wire), lambda: wire.onboarded)

    def step(_: FeedRequests) -> bool:
        feed.step(now_ns)
        return control.role(RolePage.FEED, RoleWord.REQUEST_DONE) != 0

    code, argument = request
    return answering(
        control, lambda: FeedWords(control).ask(cast("FeedRequest", code), argument), step
    )


def test_lines_are_switched_and_it_is_told(control: ControlSegment) -> None:
    wire = Wire()
    found = asked(control, wire, FeedRequest.CARRY_BY, FeedLine.SECOND)
    assert found == (FeedAnswer.SWITCHING, 1)
    assert wire.told == [FeedFault.LINES_SWITCHED]
    assert FeedWords(control).carried_by() is FeedLine.SECOND


@pytest.mark.parametrize(
    ("backup", "line", "answer"),
    [
        ("off", FeedLine.SECOND, FeedAnswer.NO_SECOND),
        ("always", FeedLine.SECOND, FeedAnswer.BOTH),
        ("demand", FeedLine.FIRST, FeedAnswer.CARRIED),
        ("demand", 2, FeedAnswer.NOTHING),
    ],
)
def test_lines_that_cannot_be_switched_stay(
    control: ControlSegment, backup: str, line: int, answer: FeedAnswer
) -> None:
    wire = Wire(backup)
    assert asked(control, wire, FeedRequest.CARRY_BY, line) == (answer, 0)
    assert (wire.sources.carried_by, wire.told) == (FeedLine.FIRST, [])


@pytest.mark.parametrize(
    ("count", "answer"), [(2, (FeedAnswer.LOOKING, 2)), (-1, (FeedAnswer.UNREADABLE, 0))]
)
def test_what_is_onboarded_is_followed_by_a_word(
    control: ControlSegment, count: int, answer: tuple[FeedAnswer, int]
) -> None:
    wire = Wire()
    wire.onboarded = count
    assert asked(control, wire, FeedRequest.FOLLOW_ONBOARDED, 0) == answer


def test_who_was_quiet_has_its_history_asked_for_until_it_is_done(control: ControlSegment) -> None:
    wire = Wire()
    found = asked(control, wire, FeedRequest.FIND_GAPS, ALL)
    assert found == (FeedAnswer.INCIDENT, 12)
    assert wire.histories == [0, 1], "the longest quiet first; the third spoke a second ago"
    ((what, reason, is_over),) = wire.opened
    assert (what, reason) == ("gaps of all", "0 holes, 2 histories, 0 bars")
    assert not is_over()
    wire.done_count = 2
    assert is_over()


@pytest.mark.parametrize(
    ("change", "which", "answer"),
    [
        (lambda _: None, 2, (FeedAnswer.WHOLE, 0)),
        (lambda wire: wire.last_ids.update({0: -1}), 0, (FeedAnswer.WHOLE, 0)),
        (lambda wire: wire.hole_at.append(2), 2, (FeedAnswer.INCIDENT, 12)),
        (lambda wire: wire.hole_at.append(0), 2, (FeedAnswer.WHOLE, 0)),
        (lambda wire: setattr(wire, "still_open", 9), 0, (FeedAnswer.BUSY, 9)),
        (lambda wire: setattr(wire.sources.plans[0], "is_up", False), 0, (FeedAnswer.DOWN, 0)),
        (lambda _: None, 3, (FeedAnswer.NOTHING, 0)),
    ],
    ids=["whole", "never traded", "a hole", "another's hole", "busy", "down", "unknown"],
)
def test_what_is_found_decides_the_answer(
    control: ControlSegment,
    change: Callable[[Wire], None],
    which: int,
    answer: tuple[FeedAnswer, int],
) -> None:
    wire = Wire()
    change(wire)
    assert asked(control, wire, FeedRequest.FIND_GAPS, which) == answer
    assert (len(wire.opened) == 1) == (answer[0] is FeedAnswer.INCIDENT)


def test_one_request_asks_for_so_many_histories_and_says_what_it_left(
    control: ControlSegment,
) -> None:
    wire = Wire()
    rows = [Subscription(f"s{k}@aggTrade", k, Channel.TRADE) for k in range(40)]
    wire.sources.plan.subscriptions = rows
    wire.spoke_ns = {k: 40 - k for k in range(40)}
    assert asked(control, wire, FeedRequest.FIND_GAPS, ALL)[0] is FeedAnswer.INCIDENT
    assert wire.histories == list(range(39, 39 - HISTORIES_MAX, -1))
    assert wire.opened[0][1].endswith("15 left out")


def test_a_feed_that_says_nothing_is_a_sentence(
    control: ControlSegment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_words, "ANSWER_S", 0.0)
    commands: Any = SimpleNamespace(control=control, state=lambda: TradingState.ENABLED)
    panel = FeedPanel(commands, lambda: ["BTCUSDT"])
    assert panel.switch("second") == (SILENT, False, TradingState.ENABLED, ())
    assert panel.find_gaps("NOSUCH").effect == "no instrument 'NOSUCH'"


@pytest.mark.parametrize("answer", FeedAnswer)
@pytest.mark.parametrize("ask", [lambda p: p.switch("first"), lambda p: p.find_gaps("")])
def test_each_answer_has_a_sentence(
    control: ControlSegment, answer: FeedAnswer, ask: Callable[[FeedPanel], Any]
) -> None:
    commands: Any = SimpleNamespace(control=control, state=lambda: TradingState.ENABLED)
    panel = FeedPanel(commands, list)

    def done(requests: FeedRequests) -> bool:
        if requests.take() is None:
            return False
        requests.done(Answered(answer, 3))
        return True

    outcome = answering(control, lambda: ask(panel), done)
    assert outcome.effect
    assert "{" not in outcome.effect


# ---- a feed role on a practice exchange


def panel_of(feed: FeedRole) -> FeedPanel:
    """Return the operator's side of a running feed."""
    commands: Any = SimpleNamespace(
        control=feed.segments.control, state=lambda: TradingState.ENABLED
    )
    symbols = [feed_symbol(feed, index) for index in range(3)]
    return FeedPanel(commands, lambda: symbols)


def feed_symbol(feed: FeedRole, index: int) -> str:
    return unpack_row(feed.segments.instruments.buffer, index).symbol


def is_alone(running: Running, host: str) -> bool:
    """Return whether the connections that are up are all to one host."""
    return hosts_up(running) == {host}


def test_a_switch_and_back_cuts_nothing_and_blocks_nothing(
    tmp_path: Path,
) -> None:
    exchange = PracticeExchange("--seed", "3", "--generate", "3", "--control-port", "0")
    assert exchange.process.stdout is not None
    second = f"127.0.0.1:{exchange.process.stdout.readline().split()[1]}"
    sources = SourcesConfig(stream_url=f"ws://{second}")
    feed = FeedRole("operator-switch", tmp_path, exchange.port, sources=sources)
    running = Running.over(exchange, feed)
    try:
        feed.wait("every channel", running.is_live)
        running.trades_after(10)
        before = len(running.records(RecordType.LIVENESS))
        panel = panel_of(feed)
        first = exchange.url.removeprefix("http://")
        for line, host in (("second", second), ("first", first)):
            outcome = panel.switch(line)
            assert (outcome.accepted, panel.carried_by()) == (True, line), outcome
            assert "already" in panel.switch(line).effect
            feed.wait("both", lambda: hosts_up(running) == {first, second})
            # In time for 30 s in a row: a machine that stalls begins them anew.
            feed.wait(f"{line} alone", partial(is_alone, running, host), 5 * DEADLINE_S)
            assert running.board()["carried_by"] == line
            running.trades_after(10)
        assert running.missing() == {0: 0, 1: 0, 2: 0}
        changes = running.records(RecordType.LIVENESS)[before:]
        lost = [Liveness.CONNECTING, Liveness.SYNCING, Liveness.INVALID]
        assert not changes[changes["aux"] == Channel.QUOTE].size
        assert not (changes["liveness"][:, None] == lost).any()
        assert {row["what"] for row in running.incidents()} <= {"late"}
        assert feed.counter("rejected_total") == 0
        faults = [int(row["reason"]) for row in feed.events() if row["instrument_index"] == -1]
        assert faults.count(FeedFault.LINES_SWITCHED) == 2
    finally:
        running.close()


def test_trades_that_a_stream_never_brought_are_found_by_asking(tmp_path: Path) -> None:
    exchange = PracticeExchange("--seed", "3", "--generate", "3")
    feed = FeedRole("operator-gaps", tmp_path, exchange.port, sources=SourcesConfig(backup="off"))
    running = Running.over(exchange, feed)
    try:
        feed.wait("every channel", running.is_live)
        running.trades_after(10)
        panel = panel_of(feed)
        silent = exchange.fault("silent", stream="*@aggTrade", duration_ms=600_000)
        before = len(running.records(RecordType.TRADE))
        opened: list[str] = []

        def is_asked() -> bool:
            outcome = panel.find_gaps("")
            opened.append(outcome.effect)
            return outcome.effect.startswith("incident ")

        feed.wait("somebody quiet", is_asked)
        feed.wait("its end", lambda: any(r["source"] == "operator" for r in running.incidents()))
        row = next(r for r in running.incidents() if r["source"] == "operator")
        assert opened[-1].startswith(f"incident {row['number']} is open")
        assert (row["what"], row["requests_failed"], row["trades_lost"]) == ("gaps of all", 0, 0)
        found = len(running.records(RecordType.TRADE)) - before
        assert found >= row["trades_healed"] > 0
        exchange.fault("end", id=silent["id"])
        running.trades_after(10)
        assert running.missing() == {0: 0, 1: 0, 2: 0}
    finally:
        running.close()
