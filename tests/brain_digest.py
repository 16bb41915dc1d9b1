"""Write one digest of everything the market side computes on a synthetic market.

Run as a program, because compiled, uncompiled and bounds-checked kernels differ by environment:
`NUMBA_DISABLE_JIT=1 python -m tests.brain_digest 2000` must write what the compiled run writes.
"""

import hashlib
import sys

import msgspec
import numpy as np

from engine.domain.strategy_table import StrategyKind, StrategyRow, select_rows
from tests.builders import make_instruments
from tests.market_runs import PaperRun, arrays_of, play, synthetic_market

# Lax rows, so that a short market meets every kernel.
LAX_ROWS = (
    StrategyRow(
        name="smc_lax",
        kind=StrategyKind.SMC,
        timeframe_s=1,
        parameters={"flow_min": 0.5, "quote_flow_min": -99.0, "stop_atr": 1.0, "take_atr": 1.0},
    ),
    StrategyRow(
        name="orderflow_lax",
        kind=StrategyKind.ORDERFLOW,
        timeframe_s=1,
        parameters={"enter_score": 0.3, "exit_score": 0.1, "max_hold_s": 3.0, "stop_atr": 1.0},
    ),
    StrategyRow(
        name="imbalance_lax",
        kind=StrategyKind.QUOTE_IMBALANCE,
        parameters={"threshold": 0.3, "limit_slip_ticks": 2.0},
    ),
)
# Beside them one whose bars end by what was traded, by another measure for one instrument.
VOLUME_ROW = msgspec.structs.replace(LAX_ROWS[0], name="smc_volume", bars="volume:2 T1USDT=1")

# And one that only a stop ends, which trails.
TRAIL_ROW = StrategyRow(
    name="trail_lax",
    kind=StrategyKind.QUOTE_IMBALANCE,
    parameters={"threshold": 0.3, "min_hold_s": 1e6, "trail_atr": 0.5},
)


def run(count: int, seed: int = 1) -> PaperRun:
    """Return a run of lax strategies over a synthetic market."""
    given = (*LAX_ROWS, VOLUME_ROW, TRAIL_ROW)
    rows = select_rows((row.name for row in given), given)
    return play(synthetic_market(count, seed=seed), make_instruments(2), rows)


def digest(result: PaperRun) -> str:
    """Return SHA-256 over the log, the exposure and every array of the state; NaNs are alike."""
    total = hashlib.sha256()
    parts = arrays_of(result.market) | {"log": result.log, "exposure": result.exposure}
    for name in sorted(parts):
        part = parts[name]
        for field in part.dtype.names or ("",):
            numbers = part[field] if field else part
            if numbers.dtype.kind == "f":
                numbers = np.where(np.isnan(numbers), np.nan, numbers)
            total.update(name.encode() + field.encode())
            total.update(np.ascontiguousarray(numbers).tobytes())
    return total.hexdigest()


if __name__ == "__main__":
    outcome = run(int(sys.argv[1]))
    words = (digest(outcome), len(outcome.log), int(outcome.market.closed_count.sum()))
    sys.stdout.write(" ".join(map(str, words)) + "\n")
