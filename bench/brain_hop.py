"""How long from a quote in the market ring to its order in the command ring, through the brain?

`python -m bench.brain_hop [--json FILE] [--passes N] [--patience S]`

As `bench.ring_hop`, with the brain's own compiled loop (`engine/processes/brain_loop.py`) in the
other process: drain, firewall, flow, features, strategy, every gate, the order's row, its decision
and its request in the event ring, then the command. 300 instruments are quoted in turn; one quote
in 500 asks for an order, and only those are timed: from just before the quote is written until the
first process has seen the command, two crossings between cores. `since due` starts at the due time
(coordinated omission). The baseline of each rate is the bare hop through two C++ queues between the
same cores, where every tick is answered and nothing is decided.
"""

from __future__ import annotations

from bench.harness import Bench
from bench.ring_hop import RATES, TIMES, run_hops
from bench.sides.ring_pairs import Pairs

ORDERS = 150

BENCH = Bench(
    name="brain_hop",
    question="how long from a quote in the market ring to its order in the command ring?",
    load="quotes of 300 instruments, 1 in 500 brings an order; both sides spin on their cores",
    worry="a p50 above 300 ns",
    units={
        **dict.fromkeys((*TIMES, "p50 since due", "p99 since due"), "ns"),
        "count": "orders",
    },
    baselines={
        case: f"C++ SPSC, {rate}"
        for rate in RATES
        for case in (f"C++ SPSC, {rate}", f"brain, {rate}")
    },
)


def main() -> None:
    """Run the bench."""
    run_hops(BENCH, __doc__ or "", "brain", Pairs.brain_hop, ORDERS)


if __name__ == "__main__":
    main()
