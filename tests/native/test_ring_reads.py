"""Readers in processes of their own, at full speed: no word of another record is ever returned."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.native import run_ring_reads
from tests.native.run_ring_reads import CASES, ROOT, WRONG, compiled, read

SECONDS = 1
RECORDED = ROOT / "bench/results/ring_stress.json"


@pytest.mark.parametrize("case", CASES)
def test_every_record_returned_is_whole_and_comes_once(case: str, tmp_path: Path) -> None:
    status, readers = read(compiled(tmp_path), case, SECONDS)
    assert {reader[name] for reader in readers for name in WRONG} == {0}
    assert status == 0
    assert [reader["reader"] for reader in readers].count("gating") == CASES[case][3]
    assert all(reader["seen"] > 0 for reader in readers)
    if CASES[case][3] == 0:
        assert readers[0]["resyncs"] > 0, "the writer never came near: nothing was at stake"


# What is broken in a copy of the ring, and the case that must show it.
BREAKAGES = {
    "no second look": (
        "ring.c",
        "return atomic_load_explicit(&slot->sequence, memory_order_relaxed) == sequence + 1;",
        "return 1;",
        "observer, four cache lines",
        "torn",
    ),
    "no busy mark": (
        "ring.h",
        "atomic_store_explicit(&slot->sequence, AEGIS_SLOT_BUSY, memory_order_relaxed);",
        "",
        "observer, four cache lines",
        "torn",
    ),
    "a claim that heeds nobody": (
        "ring.h",
        "end - ring->capacity > ring->gating && aegis_ring_make_room(ring, end) != 0",
        "end < 0",
        "gating",
        "lost",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_ring_is_found_out(breakage: str, tmp_path: Path) -> None:
    name, right, wrong, case, outcome = BREAKAGES[breakage]
    native = tmp_path / "native"
    shutil.copytree(ROOT / "native_ext", native, ignore=shutil.ignore_patterns("*.so", "_*"))
    text = (native / name).read_text("utf-8")
    assert right in text, "the source reads otherwise now"
    (native / name).write_text(text.replace(right, wrong), "utf-8")
    status, readers = read(compiled(tmp_path, native), case, SECONDS)
    assert status != 0
    assert sum(reader[outcome] for reader in readers) > 0


def test_runs_add_up_and_what_is_recorded_found_nothing(tmp_path: Path) -> None:
    reader = {"reader": "observer", "seen": 5, "torn": 0, "doubled": 0, "lost": 0}
    row = {"case": "observer", "seconds": 1, "readers": [reader | {"lapped": 7, "resyncs": 2}]}
    path = tmp_path / "reads.json"
    run_ring_reads.record(path, [row])
    totals = run_ring_reads.record(path, [row])
    assert (totals["reads"], totals["lapped"], totals["torn"]) == (10, 14, 0)
    recorded = json.loads(RECORDED.read_text("utf-8"))
    readers = [one for run in recorded["runs"] for one in run["readers"]]
    assert recorded["totals"]["reads"] == sum(one["seen"] for one in readers)
    assert [recorded["totals"][name] for name in WRONG] == [0, 0, 0]
