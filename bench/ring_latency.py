"""How long does one record take from one process to another?

    python -m bench.ring_latency [--json FILE] [--passes N] [--patience S]

Each side is pinned to a core of its own. The producer sends at fixed due times and stamps each
record with the time it was due and the time it was sent; the consumer subtracts. Both stamp with
the time-stamp counter where it is invariant. `p50` and so on are since the record was sent;
`since due` also holds what the producer itself was late, which corrects coordinated omission.
"""

from __future__ import annotations

from bench.harness import Bench, Case, arguments, finish, machine, measure, two_cores
from bench.sides.ring_pairs import Pairs, pipe_pass

BASELINE = "C++ SPSC"
RECORDS = 50_000
PYTHON_RECORDS = 10_000
WOKEN_RECORDS = 400
GAP_NS = 3_000
SLOW_GAP_NS = 50_000
WOKEN_GAP_NS = 1_000_000  # a thousand a second: the sleeper is asleep every time

BENCH = Bench(
    name="ring_latency",
    question="how long from publish in one process to the record read in another?",
    load=f"one 64-byte record per {GAP_NS} ns, capacity 4096, consumer spinning unless woken",
    worry="a p50 above the C++ single-producer queue of the same run",
    units={
        **dict.fromkeys(("p50", "p90", "p99", "p99.9", "max"), "ns"),
        **dict.fromkeys(("p50 since due", "p99 since due"), "ns"),
        "count": "records",
    },
    baseline=BASELINE,
)


def main() -> None:
    """Run the bench."""
    asked, about = arguments(__doc__ or ""), machine()
    cores = two_cores()
    with Pairs(*cores) as pairs:
        gap = round(GAP_NS / pairs.ns_per_tick)
        slow_gap = round(SLOW_GAP_NS / pairs.ns_per_tick)
        woken_gap = round(WOKEN_GAP_NS / pairs.ns_per_tick)
        numba, c, mixed = (
            pairs.ours("numba", "numba"),
            pairs.ours("c", "c"),
            pairs.ours("c", "numba"),
        )
        python = pairs.ours("python", "python")
        cases: dict[str, Case] = {
            BASELINE: lambda: pairs.baseline("paced", RECORDS, gap),
            "ring, Numba to Numba": lambda: numba("paced", RECORDS, gap),
            "ring, C to Numba": lambda: mixed("paced", RECORDS, gap),
            "ring, C to C": lambda: c("paced", RECORDS, gap),
            "ring, Python to Python": lambda: python("paced", PYTHON_RECORDS, slow_gap),
            "ring, woken from the futex": lambda: numba("woken", WOKEN_RECORDS, woken_gap),
            "multiprocessing.Pipe": lambda: pipe_pass(cores, "paced", PYTHON_RECORDS, SLOW_GAP_NS),
        }
        results = measure(cases, asked, pairs.pids)
    finish(BENCH, results, {**about, "pinned": list(cores)}, asked.json)


if __name__ == "__main__":
    main()
