"""How long from a quote in the market ring to the order in the command ring, through the real loop?

    python -m bench.brain_hop [--json FILE] [--passes N] [--patience S]

As `bench.ring_hop`, with the brain's own compiled loop (`engine/processes/brain_loop.py`) in the
middle: drain, firewall, book, features, strategy, gates, events, command, over 300 instruments. One
quote in 500 asks for an order; only those are timed, from just before the quote is written until
the first process has seen the command. The baseline of each rate is the hop without a brain.
"""

from __future__ import annotations

from functools import partial

from bench.harness import Bench, Case, arguments, finish, machine, measure, two_cores
from bench.ring_hop import BENCH as HOP
from bench.ring_hop import RATES, SECONDS
from bench.sides.ring_pairs import Pairs

ORDERS = 150

BENCH = Bench(
    name="brain_hop",
    question="how long from a quote in the market ring to its order in the command ring?",
    load="quotes of 300 instruments, 1 in 500 brings an order; both sides spin on their cores",
    worry="a p50 of 3 us or more",
    units=HOP.units,
    baselines={
        case: f"no brain, {rate}"
        for rate in RATES
        for case in (f"no brain, {rate}", f"brain, {rate}")
    },
)


def main() -> None:
    """Run the bench."""
    asked, about = arguments(__doc__ or ""), machine()
    cores = two_cores()
    with Pairs(*cores) as pairs:
        brain, relay = pairs.brain_hop(), pairs.hop()
        cases: dict[str, Case] = {}
        for rate, per_second in RATES.items():
            gap = round(1e9 / per_second / pairs.ns_per_tick)
            cases[f"no brain, {rate}"] = partial(relay, round(per_second * SECONDS), gap)
            cases[f"brain, {rate}"] = partial(brain, ORDERS, gap)
        results = measure(cases, asked, pairs.pids)
    finish(BENCH, results, {**about, "pinned": list(cores)}, asked.json)


if __name__ == "__main__":
    main()
