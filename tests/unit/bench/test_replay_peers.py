"""The replay bench refuses a pass in which engines did not see the same market."""

import sys
from pathlib import Path

import numpy as np
import pytest

from bench import replay_peers
from bench.replay_peers import NAUTILUS, TIMES_NAUTILUS, against_nautilus, measured
from bench.sides import replay_rows

SEEN = {"records": 100, "rows": 120, "orders": 3, "cpu_ns": 1_000, "wall_ns": 2_000}


def test_rates_are_records_by_cpu_and_by_wall() -> None:
    found = measured(lambda: SEEN, 100)
    assert found["records/s CPU"] == 100e6
    assert found["records/s wall"] == 50e6
    assert found["CPU per record"] == 10


@pytest.mark.parametrize(
    "wrong", [{"records": 99}, {"refused": 1}, {"orders": 0}], ids=["lost", "refused", "idle"]
)
def test_a_pass_that_saw_another_market_fails(wrong: dict[str, float]) -> None:
    with pytest.raises(AssertionError):
        measured(lambda: SEEN | wrong, 100)


def test_the_second_ratio_is_to_the_median_of_nautilus() -> None:
    results = {
        "us": [{"records/s CPU": 30.0}],
        NAUTILUS: [{"records/s CPU": one} for one in (1.0, 2.0, 9.0)],
    }
    against_nautilus(results)
    assert results["us"][0][TIMES_NAUTILUS] == 15
    assert results[NAUTILUS][1][TIMES_NAUTILUS] == 1


def test_without_nautilus_there_is_no_second_ratio() -> None:
    results = {"us": [{"records/s CPU": 30.0}]}
    against_nautilus(results)
    assert results == {"us": [{"records/s CPU": 30.0}]}


@pytest.mark.parametrize("python", [sys.executable, "/nowhere/python"])
def test_a_missing_peer_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], python: str
) -> None:
    with replay_peers.peer(Path(python), "hftbacktest", tmp_path / "rows.npy") as found:
        assert found is None
    said = capsys.readouterr().err
    assert said.startswith("hftbacktest is left out")
    assert "bench/README.md" in said
    assert said.count("\n") == 1


def test_a_peer_answers_each_request(tmp_path: Path) -> None:
    module = tmp_path / "echo_peer.py"
    module.write_text(
        "import json, sys\n"
        'print(json.dumps({"version": "1"}), flush=True)\n'
        "for line in sys.stdin:\n"
        '    print(json.dumps({"records": len(line.strip())}), flush=True)\n',
        "utf-8",
    )
    # It is started as a module of this checkout; here a module of the standard library's way in.
    rows = tmp_path / "rows.npy"
    np.save(rows, replay_rows.generated(10))
    launcher = tmp_path / "python"
    launcher.write_text(f"#!/bin/sh\nexec {sys.executable} {module}\n", "utf-8")
    launcher.chmod(0o755)
    peer = replay_peers.Peer(launcher, "any", rows)
    assert peer.version == "1"
    assert peer.play("four")["records"] == 4
    peer.stop()
    assert peer.process.returncode is not None
