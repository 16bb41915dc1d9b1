"""Which way to be idle serves a reader best when it has a core to itself, and when it has not?

    python -m bench.ring_crowd [--json FILE] [--passes N] [--patience S]

A sender that never sleeps and a reader, neither pinned; beside them no other program, or two that
do nothing but burn: four busy processes on two cores. `p50` and so on run from the record's publish
until it is read, `since due` from when it was to be sent; `core used` is the reader's own time. The
baseline of each is `hybrid`: a spin of 30 us, then the futex.
"""

from __future__ import annotations

from functools import partial

from bench.harness import Bench, Case, arguments, finish, machine, measure, two_cores
from bench.sides.ring_pairs import Pairs
from ringbuffer.idle import IdleKind

RATE = 20_000
COUNT = 20_000
KINDS = (IdleKind.HYBRID, IdleKind.AUTO, IdleKind.SLEEP, IdleKind.YIELD, IdleKind.SPIN)
NEIGHBOURS = {"alone": 0, "two neighbours": 2}
TIMES = ("p50", "p90", "p99", "p99.9", "max", "p50 since due", "p99 since due")

BENCH = Bench(
    name="ring_crowd",
    question="which way to be idle serves a reader best, alone and in a crowd?",
    load=f"{RATE:,} records a second, sender and reader unpinned",
    worry="auto above hybrid's p50 in either place by more than a tenth",
    units={**dict.fromkeys(TIMES, "ns"), "core used": "cores", "count": "records"},
    baselines={
        f"{place}, {kind.value}": f"{place}, {IdleKind.HYBRID.value}"
        for place in NEIGHBOURS
        for kind in KINDS
    },
)


def main() -> None:
    """Run the bench."""
    asked, about = arguments(__doc__ or ""), machine()
    with Pairs(*two_cores()) as pairs:
        crowd = pairs.crowded()
        gap = round(1e9 / RATE / pairs.ns_per_tick)
        cases: dict[str, Case] = {
            f"{place}, {kind.value}": partial(crowd, kind.value, neighbours, COUNT, gap)
            for place, neighbours in NEIGHBOURS.items()
            for kind in KINDS
        }
        results = measure(cases, asked, pairs.pids)
    finish(BENCH, results, about, asked.json)


if __name__ == "__main__":
    main()
