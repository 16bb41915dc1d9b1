"""A configuration that wants more spinning roles than there are cores is told at once."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from engine import exit_codes
from engine.processes import engine_start
from engine.processes.engine_start import StartError, read_config
from engine.processes.practice import Market
from ringbuffer.idle import IdleKind, IdleStrategy, choose

NO_OPTIONS = dict.fromkeys(
    (
        *("name", "profile", "venue", "account", "mode", "strategies", "on_role_death"),
        *("exchange", "instruments"),
    )
)


@pytest.mark.parametrize(("cores", "is_refused"), [(2, True), (3, True), (4, False)])
def test_spin_needs_a_core_for_each_role_and_one_more(
    cores: int, is_refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def choose_here(kind: IdleKind, *, spinner_count: int) -> IdleStrategy:
        return choose(kind, spinner_count=spinner_count, cores=lambda: cores)

    monkeypatch.setattr(engine_start, "choose", choose_here)
    written = tmp_path / "aegis.toml"
    written.write_text('idle = "spin"\n', encoding="utf-8")
    options = Namespace(**NO_OPTIONS, config=written)
    environment = {"AEGIS_HOME": str(tmp_path)}
    market = Market()
    if not is_refused:
        assert read_config(options, environment, market).idle == "spin"
        return
    with pytest.raises(StartError, match=f"idle: .* need 4 cores and there are {cores}") as caught:
        read_config(options, environment, market)
    assert caught.value.exit_code == exit_codes.USAGE
