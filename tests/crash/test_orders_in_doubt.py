"""kill -9 with an order on its way, through a whole engine: none lost, none doubled.

The exchange takes an order, or loses it, and does not answer in time; meanwhile a role or main is
killed. After the restart the engine must have the exchange's books, no repeated client order id, no
order that nobody accounts for, and go on trading.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubt_rig import LATE_MS, Rig
from tests.engine_process import alive, wait_for

pytestmark = pytest.mark.slow  # whole engines that wait for orders


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.stop()


@pytest.mark.parametrize("victim", ["brain", "orchestrator", "main"])
@pytest.mark.parametrize("execute", [True, False], ids=["accepted", "lost"])
def test_killed_with_an_order_on_its_way(rig: Rig, victim: str, execute: bool) -> None:
    engine = rig.start()
    pids = engine.wait_ready()["pids"]
    refusal = {} if execute else {"status": 503}
    rig.arm(1_000, execute=execute, delay_ms=LATE_MS, **refusal)
    engine.wait_count("orders", 1)
    os.kill(pids[victim], signal.SIGKILL)
    wait_for("the engine's end", lambda: not [pid for pid in pids.values() if alive(pid)])
    engine.kill()
    rig.calm()
    before = len(rig.orders())
    assert before == 0 or execute

    engine = rig.start()
    engine.wait_ready()
    engine.wait_count("orders", 1)
    rig.settled(engine.terminate())
    assert len(rig.orders()) > before
