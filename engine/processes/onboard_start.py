"""What is onboarded joins the configuration of the next run."""

from __future__ import annotations

from pathlib import Path

import msgspec

from engine.config import Config
from engine.domain.strategy_table import StrategyError, select_rows
from engine.processes.onboard_file import (
    ONBOARD_FILE,
    OnboardingUnreadableError,
    OnboardRow,
    Stage,
    read_onboarding,
)
from engine.processes.strategy_rows import own_rows


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
