"""Modes of parts of the engine: what each lets pass, and that the most severe of them holds."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.codes import EVENT_APPLIED, EventType, Mode, ModeScope, OrderStatus, Regime
from engine.domain.derived import inputs_of
from engine.domain.opportunity import regime_at
from engine.domain.risk_reasons import RiskReason, reasons_of
from engine.domain.strategy_table import STRATEGY_TABLE, StrategyKind
from engine.domain.words import Tally, Word
from tests.desk_rig import ASK, GENEROUS, DeskRig, S, make_event, of_type, types

T = EventType
LIVE, SIMULATE, SHADOW, OFF = Mode
ALL, MODULE, STRATEGY, INSTRUMENT, REGIME = ModeScope
KIND = STRATEGY_TABLE[0].kind
ARMED = GENEROUS._replace(
    third_party=True, allow_orders=True, dry_run=False, enable_order_exec=True
)
UNKNOWN = 3
# Each part that an entry of strategy 0 in instrument 0 belongs to, in a falling, calm market.
PARTS = {
    "all": (ALL, 0),
    "module": (MODULE, KIND),
    "strategy": (STRATEGY, 0),
    "instrument": (INSTRUMENT, 0),
    "trend": (REGIME, Regime.TREND_DOWN),
    "volatility": (REGIME, Regime.CALM),
}
OTHERS = {
    "another module": (MODULE, next(kind for kind in StrategyKind if kind != KIND)),
    "another strategy": (STRATEGY, 1),
    "another instrument": (INSTRUMENT, 1),
    "another trend": (REGIME, Regime.TREND_UP),
    "another volatility": (REGIME, Regime.WILD),
}


def connected(*, leaves: bool = False) -> DeskRig:
    rig = DeskRig(ARMED if leaves else GENEROUS)
    rig.connect()
    return rig


def give(rig: DeskRig, part: tuple[int, int], mode: int) -> np.ndarray:
    scope, place = part
    return rig.control(T.CONTROL_MODE, order_type=scope, cause_sequence=place, time_in_force=mode)


def entered(rig: DeskRig, regime: int = 0, **options: int) -> list[EventType]:
    """Propose an entry in a regime; return the types of what came of it."""
    rig.now_ns += S
    rig.regime = regime
    events = rig.propose(1, 1, **options)
    if T.RISK_REFUSAL in types(events):
        assert reasons_of(int(events[0]["refusal_mask"])) == (RiskReason.MODE,)
        assert rig.commands[-1].size == 0
    return types(events)


SENT = [T.SIGNAL_GENERATED, T.ORDER_REQUEST]
RECORDED = [T.SIGNAL_GENERATED, T.RISK_REFUSAL]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    ("mode", "leaves", "expected"),
    [
        (LIVE, False, SENT),
        (LIVE, True, SENT),
        (SIMULATE, False, SENT),
        (SIMULATE, True, RECORDED),
        (SHADOW, False, RECORDED),
        (SHADOW, True, RECORDED),
        (OFF, False, []),
        (OFF, True, []),
    ],
)
def test_each_mode_of_each_part(
    part: str,
    mode: Mode,
    leaves: bool,
    expected: list[EventType],
) -> None:
    rig = connected(leaves=leaves)
    (echo,) = give(rig, PARTS[part], mode)
    assert echo["flags"] & EVENT_APPLIED
    assert entered(rig) == expected
    give(rig, PARTS[part], LIVE)
    assert entered(rig) == SENT


@pytest.mark.parametrize("part", OTHERS)
def test_a_mode_of_another_part_changes_nothing(part: str) -> None:
    rig = connected()
    give(rig, OTHERS[part], OFF)
    assert entered(rig) == SENT


def test_what_is_off_is_counted_every_time() -> None:
    rig = connected()
    give(rig, PARTS["strategy"], OFF)
    for _ in range(5):
        assert entered(rig) == []
    assert rig.refusals(RiskReason.MODE) == rig.tally(Tally.REFUSALS) == 5
    assert rig.tally(Tally.DECISIONS) == 5


@pytest.mark.parametrize("mode", [SIMULATE, SHADOW, OFF])
def test_an_exit_always_goes(mode: Mode) -> None:
    rig = connected(leaves=True)
    order = rig.order(1, 10)
    rig.fill(order, 1, 10, ASK, order_status=OrderStatus.FILLED, cum_qty_lots=10)
    for part in PARTS.values():
        give(rig, part, mode)
    rig.order(-1, 10, entry=False)


def test_an_unknown_regime_takes_the_most_severe_mode_of_its_kind() -> None:
    rig = connected()
    give(rig, PARTS["trend"], SHADOW)
    up, unknown = 2, UNKNOWN
    assert entered(rig, regime=up) == SENT
    assert entered(rig, regime=unknown) == RECORDED
    assert entered(rig, regime=up + 4 * UNKNOWN) == SENT, "nothing is said of volatility"
    give(rig, (REGIME, Regime.USUAL), OFF)
    assert entered(rig, regime=up + 4 * UNKNOWN) == []


@pytest.mark.parametrize(
    ("scope", "place", "mode"),
    [
        (ALL, 1, OFF),
        (MODULE, 96, OFF),
        (STRATEGY, 2, OFF),
        (STRATEGY, -1, OFF),
        (INSTRUMENT, 2, OFF),
        (REGIME, len(Regime), OFF),
        (REGIME + 1, 0, OFF),
        (ALL, 0, OFF + 1),
    ],
)
def test_what_is_no_part_or_no_mode_changes_nothing(scope: int, place: int, mode: int) -> None:
    rig = connected()
    before = [rig.desk.modes.copy(), rig.desk.bounds.copy(), rig.desk.instrument_limits.copy()]
    (echo,) = give(rig, (scope, place), mode)
    assert not echo["flags"] & EVENT_APPLIED
    after = [rig.desk.modes, rig.desk.bounds, rig.desk.instrument_limits]
    assert all(np.array_equal(*pair) for pair in zip(before, after, strict=True))
    assert entered(rig) == SENT


def test_a_halt_or_a_resume_leaves_modes_alone() -> None:
    rig = connected()
    give(rig, PARTS["strategy"], SHADOW)
    rig.control(T.CONTROL_HALT)
    rig.control(T.CONTROL_RESUME)
    rig.fetch()
    assert entered(rig) == RECORDED


def test_a_session_begins_with_the_modes_it_is_given() -> None:
    rig = DeskRig()
    scope, place = PARTS["strategy"]
    fields = {"order_type": scope, "cause_sequence": place, "time_in_force": SHADOW}
    rig.report(T.RESTORE_MODE, **fields)
    rig.connect()
    assert entered(rig) == RECORDED
    (echo,) = rig.report(T.RESTORE_MODE, **fields | {"time_in_force": LIVE})
    assert not echo["flags"] & EVENT_APPLIED, "only before the restore has ended"
    assert entered(rig) == RECORDED


def test_an_instrument_that_comes_in_is_given_the_mode_kept_for_it_and_never_a_milder_one() -> None:
    rig = connected()
    scope, place = PARTS["instrument"]
    fields = {"order_type": scope, "cause_sequence": place}
    assert entered(rig) == SENT
    echo, *_ = rig.report(T.RESTORE_MODE, **fields | {"time_in_force": SHADOW})
    assert echo["flags"] & EVENT_APPLIED
    assert entered(rig) == RECORDED
    give(rig, PARTS["instrument"], OFF)
    echo, *_ = rig.report(T.RESTORE_MODE, **fields | {"time_in_force": SHADOW})
    assert not echo["flags"] & EVENT_APPLIED
    assert rig.desk.instrument_limits["mode"][place] == OFF
    for beyond in (-1, len(rig.desk.instrument_limits), 1 << 60):
        wrong = fields | {"cause_sequence": beyond, "time_in_force": OFF}
        echo, *_ = rig.report(T.RESTORE_MODE, **wrong)
        assert not echo["flags"] & EVENT_APPLIED


def test_replay_of_the_journal_gives_the_same_modes() -> None:
    rig = connected()
    for number, part in enumerate(PARTS.values()):
        give(rig, part, number % 4)
    controls, _ = inputs_of(of_type(rig.all_events(), T.CONTROL_MODE))
    again = connected()
    again.step(controls=np.split(controls, len(controls)))
    assert np.array_equal(again.desk.modes, rig.desk.modes)
    assert np.array_equal(again.desk.bounds, rig.desk.bounds)
    assert np.array_equal(again.desk.instrument_limits, rig.desk.instrument_limits)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(list((PARTS | OTHERS).values())), st.sampled_from(Mode))),
    st.sampled_from([0, 1, 2, UNKNOWN]),
    st.sampled_from([0, 1, 2, UNKNOWN]),
    st.booleans(),
)
def test_the_most_severe_mode_holds(
    given_modes: list[tuple[tuple[int, int], Mode]],
    trend: int,
    volatility: int,
    leaves: bool,
) -> None:
    rig = connected(leaves=leaves)
    table: dict[tuple[int, int], Mode] = {}
    for part, mode in given_modes:
        give(rig, part, mode)
        table[part] = mode
    trends = [Regime.TREND_DOWN, Regime.TREND_NONE, Regime.TREND_UP]
    volatilities = [Regime.CALM, Regime.USUAL, Regime.WILD]
    mine = [PARTS[name] for name in ("all", "module", "strategy", "instrument")]
    mine += [(REGIME, label) for label in (trends if trend == UNKNOWN else [trends[trend]])]
    known = volatilities if volatility == UNKNOWN else [volatilities[volatility]]
    mine += [(REGIME, label) for label in known]
    worst = max(table.get(part, LIVE) for part in mine)
    expected = SENT if worst <= (LIVE if leaves else SIMULATE) else RECORDED
    assert entered(rig, trend + 4 * volatility) == ([] if worst == OFF else expected)


def test_the_regime_of_an_entry_is_that_of_its_bars() -> None:
    rig = connected()
    market = rig.state.market
    columns = [int(market.progress[k]) for k in (13, 14)]
    assert min(columns) >= 0, "the shipped catalogue computes both labels"
    for trend, volatility in itertools.product((-1.0, 0.0, 1.0, np.nan), repeat=2):
        market.bar_features[0, 0, columns] = trend, volatility
        places = [UNKNOWN if np.isnan(label) else int(label) + 1 for label in (trend, volatility)]
        assert regime_at(market, 0, 0) == places[0] + 4 * places[1]


def test_no_mode_costs_a_look_where_none_is_set() -> None:
    rig = connected()
    assert rig.word(Word.MODES_SET) == 0
    give(rig, PARTS["instrument"], SIMULATE)
    assert rig.word(Word.MODES_SET) == 1
    give(rig, PARTS["instrument"], LIVE)
    assert rig.word(Word.MODES_SET) == 0
    assert make_event(T.CONTROL_MODE)["event_type"] == 320, "stored in journals"
