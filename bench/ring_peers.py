"""What would a Python program gain or lose by another way between two processes?

    python -m bench.ring_peers [--json FILE] [--passes N] [--patience S]

Records of 64 bytes from one process to another, each pinned to a core of its own: the ring from
Python, from Numba and as the engine uses it, and the ways a user would pick, as their documentation
shows them. One way at RATE records a second (p50 and so on since the record was sent, `since due`
since it should have been), then as fast as the other side takes them. Every record's sequence and
words are checked. The usual ways sleep until a record comes; so does the ring where the case says
so, after SPIN_US of spinning; else its reader spins and owns a core, which is what it is for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from bench.harness import Bench, Case, arguments, finish, machine, measure, two_cores
from bench.sides.queue_pairs import (
    BLOCK,
    Channel,
    FifoChannel,
    PipeChannel,
    QueueChannel,
    ZmqChannel,
    queue_pass,
)
from bench.sides.ring_child import SPIN_NS
from bench.sides.ring_pairs import Pairs

RATE = 20_000
GAP_NS = 1_000_000_000 // RATE
PACED_RECORDS = 10_000
RECORDS = 2_000_000
PYTHON_RECORDS = 200_000
USUAL_RECORDS = 50_000
BASELINE_LATENCY = "one way: multiprocessing.Pipe"
BASELINE_RATE = "rate: multiprocessing.Pipe"

BENCH = Bench(
    name="ring_peers",
    question="what would another way between two Python processes cost or gain?",
    load=f"64-byte records, {RATE:,}/s one way, then as fast as they are taken; capacity 4096",
    worry="the ring from Python slower than any of the others, in either",
    units={
        **dict.fromkeys(("p50", "p90", "p99", "p99.9", "max"), "ns"),
        **dict.fromkeys(("p50 since due", "p99 since due"), "ns"),
        "records per second": "1/s",
        "count": "records",
    },
    baseline=BASELINE_LATENCY,
)
USUAL: dict[str, type[Channel]] = {
    "multiprocessing.Pipe": PipeChannel,
    "multiprocessing.Queue": QueueChannel,
    "pyzmq": ZmqChannel,
}


def usual_ways() -> dict[str, Callable[[], Channel]]:
    """Return how each usual way is made; faster-fifo only where it could be built."""
    ways: dict[str, Callable[[], Channel]] = dict(USUAL)
    try:
        import faster_fifo  # noqa: F401
    except ImportError:
        print("faster-fifo is left out: it is not installed (it has no wheel for every machine)")
        return ways
    ways["faster-fifo"] = FifoChannel
    ways[f"faster-fifo, {BLOCK} at once"] = partial(FifoChannel, many=True)
    return ways


def ring_cases(pairs: Pairs) -> dict[str, Case]:
    """Return the cases of the ring."""
    gap = round(GAP_NS / pairs.ns_per_tick)
    python, numba, mixed = (
        pairs.ours("python", "python"),
        pairs.ours("numba", "numba"),
        pairs.ours("c", "numba"),
    )
    woken = f"one way: ring, Numba, sleeps after {SPIN_NS // 1000} us"
    return {
        "one way: ring, Python": lambda: python("paced", PACED_RECORDS, gap),
        "one way: ring, Numba": lambda: numba("paced", PACED_RECORDS, gap),
        "one way: ring, C to Numba": lambda: mixed("paced", PACED_RECORDS, gap),
        woken: lambda: numba("woken", PACED_RECORDS, gap),
        "rate: ring, Python": lambda: python("batch", PYTHON_RECORDS, 1),
        f"rate: ring, Python, {BLOCK} at once": lambda: python("batch", RECORDS, BLOCK),
        "rate: ring, Numba": lambda: numba("batch", RECORDS, 1),
        f"rate: ring, C to Numba, {BLOCK} at once": lambda: mixed("batch", RECORDS, BLOCK),
    }


def usual_cases(cores: tuple[int, int]) -> dict[str, Case]:
    """Return the cases of the others; records that come in blocks have no latency of their own."""
    cases: dict[str, Case] = {}
    for name, make in usual_ways().items():
        if "at once" not in name:
            cases[f"one way: {name}"] = partial(
                queue_pass, make, cores, "paced", PACED_RECORDS, GAP_NS
            )
        count = USUAL_RECORDS // BLOCK * BLOCK
        cases[f"rate: {name}"] = partial(queue_pass, make, cores, "batch", count, 0)
    return cases


def main() -> None:
    """Run the bench."""
    asked, about = arguments(__doc__ or ""), machine()
    cores = two_cores()
    with Pairs(*cores) as pairs:
        cases = ring_cases(pairs) | usual_cases(cores)
        results = measure(cases, asked, pairs.pids)
    rates = {case: BASELINE_RATE for case in results if case.startswith("rate: ")}
    finish(replace(BENCH, baselines=rates), results, {**about, "pinned": list(cores)}, asked.json)


if __name__ == "__main__":
    main()
