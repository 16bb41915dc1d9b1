"""Strategies made of rules: an entry, an exit and a filter, each reading one feature.

A rule is a small kernel over a number and a bound; which rule, which feature and which bound stand
in the row. Unknown features (NaN) neither enter nor leave; stop, target and time still do.
"""

from __future__ import annotations

from engine.domain.kernel import Records, fused, kernel
from engine.domain.market_state import MICRO_BASE, RULE_CELLS, MarketState
from engine.domain.opportunity import write_inputs
from engine.domain.strategy_kinds import side_beyond
from engine.domain.strategy_table import Rule, StrategyReason

ENTRY_AT, EXIT_AT, FILTER_AT = 0, 1, 2
ENTRY_RULE, ENTRY_COLUMN = RULE_CELLS["entry"]
EXIT_RULE, EXIT_COLUMN = RULE_CELLS["exit"]
FILTER_RULE, FILTER_COLUMN = RULE_CELLS["filter"]
_NONE, _WITH, _AGAINST = int(Rule.NONE), int(Rule.WITH), int(Rule.AGAINST)
_EVENT, _EVENT_AGAINST = int(Rule.EVENT), int(Rule.EVENT_AGAINST)
_ABOVE = int(Rule.ABOVE)
_REASON_BEFORE = int(StrategyReason.RULE_WITH) - _WITH  # reasons follow the rules
_REVERSED = int(StrategyReason.RULE_REVERSED)


@fused
def reading(market: MarketState, i: int, t: int, column: int) -> float:
    """Return a feature of the newest bar, or of the newest quotes and trades."""
    if column >= MICRO_BASE:
        return float(market.hot["micro"][i, column - MICRO_BASE])
    return float(market.bar_features[i, t, column])


@kernel
def rule_side(rule: int, number: float, age: float, bound: float) -> int:
    """Return the side an entry rule wants, or 0."""
    if rule == _WITH:
        return side_beyond(number, bound)
    if rule == _AGAINST:
        return -side_beyond(number, bound)
    if not age <= bound:
        return 0
    side = int(number > 0.0) - int(number < 0.0)
    return -side if rule == _EVENT_AGAINST else side


@kernel
def is_reversed(rule: int, number: float, bound: float, side: int) -> bool:
    """Return whether an exit rule gives up a position of a side.

    WITH and AGAINST: the number, on the side it was entered on, is at the bound or below. Events:
    the newest one points the other way.
    """
    towards = number * side
    if rule in (_AGAINST, _EVENT_AGAINST):
        towards = -towards
    if rule in (_EVENT, _EVENT_AGAINST):
        return towards < 0.0
    return rule != _NONE and towards <= bound


@kernel
def passes(rule: int, number: float, bound: float) -> bool:
    """Return whether a filter lets an entry through."""
    if rule == _NONE:
        return True
    return number >= bound if rule == _ABOVE else number <= bound


@kernel
def rules_entry(market: MarketState, i: int, s: int) -> int:
    """Return side * StrategyReason of an entry at the end of a bar, or 0."""
    own = market.parameters[s]
    t = market.strategies["timeframe_index"][s]
    rule, column = int(own[ENTRY_RULE]), int(own[ENTRY_COLUMN])
    age = 0.0
    if rule in (_EVENT, _EVENT_AGAINST):
        age = reading(market, i, t, column + 1)
    side = rule_side(rule, reading(market, i, t, column), age, own[ENTRY_AT])
    if side == 0:
        return 0
    filtered = reading(market, i, t, int(own[FILTER_COLUMN]))
    if not passes(int(own[FILTER_RULE]), filtered, own[FILTER_AT]):
        return 0
    return side * (_REASON_BEFORE + rule)


@kernel
def rules_exit(market: MarketState, i: int, s: int, position_lots: int) -> int:
    """Return RULE_REVERSED when the exit rule gives the position up, or 0."""
    own = market.parameters[s]
    t = market.strategies["timeframe_index"][s]
    number = reading(market, i, t, int(own[EXIT_COLUMN]))
    side = 1 if position_lots > 0 else -1
    return _REVERSED if is_reversed(int(own[EXIT_RULE]), number, own[EXIT_AT], side) else 0


@kernel
def rules_inputs(market: MarketState, i: int, s: int, opportunities: Records, count: int) -> None:
    """Show what the rules read, and the ATR; in place."""
    own = market.parameters[s]
    t = market.strategies["timeframe_index"][s]
    entry = reading(market, i, t, int(own[ENTRY_COLUMN]))
    write_inputs(
        opportunities,
        count,
        entry,
        entry,
        reading(market, i, t, int(own[EXIT_COLUMN])),
        reading(market, i, t, int(own[FILTER_COLUMN])),
        market.atr_ticks[i, t],
    )
