"""The benches' brain trades what the strategy says: checked over a whole generated market."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.sides import replay_rows
from tests.engine_process import share_kernels

ROWS = 5_000
TIMEOUT_S = 400
# A process of its own: importing the side chooses the kernel cache.
PROGRAM = f"""
import json
from bench.sides import replay_rows
from bench.sides.replay_aegis import Side
side = Side(replay_rows.generated({ROWS}))
print(json.dumps([side.play(step) for step in (1, 256, 1)]))
"""


@pytest.mark.slow
def test_orders_are_those_of_the_strategy_and_every_record_is_decided_on(tmp_path: Path) -> None:
    share_kernels(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"AEGIS_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    one, many, again = json.loads(done.stdout)
    assert [found["records"] for found in (one, many, again)] == [ROWS] * 3
    assert [found["refused"] for found in (one, many, again)] == [0] * 3
    assert one["orders"] == replay_rows.crossings(replay_rows.generated(ROWS))
    assert 0 < many["orders"] <= one["orders"]
    assert again["orders"] == one["orders"]
