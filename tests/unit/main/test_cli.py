"""The command line: help that teaches, exit codes that mean something, one sentence for errors."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from engine import exit_codes
from engine.cli import build_parser, main
from engine.cli_help import GROUPS
from engine.processes.kernel_cache import cache_directory
from engine.processes.kernel_image import LoopImage
from tests.engine_process import AEGIS, aegis

COMMANDS = (
    "run",
    "demo",
    "exchange",
    "chart",
    "status",
    "top",
    "orders",
    "positions",
    "halt",
    "pause",
    "reduce",
    "flatten",
    "cancel-all",
    "reconcile",
    "access",
    "resume",
    "mode",
    "approvals",
    "onboard",
    "offboard",
    "lines",
    "gaps",
    "stop",
    "replay",
    "why",
    "shadow",
    "ledger",
    "journal",
    "record",
    "tape",
    "features",
    "strategies",
    "download",
    "report",
    "verify",
    "readiness",
    "audit",
    "completion",
    "alert",
    "order",
    "cancel",
    "execute",
    "executions",
    "routes",
    "doctor",
    "config",
    "version",
)


def test_every_documented_command_exists_and_has_an_example() -> None:
    parser = build_parser()
    (choices,) = [action.choices for action in parser._actions if action.choices]
    assert isinstance(choices, dict)
    assert set(choices) == set(COMMANDS)
    for name, command in choices.items():
        assert command.epilog, name
        assert f"aegis {name}" in command.epilog or "exchange --port" in command.epilog


def test_help_lists_every_command_in_one_group() -> None:
    assert sorted(COMMANDS) == sorted(name for names in GROUPS.values() for name in names)
    shown = build_parser().format_help()
    for name in COMMANDS:
        assert f"\n  {name:11} " in shown, name


@pytest.mark.parametrize(
    ("word", "meant"), [("statsu", "; did you mean status?"), ("dance", ""), ("haltt", "halt?")]
)
def test_a_word_that_is_no_command_is_one_sentence(
    word: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word, "--name", "x"]) == exit_codes.USAGE
    said = capsys.readouterr().err
    assert said.startswith(f"aegis: no command {word!r}; `aegis --help` lists them")
    assert said.rstrip().endswith(meant)
    assert said.count("\n") == 1


def test_a_reader_that_has_gone_is_no_traceback(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*AEGIS, "version"], stdout=write, stderr=subprocess.PIPE, cwd=tmp_path, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (exit_codes.INTERRUPTED, b"")


def test_no_instruments_to_generate_is_refused() -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["run", "--generate", "0"])


def test_no_command_prints_help_and_is_a_usage_error(tmp_path: Path) -> None:
    done = aegis(tmp_path)
    assert done.returncode == 2
    assert "aegis run --tape" in done.stdout


@pytest.mark.parametrize(
    "words", [("--tape", "x.gz"), ("--generate", "2"), ("--loop",), ("--exchange", "http://h:1")]
)
def test_a_practice_market_at_another_venue_is_a_usage_error(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    done = aegis(tmp_path, "run", "--port", "0", "--venue", "binance", *words)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert words[0] in done.stderr


def test_a_demo_trades_on_a_market_of_its_own_whatever_is_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "aegis.toml").write_text('venue = "binance"\nmode = "live"\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VENUE", "binance")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[3]))
    done = aegis(tmp_path / "home", "demo", "--port", "0", "--for", "1")
    assert done.returncode == 0, done.stderr
    assert "generated market, 4 instruments" in done.stdout + done.stderr
    assert "no order leaves this machine" in done.stdout + done.stderr
    assert "aegis report" in done.stderr.splitlines()[-1]


def test_a_demo_has_no_other_venue(tmp_path: Path) -> None:
    done = aegis(tmp_path, "demo", "--venue", "binance")
    assert done.returncode == 2
    assert "--venue" in done.stderr


def test_version_as_json(tmp_path: Path) -> None:
    document = json.loads(aegis(tmp_path, "version", "--json").stdout)
    assert set(document) == {"version", "commit", "python", "machine", "system"}


@pytest.mark.parametrize(
    "words", [("status",), ("halt", "why"), ("resume", "--reason", "why"), ("stop",)]
)
def test_no_engine_is_an_environment_error(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = aegis(tmp_path, *words)
    assert done.returncode == 3
    assert "no engine named 'main' runs" in done.stderr


def test_resume_needs_a_reason(tmp_path: Path) -> None:
    assert aegis(tmp_path, "resume").returncode == 2


def test_config_init_writes_once_and_show_hides(tmp_path: Path) -> None:
    path = tmp_path / "aegis.toml"
    assert aegis(tmp_path, "config", "init", "--config", str(path)).returncode == 0
    assert aegis(tmp_path, "config", "init", "--config", str(path)).returncode == 2
    shown = aegis(tmp_path, "config", "show", "--config", str(path), "--json")
    assert json.loads(shown.stdout)["trading_mode"] == "paper"


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (("--config", "absent.toml"), 2, "absent.toml"),
        (("--mode", "live"), 2, "BINANCE_API_KEY"),
        (("--port", "x"), 2, "'x'"),
        (("--no-such-option",), 2, "--no-such-option"),
        (("--tape", "absent.gz"), 3, "absent.gz"),
    ],
)
def test_a_run_that_cannot_start_says_why(
    tmp_path: Path, words: tuple[str, ...], code: int, named: str
) -> None:
    port = () if "--port" in words else ("--port", "0")
    done = aegis(tmp_path, "run", *port, *words)
    assert done.returncode == code, done.stderr
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_an_environment_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = aegis(tmp_path, "run", "--port", str(port))
    assert done.returncode == 3
    assert str(port) in done.stderr
    assert "PORT" in done.stderr


def test_a_wrong_word_is_said_before_a_taken_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = aegis(tmp_path, "run", "--port", str(port), "--no-such-option")
    assert done.returncode == 2
    assert "--no-such-option" in done.stderr


def test_the_exchange_reads_its_own_words(tmp_path: Path) -> None:
    shown = aegis(tmp_path, "exchange", "--help")
    assert shown.returncode == 0
    assert "--weight-limit" in shown.stdout
    assert aegis(tmp_path, "exchange", "--port", "0", "--speed", "fast").returncode == 2
    with subprocess.Popen(
        [*AEGIS, "exchange", "--port", "0"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready ")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_ctrl_c_before_there_is_an_engine_is_no_traceback() -> None:
    script = (
        "import signal, sys; from engine.processes import supervisor\n"
        "def interrupted(*_): signal.raise_signal(signal.SIGINT)\n"
        "supervisor.bind = interrupted\n"
        "from engine.cli import main; sys.exit(main(['run', '--port', '0']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert done.stderr == "aegis: interrupted\n"


@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1, 2)])
@pytest.mark.parametrize(("words", "code"), [(["version"], 0), (["nope"], 2)])
def test_a_command_whose_streams_are_closed_does_what_it_does(
    tmp_path: Path, closed: tuple[int, ...], words: list[str], code: int
) -> None:
    taken, told = tmp_path / "taken", tmp_path / "told"
    script = (
        f"import os; [os.close(n) for n in {closed}]; os.execv({AEGIS[0]!r}, {[*AEGIS, *words]})"
    )
    with taken.open("w") as output, told.open("w") as errors:
        done = subprocess.run(
            [sys.executable, "-c", script], stdout=output, stderr=errors, check=False
        )
    assert done.returncode == code
    is_error = "no command" in told.read_text()
    assert is_error is (code == 2 and 2 not in closed)
    assert bool(taken.read_text()) is (code == 0 and 1 not in closed)


def test_an_output_that_is_full_is_one_sentence(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*AEGIS, "version"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (3, "aegis: No space left on device\n")
    place = tmp_path / "none" / "x.toml"
    done = aegis(tmp_path, "config", "init", "--config", str(place))
    assert (done.returncode, done.stderr) == (3, f"aegis: {place}: No such file or directory\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("order BTCUSDT buy abc", "argument quantity: invalid decimal value: 'abc'"),
        ("order BTCUSDT buy 1 --limit 1e5", "argument --limit: invalid decimal value: '1e5'"),
        ("order BTC buy 1 --good-till soon", "argument --good-till: invalid date with its zone"),
        ("order BTC buy 1 --good-till 2026-11-24T12:00", "invalid date with its zone"),  # whose?
        ("order BTC buy 1 --good-till 15", "invalid date with its zone"),
        ("order BTC buy 1 --good-till -15m", "expected one argument"),
        ("order BTC buy 1 --good-till 2h --post-only", "not allowed with argument"),
        ("execute twap BTCUSDT buy 1 --minutes nan", "argument --minutes: invalid number value"),
        ("execute pov BTCUSDT buy 1 --rate inf", "argument --rate: invalid number value"),
        ("execute iceberg BTCUSDT buy 1 --display x", "argument --display: invalid decimal value"),
    ],
)
def test_a_number_that_is_none_is_told_by_its_place(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        build_parser().parse_args(words.split())
    assert said in capsys.readouterr().err


def test_doctor_says_whether_the_kernels_are_compiled(tmp_path: Path) -> None:
    done = aegis(tmp_path, "doctor")
    assert done.returncode == 0
    assert "warn  kernels" in done.stdout
    # Written as the brain writes it: an image of no code is enough for a file to be there.
    image = object.__new__(LoopImage)
    image.symbol, image.layout, image.codes = "loop", "none", [b""]
    directory = cache_directory(str(tmp_path))
    directory.mkdir(parents=True)
    image.save(directory)
    assert "ok    kernels" in aegis(tmp_path, "doctor").stdout


def test_a_home_that_cannot_be_written_is_an_environment_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="ascii")
    done = aegis(tmp_path / "file" / "home", "run", "--port", "0")
    assert done.returncode == 3
    assert "AEGIS_HOME" in done.stderr


def test_other_systems_are_told_about_the_container() -> None:
    script = (
        "import sys; sys.platform = 'darwin'; from engine.cli import main; sys.exit(main(['run']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert "Linux" in done.stderr
    assert "docker run" in done.stderr


def test_run_help_is_there_without_binding() -> None:
    done = subprocess.run([*AEGIS, "run", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "--tape" in done.stdout
