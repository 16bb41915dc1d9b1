"""What does one market record cost the brain's market side, stage by stage?

`python -m bench.brain_records [--json FILE] [--passes N]`

The recorded BTCUSDT and ETHUSDT captures (a synthetic market where there are none) as they arrive
in the ring, trades aggregated: once for the two instruments they are of, once dealt out over 300,
where time runs 150 times faster: about 115,000 records a second of market time, a few bars per
instrument. Each pass starts from a fresh state and runs the whole market in one compiled loop.

Stages are loops that stop early: read looks at the fields every stage begins with, firewall adds
the second layer, state adds book, bars, flow, features and structure, strategies adds the rest. No
order is filled, so strategies are asked at every quote. Figures are ns of CPU per record on one
core; the state is as warm as the records before left it.
"""

from __future__ import annotations

import os
import sys
import time
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench import harness
from engine.processes import kernel_cache

# WHY: an installed distribution also calls itself `tests`; ours is the folder of this checkout.
_ours = types.ModuleType("tests")
_ours.__path__ = [str(harness.ROOT / "tests")]
sys.modules.setdefault("tests", _ours)

HOME: Final = os.environ.get("AEGIS_HOME", str(Path("~/.local/state/aegis").expanduser()))
kernel_cache.activate(HOME)

from engine.domain.codes import RecordType  # noqa: E402 - only now is the cache chosen
from engine.domain.firewall import check_record  # noqa: E402
from engine.domain.instrument import instrument_rows  # noqa: E402
from engine.domain.instrument_row import unit_e8  # noqa: E402
from engine.domain.kernel import entry  # noqa: E402
from engine.domain.market_state import MarketState, create_market_state  # noqa: E402
from engine.domain.market_step import apply_record  # noqa: E402
from engine.domain.strategy import (  # noqa: E402
    EXPOSURE_DTYPE,
    OPPORTUNITIES_PER_RECORD_MAX,
    OPPORTUNITY_DTYPE,
    apply_market,
)
from engine.domain.strategy_table import select_rows  # noqa: E402
from tests.builders import joined, make_instrument  # noqa: E402
from tests.captures import aggregated, decode_capture, merged  # noqa: E402
from tests.market_runs import synthetic_market  # noqa: E402

CAPTURES: Final = harness.ROOT.parent / "shared/data/hftbacktest"
MANY: Final = 300
SYNTHETIC_RECORDS: Final = 200_000
STAGES: Final = ("read", "firewall", "state", "strategies")
KINDS: Final = {"quote": RecordType.QUOTE, "trade": RecordType.TRADE, "level": RecordType.LEVEL}
Records = NDArray[np.void]

BENCH: Final = harness.Bench(
    name="brain_records",
    question="What does one market record cost the market side of the brain, stage by stage?",
    load="both captures, 263 k records: 46 % quotes, 49 % levels, 5 % trades",
    worry="more than 60 ns per quote on average over 300 instruments",
    units={"ns": "ns", "records": "", "added": "ns"},
)


@entry
def read_only(slots: Records) -> int:
    """Touch the fields every stage begins with; return a sum, so that nothing is left out."""
    total = 0
    for k in range(slots.shape[0]):
        total += slots["record_type"][k] + slots["instrument_index"][k] + slots["price_ticks"][k]
    return total


@entry
def firewall_only(market: MarketState, slots: Records) -> int:
    """Check every record; return how many were refused."""
    refused = 0
    for k in range(slots.shape[0]):
        refused += check_record(market, slots, k) != 0
    return refused


@entry
def state_only(market: MarketState, slots: Records) -> int:
    """Check and apply every record; return how many closed a bar."""
    closed = 0
    for k in range(slots.shape[0]):
        if check_record(market, slots, k) == 0:
            closed += apply_record(market, slots, k) != 0
    return closed


@entry
def whole(market: MarketState, exposure: Records, slots: Records, opportunities: Records) -> int:
    """Run the whole market side; return how many opportunities arose."""
    found = 0
    for k in range(slots.shape[0]):
        now_ns = slots["receive_time_ns"][k]
        found += max(apply_market(market, exposure, slots, k, now_ns, opportunities), 0)
    return found


def recorded_market() -> Records:
    """Return the captures as records of instruments 0 and 1, or a synthetic market."""
    paths = [CAPTURES / f"usdm_{name}_20240808.gz" for name in ("btcusdt", "ethusdt")]
    if not all(path.exists() for path in paths):
        sys.stderr.write("no captures: a synthetic market instead\n")
        return synthetic_market(SYNTHETIC_RECORDS)
    return aggregated(
        merged([decode_capture(paths[0], 0, 1, 3), decode_capture(paths[1], 1, 2, 3)])
    )


def dealt_out(records: Records, instruments: int) -> Records:
    """Return the market with its records dealt over more instruments, diffs kept whole.

    Every clone of an instrument gets the snapshot; ids go on rising within each clone. Time runs as
    many times faster as there are clones, so that each is as busy as the recorded instrument was.
    """
    clones = instruments // 2
    parts = []
    turn = 0
    is_level = records["record_type"] == RecordType.LEVEL
    is_last = (records["flags"] & 2) != 0
    snapshot = np.zeros(len(records), dtype=bool)
    for i in range(2):
        mine = np.flatnonzero(is_level & (records["instrument_index"] == i))
        first = mine[0]
        snapshot[first : mine[np.argmax(is_last[mine])] + 1] = True
    targets = np.zeros(len(records), dtype=np.int64)
    for k in range(len(records)):
        targets[k] = turn
        if not is_level[k] or is_last[k]:
            turn = (turn + 1) % clones
    out = records.copy()
    out["instrument_index"] = records["instrument_index"] + 2 * targets
    openings = records[snapshot & is_level]
    for clone in range(clones):
        opening = openings.copy()
        opening["instrument_index"] = openings["instrument_index"] + 2 * clone
        opening["receive_time_ns"] = records["receive_time_ns"][0]
        parts.append(opening)
    dealt = joined([*parts, out[~(snapshot & is_level)]])
    for clock in ("receive_time_ns", "venue_time_ns"):
        start_ns = int(records[clock].min())
        dealt[clock] = start_ns + (dealt[clock] - start_ns) // clones
    return dealt


def instruments_of(count: int) -> Records:
    """Return `count` rows, alternately like the two recorded instruments."""
    rows = []
    for k in range(count):
        exponent, unit = (
            (1, unit_e8("0.1", "0.001")) if k % 2 == 0 else (2, unit_e8("0.01", "0.001"))
        )
        name = f"T{k}USDT"
        rows.append(
            make_instrument(name, instrument_index=k, price_exponent=exponent, unit_e8=unit)
        )
    return instrument_rows(rows)


def timed(kernel: Callable[..., int], *arguments: object) -> tuple[float, int]:
    """Return the CPU ns of one call, and its answer."""
    started = time.thread_time_ns()
    answer = kernel(*arguments)
    return time.thread_time_ns() - started, answer


def stage_pass(records: Records, instruments: Records) -> harness.Pass:
    """Run every stage over a market, each from a fresh state; return ns per record."""
    rows = select_rows()
    exposure = np.zeros((len(instruments), len(rows)), dtype=EXPOSURE_DTYPE)
    opportunities = np.zeros(OPPORTUNITIES_PER_RECORD_MAX, dtype=OPPORTUNITY_DTYPE)
    elapsed = {}
    elapsed["read"], total = timed(read_only, records)
    elapsed["firewall"], refused = timed(
        firewall_only, create_market_state(instruments, rows), records
    )
    elapsed["state"], closed = timed(state_only, create_market_state(instruments, rows), records)
    market = create_market_state(instruments, rows)
    elapsed["strategies"], found = timed(whole, market, exposure, records, opportunities)
    assert total > 0, "the records were read"
    assert refused < len(records) // 100, f"a hundredth of the market was refused: {refused}"
    assert closed > 0, "bars were closed"
    assert found > 0 or len(instruments) > 2, "strategies found something"
    found_pass = {f"{stage}, up to": ns / len(records) for stage, ns in elapsed.items()}
    return {**found_pass, "records": float(len(records))}


def kind_pass(records: Records, instruments: Records, kind: RecordType) -> harness.Pass:
    """Run the whole market, then its records of one kind alone once more, in the warm state."""
    rows = select_rows()
    exposure = np.zeros((len(instruments), len(rows)), dtype=EXPOSURE_DTYPE)
    opportunities = np.zeros(OPPORTUNITIES_PER_RECORD_MAX, dtype=OPPORTUNITY_DTYPE)
    market = create_market_state(instruments, rows)
    chosen = joined([records[records["record_type"] == kind]])
    elapsed_ns, _ = timed(whole, market, exposure, chosen, opportunities)
    assert market.reject_counts.sum() < len(chosen) // 100, "the market was taken"
    return {"whole, this kind": elapsed_ns / len(chosen), "records": float(len(chosen))}


def main() -> None:
    """Measure, print the table, write the JSON."""
    asked = harness.arguments(__doc__ or "")
    about = harness.machine()
    os.sched_setaffinity(0, {harness.two_cores()[0]})
    recorded = recorded_market()
    markets = {
        "2 instruments": (recorded, instruments_of(2)),
        f"{MANY} instruments": (dealt_out(recorded, MANY), instruments_of(MANY)),
    }
    cases: dict[str, harness.Case] = {}
    for name, (records, instruments) in markets.items():
        cases[name] = partial(stage_pass, records, instruments)
        for word, kind in KINDS.items():
            cases[f"{name}, {word}s"] = partial(kind_pass, records, instruments, kind)
    results = harness.measure(cases, asked)
    harness.finish(BENCH, results, about, asked.json)


if __name__ == "__main__":
    main()
