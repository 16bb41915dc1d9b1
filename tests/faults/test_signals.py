"""An engine and signals, at its start and in a storm: it ends, and nothing of it stays behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.engine_process import AEGIS, Engine, alive, share_kernels, wait_for

STORM = 400


def test_ctrl_c_while_the_roles_import_is_a_clean_end(tmp_path: Path) -> None:
    name = f"early{os.getpid()}"
    words = [*AEGIS, "run", "--port", "0", "--name", name, "--generate", "1", "--json"]
    process = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "AEGIS_HOME": str(tmp_path)},
        start_new_session=True,  # a terminal sends Ctrl-C to the whole group
    )
    try:
        assert process.stderr is not None
        said = ""
        while not said.startswith("token"):  # the last line before the roles are started
            said = process.stderr.readline()
            assert said, "it ended"
        os.killpg(process.pid, signal.SIGINT)
        shown, errors = process.communicate()
    finally:
        process.kill()
    assert (process.returncode, errors) == (0, "")
    summary = json.loads(shown.splitlines()[-1])
    assert summary["seconds"] == 0.0
    assert summary["exchange_agrees"] is None  # no market was played: there are no books


@pytest.mark.slow  # a whole engine
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
