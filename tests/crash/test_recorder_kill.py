"""kill -9 the recorder in the middle: every tape opens, and only what was not written is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.tapes.blocks import FILE_HEADER_BYTES
from engine.tapes.folder import TapeFolder
from engine.tapes.reader import Records, TapeReader, joined
from tests.engine_process import AEGIS
from tests.feed_rig import BTC, ETH
from tests.recorder_rig import FakeEngine, recorded

DEADLINE_S = 60.0
SLOTS = 1 << 16
RECORD_BYTES = 64


@pytest.fixture
def fake_engine() -> Iterator[FakeEngine]:
    engine = FakeEngine(f"kill{os.getpid()}", SLOTS)
    engine.know(BTC, ETH)
    yield engine
    engine.close()


def recorder(engine: FakeEngine, folder: Path, *words: str) -> subprocess.Popen[str]:
    command = [*AEGIS, "record", "--name", engine.name, "--into", str(folder), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(what: str, condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, f"{what} did not happen"
        time.sleep(0.002)


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.tape"))


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_recorder_leaves_whole_records_in_order(
    seed: int, fake_engine: FakeEngine, tmp_path: Path
) -> None:
    process = recorder(fake_engine, tmp_path, "--tape-bytes", "50k")
    published: list[Records] = []
    try:
        wait_for("a tape", lambda: size(tmp_path) > 0)
        wanted = 2 + seed  # the last of them is being written when the recorder dies
        while len(TapeFolder(tmp_path).tapes()) < wanted:
            # What is not on disk yet must still be in the ring when the next recorder comes.
            if fake_engine.published * RECORD_BYTES < size(tmp_path) + SLOTS // 4 * RECORD_BYTES:
                published.append(fake_engine.publish(200))
            time.sleep(0.001)
            assert process.poll() is None
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=DEADLINE_S)
    whole = joined(published)
    found = without_heads(tmp_path)
    assert len(found) > 500
    assert found.tobytes() == whole[: len(found)].tobytes()
    left = [
        path for path in TapeFolder(tmp_path).tapes() if not has_head(path) or not is_ended(path)
    ]
    assert len(left) <= 1

    # The next recorder cuts what was torn and goes on behind the last whole record.
    process = recorder(fake_engine, tmp_path, "--for", "0.5", "--json")
    rest = fake_engine.publish(100)
    output, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, errors
    document = json.loads(output)
    assert document["lost"] == 0
    assert document["records"] == fake_engine.published - len(found)
    assert all(is_ended(path) for path in TapeFolder(tmp_path).tapes())
    assert without_heads(tmp_path).tobytes() == whole.tobytes() + rest.tobytes()


def has_head(path: Path) -> bool:
    """Return whether its writer lived long enough to say whose tape it is."""
    return path.stat().st_size >= FILE_HEADER_BYTES


def is_ended(path: Path) -> bool:
    with TapeReader(path) as tape:
        return tape.is_ended


def without_heads(folder: Path) -> Records:
    """Return the records of a folder's tapes without the books at their heads."""
    found = recorded(folder)
    words = found["sequence"]
    is_head = np.concatenate([[False], words[1:] == words[:-1]])
    return found[~is_head]


def test_a_stop_signal_ends_the_tape(fake_engine: FakeEngine, tmp_path: Path) -> None:
    records = fake_engine.publish(500)
    process = recorder(fake_engine, tmp_path, "--json")
    wait_for("a record on the tape", lambda: size(tmp_path) > 64 * 500)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, errors
    assert json.loads(output)["records"] == 500
    assert recorded(tmp_path).tobytes() == records.tobytes()
    assert all(is_ended(path) for path in TapeFolder(tmp_path).tapes())
