"""What orders cost together: averages by notional, groups, the dearest, and nothing made up."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.processes.execution_report import (
    FIGURES,
    costs_row,
    execution_report,
    execution_text,
)
from engine.store.execution_costs import MARKOUTS_S, Costs, Execution
from engine.store.order_costs import WorkedOrder
from tests.engine_process import aegis
from tests.journal_homes import S, add_session, known
from tests.store_events import fill, request

Row = tuple[WorkedOrder, Costs]


def order_row(
    lots: int,
    figure: float | None,
    strategy: str = "orderflow",
    maker_lots: int = 0,
    fee_e8: int = 0,
) -> Row:
    """Return an order of twice its fill, with one figure for all."""
    fills = [Execution(1, 1_000, lots)]
    order = WorkedOrder("a-1", "BTCUSDT", strategy, 0, 1, 2 * lots, 0, 2_000, 10_000, fills)
    marks: dict[int, float | None] = dict.fromkeys(MARKOUTS_S, figure)
    costs = Costs(2 * lots, lots, maker_lots, 1_000.0, fee_e8, figure, figure, figure, None, marks)
    return order, costs


ROWS = st.lists(
    st.builds(order_row, st.integers(1, 1_000), st.none() | st.floats(-100, 100)),
    min_size=1,
    max_size=20,
)


@given(ROWS)
def test_an_average_is_by_notional_over_what_is_known(rows: list[Row]) -> None:
    found = costs_row("x", rows)
    told = [(c.arrival_bps, c.filled_lots) for _, c in rows if c.arrival_bps is not None]
    for figure in FIGURES:
        if told:
            mean = math.fsum(bps * lots for bps, lots in told) / sum(lots for _, lots in told)
            assert found[figure] == pytest.approx(mean, abs=1e-9)
        else:
            assert found[figure] is None
    assert found["filled"] == 0.5
    assert found["traded"] == pytest.approx(sum(c.filled_lots for _, c in rows) * 0.1)


def test_fees_are_bps_of_what_was_traded_and_rested_is_a_part_of_the_fills() -> None:
    found = costs_row("x", [order_row(10, 1.0, fee_e8=5_000), order_row(30, 1.0, maker_lots=10)])
    assert found["fees"] == pytest.approx(5_000 / (40 * 1_000 * 10_000) * 10_000)
    assert found["rested"] == 0.25


def trading(home: Path, session: str, price: int, strategy: int, lots: int = 5) -> Path:
    rows = [
        request(
            1, decision_time_ns=S, mid_half_ticks=2_000, qty_lots=lots, strategy_index=strategy
        ),
        fill(1, 1, lots, time_ns=2 * S, last_price_ticks=price, strategy_index=strategy),
    ]
    return add_session(home, rows, session=session)


def test_sessions_are_grouped_and_the_dearest_order_leads(tmp_path: Path) -> None:
    trading(tmp_path, "s1", 1_001, 0)
    trading(tmp_path, "s2", 1_004, 1, lots=10)
    trading(tmp_path, "s3", 999, 1)
    found = execution_report(known(tmp_path))
    assert found["all"]["orders"] == 3
    assert found["all"]["arrival"] == pytest.approx(10 * (5 * 1.001 + 40 * 1.004 - 5 * 0.999) / (
        5 * 1.001 + 10 * 1.004 + 5 * 0.999
    ), rel=1e-6)  # fmt: skip
    names = [(row["name"], row["orders"]) for row in found["by_strategy"]]
    assert names == [("orderflow", 2), ("smc_fvg_bos", 1)]
    assert [row["name"] for row in found["by_instrument"]] == ["BTCUSDT"]
    assert [row["arrival"] for row in found["worst"]] == pytest.approx([40.0, 10.0, -10.0])
    assert found["all"]["vwap"] is None, "no market was journaled"
    text = execution_text(found)
    assert "smc_fvg_bos" in text
    assert " -" in text


def test_a_damaged_journal_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    trading(tmp_path, "s1", 1_001, 0)
    both = known(tmp_path)
    broken = trading(tmp_path, "s2", 1_001, 0)
    both.facts.append(known(tmp_path, session="s2").facts[0])
    (broken / "session.json").unlink()
    found = execution_report(both)
    assert found["all"]["orders"] == 1
    assert len(found["unreadable"]) == 1
    assert "unreadable: no session document" in execution_text(found)


def test_no_fill_is_said_and_not_divided_by(tmp_path: Path) -> None:
    add_session(tmp_path, [request(1, decision_time_ns=S, mid_half_ticks=2_000)])
    found = execution_report(known(tmp_path))
    assert found["all"] is None
    assert "no order with a fill" in execution_text(found)


def test_the_command_adds_the_section_when_it_is_asked_for(tmp_path: Path) -> None:
    trading(tmp_path, "s1", 1_001, 0)
    plain = json.loads(aegis(tmp_path, "report", "--json").stdout)
    assert "execution" not in plain
    told = json.loads(aegis(tmp_path, "report", "--execution", "--json").stdout)
    assert told["execution"]["all"]["arrival"] == pytest.approx(10.0)
    text = aegis(tmp_path, "report", "--execution").stdout
    assert "dearest against arrival" in text
    assert "1 session," in text
