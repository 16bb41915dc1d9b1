"""What a paper account fills of resting orders, against the practice exchange on the same market.

Question: by how much do the two queue models of a paper account differ from a venue that matches?
Load: generated markets (one seed a pass), or recorded captures with `--tape`; limit orders of 5 to
50 % of the touch, at it, behind it or inside the spread, withdrawn after 0.5 to 8 s. Both sides see
every event at the same moment and neither is late, so only the matching differs.

    filled          part of the orders that got anything, by the exchange and by the paper account
    same            part of the orders of which both filled the same quantity
    paper quantity  quantity filled on paper over quantity filled by the exchange; below 1: cautious
    only paper      part of the orders that were filled on paper alone
    first apart     between the first fills of orders that both filled, absolute, at the median;
                    looked at whenever an order is placed

The exchange waits for a trade at a resting order's price or through it. On paper an order is filled
too by what is offered beyond its price, since nobody offers below a bid that still stands: on a
recording, where prices step over orders without a trade of their own, that is the difference.
"""

from __future__ import annotations

import argparse
import statistics
from functools import partial
from typing import Final

from bench import harness
from bench.harness import Bench, Pass
from bench.sides.paper_side import Twin, TwoVenues
from engine.venues.paper.queue import QueueModel
from exchange.events import EventSource
from exchange.generator import Generator
from exchange.recorded import open_source

SPAN_S: Final = 60.0
RATE_EACH: Final = 100.0  # messages a second of one instrument
INSTRUMENTS: Final = 4
ORDERS_PER_S: Final = 10.0
PER_CENT: Final = 100.0
NS_PER_MS: Final = 1e6

BENCH = Bench(
    name="paper_fills",
    question="By how much do paper fills differ from those of a venue that matches?",
    load=f"{SPAN_S:.0f} s of market, {ORDERS_PER_S:.0f} resting orders a second, no latency",
    worry="on generated markets, where every step is a trade: filled on paper alone, or more",
    units={
        "orders": "orders",
        "exchange filled": "%",
        "paper filled": "%",
        "same": "%",
        "only paper": "%",
        "paper quantity": "ratio",
        "first apart": "ms",
    },
)


def judged(twins: list[Twin]) -> Pass:
    """Return how far apart the two venues were over some orders."""
    exchange = [twin for twin in twins if twin.exchange_lots]
    paper = [twin for twin in twins if twin.paper_lots]
    same = [twin for twin in twins if twin.exchange_lots == twin.paper_lots]
    alone = [twin for twin in paper if not twin.exchange_lots]
    apart = [abs(t.paper_ns - t.exchange_ns) for t in paper if t.exchange_lots]
    # Orders differ in size by instrument: each counts by the part of it that was filled.
    parts = [
        sum(t.paper_lots / t.qty_lots for t in twins),
        sum(t.exchange_lots / t.qty_lots for t in twins),
    ]
    whole = PER_CENT / max(len(twins), 1)
    return {
        "orders": float(len(twins)),
        "exchange filled": len(exchange) * whole,
        "paper filled": len(paper) * whole,
        "same": len(same) * whole,
        "only paper": len(alone) * whole,
        "paper quantity": parts[0] / parts[1] if parts[1] else 1.0,
        "first apart": statistics.median(apart) / NS_PER_MS if apart else 0.0,
    }


def measured(source: EventSource, model: QueueModel, seed: int) -> Pass:
    """Play one market once; other programs are noted and change no quantity."""
    play = partial(TwoVenues(source, model, seed).play, SPAN_S, ORDERS_PER_S)
    found, foreign = harness.quiet_pass(lambda: judged(play()), harness.Patience(0.0))
    return {**found, "foreign cores": foreign}


def main() -> None:
    """Compare both models on every market and report."""
    parser = harness.parser(__doc__ or "")
    parser.add_argument("--tape", nargs="+", metavar="PATH", help="play captures or tapes too")
    options: argparse.Namespace = parser.parse_args()
    about = harness.machine()
    results: dict[str, list[Pass]] = {}
    for model in QueueModel:
        results[f"generated, {model.value}"] = [
            measured(Generator(INSTRUMENTS, seed, RATE_EACH * INSTRUMENTS), model, seed)
            for seed in range(options.passes)
        ]
        if options.tape:
            results[f"recorded, {model.value}"] = [
                measured(open_source(options.tape), model, seed) for seed in range(options.passes)
            ]
    harness.finish(BENCH, results, about, options.json)


if __name__ == "__main__":
    main()
