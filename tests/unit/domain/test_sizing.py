"""Sizes of entries: Kelly with a cap, losses that shrink them, against plain arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.codes import EventType
from engine.domain.edge import weigh_entry
from engine.domain.equity import limit_used
from engine.domain.limits import RiskLimits
from engine.domain.market_state import (
    ENTRIES_WITHOUT_EDGE,
    ENTRIES_WITHOUT_SIZE,
    EQUITY_E8,
    LOSS_USED_PPM,
    MarketState,
    create_market_state,
)
from engine.domain.opportunity import OPPORTUNITY_DTYPE, propose_entry
from engine.domain.size_reasons import BY_KELLY, BY_LOSSES
from engine.domain.sizing import (
    claimed_chance,
    edge_asked_bps,
    kelly_share,
    loss_stress,
)
from engine.domain.strategy_table import StrategyKind, StrategyRow
from tests.builders import make_instruments
from tests.desk_rig import E8, GENEROUS, DeskRig, of_type

BID, ASK = 600_000, 600_001
UNIT_E8 = 10_000
EQUITY = 10_000 * E8
SHARES = st.floats(0.0, 1.0)
DISTANCES = st.floats(0.5, 500.0)


def market_of(*, used: float = 0.0, equity: int = EQUITY, **parameters: float) -> MarketState:
    """Return a market with a quote, distances of 20 and 40 bps, and an account."""
    row = StrategyRow(
        name="row",
        kind=StrategyKind.QUOTE_IMBALANCE,
        timeframe_s=1,
        notional=1_210.0,
        parameters={"threshold": 0.5, "stop_atr": 1.0, "take_atr": 2.0, **parameters},
    )
    market = create_market_state(make_instruments(1), [row])
    market.hot["bid_price_ticks"], market.hot["ask_price_ticks"] = BID, ASK
    market.hot["bid_qty_lots"] = market.hot["ask_qty_lots"] = 10_000
    market.hot["micro"][:] = 0.8
    market.atr_ticks[:] = BID * 20 / 10_000
    market.progress[EQUITY_E8] = equity
    market.progress[LOSS_USED_PPM] = round(used * 1_000_000)
    return market


def entry(market: MarketState) -> tuple[bool, np.void]:
    """Propose and weigh one entry; return whether it is wanted, and its row."""
    rows = np.zeros(4, dtype=OPPORTUNITY_DTYPE)
    assert propose_entry(market, rows, 0, 0, 0, 1, 4) == 1
    return weigh_entry(market, rows, 0, 0.8), rows[0]


@given(
    stop=DISTANCES,
    take=DISTANCES,
    cost=st.floats(0.0, 50.0),
    conviction=SHARES,
)
def test_kelly_is_the_bet_that_grows_fastest(
    stop: float, take: float, cost: float, conviction: float
) -> None:
    """Growth p * log(1 + f * won / lost) + q * log(1 - f): nothing nearby grows faster."""
    chance = claimed_chance(stop, take, conviction)
    assert 0.0 < chance <= 1.0
    share = kelly_share(chance, stop, take, cost)
    assert 0.0 <= share <= 1.0
    won, lost = take - cost, stop + cost
    if won <= 0.0:
        assert share == 0.0
        return

    def growth(f: float) -> float:
        if f >= 1.0:
            return -math.inf if chance < 1.0 else math.log1p(f * won / lost)
        return chance * math.log1p(f * won / lost) + (1.0 - chance) * math.log1p(-f)

    for other in (0.0, share * 0.9, min(share * 1.1, 1.0), min(share + 0.02, 1.0), 0.5):
        assert growth(other) <= growth(share) + 1e-9


@given(stop=DISTANCES, take=DISTANCES)
def test_a_row_that_claims_nothing_bets_nothing(stop: float, take: float) -> None:
    fair = claimed_chance(stop, take, 0.0)
    assert kelly_share(fair, stop, take, 0.0) == pytest.approx(0.0, abs=1e-12)
    assert kelly_share(fair, stop, take, 1e-3) == 0.0


@given(used=st.fractions(0, 1), start=st.fractions(0, 1))
def test_stress_is_the_way_from_its_start_to_the_limit(used: Fraction, start: Fraction) -> None:
    found = loss_stress(float(used), float(start))
    expected = (used - start) / (1 - start) if used > start and start < 1 else Fraction(0)
    assert found == pytest.approx(float(expected), abs=1e-9)


@given(first=SHARES, second=SHARES, start=SHARES)
def test_more_losses_never_mean_less_stress(first: float, second: float, start: float) -> None:
    less, more = sorted((first, second))
    assert loss_stress(less, start) <= loss_stress(more, start) <= 1.0


@given(
    base=st.integers(1, 10**15),
    lost=st.integers(-(10**15), 10**15),
    ratio=st.floats(0.001, 1.0),
)
def test_used_is_the_part_of_the_limit_that_is_lost(base: int, lost: int, ratio: float) -> None:
    found = limit_used(base, base - lost, ratio)
    expected = min(max(Fraction(lost) / (Fraction(ratio) * base), Fraction(0)), Fraction(1))
    assert found == pytest.approx(float(expected), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("base", "ratio"), [(0, 0.1), (-5, 0.1), (100, 0.0)])
def test_without_a_base_or_a_limit_all_of_it_is_used(base: int, ratio: float) -> None:
    assert limit_used(base, 100, ratio) == 1.0


def test_rows_that_do_not_ask_keep_their_size_and_edge() -> None:
    wanted, row = entry(market_of(used=0.9))
    assert wanted
    assert (row["qty_lots"], row["wanted_lots"], row["size_reasons"]) == (20, 0, 0)


def twin_lots(kelly: float, risk_max: float, claim: float) -> int:
    """Return the lots a plain reading of the module's words allows."""
    stop, take = BID * 20 / 10_000 / ASK * 1e4, BID * 40 / 10_000 / ASK * 1e4
    cost = (ASK - BID) / ((ASK + BID) / 2) * 1e4
    fair = stop / (stop + take)
    chance = fair + claim * 0.8 * (1 - fair)
    share = max(chance - (1 - chance) * (stop + cost) / (take - cost), 0.0)
    money = min(kelly * share, risk_max) * EQUITY
    return min(math.floor(money / ((stop + cost) / 1e4) / (ASK * UNIT_E8)), 20)


@pytest.mark.parametrize("kelly", [0.01, 0.05, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("risk_max", [0.0001, 0.00015, 0.01])
@pytest.mark.parametrize("claim", [0.02, 0.1, 1.0])
def test_an_entry_is_no_larger_than_its_fraction_of_kelly(
    kelly: float, risk_max: float, claim: float
) -> None:
    market = market_of(kelly=kelly, risk_max=risk_max, claim=claim)
    wanted, row = entry(market)
    expected = twin_lots(kelly, risk_max, claim)
    assert row["qty_lots"] == expected
    assert wanted == (expected >= 1)
    assert row["size_reasons"] == (BY_KELLY if expected < 20 else 0)
    assert market.progress[ENTRIES_WITHOUT_SIZE] == (0 if wanted else 1)
    loss = int(row["qty_lots"]) * ASK * UNIT_E8 * 20 / 1e4
    assert loss <= risk_max * EQUITY * 1.001, "what the stop costs"


@pytest.mark.parametrize(
    "change", [{"equity": 0}, {"equity": -EQUITY}, {"claim": 0.0}, {"take_atr": 0.0}]
)
def test_kelly_of_what_is_not_known_or_not_claimed_is_no_entry(change: dict[str, float]) -> None:
    market = market_of(**{"kelly": 0.5, **change})  # type: ignore[arg-type]
    wanted, _ = entry(market)
    assert not wanted
    assert market.progress[ENTRIES_WITHOUT_SIZE] == 1


@pytest.mark.parametrize(
    ("used", "lots"), [(0.0, 20), (0.5, 20), (0.6, 17), (0.75, 12), (0.875, 8), (1.0, 5)]
)
def test_entries_shrink_on_the_way_to_a_loss_limit(used: float, lots: int) -> None:
    wanted, row = entry(market_of(used=used, safe_from=0.5, safe_least=0.25))
    assert wanted
    assert row["qty_lots"] == lots
    assert row["size_reasons"] == (BY_LOSSES if used > 0.5 else 0)


def test_both_reasons_stand_together() -> None:
    market = market_of(used=0.75, safe_from=0.5, kelly=1.0, risk_max=0.0001, claim=1.0)
    _, row = entry(market)
    alone = entry(market_of(kelly=1.0, risk_max=0.0001, claim=1.0))[1]["qty_lots"]
    assert row["size_reasons"] == BY_KELLY | BY_LOSSES
    assert row["qty_lots"] == int(int(alone) * 0.625)
    assert row["wanted_lots"] == 20


def test_what_is_left_below_the_venues_least_is_not_wanted() -> None:
    market = market_of(used=1.0, safe_from=0.5, safe_least=0.25)
    market.instruments["min_qty_lots"] = 6
    wanted, _ = entry(market)
    assert not wanted
    market.instruments["min_qty_lots"] = 5
    assert entry(market)[0]


def test_sizes_keep_the_venues_step() -> None:
    market = market_of(used=0.75, safe_from=0.5, safe_least=0.25)
    market.instruments["market_step_lots"] = 5
    assert entry(market)[1]["qty_lots"] == 10


@pytest.mark.parametrize(
    ("least", "used", "expected"),
    [(-1.0, 0.4, -1.0), (-1.0, 0.75, 5.0), (2.0, 0.4, 2.0), (2.0, 0.75, 7.0), (2.0, 1.0, 12.0)],
)
def test_entries_need_more_edge_on_the_way_to_a_loss_limit(
    least: float, used: float, expected: float
) -> None:
    market = market_of(used=used, safe_from=0.5, safe_edge_bps=10.0, edge_min_bps=least)
    assert edge_asked_bps(market, 0) == pytest.approx(expected)


def test_an_entry_without_the_edge_asked_near_the_limit_is_not_wanted() -> None:
    calm = market_of(used=0.2, safe_from=0.5, safe_edge_bps=100.0)
    assert entry(calm)[0]
    near = market_of(used=0.9, safe_from=0.5, safe_edge_bps=100.0)
    assert not entry(near)[0]
    assert near.progress[ENTRIES_WITHOUT_EDGE] == 1


def test_the_order_side_shows_equity_and_the_nearer_limit() -> None:
    limits = RiskLimits(
        **GENEROUS._asdict() | {"daily_loss_ratio_max": 0.02, "drawdown_ratio_max": 0.10}
    )
    rig = DeskRig(limits)
    rig.connect()
    rig.wait(1.1)
    assert rig.desk.progress[EQUITY_E8] == 10_000 * E8
    assert rig.desk.progress[LOSS_USED_PPM] == 0
    rig.report(EventType.FUNDING, instrument_index=0, trade_id=1, funding_e8=-100 * E8)
    assert rig.desk.progress[EQUITY_E8] == 9_900 * E8
    assert rig.desk.progress[LOSS_USED_PPM] == 500_000, "half of the day's two per cent"


def test_a_decision_says_what_made_it_smaller() -> None:
    rig = DeskRig()
    rig.connect()
    rig.propose(1, 5)
    plain = of_type(rig.events[-1], EventType.SIGNAL_GENERATED)[0]
    assert (plain["wanted_lots"], plain["size_reasons"]) == (0, 0)
    rig.propose(1, 5, wanted=12, size_reasons=BY_LOSSES)
    told = of_type(rig.events[-1], EventType.SIGNAL_GENERATED)[0]
    assert (told["qty_lots"], told["wanted_lots"], told["size_reasons"]) == (5, 12, BY_LOSSES)
