"""Why a decision was taken, in words: what its score or rule was made of, the most first.

Read from one decision record and its row, long after; no kernel and no numpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from engine.domain.strategy_table import (
    Rule,
    StrategyKind,
    StrategyRow,
    numbers_of,
    rule_of,
)

# What the order-flow score weighs, by the names its decisions show; `engine.domain.score` packs it.
FLOW_WEIGHTS: Final = (
    ("trade_flow", 6.0, 0.35),
    ("quote_flow", 6.0, 0.25),
    ("imbalance", 0.5, 0.15),
)
FLOW_REST: Final = "trade_flow_short"  # the fourth: what the others leave of the score
BOUNDS: Final = {"entry": "entry_at", "filter": "filter_at"}


class Contribution(NamedTuple):
    """One thing a decision rests on."""

    name: str
    value: float  # of a score its part of it, of a rule the feature
    bound: float | None  # that a rule compared with, None: no rule

    def __str__(self) -> str:
        """Return it as a person reads it."""
        if self.bound is None:
            return f"{self.name} {self.value:+.3f}"
        return f"{self.name} {self.value:.4g} (bound {self.bound:g})"


def contributions(
    row: StrategyRow, score: float, inputs: Mapping[str, float]
) -> tuple[Contribution, ...]:
    """Return what an entry rests on, the most first.

    Args:
        row: the strategy's.
        score: the decision's input_0.
        inputs: the others by name, as INPUT_NAMES of the kind calls them.
    """
    if row.kind is StrategyKind.ORDERFLOW:
        return _flow(score, inputs)
    if row.kind is StrategyKind.RULES:
        return _rules(row, inputs)
    if row.kind is StrategyKind.MAKING:
        away = inputs["reservation_ticks"] - inputs["fair_ticks"]
        return (
            Contribution("half_ticks", inputs["half_ticks"], None),
            Contribution("skew_ticks", away, None),
            Contribution("inventory", score, None),
        )
    if row.kind is StrategyKind.SMC:
        flow_min = numbers_of(row)["flow_min"]
        return (
            Contribution("trend_side", inputs["trend_side"], None),
            Contribution("trade_flow", inputs["trade_flow"], flow_min),
        )
    if row.kind is StrategyKind.QUOTE_IMBALANCE:
        return (Contribution("imbalance", score, numbers_of(row)["threshold"]),)
    return (Contribution("score", score, None),)


def _flow(score: float, inputs: Mapping[str, float]) -> tuple[Contribution, ...]:
    parts = {
        name: weight * min(max(inputs[name] / scale, -1.0), 1.0)
        for name, scale, weight in FLOW_WEIGHTS
    }
    parts[FLOW_REST] = score - sum(parts.values())
    found = (Contribution(name, part, None) for name, part in parts.items())
    return tuple(sorted(found, key=lambda it: -abs(it.value)))


def _rules(row: StrategyRow, inputs: Mapping[str, float]) -> tuple[Contribution, ...]:
    numbers = numbers_of(row)
    return tuple(
        Contribution(row.rules[f"{place}_feature"], inputs[f"{place}_feature"], numbers[bound])
        for place, bound in BOUNDS.items()
        if rule_of(row, place) is not Rule.NONE
    )
