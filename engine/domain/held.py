"""The queue of entries that wait for an operator's word; `engine.domain.approvals` takes it.

An entry waits when its notional is above a threshold, or so many times its strategy's usual one. At
most HELD_MAX wait, one of each strategy and instrument; none survives its session, because whoever
wanted it no longer knows why.
"""

from __future__ import annotations

from engine.domain.bounds import USUAL_COUNT_MIN
from engine.domain.desk import HELD_EXPIRES, HELD_NUMBER, Desk
from engine.domain.kernel import kernel
from engine.domain.position import notional
from engine.domain.words import Tally, Word


@kernel
def needs_approval(desk: Desk) -> bool:
    """Return whether the draft, which passed every gate, waits for an operator's word."""
    draft = desk.draft
    limits = desk.limits
    if draft["is_entry"][0] == 0:
        return False
    order_e8 = notional(draft["lot_notional_e8"][0], draft["qty_lots"][0], 1)
    if order_e8 > limits["approval_e8_min"][0]:
        return True
    ratio = limits["approval_ratio"][0]
    if ratio == 0.0:
        return False
    column = draft["column"][0]
    known = desk.bounds["usual_count"][column] >= USUAL_COUNT_MIN
    return bool(known and float(order_e8) > ratio * float(desk.bounds["usual_e8"][column]))


@kernel
def is_held(desk: Desk, i: int, column: int) -> bool:
    """Return whether an entry of a strategy waits in an instrument."""
    if desk.words[Word.HELD_COUNT] == 0:
        return False
    drafts = desk.held_drafts
    for place in range(desk.held.shape[0]):
        same = drafts["instrument_index"][place] == i and drafts["column"][place] == column
        if same and desk.held[place, HELD_NUMBER] != 0:
            return True
    return False


@kernel
def hold_draft(desk: Desk) -> int:
    """Put the draft into the queue, in place; return its number.

    0: one of its strategy and instrument waits already, or the queue is full.
    """
    draft = desk.draft
    held = desk.held
    free = -1
    for place in range(held.shape[0]):
        if held[place, HELD_NUMBER] == 0:
            free = place
    if free < 0 or is_held(desk, draft["instrument_index"][0], draft["column"][0]):
        return 0
    words = desk.words
    words[Word.HELD_NUMBER] += 1
    words[Word.HELD_COUNT] += 1
    desk.held_drafts[free] = draft[0]
    held[free, HELD_EXPIRES] = words[Word.NOW_NS] + desk.limits["approval_ns"][0]
    held[free, HELD_NUMBER] = words[Word.HELD_NUMBER]
    desk.counts[Tally.HELD] += 1
    return int(words[Word.HELD_NUMBER])


@kernel
def take_held(desk: Desk, place: int) -> int:
    """Make the intent at a place the draft again and free the place; return its number."""
    number = desk.held[place, HELD_NUMBER]
    desk.draft[0] = desk.held_drafts[place]
    desk.held[place, HELD_NUMBER] = 0
    desk.words[Word.HELD_COUNT] -= 1
    return int(number)


@kernel
def find_held(desk: Desk, number: int) -> int:
    """Return the place of a number; -1: nothing waits under it."""
    if number > 0:
        for place in range(desk.held.shape[0]):
            if desk.held[place, HELD_NUMBER] == number:
                return place
    return -1
