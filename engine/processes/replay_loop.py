"""The way from Python into the one step, for replay: same kernel, same batches, no rings."""

from __future__ import annotations

from engine.domain.decide import step
from engine.domain.desk import Out
from engine.domain.kernel import Records, entry
from engine.domain.state import State


@entry
def replay_step(
    state: State,
    controls: Records,
    control_count: int,
    reports: Records,
    report_count: int,
    market: Records,
    market_first: int,
    market_count: int,
    market_mask: int,
    now_ns: int,
    outer_trading_state: int,
    out: Out,
) -> int:
    """Run one step over batches as the brain took them; return market records consumed.

    Args:
        controls, reports: from their first row on; at least one row, a power of two of them.
        market: record with sequence s at s & market_mask.
    """
    return step(
        state,
        controls,
        0,
        control_count,
        controls.shape[0] - 1,
        reports,
        0,
        report_count,
        reports.shape[0] - 1,
        market,
        market_first,
        market_count,
        market_mask,
        now_ns,
        outer_trading_state,
        out,
    )
