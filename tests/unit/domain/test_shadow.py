"""The shadow record equals a plain count over the same wants, filled at the touch."""

from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.kernel import python_of
from engine.domain.market_state import create_market_state
from engine.domain.shadow import (
    PPM,
    SHADOW_DTYPE,
    Shadow,
    create_shadow,
    fee_of,
    open_result_e8,
    shadow_market,
)
from engine.domain.strategy_table import StrategyRow, select_rows
from tests.brain_digest import LAX_ROWS
from tests.builders import make_instruments
from tests.market_runs import play, synthetic_market

FEE_PPM = 500
NAMES = SHADOW_DTYPE.names or ()
ROWS = select_rows((row.name for row in LAX_ROWS), LAX_ROWS)


def shadow_of(
    records: np.ndarray,
    rows: tuple[StrategyRow, ...],
    parts: int = 1,
    *,
    only: int = -1,
    since_ns: int = 0,
) -> tuple[Any, Shadow]:
    instruments = make_instruments(2)
    market = create_market_state(instruments, rows)
    shadow = create_shadow(len(instruments), len(rows), only=only, since_ns=since_ns)
    for part in np.array_split(np.arange(len(records)), parts):
        shadow_market(market, shadow, records[part[0] : part[-1] + 1], FEE_PPM)
    return market, shadow


def counted(records: np.ndarray, rows: tuple[StrategyRow, ...]) -> dict[int, dict[str, int]]:
    """Return every strategy's record, from the log of the tests' own paper run."""
    instruments = make_instruments(2)
    log = play(records, instruments, rows).log
    made: dict[int, dict[str, int]] = defaultdict(lambda: dict.fromkeys(NAMES, 0))
    opened: dict[tuple[int, int], tuple[int, int, int, int]] = {}
    for row in log:
        i, s, side = (int(row[n]) for n in ("instrument_index", "strategy_index", "side"))
        price, lots = int(row["price_ticks"]), int(row["qty_lots"])
        now_ns = int(records["receive_time_ns"][row["record"]])
        unit = int(instruments["unit_e8"][i])
        fee = price * lots * unit * FEE_PPM // PPM
        own = made[s]
        own["traded_e8"] += price * lots * unit
        own["fee_e8"] += fee
        if row["is_entry"]:
            own["entry_count"] += 1
            opened[i, s] = (side, price, fee, now_ns)
            continue
        entry_side, entry_price, entry_fee, since_ns = opened.pop((i, s))
        gross = (price - entry_price) * entry_side * lots * unit
        own["exit_count"] += 1
        own["gross_e8"] += gross
        own["held_ns"] += now_ns - since_ns
        own["win_count"] += gross > fee + entry_fee
        net = own["gross_e8"] - own["fee_e8"]
        own["peak_e8"] = max(own["peak_e8"], net)
        own["fall_e8"] = max(own["fall_e8"], own["peak_e8"] - net)
    return made


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_record_is_what_a_plain_count_finds(seed: int) -> None:
    records = synthetic_market(6_000, seed=seed)
    _, shadow = shadow_of(records, ROWS)
    expected = counted(records, ROWS)
    assert sum(own["exit_count"] for own in expected.values()) > 10, "something was traded"
    for s in range(len(ROWS)):
        found = {name: int(shadow.records[name][s]) for name in NAMES}
        assert found == expected[s], ROWS[s].name


def test_it_does_not_matter_where_a_journal_s_batches_end() -> None:
    records = synthetic_market(4_000, seed=4)
    _, whole = shadow_of(records, ROWS)
    _, parts = shadow_of(records, ROWS, parts=37)
    assert whole.records.tobytes() == parts.records.tobytes()
    assert np.array_equal(whole.exposure, parts.exposure)


@pytest.mark.parametrize("alone", range(len(ROWS)))
def test_a_strategy_makes_the_same_alone_as_among_others(alone: int) -> None:
    records = synthetic_market(4_000, seed=5)
    _, together = shadow_of(records, ROWS)
    _, single = shadow_of(records, (ROWS[alone],))
    assert single.records.tobytes() == together.records[alone : alone + 1].tobytes()


def test_one_instrument_alone_and_a_later_beginning_are_parts_of_the_whole() -> None:
    records = synthetic_market(4_000, seed=6)
    _, whole = shadow_of(records, ROWS)
    alone = [shadow_of(records, ROWS, only=i)[1].records for i in range(2)]
    for name in ("entry_count", "exit_count", "traded_e8", "gross_e8", "fee_e8"):
        assert (alone[0][name] + alone[1][name] == whole.records[name]).all(), name
    assert alone[0]["entry_count"].any()
    assert alone[1]["entry_count"].any()
    middle_ns = int(records["receive_time_ns"][len(records) // 2])
    _, late = shadow_of(records, ROWS, since_ns=middle_ns)
    entered = late.exposure["entry_time_ns"]
    assert 0 < late.records["entry_count"].sum() < whole.records["entry_count"].sum()
    assert (entered[entered > 0] >= middle_ns).all()
    _, never = shadow_of(records, ROWS, since_ns=int(records["receive_time_ns"][-1]) + 1)
    assert not never.records["entry_count"].any()


def test_what_is_open_is_worth_what_leaving_it_would_bring() -> None:
    found = 0
    for seed in range(1, 6):
        market, shadow = shadow_of(synthetic_market(2_000, seed=seed), ROWS)
        for s in range(len(ROWS)):
            worth = 0
            for i, held in enumerate(shadow.exposure[:, s]):
                lots = int(held["position_lots"])
                name = "bid_price_ticks" if lots > 0 else "ask_price_ticks"
                move = int(market.hot[name][i]) - int(held["entry_price_ticks"])
                worth += move * lots * int(market.instruments["unit_e8"][i]) if lots else 0
            assert open_result_e8(market, shadow, s) == worth
            found += worth != 0
    assert found, "some position was open at an end"


@given(st.integers(0, 4 * 10**18), st.integers(0, 10_000))
def test_a_fee_is_exact_and_no_product_leaves_its_word(notional_e8: int, ppm: int) -> None:
    assert python_of(fee_of)(notional_e8, ppm) == notional_e8 * ppm // PPM
    assert (notional_e8 // PPM) * ppm + (PPM - 1) * ppm < 2**63
