"""`python -m exchange`: ready line, exit codes, sentences, signals."""

import argparse
import signal
import socket
from pathlib import Path

import pytest

from exchange.__main__ import EXIT_ENVIRONMENT, EXIT_USAGE, main, options_of, parser, source_of
from exchange.clock import UNLIMITED
from exchange.generator import Generator
from exchange.tape import Tape
from tests.exchange_process import fetch, started
from tests.exchange_rig import short_tape


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_ready_answers_and_stops_on_a_signal(
    tmp_path: Path, number: signal.Signals
) -> None:
    tape = short_tape(tmp_path / "a.txt")
    with started("--tape", str(tape), "--key", "k", "--secret", "s") as (process, port):
        assert fetch(port, "/practice/state")["symbols"] == ["BTCUSDT"]
        assert fetch(port, "/practice/ledger?account=k")["account"] == "k"
        process.send_signal(number)
        assert process.wait(timeout=20) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_generated_market_needs_no_data() -> None:
    with started("--generate", "3", "--seed", "5", "--balance", "77.5") as (_process, port):
        assert fetch(port, "/practice/state")["symbols"] == ["BTCUSDT", "ETHUSDT", "GEN003USDT"]
        ledger = fetch(port, "/practice/ledger?account=practice")
        assert isinstance(ledger["balances"], list)
        assert ledger["balances"][0]["walletBalance"] == "77.50000000"


def test_taken_port_is_an_environment_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tape = short_tape(tmp_path / "a.txt")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        assert main(["--port", str(port), "--tape", str(tape)]) == EXIT_ENVIRONMENT
    assert f"cannot listen on port {port}" in capsys.readouterr().err


def test_missing_tape_is_an_environment_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--port", "0", "--tape", "no_such_file"]) == EXIT_ENVIRONMENT
    assert "no_such_file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--speed", "0"], "--speed"),
        (["--speed", "0.05"], "--speed"),
        (["--speed", "nan"], "--speed"),
        (["--speed", "fast"], "--speed"),
        (["--speed", "inf"], "--speed"),
        (["--rate", "nan"], "--rate nan"),
        (["--rate", "-1"], "--rate -1"),
        (["--rate", "0"], "--rate 0"),
        (["--rate", "inf"], "--rate inf"),
        (["--seed", "-1"], "--seed -1"),
        (["--start-ms", "-5"], "--start-ms -5"),
        (["--start-ms", "99999999999999999999"], "--start-ms"),
        (["--weight-limit", "-1"], "--weight-limit -1"),
        (["--order-limit-10s", "0"], "--order-limit-10s 0"),
        (["--order-limit-1m", "0"], "--order-limit-1m 0"),
        (["--port", "70000"], "--port 70000"),
        (["--port", "-1"], "--port -1"),
        (["--tls-port", "65536"], "--tls-port 65536"),
        (["--balance", "-5"], "--balance -5"),
        (["--balance", "nan"], "--balance"),
        (["--account", "nosecret"], "--account"),
        (["--account", ":x"], "--account"),
        (["--balance", "lots"], "--balance"),
        (["--generate", "0"], "--generate"),
        (["--generate", "501"], "--generate"),
        (["--generate", "2", "--tape", "x"], "exclude each other"),
    ],
)
def test_usage_faults_name_the_argument(
    words: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--port", "0", *words]) == EXIT_USAGE
    message = capsys.readouterr().err
    assert named in message
    assert message.count("\n") == 1


@pytest.mark.parametrize("place", ["absent/ledger", "file/ledger", ""])
def test_a_ledger_that_cannot_be_written_is_said_before_anybody_trades(
    tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_bytes(b"")
    ledger = tmp_path / place
    assert main(["--port", "0", "--ledger", str(ledger)]) == EXIT_ENVIRONMENT
    message = capsys.readouterr().err
    assert message.startswith(f"exchange: {ledger}: cannot be ")
    assert message.count("\n") == 1


def test_a_ledger_that_is_lost_in_the_end_is_named(tmp_path: Path) -> None:
    ledger = tmp_path / "folder" / "ledger"
    ledger.parent.mkdir()
    with started("--ledger", str(ledger)) as (process, _port):
        ledger.parent.rmdir()
        process.terminate()
        assert process.wait(timeout=20) == EXIT_ENVIRONMENT
        assert process.stderr is not None
        message = process.stderr.read()
    assert message == f"exchange: {ledger}: cannot be written (No such file or directory)\n"


def parsed(*words: str) -> argparse.Namespace:
    return parser().parse_args(["--port", "0", *words])


def test_options_come_from_the_words() -> None:
    options = options_of(
        parsed(
            "--speed",
            "max",
            "--loop",
            "--autostart",
            "--start-ms",
            "5",
            "--balance",
            "1.5",
            "--key",
            "a",
            "--secret",
            "b",
            "--account",
            "c:d:e",
            "--weight-limit",
            "1",
            "--order-limit-10s",
            "2",
            "--order-limit-1m",
            "3",
        )
    )
    assert options.speed == UNLIMITED
    assert (options.loop_tape, options.autostart, options.start_ms) == (True, True, 5)
    assert options.balance == 150_000_000
    assert options.accounts == [("a", "b"), ("c", "d:e")]
    limits = options.limits
    assert (limits.weight_1m, limits.orders_10s, limits.orders_1m) == (1, 2, 3)


def test_defaults_are_the_documented_ones() -> None:
    options = options_of(parsed())
    assert options.accounts == [("practice", "practice")]
    assert (options.speed, options.loop_tape, options.start_ms) == (1.0, False, None)
    assert options.balance == 10_000 * 10**8


def test_source_is_a_tape_or_the_generator(tmp_path: Path) -> None:
    tape = short_tape(tmp_path / "a.txt")
    assert isinstance(source_of(parsed("--tape", str(tape))), Tape)
    generator = source_of(parsed("--generate", "4", "--rate", "123"))
    assert isinstance(generator, Generator)
    assert (len(generator.specs), generator.rate) == (4, 123)
    assert len(source_of(parsed()).specs) == 2
