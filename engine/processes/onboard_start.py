"""What is onboarded joins the configuration of the next run."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from engine.config import Config
from engine.domain.codes import Mode
from engine.domain.strategy_table import StrategyError, select_rows
from engine.processes.mode_file import (
    MODES_FILE,
    ModeRow,
    ModesUnreadableError,
    read_modes,
    write_modes,
)
from engine.processes.onboard_file import (
    ONBOARD_FILE,
    OnboardingUnreadableError,
    OnboardRow,
    Stage,
    read_onboarding,
)
from engine.processes.strategy_rows import candidate_rows, own_rows


def with_onboarded(config: Config) -> Config:
    """Return the configuration with the strategies and symbols that are onboarded on its account.

    What is gone from the table, or beyond a bound, is left out: it must not keep the run from
    starting. So is everything while the file cannot be read.
    """
    try:
        rows = read_onboarding(Path(config.state_dir) / ONBOARD_FILE)
    except OnboardingUnreadableError:
        return config
    stays = [row for row in rows.values() if row.stage is not Stage.OFFBOARDED]
    symbols = tuple(row.name for row in stays if row.is_symbol)
    return msgspec.structs.replace(_with_strategies(config, stays), onboarded=symbols)


def hold_candidates(config: Config) -> None:
    """Make what is carried for onboarding OFF, unless it is onboarded or somebody gave it a mode.

    Raises:
        OSError: the modes cannot be written.
    """
    if not config.onboard.candidates:
        return
    state_dir = Path(config.state_dir)
    try:
        rows, modes = read_onboarding(state_dir / ONBOARD_FILE), read_modes(state_dir / MODES_FILE)
    except ModesUnreadableError:
        return  # everything is shadow then
    except OnboardingUnreadableError:
        rows, modes = {}, read_modes(state_dir / MODES_FILE)
    parts = [f"strategy:{row.name}" for row in candidate_rows(config)]
    held = [
        ModeRow(part, Mode.OFF, "start", "onboard.candidates", time.time_ns())
        for part in parts
        if part not in modes and (part not in rows or rows[part].stage is Stage.OFFBOARDED)
    ]
    if held:
        write_modes(state_dir / MODES_FILE, modes | {row.part: row for row in held})


def _with_strategies(config: Config, rows: list[OnboardRow]) -> Config:
    own = own_rows(config)
    has = tuple(row.name for row in select_rows(config.strategies, own))
    for row in rows:
        if row.is_symbol or row.name in has:
            continue
        try:
            has = tuple(each.name for each in select_rows((*has, row.name), own))
        except StrategyError:
            continue
        config = msgspec.structs.replace(config, strategies=has)
    return config
