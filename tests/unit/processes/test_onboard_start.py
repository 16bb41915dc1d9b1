"""What is onboarded joins the next run, and never keeps it from starting."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from engine.config import Config
from engine.config_onboard import OnboardConfig
from engine.domain.codes import Mode
from engine.domain.strategy_table import DEFAULT_STRATEGIES, StrategyError
from engine.processes.mode_file import MODES_FILE, ModeRow, read_modes, write_modes
from engine.processes.onboard_file import ONBOARD_FILE, OnboardRow, Stage, write_onboarding
from engine.processes.onboard_start import hold_candidates, with_onboarded
from engine.processes.strategy_rows import strategy_rows


def config_of(home: Path, *rows: tuple[str, Stage], **changes: object) -> Config:
    config = msgspec.structs.replace(Config(), home=str(home), **changes)
    path = Path(config.state_dir) / ONBOARD_FILE
    path.parent.mkdir(parents=True)
    written = {
        part: OnboardRow(part=part, stage=stage, who="me", reason="why", begun_ns=1, stage_ns=1)
        for part, stage in rows
    }
    write_onboarding(path, written)
    return config


def test_strategies_join_those_of_the_run_and_what_is_off_or_gone_does_not(tmp_path: Path) -> None:
    rows = (
        ("strategy:quote_imbalance", Stage.SHADOW),
        ("strategy:orderflow", Stage.LIVE),
        ("strategy:left_the_table", Stage.LIVE),
        ("strategy:smc_fvg_bos", Stage.OFFBOARDED),
    )
    config = config_of(tmp_path, *rows)
    assert with_onboarded(config).strategies == (*DEFAULT_STRATEGIES, "quote_imbalance")
    named = msgspec.structs.replace(config, strategies=("orderflow",))
    assert with_onboarded(named).strategies == ("orderflow", "quote_imbalance")


def test_symbols_stand_beside_named_and_discovered_ones(tmp_path: Path) -> None:
    rows = (("instrument:DOGEUSDT", Stage.BOOTSTRAP), ("instrument:BTCUSDT", Stage.LIVE))
    config = config_of(tmp_path, *rows, instruments=("BTCUSDT",))
    for named in (("BTCUSDT",), ()):
        found = with_onboarded(msgspec.structs.replace(config, instruments=named))
        assert (found.instruments, found.onboarded) == (named, ("DOGEUSDT", "BTCUSDT"))


def test_without_a_file_or_with_one_that_cannot_be_read_a_run_is_what_it_was(
    tmp_path: Path,
) -> None:
    config = config_of(tmp_path)
    assert with_onboarded(config) == config
    path = Path(config.state_dir) / ONBOARD_FILE
    path.write_text("{", encoding="utf-8")
    assert with_onboarded(config) == config
    path.unlink()
    assert with_onboarded(config) == config


def test_candidates_are_carried_off_until_they_are_onboarded(tmp_path: Path) -> None:
    rows = (("strategy:orderflow", Stage.LIVE), ("strategy:smc_fvg_bos", Stage.OFFBOARDED))
    onboard = OnboardConfig(candidates=("quote_imbalance", "orderflow", "smc_fvg_bos"))
    config = config_of(tmp_path, *rows, strategies=("orderflow",), onboard=onboard)
    names = [row.name for row in strategy_rows(with_onboarded(config))]
    assert names[:-2] == ["orderflow", "quote_imbalance", "smc_fvg_bos"], "each once"
    path = Path(config.state_dir) / MODES_FILE
    shadow = ModeRow("strategy:smc_fvg_bos", Mode.SHADOW, "ann", "by hand", 1)
    write_modes(path, {shadow.part: shadow})
    hold_candidates(config)
    modes = read_modes(path)
    assert modes.pop(shadow.part) == shadow, "what somebody said stands"
    assert {part: row.mode for part, row in modes.items()} == {"strategy:quote_imbalance": Mode.OFF}
    path.unlink()
    hold_candidates(config)
    assert {part: row.mode for part, row in read_modes(path).items()} == {
        "strategy:quote_imbalance": Mode.OFF,
        "strategy:smc_fvg_bos": Mode.OFF,
    }


def test_without_candidates_no_mode_is_written_and_unknown_ones_are_refused(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    hold_candidates(config)
    assert not (Path(config.state_dir) / MODES_FILE).exists()
    onboard = OnboardConfig(candidates=("nobody",))
    with pytest.raises(StrategyError, match="nobody"):
        strategy_rows(msgspec.structs.replace(config, onboard=onboard))
