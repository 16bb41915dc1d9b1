"""What does a record cost the brain, and what memory does it take, from 1 to 3,000 instruments?

`python -m bench.growth [--json FILE] [--passes N]`, drawn by `bench.growth_plot`

The one step (`decide.step`, firewall to gates) over batches of 256 records of a market in which
every instrument is as busy as BTCUSDT and ETHUSDT were when they were recorded, so that records of
all instruments follow each other (`bench/sides/brain_tapes.py`): at 3,000 instruments every record
finds the rows of its own instrument where 3,000 others were used in between. The first quarter of a
market warms and is not timed. Memory is what the state's arrays hold.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Final

import numpy as np

from bench import harness
from engine.processes import kernel_cache

HOME: Final = os.environ.get("AEGIS_HOME", str(Path("~/.local/state/aegis").expanduser()))
kernel_cache.activate(HOME)

from bench.sides import brain_stages as stages  # noqa: E402 - only now is the cache chosen
from bench.sides import brain_tapes  # noqa: E402
from engine.domain.decide import create_out, create_state  # noqa: E402
from engine.domain.kernel import Records  # noqa: E402
from engine.domain.limits import RiskLimits  # noqa: E402
from engine.domain.records import EVENT_DTYPE  # noqa: E402
from engine.domain.strategy_table import select_rows  # noqa: E402
from tests.market_runs import arrays_of  # noqa: E402

TOTAL: Final = 4_400_000
COUNTS: Final = (1, 20, 300, 3_000)
BASELINE: Final = "20 instruments"
MB: Final = 1_000_000
ROWS: Final = select_rows()

BENCH: Final = harness.Bench(
    name="growth",
    question="What does a record cost, and what memory does it take, as instruments are added?",
    load="recorded BTCUSDT and ETHUSDT, interleaved over 1 to 3,000 instruments",
    worry="a record at 3,000 instruments costs more than 1.5 times one at 20",
    units={"ns": "ns", "records": "", "state": "MB"},
    baseline=BASELINE,
)


class Market:
    """A market of so many instruments."""

    def __init__(self, recorded: Records, count: int) -> None:
        """Interleave the recorded market over `count` instruments."""
        self.instruments = brain_tapes.instruments_of(count)
        tape = brain_tapes.interleaved(recorded, count, TOTAL)
        # The step looks records up by a mask, so their number is a power of two.
        self.tape = tape[: 1 << (len(tape).bit_length() - 1)]
        self.cut = len(self.tape) // 4

    def run(self) -> harness.Pass:
        """Play the market from the start; return ns per record and MB of state."""
        state = create_state(self.instruments, ROWS, RiskLimits(), epoch=1)
        brain_tapes.with_clock(state.market, self.tape)
        out, nothing = create_out(), np.zeros(1, dtype=EVENT_DTYPE)
        stages.steps(state, nothing, self.tape, 0, self.cut, out)
        timed = len(self.tape) - self.cut
        started = time.thread_time_ns()
        taken = stages.steps(state, nothing, self.tape, self.cut, timed, out)
        ns = time.thread_time_ns() - started
        assert taken == timed, "every record was taken"
        assert state.market.reject_counts.sum() < len(self.tape) // 100, "and used"
        held = sum(part.nbytes for part in arrays_of(state).values())
        return {"ns": ns / timed, "records": float(timed), "state": held / MB}


def main() -> None:
    """Measure, print the table, write the JSON."""
    asked = harness.arguments(__doc__ or "")
    about = harness.machine()
    os.sched_setaffinity(0, {harness.two_cores()[0]})
    recorded, is_recorded = brain_tapes.recorded_market()
    if not is_recorded:
        sys.stderr.write("figures are of a synthetic market\n")
    markets = {f"{count} instruments": Market(recorded, count) for count in COUNTS}
    cases: dict[str, harness.Case] = {name: it.run for name, it in markets.items()}
    harness.finish(BENCH, harness.measure(cases, asked), about, asked.json)


if __name__ == "__main__":
    main()
