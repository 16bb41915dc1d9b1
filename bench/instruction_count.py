"""How many instructions does a record take, by its kind, in the kernels and in their C++ twin?

`python -m bench.instruction_count [--json FILE]`

The market of `bench.brain_twin` over 20 instruments: after its beginning, records of each kind are
stepped through, each handed over behind a record of no instrument, which the firewall refuses. What
that one takes alone is taken off, and with it all that a call and a batch cost before their first
record. Nothing is timed, so it does not matter what else the machine does; an instruction is no
nanosecond, but where one side runs more of them there is something to find.
"""

from __future__ import annotations

import os
import statistics
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench import harness
from engine.processes import kernel_cache

HOME: Final = os.environ.get("AEGIS_HOME", str(Path("~/.local/state/aegis").expanduser()))
kernel_cache.activate(HOME)

from bench.sides import brain_tapes, twin_build  # noqa: E402 - only now is the cache chosen
from bench.sides.single_steps import Counted, code_of, count_calls  # noqa: E402
from bench.sides.twin_market import Market  # noqa: E402
from engine.domain.codes import RecordType  # noqa: E402
from engine.domain.kernel import Records  # noqa: E402
from engine.domain.strategy import (  # noqa: E402
    EXPOSURE_DTYPE,
    OPPORTUNITIES_PER_RECORD_MAX,
    OPPORTUNITY_DTYPE,
)
from tests.market_runs import LOG_DTYPE, LOG_MAX, run_paper  # noqa: E402

INSTRUMENTS: Final = 20
TOTAL: Final = 600_000
WARM: Final = 400_000
PER_KIND: Final = 30
KINDS: Final = (RecordType.QUOTE, RecordType.TRADE, RecordType.LEVEL)
KERNEL, TWIN, ALONE = "kernel", "g++", "alone"
NOBODY: Final = np.iinfo(np.uint16).max  # no market has so many instruments

BENCH: Final = harness.Bench(
    name="instruction_count",
    question="How many instructions does a record take, in the kernels and in their twin?",
    load=f"recorded BTCUSDT and ETHUSDT, interleaved over {INSTRUMENTS} instruments",
    worry="a kind of which the kernel runs half as many again as the twin",
    units={"instructions": "", "mean": "", "records": ""},
    baselines={
        f"{kind.name.lower()}, {side}": f"{kind.name.lower()}, {TWIN}"
        for kind in KINDS
        for side in (KERNEL, TWIN)
    },
)


def entry_of(kernel: Any) -> int:  # noqa: ANN401  Numba has no types
    """Return the address at which Python enters a kernel that ran before."""
    (compiled,) = kernel.overloads.values()
    return int(compiled.library.get_pointer_to_function(compiled.fndesc.llvm_cpython_wrapper_name))


def behind_nobodys(record: Records, sequence: int) -> Records:
    """Return two records, numbered from `sequence` on: one of no instrument, and this one."""
    pair = np.repeat(record, 2)
    pair["instrument_index"][0] = NOBODY
    pair["sequence"] = sequence, sequence + 1
    return pair


def play(counted: Counted) -> None:
    """Warm both sides, then have some records of each kind counted."""
    recorded, _ = brain_tapes.recorded_market()
    tape = brain_tapes.interleaved(recorded, INSTRUMENTS, TOTAL)
    market = Market(brain_tapes.instruments_of(INSTRUMENTS), tape)
    state, log = market.state(), np.zeros(LOG_MAX, dtype=LOG_DTYPE)
    exposure = np.zeros((INSTRUMENTS, len(market.rows)), dtype=EXPOSURE_DTYPE)
    found = np.zeros(OPPORTUNITIES_PER_RECORD_MAX, dtype=OPPORTUNITY_DTYPE)
    kernel = partial(run_paper, state, exposure)
    twin = twin_build.Twin(TWIN).start(market.state())
    warm = min(WARM, len(tape) // 2)
    kernel(tape[:warm], found, log)
    twin.run(tape[:warm], log)
    ours, theirs = (entry_of(run_paper), code_of("")), (twin.entry, code_of("brain_twin"))

    def hand(name: str, records: Records) -> None:
        """Hand records to both sides, and have it counted under a name if there is one."""
        sides = {KERNEL: (ours, partial(kernel, records, found, log))}
        sides[TWIN] = (theirs, partial(twin.run, records, log))
        for side, (code, call) in sides.items():
            if name:
                counted(f"{name}, {side}", *code, call)
            else:
                call()

    sequence = int(tape["sequence"][warm])
    hand(ALONE, behind_nobodys(tape[warm : warm + 1], sequence)[:1])
    sequence += 1
    done: Counter[int] = Counter()
    for k in range(warm, len(tape)):
        kind = int(tape["record_type"][k])
        done[kind] += 1
        is_counted = kind in KINDS and done[kind] <= PER_KIND
        name = RecordType(kind).name.lower() if is_counted else ""
        hand(name, behind_nobodys(tape[k : k + 1], sequence))
        sequence += 2
        if all(done[kind] >= PER_KIND for kind in KINDS):
            return


def counts() -> dict[str, harness.Pass]:
    """Return median, mean and number of the records counted, by kind and side."""
    found: dict[str, list[int]] = defaultdict(list)
    for name, instructions in count_calls(play):
        found[name].append(instructions)
    for side in (KERNEL, TWIN):
        (alone,) = found.pop(f"{ALONE}, {side}")
        for name in [name for name in found if name.endswith(f", {side}")]:
            found[name] = [number - alone for number in found[name]]
    return {
        name: {
            "instructions": statistics.median(numbers),
            "mean": statistics.mean(numbers),
            "records": float(len(numbers)),
            "foreign cores": 0.0,  # nothing is timed: nobody could disturb it
        }
        for name, numbers in found.items()
    }


def main() -> None:
    """Count, print the table, write the JSON."""
    asked = harness.arguments(__doc__ or "")
    results = {case: [found] for case, found in counts().items()}
    harness.finish(BENCH, results, harness.machine(), asked.json)


if __name__ == "__main__":
    main()
