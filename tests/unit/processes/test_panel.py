"""The options panel: published, kept and shown; and entries that wait, as main sees them."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.codes import EventType, Mode, ModeScope, Regime
from engine.domain.desk import HELD_MAX, HELD_NUMBER
from engine.domain.strategy_table import STRATEGY_TABLE, StrategyKind
from engine.processes import panel as panel_module
from engine.processes.control import PAGE_WORDS, ControlSegment, RolePage
from engine.processes.held_page import (
    ROW_WORDS,
    ROWS,
    WORD_FIRST,
    HeldIntent,
    read_held,
    write_held,
)
from engine.processes.held_show import EMPTY, HeldShow
from engine.processes.mode_file import (
    MODES_FILE,
    ModeRow,
    ModesUnreadableError,
    place_of,
    read_modes,
    write_modes,
)
from engine.processes.mode_records import mode_records
from engine.processes.panel import Panel
from tests.builders import make_instrument
from tests.control_rig import build, decode, fake_control
from tests.desk_rig import GENEROUS, DeskRig

SYMBOLS = ("BTCUSDT", "ETHUSDT")
ROWS_RUN = STRATEGY_TABLE[:2]
FIRST = f"strategy:{ROWS_RUN[0].name}"


class Rig:
    """A panel over a ring that keeps what is published."""

    def __init__(self, state_dir: Path, room: int = 100) -> None:
        self.control: ControlSegment = fake_control()
        self.commands, self.ring = build(self.control, state_dir, room)
        self.state_dir = state_dir
        self.panel = self.restarted()

    def restarted(self) -> Panel:
        """Return the panel of a run that begins now."""
        return Panel(self.commands, lambda: SYMBOLS, [row.name for row in ROWS_RUN], self.state_dir)

    def published(self) -> list[tuple[int, int, int]]:
        """Return scope, place and mode of each mode that was published."""
        records = [decode(payload) for payload in self.ring.payloads]
        assert {int(record["event_type"]) for record in records} <= {EventType.CONTROL_MODE}
        names = ("order_type", "cause_sequence", "time_in_force")
        return [(int(r[names[0]]), int(r[names[1]]), int(r[names[2]])) for r in records]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


@pytest.mark.parametrize(
    ("part", "place"),
    [
        ("all", (ModeScope.ALL, 0)),
        ("module:orderflow", (ModeScope.MODULE, StrategyKind.ORDERFLOW)),
        (f"strategy:{ROWS_RUN[1].name}", (ModeScope.STRATEGY, 1)),
        ("instrument:ETHUSDT", (ModeScope.INSTRUMENT, 1)),
        ("regime:trend_up", (ModeScope.REGIME, Regime.TREND_UP)),
    ],
)
def test_a_mode_is_published_in_the_sessions_numbers_and_kept_by_name(
    rig: Rig, part: str, place: tuple[int, int]
) -> None:
    outcome = rig.panel.set_mode(part, "shadow", "me", "odd")
    assert outcome.accepted
    assert outcome.effect == f"{part} is shadow, was live"
    assert rig.published() == [(*place, Mode.SHADOW)]
    (row,) = rig.panel.modes()
    assert (row["part"], row["mode"], row["who"], row["reason"]) == (part, "shadow", "me", "odd")
    assert rig.restarted().modes() == [row]
    assert rig.restarted().mode(part) == Mode.SHADOW


@pytest.mark.parametrize(
    "part",
    ["", "trading", "module:", "module:love", "strategy:BTCUSDT", "instrument:btcusdt", "all:x"],
)
def test_what_is_no_part_is_refused(rig: Rig, part: str) -> None:
    outcome = rig.panel.set_mode(part, "off", "me", "why")
    assert not outcome.accepted
    assert repr(part) in outcome.effect
    assert rig.published() == []
    assert rig.panel.modes() == []


def test_a_word_that_is_no_mode_is_refused_and_names_them(rig: Rig) -> None:
    outcome = rig.panel.set_mode("all", "loud", "me", "why")
    assert not outcome.accepted
    assert "live, simulate, shadow, off" in outcome.effect
    assert rig.published() == []


def test_a_milder_mode_needs_a_reason_and_a_harder_one_does_not(rig: Rig) -> None:
    assert rig.panel.set_mode(FIRST, "off", "me", "").accepted
    assert not rig.panel.set_mode(FIRST, "shadow", "me", " x ").accepted
    assert rig.panel.mode(FIRST) == Mode.OFF
    assert rig.panel.set_mode(FIRST, "live", "me", "looked at it").accepted
    assert rig.panel.modes() == []
    assert [mode for _, _, mode in rig.published()] == [Mode.OFF, Mode.LIVE]


def test_every_part_is_listed_with_the_most_severe_of_its_modes(rig: Rig) -> None:
    rows = {row["part"]: row["mode"] for row in rig.panel.parts()}
    numbers = {row.name: s for s, row in enumerate(ROWS_RUN)}
    symbols = {name: i for i, name in enumerate(SYMBOLS)}
    assert set(rows.values()) == {"live"}
    assert None not in {place_of(part, numbers, symbols) for part in rows}
    assert {"all", FIRST, "module:orderflow", "instrument:ETHUSDT", "regime:wild"} <= set(rows)

    assert rig.panel.set_mode(FIRST, "off", "test", "").accepted
    assert rig.panel.set_mode("module:orderflow", "simulate", "test", "").accepted
    assert rig.panel.shed(FIRST, "memory", on=True)
    assert rig.panel.shed("module:orderflow", "memory", on=True)
    found = {row["part"]: row for row in rig.panel.parts()}
    assert list(found) == list(rows)
    assert (found[FIRST]["mode"], found[FIRST]["who"]) == ("off", "test")
    assert (found["module:orderflow"]["mode"], found["module:orderflow"]["who"]) == (
        "shadow",
        "engine",
    )


def test_a_part_of_another_session_is_listed_too(rig: Rig) -> None:
    row = ModeRow("instrument:LATERUSDT", Mode.OFF, "test", "", 1)
    write_modes(rig.state_dir / MODES_FILE, {row.part: row})
    assert rig.restarted().parts()[-1] == row.document()


def test_a_full_ring_changes_nothing(tmp_path: Path) -> None:
    rig = Rig(tmp_path, room=0)
    outcome = rig.panel.set_mode("all", "off", "me", "why")
    assert (outcome.accepted, outcome.effect) == (False, "control ring is full")
    assert rig.panel.modes() == []
    assert not (tmp_path / MODES_FILE).exists()


def test_what_cannot_be_kept_holds_and_says_so(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: Path, _rows: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(panel_module, "write_modes", refuse)
    outcome = rig.panel.set_mode("all", "off", "me", "why")
    assert outcome.accepted
    assert "not written (No space left on device)" in outcome.effect
    assert rig.panel.mode("all") == Mode.OFF


@pytest.mark.parametrize("text", ["", "{}", '{"modes": 5}', '{"modes": [{"part": "all"}]}', "[]"])
def test_what_cannot_be_read_is_shadow_until_somebody_says(tmp_path: Path, text: str) -> None:
    (tmp_path / MODES_FILE).write_text(text, encoding="utf-8")
    with pytest.raises(ModesUnreadableError, match=MODES_FILE):
        read_modes(tmp_path / MODES_FILE)
    rig = Rig(tmp_path)
    (row,) = rig.panel.modes()
    assert (row["part"], row["mode"]) == ("all", "shadow")
    assert "cannot be read" in row["reason"]
    (record,) = mode_records(tmp_path / MODES_FILE, (), ROWS_RUN)
    assert (record["order_type"], record["time_in_force"]) == (ModeScope.ALL, Mode.SHADOW)
    assert not rig.panel.set_mode("all", "live", "me", "").accepted, "it is milder"
    assert rig.panel.set_mode("all", "live", "me", "looked at it").accepted
    assert rig.panel.modes() == rig.restarted().modes() == []


NAMES = st.sampled_from(
    ["all", "module:smc", FIRST, "instrument:BTCUSDT", "regime:calm", "strategy:gone"]
)


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(NAMES, st.sampled_from(Mode)))
def test_a_brain_begins_with_what_was_kept_of_its_own_parts(
    tmp_path_factory: pytest.TempPathFactory, given_modes: dict[str, Mode]
) -> None:
    path = tmp_path_factory.mktemp("modes") / MODES_FILE
    write_modes(path, {p: ModeRow(p, mode, "me", "why", 5) for p, mode in given_modes.items()})
    instruments = [make_instrument(symbol, instrument_index=k) for k, symbol in enumerate(SYMBOLS)]
    records = mode_records(path, instruments, ROWS_RUN)
    assert (records["event_type"] == EventType.RESTORE_MODE).all()
    rig = DeskRig(GENEROUS)
    if len(records):
        rig.step(np.split(records, len(records)))
    rig.connect()
    found = {
        "all": rig.desk.modes[0],
        "module:smc": rig.desk.modes[16 + StrategyKind.SMC],
        FIRST: rig.desk.bounds["mode"][0],
        "instrument:BTCUSDT": rig.desk.instrument_limits["mode"][0],
        "regime:calm": rig.desk.modes[5],
    }
    assert found == {part: given_modes.get(part, Mode.LIVE) for part in found}


def test_numbers_of_another_session_are_looked_up_by_name() -> None:
    turned = {name: k for k, name in enumerate(reversed(SYMBOLS))}
    assert place_of("instrument:BTCUSDT", {}, turned) == (ModeScope.INSTRUMENT, 1)
    assert place_of("instrument:SOLUSDT", {}, turned) is None


# -- entries that wait -----------------------------------------------------------------------------


def waiting(number: int, life_s: float = 60.0) -> HeldIntent:
    expires_ns = time.monotonic_ns() + round(life_s * 1e9)
    return HeldIntent(number, expires_ns, 1, 0, -1, 2, 5_000_000_000, 25_000_000, 1_250_000_000)


def test_the_page_holds_the_queue_and_nothing_else() -> None:
    assert ROWS == HELD_MAX
    assert len(HeldIntent._fields) <= ROW_WORDS
    assert WORD_FIRST + ROWS * ROW_WORDS <= PAGE_WORDS
    control = fake_control()
    control.set_progress(RolePage.BRAIN, "x" * 400)
    for place in range(ROWS):
        write_held(control, place, waiting(place + 1))
    assert control.progress(RolePage.BRAIN) == "x" * 255
    assert [row.number for row in read_held(control)] == list(range(1, ROWS + 1))
    assert control.words(RolePage.ORCHESTRATOR, 0, PAGE_WORDS) == [0] * PAGE_WORDS


def test_what_waits_is_shown_by_name_and_in_units(rig: Rig) -> None:
    write_held(rig.control, 3, waiting(7))
    write_held(rig.control, 0, waiting(9, life_s=-1.0))
    (row,) = rig.panel.held()
    assert 0.0 < row.pop("expires_s") <= 60.0
    assert row == {
        "number": 7,
        "instrument": "ETHUSDT",
        "strategy": ROWS_RUN[0].name,
        "side": "SELL",
        "order_type": "LIMIT",
        "price": 50.0,
        "quantity": 0.25,
        "notional": 12.5,
    }


@pytest.mark.parametrize("approve", [True, False])
def test_a_word_is_published_and_waited_for(rig: Rig, approve: bool) -> None:
    write_held(rig.control, 0, waiting(7))

    def brain() -> None:
        while not rig.ring.payloads:
            time.sleep(0.001)
        write_held(rig.control, 0, EMPTY)

    thread = threading.Thread(target=brain)
    thread.start()
    outcome = rig.panel.decide_held(7, "me", "looked at", approve=approve)
    thread.join()
    assert outcome.accepted
    assert "did not take" not in outcome.effect
    (record,) = map(decode, rig.ring.payloads)
    wanted = EventType.CONTROL_APPROVE if approve else EventType.CONTROL_REJECT
    assert (record["event_type"], record["trade_id"]) == (wanted, 7)
    assert record["text"] == b"me: looked at"


def test_a_word_nobody_took_up_says_so(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panel_module, "SETTLE_S", 0.02)
    write_held(rig.control, 0, waiting(7))
    assert "did not take" in rig.panel.decide_held(7, "me", "x", approve=True).effect


def test_a_number_that_does_not_wait_is_not_published(rig: Rig) -> None:
    write_held(rig.control, 0, waiting(7))
    outcome = rig.panel.decide_held(8, "me", "x", approve=True)
    assert (outcome.accepted, outcome.effect) == (False, "nothing waits under number 8")
    assert rig.ring.payloads == []


def test_a_brain_shows_its_queue_and_forgets_that_of_the_brain_before() -> None:
    control = fake_control()
    write_held(control, 5, waiting(99))
    desk_rig = DeskRig(GENEROUS._replace(approval_notional_min=100.0))
    desk_rig.now_ns = time.monotonic_ns()
    desk_rig.quote()
    desk_rig.connect()
    show = HeldShow(control, desk_rig.state)
    assert read_held(control) == []
    events = desk_rig.propose(1, 10, price=618_003)
    show.look()
    (row,) = read_held(control)
    assert row.number == events["trade_id"][1] == 1
    assert (row.side, row.strategy_index, row.instrument_index) == (1, 0, 0)
    tick, lot = (float(desk_rig.desk.instruments[name][0]) for name in ("tick_size", "lot_size"))
    assert row.price_e8 == round(618_003 * tick * 1e8)
    assert row.qty_e8 == round(10 * lot * 1e8)
    desk_rig.control(EventType.CONTROL_REJECT, trade_id=1)
    show.look()
    assert read_held(control) == []
    assert not desk_rig.desk.held[:, HELD_NUMBER].any()
