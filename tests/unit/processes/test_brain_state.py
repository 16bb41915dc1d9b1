"""A session's state has a row for every instrument that may come, and refuses the others."""

import msgspec
import numpy as np
import pytest

from engine.config import Config, StrategyConfig
from engine.domain.decide import create_out, step
from engine.domain.firewall_reasons import FirewallReason
from engine.domain.instrument import instrument_rows
from engine.domain.market_state import INSTRUMENTS_KNOWN, LEADER
from engine.domain.records import EVENT_DTYPE
from engine.domain.strategy_table import select_rows
from engine.processes.brain_state import create_session_state, learn_instrument
from engine.processes.instrument_room import ONBOARDED_MAX, row_capacity
from engine.processes.strategy_rows import strategy_rows
from tests.builders import make_instrument, make_quote

ROWS = select_rows(["quote_imbalance"])
KNOWN = [make_instrument("AUSDT"), make_instrument("BUSDT", instrument_index=1)]
COMES = make_instrument("CUSDT", instrument_index=2, min_notional_e8=7)


def config(**changes: object) -> Config:
    return msgspec.structs.replace(Config(), **({"instruments_max": 5} | changes))


def test_a_ranking_leaves_rows_for_those_that_come() -> None:
    state = create_session_state(config(instruments_top=2), KNOWN, ROWS, 1)
    assert len(state.market.hot) == len(state.desk.ledger) == 5
    assert state.market.progress[INSTRUMENTS_KNOWN] == 2
    np.testing.assert_array_equal(state.market.instruments[:2], instrument_rows(KNOWN))
    assert (state.market.instruments["flags"][2:] == 0).all(), "closed: nothing is entered"


@pytest.mark.parametrize(
    ("changes", "capacity"),
    [
        ({"instruments": ("AUSDT", "BUSDT")}, 5),
        ({"instruments": ("AUSDT", "BUSDT"), "instruments_max": 300}, 2 + ONBOARDED_MAX),
        ({"instruments": ("AUSDT", "BUSDT", "CUSDT"), "instruments_max": 300}, 3 + ONBOARDED_MAX),
        ({"instruments_max": 1}, 2),
        ({}, 5),
    ],
)
def test_named_instruments_leave_room_for_onboarded_ones(
    changes: dict[str, object], capacity: int
) -> None:
    assert row_capacity(config(**changes), 2) == capacity


def test_what_is_learned_is_as_if_it_had_been_known() -> None:
    settings = config(instruments_top=2)
    grown = create_session_state(settings, KNOWN, ROWS, 1)
    learn_instrument(grown, settings, COMES)
    whole = create_session_state(settings, [*KNOWN, COMES], ROWS, 1)
    for part, same in zip(grown.market[:6], whole.market[:6], strict=True):
        np.testing.assert_array_equal(part, same)
    np.testing.assert_array_equal(grown.desk.instrument_limits, whole.desk.instrument_limits)
    with pytest.raises(AssertionError, match="comes next"):
        learn_instrument(grown, settings, COMES)


def test_an_instrument_that_comes_has_the_bars_its_size_ends() -> None:
    own = StrategyConfig(name="mine", kind="smc", bars="volume:2 CUSDT=7")
    settings = config(instruments_top=2, strategy=(own,), strategies=("mine",))
    rows = strategy_rows(settings)
    grown = create_session_state(settings, KNOWN, rows, 1)
    learn_instrument(grown, settings, COMES)
    whole = create_session_state(settings, [*KNOWN, COMES], rows, 1)
    np.testing.assert_array_equal(grown.market.thresholds[:3], whole.market.thresholds[:3])
    assert grown.market.thresholds[:3, -1].tolist() == [2_000, 2_000, 7_000]


@pytest.mark.parametrize(
    ("leader", "index"), [("BUSDT", 1), ("CUSDT", 2), ("BTCUSDT", -1), ("-", -1)]
)
def test_the_leader_is_the_instrument_of_that_name_from_when_it_is_known(
    leader: str, index: int
) -> None:
    settings = config(instruments_top=2, leader=leader)
    state = create_session_state(settings, KNOWN, ROWS, 1)
    assert state.market.progress[LEADER] == (index if index < len(KNOWN) else -1)
    learn_instrument(state, settings, COMES)
    assert state.market.progress[LEADER] == index


def test_a_record_of_a_row_nobody_has_is_refused_until_it_is_learned() -> None:
    settings = config(instruments_top=2)
    state = create_session_state(settings, KNOWN, ROWS, 1)
    out = create_out()
    none = np.zeros(1, dtype=EVENT_DTYPE)

    def take(sequence: int) -> None:
        quote = make_quote(instrument_index=2, sequence=sequence)
        step(state, none, 0, 0, 0, none, 0, 0, 0, quote, 0, 1, 0, sequence, 0, out)

    take(1)
    assert state.market.reject_counts[FirewallReason.INSTRUMENT_UNKNOWN] == 1
    assert state.market.hot["bid_price_ticks"][2] == 0
    learn_instrument(state, settings, COMES)
    take(2)
    assert state.market.reject_counts[FirewallReason.INSTRUMENT_UNKNOWN] == 1
    assert state.market.hot["bid_price_ticks"][2] > 0
