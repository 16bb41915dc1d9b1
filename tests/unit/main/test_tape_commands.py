"""`aegis record | tape | download`: help that teaches, exit codes, one sentence on failure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine import cli
from tests.recorder_rig import FakeEngine
from tests.tape_builders import market, write_tape


@pytest.mark.parametrize("command", ["record", "tape", "download"])
def test_help_has_examples_and_exit_codes(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert f"aegis {command}" in text
    assert "Exit code 0" in text


def test_info_tells_what_a_tape_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_tape(tmp_path / "x.tape", market(100))
    assert cli.main(["tape", "info", str(path), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["tapes"]
    assert found["records"] == sum(found["kinds"].values()) == 100
    assert found["instruments"] == ["BTCUSDT", "ETHUSDT"]
    assert (found["ended"], found["torn_bytes"], found["lost"]) == (True, 0, 0)
    assert found["seconds"] == 0.099
    assert found["first"].startswith("2026-09-21T14:13:20")
    assert cli.main(["tape", "info", str(tmp_path)]) == 0
    assert "100 records" in capsys.readouterr().out


def test_verify_finds_a_changed_byte(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_tape(tmp_path / "x.tape", market(100), market(5))
    write_tape(tmp_path / "y.tape", market(10))
    assert cli.main(["tape", "verify", str(tmp_path)]) == 0
    raw = bytearray(path.read_bytes())
    raw[2_000] ^= 1
    path.write_bytes(raw)
    capsys.readouterr()
    assert cli.main(["tape", "verify", str(tmp_path), "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert (found["intact"], found["tapes"], len(found["problems"])) == (False, 2, 1)
    assert "x.tape" in found["problems"][0]


@pytest.mark.parametrize("action", ["info", "verify", "export", "import"])
def test_a_path_that_is_not_there_is_a_sentence(
    action: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["tape", action, str(tmp_path / "none")]) == 3
    assert capsys.readouterr().err.startswith("aegis: ")


def test_a_folder_without_tapes_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["tape", "info", str(tmp_path)]) == 3
    assert "no tape in it" in capsys.readouterr().err


def test_what_is_no_tape_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.tape").write_text("hello")
    assert cli.main(["tape", "info", str(tmp_path / "x.tape")]) == 3
    assert "not a tape" in capsys.readouterr().err


def test_import_and_export_go_there_and_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    source = tmp_path / "LTCUSDT_trades.csv"
    source.write_text("timestamp,price,quantity,side,tradeId\n1750507467356,83.29,0.107,buy,7\n")
    tape = tmp_path / "ltc.tape"
    assert cli.main(["tape", "import", str(source), "--into", str(tape), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["records"], found["instruments"]) == (1, ["LTCUSDT"])
    assert cli.main(["tape", "export", str(tape), "--into", str(tmp_path / "out")]) == 0
    assert len(list((tmp_path / "out").rglob("*.parquet"))) == 1
    assert cli.main(["tape", "import", str(source), "--into", str(tape)]) == 3
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["record"], ["record", "--wait", "0.1"]])
def test_no_engine_to_record_is_exit_3(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*command, "--name", "nobody"]) == 3
    assert "no engine named 'nobody'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["record", "--for", "-1"],
        ["record", "--tape-bytes", "0"],
        ["record", "--keep-days", "soon"],
        ["tape", "shred", "x.tape"],
        ["download", "klines", "BTCUSDT"],
    ],
)
def test_words_that_do_not_fit_are_exit_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 2


@pytest.mark.parametrize(
    "words",
    [
        ["--from", "yesterday", "--to", "2024-01-02"],
        ["--from", "2024-01-02", "--to", "2024-01-02"],
        ["--from", "2024-01-01", "--to", "2024-01-02", "--interval", "7m"],
    ],
)
def test_a_span_that_is_none_is_exit_2(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["download", "klines", "BTCUSDT", *words]) == 2
    assert capsys.readouterr().err.startswith("aegis: ")


def test_a_missing_package_is_exit_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import sys

    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    tape = write_tape(tmp_path / "x.tape", market(3))
    assert cli.main(["tape", "export", str(tape)]) == 2
    assert cli.main(["record", "--parquet"]) == 2
    span = ["--from", "2024-01-01", "--to", "2024-01-02"]
    assert cli.main(["download", "klines", "BTCUSDT", *span]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 3
    assert all("aegis-engine[history]" in line for line in errors)


def test_a_recording_says_how_it_went(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("engine.processes.record_command.signal.signal", lambda *_: None)
    engine = FakeEngine("told")
    try:
        from tests.feed_rig import BTC, ETH

        engine.know(BTC, ETH)
        engine.publish(321)
        words = ["record", "--name", "told", "--into", str(tmp_path), "--for", "0.3"]
        assert cli.main([*words, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["records"], found["lost"], found["tapes"]) == (321, 0, 1)
        away = tmp_path / "away"
        assert cli.main([*words, "--parquet", "--upload", f"file://{away}"]) == 0
        assert len(list((away / "tapes").iterdir())) == 2
        assert list((away / "parquet").rglob("*.parquet"))
    finally:
        engine.close()


def test_a_bucket_in_the_environment_is_where_tapes_go(tmp_path: Path) -> None:
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    from engine.cli import build_parser
    from engine.config_load import load_config
    from engine.processes.record_command import policy_of
    from engine.tapes.folder import TapeFolder

    config = load_config({"S3_BUCKET": "desk", "AWS_REGION": "eu-central-1"})
    options = build_parser().parse_args(["record", "--into", str(tmp_path)])
    policy = policy_of(options, config, TapeFolder(tmp_path))
    assert policy.destination is not None
    assert policy.destination.url == "s3://desk/main"
    plain = policy_of(options, load_config({}), TapeFolder(tmp_path))
    assert plain.destination is None
