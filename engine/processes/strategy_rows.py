"""Which strategies a configuration asks for: rows of the table, and rows of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from engine.config import Config
from engine.domain.claims import learn_claims, with_claim
from engine.domain.strategy_table import (
    EVERY_STRATEGY,
    OUTSIDE_ROWS,
    STRATEGIES_MAX,
    StrategyError,
    StrategyRow,
    row_from_words,
    select_rows,
)


def strategy_rows(config: Config) -> tuple[StrategyRow, ...]:
    """Return the rows a run of this configuration runs, checked, then those for outside orders.

    Candidates for onboarding come behind those that trade. All claim what was learned for them.

    Raises:
        StrategyError: a name, a kind or a number in them is wrong.
    """
    rows = select_rows(config.strategies, own_rows(config))
    named = {row.name for row in rows}
    rows += tuple(row for row in candidate_rows(config) if row.name not in named)
    if len(rows) > STRATEGIES_MAX:
        raise StrategyError(f"onboard.candidates: {len(rows)} rows, at most {STRATEGIES_MAX} run")
    known = {EVERY_STRATEGY, *(row.name for row in (*rows, *OUTSIDE_ROWS))}
    unknown = set(config.bounds.strategy) - known
    if unknown:
        raise StrategyError(f"bounds.strategy: no strategy of this run is named {min(unknown)!r}")
    return (*(with_claim(row, config.claims.learned) for row in rows), *OUTSIDE_ROWS)


def candidate_rows(config: Config) -> tuple[StrategyRow, ...]:
    """Return the rows that a run carries OFF until they are onboarded.

    Raises:
        StrategyError: a name is unknown or doubled.
    """
    names = config.onboard.candidates
    return select_rows(names, own_rows(config)) if names else ()


def learned_claims(
    config: Config, rows: Iterable[StrategyRow], records: Iterable[dict[str, Any]]
) -> dict[str, float]:
    """Return what rows learn to claim, by name; the configuration says from how long a record.

    Args:
        config: for its `claims`.
        rows: that could learn.
        records: what each strategy has made, as `StatusQueries.strategies` tells it.
    """
    return learn_claims(
        rows,
        {record["strategy"]: (record["exits"], record["wins"]) for record in records},
        exits_min=config.claims.exits_min,
        prior_exits=config.claims.prior_exits,
    )


def own_rows(config: Config) -> list[StrategyRow]:
    """Return the rows that a configuration adds to the table or replaces in it, checked.

    Raises:
        StrategyError: a row is wrong.
    """
    return [
        row_from_words(
            name=row.name,
            kind=row.kind,
            timeframe_s=row.timeframe_s,
            bars=row.bars,
            notional=row.notional,
            parameters=row.parameters,
            rules=row.rules,
        )
        for row in config.strategy
    ]
