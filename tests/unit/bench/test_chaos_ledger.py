"""A ledger of runs: a seed that is in it is not run again, and what is told counts all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.chaos import __main__ as chaos
from bench.chaos.ledger import RunLedger, summed_up


def row(seed: int, *broken: str) -> dict[str, Any]:
    return {
        "seed": seed,
        "kinds": ["kill_all"],
        "broken": list(broken),
        "seconds": 4.0,
        "phases": {"start": 3.0, "laws": 1.0},
        "lives": 2,
        "orders": None,
        "trading_state": "PAUSED",
    }


def test_lines_of_another_commit_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "chaos.jsonl"
    first = RunLedger(path, "one")
    first.add(row(1))
    first.add(row(2, "books: fill X 7"))
    RunLedger(path, "two").add(row(3))
    assert RunLedger(path, "one").seeds == {1, 2} == first.seeds
    assert RunLedger(path, "two").seeds == {3}


def test_what_is_told_names_the_seeds_that_broke_a_law() -> None:
    told = summed_up([row(1), row(2, "books: fill X 7")])
    assert "2 runs, 4 engines" in told
    assert "4.0 s a run: start 3.0, laws 1.0" in told
    assert "1 broke a law: [2]" in told
    assert "0 sent no order" in told, "lines of before they counted that are not judged"
    assert "1 sent no order" in summed_up([row(1) | {"sent": 0}, row(2) | {"sent": 5}])
    assert summed_up([]) == "0 runs"


def test_a_seed_in_the_ledger_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[int] = []

    def perform(seed: int, _keep: Path | None) -> dict[str, Any]:
        ran.append(seed)
        return row(seed, *(["books differ"] if seed == 2 else []))

    monkeypatch.setattr(chaos, "_one", perform)
    monkeypatch.setattr(chaos, "commit", lambda: "one")
    words = ["--ledger", str(tmp_path / "chaos.jsonl"), "--seeds"]
    assert chaos.main([*words, "1-2"]) == 1
    assert "kill" in capsys.readouterr().out  # the plan of the seed that broke a law
    assert chaos.main([*words, "1-3"]) == 1
    assert sorted(ran) == [1, 2, 3]
    assert "3 runs" in capsys.readouterr().out
