"""How long from a tick in the ring to the order in the next ring, across processes?

    python -m bench.ring_hop [--json FILE] [--passes N] [--patience S]

One process, pinned, sends ticks at fixed due times and takes the orders; another, on the other
core, reads each tick, decides and publishes an order. `p50` and so on run from the tick's publish
until the first process has seen the order, so they hold two crossings between cores; `order
written` ends where the second process stamps the order, just before its publish, and holds one.
`since due` starts at the due time: what the sender was late counts too (coordinated omission).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bench.harness import Bench, Case, Pass, arguments, finish, machine, measure, two_cores
from bench.sides.ring_pairs import Pairs

RATES = {"100,000/s": 100_000, "1,000,000/s": 1_000_000}
SECONDS = 0.2  # short, so that a pass fits between other programs
TIMES = ("p50", "p90", "p99", "p99.9", "max")
FURTHER = ("since due", "order written")

BENCH = Bench(
    name="ring_hop",
    question="how long from a tick in the ring to the order in the next ring, across processes?",
    load="64-byte records, one order per tick, capacity 4096, both sides spinning on their cores",
    worry="a p50 above 300 ns",
    units={
        **dict.fromkeys(TIMES, "ns"),
        **{f"{share} {name}": "ns" for share in ("p50", "p99") for name in FURTHER},
        "count": "orders",
    },
    baselines={
        case: f"C++ SPSC, {rate}"
        for rate in RATES
        for case in (f"C++ SPSC, {rate}", f"ring, Numba, {rate}")
    },
)


def run_hops(
    bench: Bench,
    text: str,
    name: str,
    begin: Callable[[Pairs], Callable[[int, int], Pass]],
    orders: int | None = None,
) -> None:
    """Run a hop bench: ours, called `name`, beside the C++ queue at every rate.

    Args:
        bench: what is measured.
        text: of the module, for its arguments.
        name: of our cases.
        begin: starts our children; what it returns runs a pass of so many orders at a gap.
        orders: of one of our passes; None: as many as the C++ queue's.
    """
    asked, about = arguments(text), machine()
    cores = two_cores()
    with Pairs(*cores) as pairs:
        ours = begin(pairs)
        cases: dict[str, Case] = {}
        for rate, per_second in RATES.items():
            count = round(per_second * SECONDS)
            gap = round(1e9 / per_second / pairs.ns_per_tick)
            cases[f"C++ SPSC, {rate}"] = partial(pairs.baseline_hop, count, gap)
            cases[f"{name}, {rate}"] = partial(ours, orders or count, gap)
        results = measure(cases, asked, pairs.pids)
    finish(bench, results, {**about, "pinned": list(cores)}, asked.json)


def main() -> None:
    """Run the bench."""
    run_hops(BENCH, __doc__ or "", "ring, Numba", Pairs.hop)


if __name__ == "__main__":
    main()
