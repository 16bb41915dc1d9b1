"""The market side gives the same bits however it is run, and the same for the same records."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from engine.domain.features.catalogue import catalogue_text, compile_plan
from tests.brain_digest import LAX_ROWS, digest, run
from tests.builders import make_instruments
from tests.market_runs import play, synthetic_market
from tests.ring_builders import ROOT, child_command

COUNT = 6_000
DEADLINE_S = 540
# NaN until what they tell of has happened, or as long as nothing brings their input.
EVENTFUL = {"carry", "crowd", "depth", "patterns", "sessions", "smart_money"}


def child_words(extra: dict[str, str], count: int) -> list[str]:
    """Return what a digest of the same market says under other compiler settings."""
    done = subprocess.run(
        child_command("tests.brain_digest", count),
        cwd=ROOT,
        env=os.environ | extra,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_compiled_and_uncompiled_kernels_agree_bit_for_bit() -> None:
    outcome = run(COUNT)
    words = child_words({"NUMBA_DISABLE_JIT": "1"}, COUNT)
    assert words[0] == digest(outcome)
    assert int(words[1]) == len(outcome.log)


@pytest.mark.slow
def test_bounds_checked_kernels_agree_and_read_nothing_out_of_bounds(tmp_path: Path) -> None:
    extra = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    assert child_words(extra, COUNT)[0] == digest(run(COUNT))


def test_the_synthetic_market_meets_every_kernel() -> None:
    outcome = run(COUNT)
    assert {reason for s in range(5) for reason in outcome.reasons(s)} >= {
        "FVG_RETURN",
        "FLOW_SCORE",
        "QUOTE_IMBALANCE",
        "STOP_LOSS",
        "TRAILING_STOP",
        "FLOW_REVERSED",
        "IMBALANCE_REVERSED",
    }
    assert (outcome.market.reject_counts > 0).sum() >= 3
    assert (outcome.market.hot["late_trade_count"] > 0).any()
    assert (outcome.market.hot["gap_count"] > 0).any()
    catalogue = compile_plan(catalogue_text())
    early = [row for row in catalogue.bar_rows if row.warm_up <= 60 and row.warm_days == 0]
    known = {name for row in early if row.family not in EVENTFUL for name in row.columns}
    columns = [k for k, name in enumerate(catalogue.bar_columns) if name in known]
    assert not np.isnan(outcome.market.bar_features[:, 0, columns]).any()
    assert (outcome.market.books["state"] > 0).any()


@pytest.mark.parametrize("seed", [2, 3])
def test_the_same_records_give_the_same_bits(seed: int) -> None:
    assert digest(run(COUNT, seed)) == digest(run(COUNT, seed))
    assert digest(run(COUNT, seed)) != digest(run(COUNT, seed + 10))


@pytest.mark.parametrize("cut", [100, 1_777, 4_096])
def test_what_is_decided_at_a_record_does_not_depend_on_later_records(cut: int) -> None:
    records = synthetic_market(COUNT)
    rows = LAX_ROWS
    whole = play(records, make_instruments(2), rows)
    prefix = play(records[:cut].copy(), make_instruments(2), rows)
    known = whole.log[whole.log["record"] < cut]
    assert prefix.log.tobytes() == known.tobytes()
