"""How long does a thread wait for a core that others are using?

`python -m bench.time_slice [--json FILE] [--passes N]` Two programs a core burn all the time. A
thread beside them sleeps 3 ms, takes a stamp of how late it was woken, works 0.3 ms and sleeps
again, as a role does on cores it shares. It does so with the usual time slice (the baseline), and
with the slices that the engine asks for: that of feed and brain, and that of the API's thread.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from functools import partial
from typing import Final

import numpy as np

from bench import harness
from bench.harness import Bench, Pass
from engine.processes.time_slice import API_NS, PATH_NS, USUAL_NS
from native_ext import _native

WAKES: Final = 500
SLEEP_NS: Final = 3_000_000
WORK_NS: Final = 300_000
BURNERS_PER_CORE: Final = 2
SLICES: Final = {"usual": USUAL_NS, "of the API": API_NS, "of feed and brain": PATH_NS}
BENCH: Final = Bench(
    name="time_slice",
    question="How long does a thread that was woken wait for a core that others are using?",
    load=f"{BURNERS_PER_CORE} programs a core that never sleep; {WAKES} wakes a pass",
    worry="a short slice that does not shorten the wait",
    units={
        **dict.fromkeys(("p50", "p90", "p99", "p99.9", "max", "granted"), "us"),
        "count": "wakes",
    },
    baseline="usual",
)


def woken(slice_ns: int) -> Pass:
    """Return how late a thread with this slice was woken, us."""
    late_ns = np.zeros(WAKES)
    granted_ns = []

    def live() -> None:
        granted_ns.append(_native.set_time_slice(slice_ns))
        for number in range(WAKES):
            began_ns = time.monotonic_ns()
            time.sleep(SLEEP_NS / 1e9)
            now_ns = time.monotonic_ns()
            late_ns[number] = now_ns - began_ns - SLEEP_NS
            while time.monotonic_ns() - now_ns < WORK_NS:
                pass

    thread = threading.Thread(target=live)
    thread.start()
    thread.join()
    return {**harness.percentiles(late_ns / 1e3), "granted": granted_ns[0] / 1e3}


def main() -> None:
    """Run the bench."""
    asked = harness.arguments(__doc__)
    about = harness.machine()
    cores = {*harness.two_cores()}
    burn = [sys.executable, "-c", "while True: pass"]
    burners = [subprocess.Popen(burn) for _ in range(BURNERS_PER_CORE * len(cores))]
    try:
        cases = {name: partial(woken, slice_ns) for name, slice_ns in SLICES.items()}
        results = harness.measure(cases, asked, [burner.pid for burner in burners])
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()
    harness.finish(BENCH, results, about, asked.json)


if __name__ == "__main__":
    main()
