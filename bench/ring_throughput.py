"""How many records per second go from one process to another, and none lost?

    python -m bench.ring_throughput [--json FILE] [--passes N] [--patience S]

Each side is pinned to a core of its own and runs as fast as the other lets it. The consumer adds
up every word of every record, and a pass whose sum is wrong fails.
"""

from __future__ import annotations

from bench.harness import Bench, Case, arguments, finish, machine, measure, two_cores
from bench.sides.ring_pairs import Pairs, pipe_pass

ONE = "C++ SPSC, one by one"
MANY = "C++ SPSC, batch 64"
BATCH = 64
RECORDS = 4_000_000
PYTHON_RECORDS = 200_000
PIPE_RECORDS = 20_000

BENCH = Bench(
    name="ring_throughput",
    question="how many 64-byte records per second from one process to another?",
    load="as fast as the other side allows, capacity 4096, every word of every record checked",
    worry="batched throughput below the C++ single-producer queue of the same run",
    units={"records per second": "1/s"},
    baseline=MANY,
    baselines={ONE: ONE, "ring, Numba, one by one": ONE, "ring, C, one by one": ONE},
)


def main() -> None:
    """Run the bench."""
    asked, about = arguments(__doc__ or ""), machine()
    cores = two_cores()
    with Pairs(*cores) as pairs:
        numba, c, mixed = (
            pairs.ours("numba", "numba"),
            pairs.ours("c", "c"),
            pairs.ours("c", "numba"),
        )
        python = pairs.ours("python", "python")
        cases: dict[str, Case] = {
            ONE: lambda: pairs.baseline("batch", RECORDS, 1),
            MANY: lambda: pairs.baseline("batch", RECORDS, BATCH),
            "ring, Numba, one by one": lambda: numba("batch", RECORDS, 1),
            "ring, Numba, batch 64": lambda: numba("batch", RECORDS, BATCH),
            "ring, C, one by one": lambda: c("batch", RECORDS, 1),
            "ring, C, batch 64": lambda: c("batch", RECORDS, BATCH),
            "ring, C to Numba, batch 64": lambda: mixed("batch", RECORDS, BATCH),
            "ring, Python, one by one": lambda: python("batch", PYTHON_RECORDS, 1),
            "ring, Python, blocks of 64": lambda: python("batch", RECORDS, BATCH),
            "multiprocessing.Pipe": lambda: pipe_pass(cores, "batch", PIPE_RECORDS, 0),
        }
        results = measure(cases, asked, pairs.pids)
    finish(BENCH, results, {**about, "pinned": list(cores)}, asked.json)


if __name__ == "__main__":
    main()
