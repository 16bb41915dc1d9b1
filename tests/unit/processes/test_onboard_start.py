"""What is onboarded joins the next run, and never keeps it from starting."""

from __future__ import annotations

from pathlib import Path

import msgspec

from engine.config import Config
from engine.domain.strategy_table import DEFAULT_STRATEGIES
from engine.processes.onboard_file import ONBOARD_FILE, OnboardRow, Stage, write_onboarding
from engine.processes.onboard_start import with_onboarded


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
