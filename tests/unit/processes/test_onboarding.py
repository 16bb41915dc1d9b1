"""Onboarding: shadow, gate, live, off, over restarts, kills, people's words and bad data."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.config import Config
from engine.config_journal import JournalConfig
from engine.config_onboard import OnboardConfig
from engine.domain.codes import Mode, TradingState
from engine.processes import onboarding as onboarding_module
from engine.processes.commands import Outcome
from engine.processes.onboard_file import (
    ONBOARD_FILE,
    ROWS_MAX,
    Stage,
    onboarded_symbols,
    read_onboarding,
    write_onboarding,
)
from engine.processes.onboard_played import RecordAsked
from engine.processes.onboard_rules import SessionRecord
from engine.processes.onboarding import Onboarding, Run
from engine.processes.panel import Panel
from tests.control_rig import build, fake_control

RULES = OnboardConfig(trades_min=10, net_bps_min=1.0, fall_ratio_max=0.5, look_s=60, bad_data_s=30)
GOOD = SessionRecord(trades=10, fills=20, traded=2_000.0, net=10.0, peak=10.0, fall=2.0)
LOSS = SessionRecord(trades=10, fills=20, traded=2_000.0, net=-5.0, peak=0.0, fall=5.0)
FEW = SessionRecord(trades=3, fills=6, traded=600.0, net=5.0, peak=5.0, fall=0.0)
STRATEGY = "strategy:orderflow"
NAMES = ("smc_fvg_bos", "orderflow")


class Rig:
    """Onboarding over a panel whose ring keeps what is published."""

    def __init__(self, home: Path, **changes: Any) -> None:  # noqa: ANN401  fields of Config
        given: dict[str, Any] = {"onboard": RULES, "session_id": "now", "home": str(home)}
        self.config = msgspec.structs.replace(Config(), **(given | changes))
        self.state_dir = Path(self.config.state_dir)
        self.state_dir.mkdir(parents=True, exist_ok=True)
        self.live = {"BTCUSDT": "LIVE"}
        self.record: dict[str, SessionRecord] = {}
        self.failure = ""
        self.asked: list[RecordAsked] = []
        self.made: tuple[int, float] | None = (7, 100.0)
        self.notes: list[dict[str, Any]] = []
        self.meanwhile: Callable[[], object] = lambda: None
        self.now_s = 0.0
        self.room = 100
        self.followed: list[tuple[str, ...] | None] = []
        self.feed_hears = True
        self.begin()

    def begin(self, *names: str) -> None:
        """Start, or start again."""
        self.strategies = names or NAMES
        self.commands, self.ring = build(fake_control(), self.state_dir, self.room)
        self.panel = Panel(self.commands, lambda: list(self.live), self.strategies, self.state_dir)
        self.onboarding = Onboarding(
            self.config,
            self.panel,
            Run(
                self.instruments,
                frozenset(self.strategies),
                lambda _column, _name: self.made,
                self.played,
                self.notes.append,
                lambda: TradingState.ENABLED,
                self.follow,
            ),
        )

    def follow(self) -> Outcome:
        self.followed.append(onboarded_symbols(self.state_dir / ONBOARD_FILE))
        return Outcome("deaf", self.feed_hears, TradingState.ENABLED)

    def instruments(self) -> list[dict[str, Any]]:
        return [{"symbol": name, "liveness": {"QUOTE": state}} for name, state in self.live.items()]

    def played(self, asked: RecordAsked) -> tuple[dict[str, SessionRecord], str]:
        self.asked.append(asked)
        self.meanwhile()
        return self.record, self.failure

    def onboard(self, word: str = "orderflow") -> bool:
        accepted = self.onboarding.onboard(word, "ann", "asked for").accepted
        self.onboarding.look(self.now_s)  # from here on a period is counted
        return accepted

    def look(self, seconds: float = 61.0) -> None:
        self.now_s += seconds
        self.onboarding.look(self.now_s)

    def stage(self, word: str = "orderflow") -> str:
        return self.onboarding.stage(word)

    def why(self) -> str:
        return str(self.onboarding.rows()[0]["why"])

    def to_live(self) -> None:
        """Onboard the strategy and let it pass."""
        assert self.onboard()
        self.record = {"now": GOOD}
        self.look()
        self.look()
        assert self.stage() == "live"


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_a_strategy_goes_from_shadow_through_the_gate_to_live_and_each_step_is_told(
    rig: Rig,
) -> None:
    outcome = rig.onboarding.onboard("orderflow", "ann", "asked for")
    assert outcome.accepted
    assert outcome.effect == f"{STRATEGY} is at stage shadow"
    rig.look(0.0)
    assert rig.asked == [], "a period after the word"
    assert rig.panel.mode(STRATEGY) == Mode.SHADOW
    rig.record = {"now": FEW}
    rig.look()
    assert rig.stage() == "shadow"
    assert "3 trades" in rig.why()
    rig.record = {"now": GOOD}
    rig.look(1.0)
    assert len(rig.asked) == 1, "it is not time yet"
    rig.look()
    assert rig.stage() == "passed"
    assert rig.panel.mode(STRATEGY) == Mode.SHADOW
    rig.look(1.0)
    assert rig.stage() == "live"
    assert rig.panel.mode(STRATEGY) == Mode.LIVE
    steps = [(note["before"], note["after"]) for note in rig.notes]
    assert steps == [("shadow", "passed"), ("passed", "live")]
    assert all(note["who"] == "onboarding for ann" for note in rig.notes)


@pytest.mark.parametrize("record", [LOSS, msgspec.structs.replace(GOOD, fall=60.0)])
def test_a_record_that_fails_makes_it_off(rig: Rig, record: SessionRecord) -> None:
    rig.onboard()
    rig.record = {"now": record}
    rig.look()
    assert rig.stage() == "offboarded"
    assert rig.panel.mode(STRATEGY) == Mode.OFF
    assert rig.why().startswith("out of sample")
    rig.look()
    assert len(rig.asked) == 1, "what is off is not judged"
    assert rig.onboard(), "it may begin anew"
    assert rig.onboarding.rows()[0]["trades"] == 0, "with a record of its own"
    assert rig.panel.mode(STRATEGY) == Mode.SHADOW


def test_the_record_since_it_is_live_is_judged_by_the_same_rule(rig: Rig) -> None:
    rig.to_live()
    rig.made = (16, 95.0)
    rig.look()
    assert rig.stage() == "live", "nine trades are too few"
    rig.made = None
    rig.look()
    assert rig.stage() == "live", "unknown is no decay"
    rig.made = (17, 95.0)
    rig.look()
    assert rig.stage() == "offboarded"
    assert rig.why().startswith("decayed: 10 trades, -50.00 bps each")
    assert rig.panel.mode(STRATEGY) == Mode.OFF


def test_a_fall_from_its_peak_is_decay_whatever_the_sum(rig: Rig) -> None:
    rig.to_live()
    rig.made = (9, 200.0)
    rig.look()
    rig.made = (11, 149.0)
    rig.look()
    assert rig.stage() == "offboarded"


def test_real_money_needs_a_second_word(tmp_path: Path) -> None:
    venue = msgspec.structs.replace(Config().venue, third_party=True, name="binance")
    rig = Rig(tmp_path, venue=venue, trading_mode="live")
    assert rig.config.orders_leave
    rig.onboard()
    rig.record = {"now": GOOD}
    for _ in range(3):
        rig.look()
    assert rig.stage() == "passed"
    assert "second `onboard`" in rig.why()
    assert rig.panel.mode(STRATEGY) == Mode.SHADOW
    assert rig.onboard()
    rig.look()
    assert rig.stage() == "live"
    assert not rig.onboard(), "a third word is none"


@pytest.mark.parametrize("word", ["off", "live", "simulate"])
def test_what_somebody_said_by_hand_stands(rig: Rig, word: str) -> None:
    rig.onboard()
    rig.panel.set_mode(STRATEGY, word, "bob", "odd fills")
    rig.record = {"now": GOOD}
    for _ in range(3):
        rig.look()
    assert rig.stage() == "passed"
    assert rig.why().endswith(f"somebody made it {word}")
    assert rig.panel.mode(STRATEGY) == Mode[word.upper()]


def test_a_word_while_it_is_played_counts(rig: Rig) -> None:
    rig.onboard()
    rig.record = {"now": GOOD}
    rig.meanwhile = lambda: rig.onboarding.offboard("orderflow", "bob", "stop")
    rig.look()
    assert rig.stage() == "offboarded"
    assert rig.panel.mode(STRATEGY) == Mode.OFF


def test_begun_anew_while_it_is_played_the_old_record_does_not_count(rig: Rig) -> None:
    rig.onboard()
    rig.record = {"now": GOOD}

    def again() -> None:
        rig.onboarding.offboard("orderflow", "bob", "stop")
        rig.onboard()

    rig.meanwhile = again
    rig.look()
    assert rig.stage() == "shadow"
    assert rig.onboarding.rows()[0]["trades"] == 0


def test_it_goes_on_after_a_restart_and_asks_for_no_session_twice(rig: Rig) -> None:
    rig.onboard()
    rig.record = {"now": FEW}
    rig.look()
    rig.config = msgspec.structs.replace(rig.config, session_id="later")
    rig.begin()
    assert (rig.stage(), rig.panel.mode(STRATEGY)) == ("shadow", Mode.SHADOW)
    rig.look(0.0)
    rig.record = {"later": GOOD}
    rig.look()
    assert rig.asked[-1].known == ("now",)
    assert rig.onboarding.rows()[0]["trades"] == 13
    rig.look()
    assert rig.stage() == "live"


@pytest.mark.parametrize("stage", [Stage.SHADOW, Stage.LIVE, Stage.OFFBOARDED])
def test_killed_between_the_disk_and_the_mode_it_gives_the_mode_again(
    rig: Rig, stage: Stage
) -> None:
    rig.onboard()
    path = rig.state_dir / ONBOARD_FILE
    (row,) = read_onboarding(path).values()
    assert row.is_told
    write_onboarding(path, {row.part: msgspec.structs.replace(row, stage=stage, is_told=False)})
    rig.begin()
    rig.failure = "nothing yet"
    rig.look()
    (row,) = read_onboarding(path).values()
    assert row.is_told
    assert rig.panel.mode(STRATEGY) == onboarding_module.MODE_OF[stage]


def test_a_full_ring_is_tried_again_and_said(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.room = 0
    rig.begin()
    outcome = rig.onboarding.onboard("orderflow", "ann", "asked for")
    assert outcome.accepted
    assert "control ring is full" in outcome.effect
    rig.room = 100
    rig.begin()
    rig.look()
    assert rig.panel.mode(STRATEGY) == Mode.SHADOW


def test_a_disk_that_takes_nothing_changes_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.onboard()

    def refuse(_path: Path, _rows: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(onboarding_module, "write_onboarding", refuse)
    assert not rig.onboard("smc_fvg_bos")
    assert not rig.onboarding.offboard("orderflow", "ann", "x").accepted
    rig.record = {"now": GOOD}
    rig.look()
    assert rig.stage() == "shadow"
    assert rig.notes == []
    monkeypatch.undo()
    rig.look()
    rig.look()
    assert rig.stage() == "live"


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("strategy:nobody", "no strategy"),
        ("strategy:hand", "no strategy"),
        ("strategy:*", "no strategy"),
        ("instrument:", "no symbol"),
        ("instrument:../x", "no symbol"),
        ("a b", "no symbol"),
        ("X" * 40, "no symbol"),
    ],
)
def test_a_word_that_names_nothing_is_refused(rig: Rig, word: str, says: str) -> None:
    outcome = rig.onboarding.onboard(word, "ann", "asked for")
    assert not outcome.accepted
    assert says in outcome.effect
    assert not rig.onboarding.offboard(word, "ann", "asked for").accepted
    assert rig.onboarding.rows() == []


def test_a_market_maker_and_a_journal_without_market_are_refused(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    maker = next(name for name in _makers())
    assert "makes a market" in rig.onboarding.onboard(maker, "ann", "asked for").effect
    blind = Rig(tmp_path / "blind", journal=JournalConfig(market="off"))
    assert "journal.market" in blind.onboarding.onboard("orderflow", "ann", "asked for").effect


def _makers() -> list[str]:
    from engine.domain.strategy_grid import expanded_rows
    from engine.domain.strategy_table import StrategyKind

    return [row.name for row in expanded_rows() if row.kind is StrategyKind.MAKING]


def test_without_a_reason_or_twice_it_is_refused(rig: Rig) -> None:
    assert not rig.onboarding.onboard("orderflow", "ann", " x ").accepted
    assert rig.onboard()
    outcome = rig.onboarding.onboard(STRATEGY, "ann", "asked for")
    assert (outcome.accepted, outcome.effect) == (False, f"{STRATEGY} is at stage shadow already")


def test_of_many_at_once_one_begins(rig: Rig) -> None:
    found: list[bool] = []
    threads = [threading.Thread(target=lambda: found.append(rig.onboard())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [False] * 7 + [True]


def test_a_strategy_this_run_does_not_have_is_played_and_waits_for_the_next_start(
    rig: Rig,
) -> None:
    rig.begin("smc_fvg_bos")
    outcome = rig.onboarding.onboard("orderflow", "ann", "asked for")
    assert outcome.effect.endswith("; it comes with the next start")
    rig.look()
    rig.record = {"now": GOOD}
    for _ in range(3):
        rig.look()
    assert rig.stage() == "passed"
    assert rig.why().endswith("live with the next start")
    assert rig.ring.payloads == [], "no part of this session is told"
    rig.begin()
    assert rig.panel.mode(STRATEGY) == Mode.SHADOW, "it begins as it was kept"
    rig.failure = "nothing yet"
    rig.look()
    assert rig.stage() == "live"


def test_a_symbol_that_is_not_here_waits_and_is_judged_when_it_comes(rig: Rig) -> None:
    assert rig.onboard("doge")
    assert rig.stage("DOGEUSDT") == "bootstrap"
    assert rig.panel.mode("instrument:DOGEUSDT") == Mode.SHADOW
    rig.look()
    assert rig.asked == []
    rig.live["DOGEUSDT"] = "LIVE"
    rig.look()
    assert rig.stage("DOGEUSDT") == "shadow"
    rig.record = {"now": GOOD}
    rig.look()
    assert rig.asked[-1].is_symbol
    rig.look()
    assert rig.stage("DOGEUSDT") == "live"


def test_the_feed_is_told_when_symbols_come_and_go_and_not_of_anything_else(rig: Rig) -> None:
    assert rig.onboard()
    assert rig.followed == [], "a strategy is no matter of the feed"
    outcome = rig.onboarding.onboard("doge", "ann", "asked for")
    assert outcome.effect.endswith("; the feed is asked to bring it")
    assert rig.followed == [], "who asks does not wait for the feed"
    rig.look(1.0)
    rig.live["DOGEUSDT"] = "LIVE"
    rig.look(1.0)
    assert rig.followed == [("DOGEUSDT",)], "once: a stage more is nothing new to it"
    assert rig.onboarding.offboard("doge", "ann", "enough").accepted
    rig.look(1.0)
    assert rig.followed == [("DOGEUSDT",), ()]


def test_a_feed_that_does_not_hear_is_told_again_and_the_row_says_so(rig: Rig) -> None:
    rig.feed_hears = False
    assert rig.onboard("doge")
    rig.look(1.0)
    assert len(rig.followed) == 2
    assert rig.why() == "deaf"
    rig.feed_hears = True
    rig.look(1.0)
    rig.look(1.0)
    assert len(rig.followed) == 3
    assert rig.why().startswith("the feed brings it")


@pytest.mark.parametrize("stage", ["shadow", "live"])
def test_a_symbol_whose_data_stay_bad_is_taken_off(rig: Rig, stage: str) -> None:
    assert rig.onboard("BTCUSDT")
    if stage == "live":
        rig.record = {"now": GOOD}
        rig.look()
        rig.look()
    assert rig.stage("BTCUSDT") == stage
    rig.live["BTCUSDT"] = "INVALID"
    rig.look(1.0)
    rig.look(29.0)
    assert rig.stage("BTCUSDT") == stage
    rig.live["BTCUSDT"] = "LIVE"
    rig.look(5.0)
    rig.live["BTCUSDT"] = "STALE"
    rig.look(1.0)
    assert rig.stage("BTCUSDT") == stage, "it was good meanwhile"
    rig.look(31.0)
    assert rig.stage("BTCUSDT") == "offboarded"
    assert "bad data" in rig.why()
    assert rig.panel.mode("instrument:BTCUSDT") == Mode.OFF


def test_a_record_that_cannot_be_had_changes_nothing_and_says_why(rig: Rig) -> None:
    rig.onboard()
    rig.failure = "no market record was journaled"
    rig.look()
    assert rig.stage() == "shadow"
    assert rig.why() == "no record: no market record was journaled"


def test_what_cannot_be_read_is_left_alone_and_said(rig: Rig) -> None:
    path = rig.state_dir / ONBOARD_FILE
    path.write_text('[{"part": "x"}]', encoding="utf-8")
    rig.begin()
    assert rig.onboarding.rows()[0]["stage"] == "unreadable"
    assert not rig.onboard()
    rig.look()
    assert path.read_text(encoding="utf-8") == '[{"part": "x"}]'


def test_the_oldest_that_is_off_makes_room_and_nothing_else_does(rig: Rig) -> None:
    for number in range(ROWS_MAX):
        assert rig.onboard(f"A{number}USDT")
    assert not rig.onboard("BTCUSDT")
    assert rig.onboarding.offboard("A7USDT", "ann", "x").accepted
    assert rig.onboard("BTCUSDT")
    assert rig.stage("A7USDT") == "none"
    assert len(rig.onboarding.rows()) == ROWS_MAX
