"""`report`, `verify`, `readiness`, `audit`, `completion` as commands: exit codes and JSON."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from engine.cli import build_parser
from engine.cli_completion import completion, words_of
from engine.config import ArmingConfig, Config, VenueConfig
from engine.processes.engine_start import StartError, require_readiness
from engine.processes.ready_record import FILE_NAME
from tests.engine_process import aegis
from tests.journal_homes import add_session, sound_rows


def test_a_report_of_no_session_is_an_environment_error(tmp_path: Path) -> None:
    done = aegis(tmp_path, "report")
    assert done.returncode == 3
    assert done.stderr == "aegis: no session in this span\n"


def test_commands_end_with_1_when_a_check_failed_and_say_which(tmp_path: Path) -> None:
    add_session(tmp_path, sound_rows())
    for command, failed in (
        ("verify", {"RL implementation", "learning capability"}),
        ("readiness", {"verify"}),
    ):
        done = aegis(tmp_path, command, "--json")
        document = json.loads(done.stdout)
        names = {row["name"] for row in document["checks"] if row["level"] == "fail"}
        assert names <= failed
        assert (done.returncode, document["passed"]) == ((1, False) if names else (0, True))
        assert done.stderr == "", "progress is for what takes longer than two seconds"
    kept = json.loads((tmp_path / FILE_NAME).read_text("utf-8"))
    assert kept["passed"] is document["passed"]


def test_an_audit_ends_with_0_on_warnings_and_with_1_on_a_failure(tmp_path: Path) -> None:
    add_session(tmp_path, sound_rows(), ended_realtime_ns=0)
    done = aegis(tmp_path, "audit", "--daily")
    assert done.returncode == 0, done.stdout
    assert "warn" in done.stdout
    (tmp_path / "trade_audit_log.jsonl").unlink()
    done = aegis(tmp_path, "audit", "--weekly", "--json")
    assert done.returncode == 1
    assert not json.loads(done.stdout)["passed"]


def test_a_report_is_one_json_object_or_a_page_of_text(tmp_path: Path) -> None:
    add_session(tmp_path, sound_rows())
    assert json.loads(aegis(tmp_path, "report", "--json").stdout)["fills"] == 12
    assert "12 fills" in aegis(tmp_path, "report", "--session", "s1").stdout
    assert aegis(tmp_path, "report", "--session", "s9").returncode == 3


@pytest.mark.parametrize("days", ["0", "-1", "nan", "x", "1e9"])
def test_a_span_that_is_none_is_a_usage_error(tmp_path: Path, days: str) -> None:
    done = aegis(tmp_path, "report", "--days", days)
    assert done.returncode == 2
    assert "number of days" in done.stderr


def test_an_armed_start_without_readiness_is_a_usage_error_that_says_what_to_do(
    tmp_path: Path,
) -> None:
    config = Config(
        home=str(tmp_path),
        trading_mode="live",
        venue=VenueConfig(name="binance", account="main", third_party=True),
        arming=ArmingConfig(allow_orders=True, dry_run=False, enable_order_exec=True),
    )
    Path(config.state_dir).mkdir(parents=True)
    with pytest.raises(StartError, match="--unready") as caught:
        require_readiness(config, "")
    assert caught.value.exit_code == 2
    (Path(config.state_dir) / "control_audit_log.jsonl").mkdir()
    with pytest.raises(StartError, match="cannot be written") as caught:
        require_readiness(config, "a reason")
    assert caught.value.exit_code == 3


# -- completion ------------------------------------------------------------------------------------


def test_completion_knows_every_command_and_option() -> None:
    words = words_of(build_parser())
    (commands,) = [action.choices for action in build_parser()._actions if action.choices]
    assert list(words) == list(commands or ())
    assert {"--tape", "--unready", "--json"} <= set(words["run"])
    assert words["completion"][-3:] == ["bash", "zsh", "fish"]
    for shell in ("bash", "zsh", "fish"):
        script = completion(shell)
        missing = [name for name in words if name not in script]
        assert missing == []


def completed(*typed: str) -> list[str]:
    """Return what bash offers after these words."""
    lines = [
        completion("bash"),
        f"COMP_WORDS=({' '.join(repr(word) for word in typed)})",
        f"COMP_CWORD={len(typed) - 1}",
        '_aegis; printf "%s\\n" "${COMPREPLY[@]}"',
    ]
    script = "\n".join(lines)
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=True, timeout=20
    )
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_completes_commands_options_and_choices() -> None:
    assert completed("aegis", "rea") == ["readiness"]
    assert completed("aegis", "audit", "--w") == ["--weekly"]
    assert completed("aegis", "completion", "f") == ["fish"]
    assert set(completed("aegis", "")) == set(words_of(build_parser()))
