"""An operator's word on an entry that waits, and the end of its time.

        approve -> every gate again, at that moment's prices -> sent, or refused
        reject, or nobody said anything in time -> dropped

Each ends with one INTENT_SETTLED. An intent leaves the queue before it is sent, so it is sent once.
"""

from __future__ import annotations

from engine.domain.codes import EventType, HeldOutcome
from engine.domain.desk import HELD_EXPIRES, HELD_NUMBER, Desk, Out
from engine.domain.emit import command_room, event_room
from engine.domain.held import find_held, take_held
from engine.domain.intent import (
    book_order,
    count_refusal,
    emit_draft,
    emit_refusal,
    price_draft,
    request_order,
)
from engine.domain.kernel import kernel
from engine.domain.risk import evaluate
from engine.domain.words import Word

EVENTS_PER_APPROVAL = 2  # INTENT_SETTLED, then an order or a refusal

_SETTLED = int(EventType.INTENT_SETTLED)
_SENT = int(HeldOutcome.SENT)
_REFUSED = int(HeldOutcome.REFUSED)
_REJECTED = int(HeldOutcome.REJECTED)
_EXPIRED = int(HeldOutcome.EXPIRED)


@kernel
def settle_held(desk: Desk, out: Out, place: int, outcome: int, mask: int) -> None:
    """Take an intent from the queue and write INTENT_SETTLED; it is the draft afterwards."""
    number = take_held(desk, place)
    n = emit_draft(desk, out, _SETTLED)
    out.events["trade_id"][n] = number
    out.events["reason"][n] = outcome
    out.events["refusal_mask"][n] = mask


@kernel
def approve(desk: Desk, out: Out, number: int) -> bool:
    """Send what waits under a number, if every gate passes it now; False: nothing waits there."""
    place = find_held(desk, number)
    if place < 0 or command_room(out) == 0:
        return False
    now_ns = desk.words[Word.NOW_NS]
    desk.draft[0] = desk.held_drafts[place]
    desk.draft["cause_receive_time_ns"][0] = now_ns  # the operator's word is the cause
    price_draft(desk)
    desk.held_drafts[place] = desk.draft[0]
    mask = evaluate(desk)
    settle_held(desk, out, place, _SENT if mask == 0 else _REFUSED, mask)
    if mask == 0:
        request_order(desk, out)
        book_order(desk)
    elif count_refusal(desk, mask):
        emit_refusal(desk, out, mask)
    return True


@kernel
def reject(desk: Desk, out: Out, number: int) -> bool:
    """Drop what waits under a number; False: nothing does."""
    place = find_held(desk, number)
    if place < 0:
        return False
    settle_held(desk, out, place, _REJECTED, 0)
    return True


@kernel
def expire_held(desk: Desk, out: Out, now_ns: int) -> None:
    """Drop what nobody decided in time, as far as there is room."""
    if desk.words[Word.HELD_COUNT] == 0:
        return
    for place in range(desk.held.shape[0]):
        due = desk.held[place, HELD_NUMBER] != 0 and now_ns >= desk.held[place, HELD_EXPIRES]
        if due and event_room(out) > 0:
            settle_held(desk, out, place, _EXPIRED, 0)
