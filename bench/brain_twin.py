"""How close is the brain's kernel to the same work in C++?

`python -m bench.brain_twin [--json FILE] [--passes N]`

One market, twice: through the engine's kernels, and through a twin of them written in C++ as a C++
programmer would (`bench/native/twin`): one struct per instrument, timeframes and strategies known
when it is compiled. Firewall, book, bars, flow, features, structure, score and strategies are all
there; every order is filled at once at the quote, so that positions come and go. Before anything is
timed both must have taken the same decisions, byte for byte, and left the same state, member by
member. The twin is built by each compiler found, for this CPU, at -O3, without contracting floating
point (Numba's kernels do not either). The baseline is g++'s: clang++'s is slower here.

Figures are ns of CPU per record on one core; the first quarter of a market warms and is not timed.
The order side (risk, orders, positions) has no twin: it runs once in thousands of records.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Final

import llvmlite.binding as llvm

from bench import harness
from engine.processes import kernel_cache

HOME: Final = os.environ.get("AEGIS_HOME", str(Path("~/.local/state/aegis").expanduser()))
kernel_cache.activate(HOME)

from bench.sides import brain_tapes, twin_build  # noqa: E402 - only now is the cache chosen
from bench.sides.twin_market import Market, compare  # noqa: E402

TOTAL: Final = 2_400_000
COUNTS: Final = (2, 20, 300, 3_000)

BENCH: Final = harness.Bench(
    name="brain_twin",
    question="How close is the brain's kernel to the same work in C++?",
    load="recorded BTCUSDT and ETHUSDT, interleaved over 2 to 3,000 instruments",
    worry="more than 1.1 times the twin",
    units={"ns": "ns", "records": "", "decisions": ""},
)


def kernel_pass(market: Market) -> harness.Pass:
    """Time the engine's kernels once."""
    ns, decisions, _ = market.kernel()
    return {"ns": ns, "records": float(len(market.tape)), "decisions": float(len(decisions))}


def twin_pass(market: Market, twin: twin_build.Twin) -> harness.Pass:
    """Time the twin once."""
    ns, decisions, _ = market.twin(twin)
    return {"ns": ns, "records": float(len(market.tape)), "decisions": float(len(decisions))}


def main() -> None:
    """Compare, measure, print the table, write the JSON."""
    asked = harness.arguments(__doc__ or "")
    about = harness.machine()
    twins = twin_build.built_twins()
    about |= {f"twin {name}": twin_build.flags_text(name) for name in twins}
    about["kernels"] = f"numba for {llvm.get_host_cpu_name()}, its features, opt 3"
    os.sched_setaffinity(0, {harness.two_cores()[0]})
    recorded, is_recorded = brain_tapes.recorded_market()
    if not is_recorded:
        sys.stderr.write("figures are of a synthetic market\n")
    cases: dict[str, harness.Case] = {}
    baselines = {}
    for count in COUNTS:
        tape = brain_tapes.interleaved(recorded, count, TOTAL)
        market = Market(brain_tapes.instruments_of(count), tape)
        for twin in twins.values():
            compare(market, twin)
        for name, twin in twins.items():
            cases[f"{count} instruments, {name}"] = partial(twin_pass, market, twin)
        cases[f"{count} instruments, kernel"] = partial(kernel_pass, market)
        baselines[f"{count} instruments, kernel"] = f"{count} instruments, {next(iter(twins))}"
    bench = harness.Bench(**{**vars(BENCH), "baselines": baselines})
    harness.finish(bench, harness.measure(cases, asked), about, asked.json)


if __name__ == "__main__":
    main()
