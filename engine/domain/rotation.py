"""The portfolio's places, and a better entry that closes the weakest position to take its place.

    full, a better entry  -> its intent is held, the weakest position is closed   (begin_rotation)
    that position is gone -> the entry, through every gate again                  (end_rotation)
    not within ROTATION_WAIT_NS, or refused then -> the intent is dropped, the place is free

How strong a position is, in bps of its notional, and what an entry must bring to replace it:

    keep  = claim * confidence * belief * left     left   = expected move - what was gained of it
                                                   belief = 1 + what was lost / expected move, >= 0
    edge >= keep + cost of leaving now + rotate_bps            of the position whose sum is least

`confidence` and expected move are those of its entry, gains and losses at the price it could be
closed at; a restart keeps the former (`engine.domain.promises`). A position that is not known so
(of a market maker), younger than `rotate_hold_s`, guarded at the venue or with an order open is
never closed for another. One rotation at a time. At unchanged prices each raises what is kept by
rotate_bps and the costs at least, so none leads back. docs/portfolio.md.
"""

from __future__ import annotations

import numpy as np

from engine.domain.approvals import EVENTS_PER_APPROVAL, approve
from engine.domain.codes import EventType
from engine.domain.desk import HELD_EXPIRES, Desk, Out
from engine.domain.edge import entry_cost_bps
from engine.domain.emit import command_room, event_room
from engine.domain.held import find_held, hold_draft, is_held, needs_approval, take_held
from engine.domain.intent import (
    book_order,
    decide_opportunity,
    emit_decision,
    emit_draft,
    request_order,
    write_closing_draft,
    write_draft,
)
from engine.domain.kernel import Records, kernel
from engine.domain.market_state import INSTRUMENTS_KNOWN, MarketState
from engine.domain.opportunity import TO_BPS
from engine.domain.order_store import bracket_count, takes_place
from engine.domain.risk import evaluate
from engine.domain.risk_reasons import RiskReason
from engine.domain.row_bits import next_row
from engine.domain.state import State
from engine.domain.strategy_table import StrategyReason
from engine.domain.words import Tally, Word

ROTATION_WAIT_NS = 500_000_000  # from a decision to its order, at most
ROTATION_EVENTS = 2  # beside those of any opportunity; at most once a step

_FULL_MASK = 1 << RiskReason.POSITION_COUNT
_ROTATED = int(StrategyReason.ROTATED)
_SIGNAL_GENERATED = int(EventType.SIGNAL_GENERATED)
_INTENT_HELD = int(EventType.INTENT_HELD)


@kernel
def gain_bps(desk: Desk, i: int, s: int) -> float:
    """Return what a position has gained at the price it could be closed at; NaN: not known."""
    held = desk.exposure["position_lots"][i, s]
    entry = desk.exposure["entry_price_ticks"][i, s]
    bid, ask = desk.hot["bid_price_ticks"][i], desk.hot["ask_price_ticks"][i]
    if entry <= 0 or bid <= 0 or ask <= 0:
        return np.nan
    return float((bid - entry if held > 0 else entry - ask) / entry * TO_BPS)


@kernel
def keep_bps(claim: float, confidence: float, move_bps: float, gained_bps: float) -> float:
    """Return what a position may still bring; NaN where anything of it is not known."""
    if not (move_bps > 0.0 and confidence >= 0.0 and abs(gained_bps) < np.inf):
        return np.nan
    belief = min(max(1.0 + gained_bps / move_bps, 0.0), 1.0)
    left_bps = min(max(move_bps - gained_bps, 0.0), move_bps)
    return claim * confidence * belief * left_bps


@kernel
def leave_bps(market: MarketState, desk: Desk, i: int, s: int) -> float:
    """Return what closing a position now costs: half of what in and out cost."""
    held = desk.exposure["position_lots"][i, s]
    return entry_cost_bps(market, i, -1 if held > 0 else 1, abs(held)) * 0.5


@kernel
def value_bps(market: MarketState, desk: Desk, i: int, s: int) -> float:
    """Return what an entry must bring to be worth as much as a position, its closing included."""
    row = desk.holdings[i, s]
    claim = market.strategies["claim"][s]
    kept = keep_bps(claim, row["confidence"], row["move_bps"], gain_bps(desk, i, s))
    return kept + leave_bps(market, desk, i, s)


@kernel
def may_leave(desk: Desk, i: int, s: int) -> bool:
    """Return whether a position may be closed for another now."""
    if desk.exposure["in_flight"][i, s] != 0 or bracket_count(desk, i, s) > 0:
        return False
    held_ns = desk.words[Word.NOW_NS] - desk.exposure["entry_time_ns"][i, s]
    return bool(held_ns >= desk.limits["rotate_hold_ns"][0])


@kernel
def find_weakest(market: MarketState, desk: Desk, edge_bps: float) -> int:
    """Return the weakest position that an edge may replace: instrument * columns + column; or -1.

    Of equals the first; an edge or a value that is not known replaces nothing.
    """
    columns = desk.exposure.shape[1]
    least = edge_bps - desk.limits["rotate_bps"][0]
    found = -1
    for i in range(market.progress[INSTRUMENTS_KNOWN]):
        held = market.held_rows[i]
        s = next_row(held, held, 0)
        while s >= 0:
            value = value_bps(market, desk, i, s)
            if may_leave(desk, i, s) and value <= least and (found < 0 or value < least):
                least = value
                found = i * columns + s
            s = next_row(held, held, s + 1)
    return found


@kernel
def note_entry(desk: Desk, k: int) -> None:
    """Keep how sure the entry of opportunity `k` is and what it expects, in place.

    Not where one of its strategy waits there: that is the one that may be sent.
    """
    rows = desk.opportunities
    i, s = rows["instrument_index"][k], rows["strategy_index"][k]
    if is_held(desk, i, s):
        return
    desk.holdings["move_bps"][i, s] = rows["expected_move_bps"][k]
    desk.holdings["confidence"][i, s] = rows["confidence"][k]


@kernel
def is_full(desk: Desk) -> bool:
    """Return whether every place is taken and none is being made."""
    words = desk.words
    return bool(
        words[Word.ROTATING] == 0 and words[Word.PLACES_TAKEN] >= desk.limits["positions_max"][0]
    )


@kernel
def emit_exit(market: MarketState, desk: Desk, out: Out, k: int, i: int, s: int) -> None:
    """Write the decision to close a position, the draft, for opportunity `k`."""
    n = emit_draft(desk, out, _SIGNAL_GENERATED)
    row, gained = desk.holdings[i, s], gain_bps(desk, i, s)
    claim = market.strategies["claim"][s]
    out.events["input_0"][n] = keep_bps(claim, row["confidence"], row["move_bps"], gained)
    out.events["input_1"][n] = gained
    out.events["input_2"][n] = leave_bps(market, desk, i, s)
    out.events["input_3"][n] = desk.opportunities["edge_bps"][k]
    out.events["input_4"][n] = row["confidence"]


@kernel
def begin_rotation(
    state: State, out: Out, k: int, slots: Records, slot_index: int, victim: int
) -> bool:
    """Hold the entry of opportunity `k` and close a position for it.

    Returns False, with nothing written, where a gate other than POSITION_COUNT refuses the entry,
    any the exit, or the queue of held entries has no place for it.
    """
    market, desk = state.market, state.desk
    words, columns = desk.words, desk.exposure.shape[1]
    i, s = victim // columns, victim % columns
    write_draft(desk, k, slots, slot_index)
    if evaluate(desk) != _FULL_MASK or needs_approval(desk):
        return False
    number = hold_draft(desk)
    if number == 0:
        return False
    place = find_held(desk, number)
    write_closing_draft(desk, i, s, _ROTATED, words[Word.NOW_NS])
    whole = desk.draft["qty_lots"][0] == abs(desk.exposure["position_lots"][i, s])
    if not whole or evaluate(desk) != 0:
        take_held(desk, place)
        desk.counts[Tally.HELD] -= 1
        return False
    desk.held[place, HELD_EXPIRES] = words[Word.NOW_NS] + ROTATION_WAIT_NS
    words[Word.ROTATING] = number
    words[Word.ROTATED_OUT] = victim
    words[Word.DECISION_COUNT] += 1
    desk.counts[Tally.DECISIONS] += 1
    desk.draft[0] = desk.held_drafts[place]
    emit_decision(desk, out, k, _FULL_MASK)
    out.events["trade_id"][emit_draft(desk, out, _INTENT_HELD)] = number
    words[Word.DECISION_COUNT] += 1
    desk.counts[Tally.EXITS] += 1
    desk.counts[Tally.ROTATIONS] += 1
    write_closing_draft(desk, i, s, _ROTATED, words[Word.NOW_NS])
    emit_exit(market, desk, out, k, i, s)
    request_order(desk, out)
    return True


@kernel
def take_opportunity(state: State, out: Out, k: int, slots: Records, slot_index: int) -> None:
    """Take opportunity `k` through the gates, or begin a rotation for it.

    As of `decide_opportunity`, which does all but the latter, an order is not yet booked.
    """
    desk = state.desk
    if desk.limits["rotates"][0] != 0 and desk.opportunities["is_entry"][k] != 0:
        book_order(desk)  # of the opportunity before: places are counted
        note_entry(desk, k)
        if is_full(desk):
            victim = find_weakest(state.market, desk, desk.opportunities["edge_bps"][k])
            if victim >= 0 and begin_rotation(state, out, k, slots, slot_index, victim):
                return
    decide_opportunity(desk, out, k, slots, slot_index)


@kernel
def end_rotation(desk: Desk, out: Out) -> None:
    """Send the entry that waits for a place once there is one; writes what an approval does.

    An intent that expired, or that an operator decided on, is no longer held: its rotation is over.
    """
    number = desk.words[Word.ROTATING]
    if number == 0:
        return
    columns = desk.exposure.shape[1]
    victim = desk.words[Word.ROTATED_OUT]
    if find_held(desk, number) < 0:
        desk.words[Word.ROTATING] = 0
    elif takes_place(desk, victim // columns, victim % columns):
        return
    elif event_room(out) >= EVENTS_PER_APPROVAL and command_room(out) > 0:
        desk.words[Word.ROTATING] = 0
        approve(desk, out, number)
