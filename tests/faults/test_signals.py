"""A started engine under a storm of signals: it ends, and nothing of it stays behind."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

import pytest

from tests.engine_process import Engine, alive, share_kernels, wait_for

pytestmark = pytest.mark.slow  # a whole engine

STORM = 400


def test_signals_on_signals_end_the_engine(tmp_path: Path) -> None:
    share_kernels(tmp_path)
    engine = Engine(tmp_path, "--generate", "1", "--seed", "1", "--json")
    try:
        pids = engine.wait_ready()["pids"]
        for k in range(STORM):
            with contextlib.suppress(ProcessLookupError):
                engine.process.send_signal((signal.SIGTERM, signal.SIGINT)[k % 2])
        code, _, errors = engine.finish()
    finally:
        engine.kill()
    assert code in {0, 1}, errors  # 1: the second signal ends a role that is not done yet
    wait_for("every role to be gone", lambda: not any(alive(pid) for pid in pids.values()))
