"""The strategy step: one market record in, opportunities out.

`apply_market` is the whole market side of the brain for one record, in this order: firewall, book
top, bars, features, structure, score, strategies. Strategies run only on their own triggers: a
quote of the instrument, or the end of a bar of the row's timeframe. A strategy that has an order
in flight is not asked.
"""

from __future__ import annotations

import numpy as np

from engine.domain.bars import BAR_MASK
from engine.domain.codes import RecordType
from engine.domain.edge import weigh_entry
from engine.domain.firewall import check_record
from engine.domain.kernel import Records, kernel
from engine.domain.market_state import (
    SCORER_FAULT_NS,
    USES_SCORE,
    VENUE_TIME_NEWEST_NS,
    MarketState,
)
from engine.domain.market_step import apply_record
from engine.domain.opportunity import (
    EXPOSURE_DTYPE,
    OPPORTUNITIES_PER_RECORD_MAX,
    OPPORTUNITY_DTYPE,
    acted_already,
    is_warm,
    propose_entry,
    propose_exit,
    write_inputs,
)
from engine.domain.row_bits import next_row
from engine.domain.rules import rules_entry, rules_exit, rules_inputs
from engine.domain.score import SCORE_MOST, inputs_known, linear_score
from engine.domain.strategy_kinds import (
    imbalance_entry,
    imbalance_exit,
    imbalance_inputs,
    orderflow_entry,
    orderflow_exit,
    orderflow_inputs,
    protective_exit,
    smc_entry,
    smc_exit,
    smc_inputs,
)
from engine.domain.strategy_table import StrategyKind, StrategyReason
from engine.domain.vectors import log_vectors

SCORER_REARM_NS = 60_000_000_000  # of sound answers, before a scorer is believed again

_SMC = int(StrategyKind.SMC)
_ORDERFLOW = int(StrategyKind.ORDERFLOW)
_RULES = int(StrategyKind.RULES)
_QUOTE_IMBALANCE = int(StrategyKind.QUOTE_IMBALANCE)
_FLOW_SCORE = int(StrategyReason.FLOW_SCORE)
_IMBALANCE = int(StrategyReason.QUOTE_IMBALANCE)
_QUOTE = int(RecordType.QUOTE)


@kernel
def show_inputs(
    market: MarketState, i: int, s: int, score: float, opportunities: Records, count: int
) -> None:
    """Write what the decision record of row `count` shows, by the strategy's kind, in place."""
    kind = market.strategies["kind"][s]
    if kind == _ORDERFLOW:
        orderflow_inputs(market, i, score, opportunities, count)
    elif kind == _QUOTE_IMBALANCE:
        imbalance_inputs(market, i, opportunities, count)
    elif kind == _SMC:
        smc_inputs(market, i, s, opportunities, count)
    elif kind == _RULES:
        rules_inputs(market, i, s, opportunities, count)
    else:
        write_inputs(opportunities, count, score, np.nan, np.nan, np.nan, np.nan)


@kernel
def exit_on_quote(
    market: MarketState, exposure: Records, i: int, s: int, score: float, now_ns: int
) -> int:
    """Return why an open position should end at this quote, or 0."""
    reason = protective_exit(market, exposure, i, s, now_ns)
    if reason != 0:
        return reason
    row = market.strategies[s]
    held = exposure[i, s]
    if now_ns - held["entry_time_ns"] < row["min_hold_ns"]:
        return 0
    kind = row["kind"]
    position_lots = held["position_lots"]
    if kind == _ORDERFLOW:
        return orderflow_exit(market, s, position_lots, score)
    if kind == _QUOTE_IMBALANCE:
        return imbalance_exit(market, i, s, position_lots)
    return 0


@kernel
def judge_score(market: MarketState, i: int, score: float, now_ns: int) -> float:
    """Return a score that may be believed, else NaN; a fault of the scorer is noted.

    At fault is one that answers nothing, or beyond its range, where every input is known: its
    weights are not what they were. Rows that stand in for it enter until it has been sound for
    SCORER_REARM_NS.
    """
    fault_ns = market.progress[SCORER_FAULT_NS]
    if abs(score) <= SCORE_MOST:
        if fault_ns == 0:
            return score
        if now_ns - fault_ns < SCORER_REARM_NS:
            return np.nan
        market.progress[SCORER_FAULT_NS] = 0
        return score
    if inputs_known(market.score_weights, market.hot[i]["micro"]):
        market.progress[SCORER_FAULT_NS] = now_ns
    return np.nan


@kernel
def may_enter(market: MarketState, exposure: Records, i: int, s: int, now_ns: int) -> bool:
    """Return whether a flat strategy is past its cooldown and knows its distances.

    One that stands in for a scorer also waits for its fault.
    """
    if market.strategies[s]["stand_in"] != 0 and market.progress[SCORER_FAULT_NS] == 0:
        return False
    last_exit_ns = exposure[i, s]["last_exit_time_ns"]
    cooldown_ns = market.strategies[s]["cooldown_ns"]
    if last_exit_ns != 0 and now_ns - last_exit_ns < cooldown_ns:
        return False
    return is_warm(market, i, s)


@kernel
def is_fresh(market: MarketState, s: int, age_ns: int) -> bool:
    """Return whether what an entry rests on is no older than its row allows."""
    expiry_ns = market.strategies["expiry_ns"][s]
    return bool(expiry_ns == 0 or age_ns <= expiry_ns)


@kernel
def enter_on_quote(
    market: MarketState,
    exposure: Records,
    i: int,
    s: int,
    score: float,
    now_ns: int,
    opportunities: Records,
    count: int,
) -> int:
    """Write an entry if the strategy's kind wants one at this quote; return the count after it."""
    kind = market.strategies[s]["kind"]
    side = 0
    reason = 0
    if kind == _ORDERFLOW:
        side = orderflow_entry(market, s, score)
        reason = _FLOW_SCORE
    elif kind == _QUOTE_IMBALANCE:
        side = imbalance_entry(market, i, s)
        reason = _IMBALANCE
    if side == 0 or not may_enter(market, exposure, i, s, now_ns):
        return count
    if not is_fresh(market, s, now_ns - market.hot["quote_receive_time_ns"][i]):
        return count
    return propose_entry(market, opportunities, count, i, s, side, reason)


@kernel
def ask_on_quote(
    market: MarketState,
    exposure: Records,
    i: int,
    s: int,
    score: float,
    now_ns: int,
    opportunities: Records,
    count: int,
) -> int:
    """Ask one strategy about the instrument's quote; return the count of opportunities."""
    held = exposure[i, s]
    if held["in_flight"] != 0 or acted_already(opportunities, count, s):
        return count
    before = count
    position_lots = held["position_lots"]
    if position_lots == 0:
        count = enter_on_quote(market, exposure, i, s, score, now_ns, opportunities, count)
    else:
        reason = exit_on_quote(market, exposure, i, s, score, now_ns)
        if reason != 0:
            count = propose_exit(market, opportunities, count, i, s, position_lots, reason)
    if count > before:
        show_inputs(market, i, s, score, opportunities, before)
        if position_lots == 0 and not weigh_entry(market, opportunities, before, score):
            return before
    return count


@kernel
def run_on_quote(
    market: MarketState,
    exposure: Records,
    i: int,
    now_ns: int,
    opportunities: Records,
    count: int,
) -> int:
    """Ask the strategies a quote concerns: those of its kinds, and who holds a position.

    Returns:
        The count of opportunities.
    """
    score = 0.0
    if market.progress[USES_SCORE] != 0:
        score = linear_score(market.score_weights, market.hot[i]["micro"])
        score = judge_score(market, i, score, now_ns)
    held_rows = market.held_rows[i]
    s = next_row(market.quote_rows, held_rows, 0)
    while s >= 0:
        count = ask_on_quote(market, exposure, i, s, score, now_ns, opportunities, count)
        s = next_row(market.quote_rows, held_rows, s + 1)
    return count


@kernel
def entry_on_bar(market: MarketState, i: int, s: int) -> int:
    """Return side * StrategyReason of an entry that a kind wants at the end of its bar, or 0."""
    kind = market.strategies["kind"][s]
    if kind == _SMC:
        return smc_entry(market, i, s)
    if kind == _RULES:
        return rules_entry(market, i, s)
    return 0


@kernel
def exit_on_bar(market: MarketState, i: int, s: int, position_lots: int) -> int:
    """Return why a kind wants to leave at the end of its bar, or 0."""
    kind = market.strategies["kind"][s]
    if kind == _SMC:
        return smc_exit(market, i, s, position_lots)
    if kind == _RULES:
        return rules_exit(market, i, s, position_lots)
    return 0


@kernel
def may_enter_on_bar(market: MarketState, exposure: Records, i: int, s: int, now_ns: int) -> bool:
    """Return whether a flat strategy may enter, and its bar ended no longer ago than it allows.

    A bar by the clock ends with a record behind its end: in a quiet market that may come late. One
    that ends by what was traded ends with the last trade.
    """
    t = market.strategies["timeframe_index"][s]
    if t < market.timeframes_ns.shape[0]:
        number = market.closed_count[i, t] - 1
        end_ns = market.closed["start_ns"][i, t, number & BAR_MASK] + market.timeframes_ns[t]
    else:
        end_ns = market.hot["trade_venue_time_ns"][i]
    age_ns = market.progress[VENUE_TIME_NEWEST_NS] - end_ns
    return is_fresh(market, s, age_ns) and may_enter(market, exposure, i, s, now_ns)


@kernel
def run_on_bars(
    market: MarketState,
    exposure: Records,
    i: int,
    closed_mask: int,
    now_ns: int,
    opportunities: Records,
) -> int:
    """Ask the strategies whose timeframe closed a bar; return the count of opportunities."""
    count = 0
    for s in range(market.strategies.shape[0]):
        if (closed_mask >> market.strategies["timeframe_index"][s]) & 1 == 0:
            continue
        if exposure["in_flight"][i, s] != 0:
            continue
        before = count
        position_lots = exposure["position_lots"][i, s]
        held_ns = now_ns - exposure["entry_time_ns"][i, s]
        if position_lots == 0:
            answer = entry_on_bar(market, i, s)
            if answer != 0 and may_enter_on_bar(market, exposure, i, s, now_ns):
                side = 1 if answer > 0 else -1
                count = propose_entry(market, opportunities, count, i, s, side, abs(answer))
        elif held_ns >= market.strategies["min_hold_ns"][s]:
            reason = exit_on_bar(market, i, s, position_lots)
            if reason != 0:
                count = propose_exit(market, opportunities, count, i, s, position_lots, reason)
        if count > before:
            show_inputs(market, i, s, np.nan, opportunities, before)
            if position_lots == 0 and not weigh_entry(market, opportunities, before, np.nan):
                count = before
    return count


@kernel
def apply_market(
    market_state: MarketState,
    exposure: Records,
    slots: Records,
    slot_index: int,
    now_ns: int,
    opportunities: Records,
) -> int:
    """Apply one market record and return how many opportunities it caused.

    Args:
        market_state: changed in place.
        exposure: EXPOSURE_DTYPE[instruments, strategies]; read only.
        slots: MARKET_DTYPE[capacity]; the record is `slots[slot_index]`; read only.
        slot_index: position in `slots`.
        now_ns: monotonic time of this step; the only clock strategies see.
        opportunities: OPPORTUNITY_DTYPE[OPPORTUNITIES_PER_RECORD_MAX]; the first rows are written.

    Returns:
        Count of opportunities, or minus the FirewallReason for which the record was refused.
    """
    refused = check_record(market_state, slots, slot_index)
    if refused != 0:
        return -refused
    closed_mask = apply_record(market_state, slots, slot_index)
    i = slots["instrument_index"][slot_index]
    count = 0
    if closed_mask != 0:
        if market_state.vectors.shape[0] > 0:
            log_vectors(market_state, i, closed_mask)
        count = run_on_bars(market_state, exposure, i, closed_mask, now_ns, opportunities)
    if slots["record_type"][slot_index] == _QUOTE:
        count = run_on_quote(market_state, exposure, i, now_ns, opportunities, count)
    return count


__all__ = [
    "EXPOSURE_DTYPE",
    "OPPORTUNITIES_PER_RECORD_MAX",
    "OPPORTUNITY_DTYPE",
    "StrategyReason",
    "apply_market",
]
