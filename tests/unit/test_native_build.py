"""A build of other sources is told in a sentence, before anything is started on it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from engine import exit_codes
from engine.processes import supervisor
from native_ext import _feed, _native, build


def test_both_extensions_are_of_these_sources() -> None:
    assert _native.BUILT_FROM == _feed.BUILT_FROM == build.stamp() > 0
    assert build.difference() == ""


@pytest.mark.parametrize("change", ["one byte", "another name", "one file less"])
def test_any_change_of_a_source_is_another_stamp(tmp_path: Path, change: str) -> None:
    for path in build.FOLDER.glob("*.[ch]"):
        shutil.copy(path, tmp_path)
    assert build.difference(tmp_path) == ""
    header = tmp_path / "records.h"
    if change == "one byte":
        header.write_bytes(header.read_bytes() + b"\n")
    elif change == "another name":
        header.rename(tmp_path / "other.h")
    else:
        header.unlink()
    assert build.stamp(tmp_path) != build.stamp()
    assert "native_ext._native" in build.difference(tmp_path)


def test_an_installed_package_has_nothing_to_compare(tmp_path: Path) -> None:
    assert build.difference(tmp_path) == ""


def test_an_engine_does_not_start_on_a_build_of_other_sources(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_feed, "BUILT_FROM", 1)
    code = supervisor.run(["--port", "0"], {})
    assert code == exit_codes.ENVIRONMENT
    assert "native_ext._feed" in capsys.readouterr().err
