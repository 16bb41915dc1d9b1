"""What do observers cost the producer?

    python -m bench.ring_observers [--json FILE] [--passes N] [--patience S]

The producer has one core, all readers share the other. `never waiting` has no gating reader: the
producer writes batches of 64 as fast as it can and laps whoever looks. `paced` has a gating reader
too and sends a record per microsecond; its figures are the producer's own time from claim to wake,
record by record, refused claims left out. The baseline of each is itself without an observer.
"""

from __future__ import annotations

from functools import partial

from bench.harness import Bench, Case, arguments, finish, machine, measure, two_cores
from bench.sides.ring_pairs import BATCH, DEEP, Pairs

OBSERVERS = (0, 1, 2)
KINDS = {"never waiting": "alone", "paced": "costs"}
RECORDS = {"alone": 60_000_000, "costs": 400_000}
GAP_NS = 1_000


def case_name(word: str, observers: int) -> str:
    """Return the name of a case."""
    return f"{word}, {observers} observer{'' if observers == 1 else 's'}"


BENCH = Bench(
    name="ring_observers",
    question="what do observers cost the producer?",
    load=f"64-byte records: {RECORDS['alone']:,} at full speed, one per {GAP_NS} ns paced",
    worry="a paced mean more than a tenth above that without observers",
    units={
        "records per second": "1/s",
        **dict.fromkeys(("p50", "p90", "p99", "p99.9", "max", "mean below p99"), "ns"),
        "count": "records",
    },
    baselines={case_name(word, n): case_name(word, 0) for word in KINDS for n in OBSERVERS},
)


def main() -> None:
    """Run the bench."""
    asked, about = arguments(__doc__ or ""), machine()
    cores = two_cores()
    with Pairs(*cores) as pairs:
        rings = {"alone": pairs.ring(gating=()), "costs": pairs.ring(DEEP)}
        steps = {"alone": BATCH, "costs": round(GAP_NS / pairs.ns_per_tick)}
        cases: dict[str, Case] = {
            case_name(word, n): partial(
                pairs.observed, rings[kind], kind, RECORDS[kind], steps[kind], n
            )
            for word, kind in KINDS.items()
            for n in OBSERVERS
        }
        results = measure(cases, asked, pairs.pids)
    finish(BENCH, results, {**about, "pinned": list(cores)}, asked.json)


if __name__ == "__main__":
    main()
