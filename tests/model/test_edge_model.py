"""Entries that clear their cost, against a plain Python model of what an edge is.

A whole market goes by twice and nobody ever fills: once no row asks for an edge, once each asks for
one of its own. What the second run wants must be exactly what the model keeps of the first's.
"""

import math
import random
from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from engine.domain.edge import beyond_bound, weigh_entry
from engine.domain.kernel import python_of
from engine.domain.market_state import (
    ENTRIES_WITHOUT_EDGE,
    TAKER_FEE_PPM,
    MarketState,
    create_market_state,
)
from engine.domain.opportunity import (
    EXPOSURE_DTYPE,
    OPPORTUNITIES_PER_RECORD_MAX,
    OPPORTUNITY_DTYPE,
    propose_entry,
)
from engine.domain.strategy import apply_market
from engine.domain.strategy_table import StrategyKind, StrategyRow, select_rows
from tests.brain_digest import LAX_ROWS
from tests.builders import make_instruments
from tests.market_runs import synthetic_market

FEE_PPM = 40  # a market that moves little: with a real fee nothing would ever clear it
FIGURES = ("expected_move_bps", "confidence", "cost_bps", "edge_bps")


class Want(NamedTuple):
    """One entry that a record caused."""

    record: int
    instrument: int
    strategy: int
    side: int
    figures: tuple[float, ...]


def rules_row(name: str, rules: dict[str, str], **parameters: float) -> StrategyRow:
    return StrategyRow(
        name=name, kind=StrategyKind.RULES, timeframe_s=1, rules=rules, parameters=parameters
    )


ROWS = (
    *LAX_ROWS,
    rules_row(
        "with",
        {"entry": "with", "entry_feature": "returns.change_1"},
        entry_at=0.2, stop_atr=1.0, take_atr=3.0,
    ),
    rules_row(
        "event",
        {"entry": "event", "entry_feature": "smart_money.trend.side"},
        entry_at=4.0, stop_atr=1.0,
    ),
    rules_row("unbound", {"entry": "against", "entry_feature": "returns.change_5"}, entry_at=0.0),
)  # fmt: skip


def asked(least: dict[str, float], claims: dict[str, float]) -> tuple[StrategyRow, ...]:
    rows = [
        msgspec.structs.replace(
            row,
            parameters=row.parameters
            | {"edge_min_bps": least[row.name], "claim": claims[row.name]},
        )
        for row in ROWS
    ]
    return select_rows([row.name for row in rows], rows)


def model(market: MarketState, rows: tuple[StrategyRow, ...], want: np.void) -> tuple[float, ...]:
    """Return the four figures of an entry from the market as it stands."""
    i, s, side = (int(want[n]) for n in ("instrument_index", "strategy_index", "side"))
    row, hot = rows[s], market.hot[i]
    t = list(market.timeframes_ns).index(row.timeframe_s * 1_000_000_000)
    atr = float(market.atr_ticks[i, t])
    bid, ask = int(hot["bid_price_ticks"]), int(hot["ask_price_ticks"])
    take = row.parameters.get("take_atr", 0.0) * atr
    move = (take if take > 0 else atr) / (ask if side > 0 else bid) * 10_000
    offered = int(hot["ask_qty_lots" if side > 0 else "bid_qty_lots"])
    spread = (ask - bid) / ((ask + bid) / 2) * 10_000
    extra = min(max(int(want["qty_lots"]) / max(offered, 1) - 1, 0), 10)
    cost = 2 * FEE_PPM / 100 + spread * (1 + extra)
    own = row.parameters
    if row.kind in {StrategyKind.ORDERFLOW, StrategyKind.QUOTE_IMBALANCE}:
        sure = abs(float(want["score"]))
    elif row.kind is StrategyKind.SMC:
        sure = min(abs(float(want["score"])) / (2 * own["flow_min"]), 1)
    elif row.name == "event":
        column = market_column(rows, "smart_money.trend.age")
        sure = 1 - float(market.bar_features[i, t, column]) / (2 * (own["entry_at"] + 1))
    elif own["entry_at"] > 0:
        sure = min(abs(float(want["input_1"])) / (2 * own["entry_at"]), 1)
    else:
        sure = 1.0
    return move, sure, cost, own.get("claim", 0.5) * sure * move - cost


def market_column(_rows: tuple[StrategyRow, ...], name: str) -> int:
    from engine.domain.features.catalogue import catalogue_text, compile_plan

    return compile_plan(catalogue_text()).bar_columns.index(name)


def wants_of(
    records: np.ndarray, rows: tuple[StrategyRow, ...]
) -> tuple[list[Want], list[tuple[float, ...]], MarketState]:
    market = create_market_state(make_instruments(2), rows)
    market.progress[TAKER_FEE_PPM] = FEE_PPM
    exposure = np.zeros((2, len(rows)), dtype=EXPOSURE_DTYPE)
    found = np.zeros(OPPORTUNITIES_PER_RECORD_MAX, dtype=OPPORTUNITY_DTYPE)
    wants: list[Want] = []
    modelled: list[tuple[float, ...]] = []
    for place in range(len(records)):
        now_ns = int(records["receive_time_ns"][place])
        for k in range(python_of(apply_market)(market, exposure, records, place, now_ns, found)):
            row = found[k]
            figures = tuple(float(row[name]) for name in FIGURES)
            i, s, side = (int(row[n]) for n in ("instrument_index", "strategy_index", "side"))
            wants.append(Want(place, i, s, side, figures))
            modelled.append(model(market, rows, row))
    return wants, modelled, market


@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_wanted_is_what_the_model_keeps(seed: int) -> None:
    chance = random.Random(seed)
    claims = {row.name: chance.uniform(1.0, 4.0) for row in ROWS}
    least = {row.name: chance.choice([0.0, 0.0, chance.uniform(0, 1)]) for row in ROWS}
    records = synthetic_market(2_500, seed=seed)
    rows = asked({row.name: -1.0 for row in ROWS}, claims)
    free, modelled, market = wants_of(records, rows)
    assert market.progress[ENTRIES_WITHOUT_EDGE] == 0
    for want, expected in zip(free, modelled, strict=True):
        np.testing.assert_allclose(want.figures, expected, rtol=1e-12, atol=1e-12)
    kept, _, strict = wants_of(records, asked(least, claims))
    expected_kept = [it for it in free if it.figures[3] >= least[rows[it.strategy].name]]
    assert kept == expected_kept
    assert 0 < len(kept) < len(free), "some clear their cost and some do not"
    assert strict.progress[ENTRIES_WITHOUT_EDGE] == len(free) - len(kept)


def test_what_is_not_known_clears_nothing() -> None:
    (row,) = asked({row.name: 0.0 for row in ROWS}, {row.name: 1.0 for row in ROWS})[2:3]
    market = create_market_state(make_instruments(1), [row])
    market.hot["bid_price_ticks"][0], market.hot["ask_price_ticks"][0] = 599_999, 600_000
    market.hot["ask_qty_lots"][0] = 1_000
    market.hot["micro"][0] = 0.9
    found = np.zeros(4, dtype=OPPORTUNITY_DTYPE)
    assert propose_entry(market, found, 0, 0, 0, 1, 4) == 1
    assert math.isnan(market.atr_ticks[0, 0])
    assert not weigh_entry(market, found, 0, 0.9)
    market.atr_ticks[0, 0] = 60_000.0
    assert weigh_entry(market, found, 0, 0.9)


@pytest.mark.parametrize(
    ("number", "bound", "expected"),
    [(2.0, 2.0, 0.5), (-3.0, 2.0, 0.75), (4.0, 2.0, 1.0), (99.0, 2.0, 1.0), (0.1, 0.0, 1.0)],
)
def test_a_reading_is_half_sure_at_its_bound(number: float, bound: float, expected: float) -> None:
    assert python_of(beyond_bound)(number, bound) == expected
    assert math.isnan(python_of(beyond_bound)(math.nan, bound))
