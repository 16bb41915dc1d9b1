"""Entries that wait for an operator's word, in the brain's page of the control segment.

The brain copies them there while any waits; main shows them. The kernel thread may be writing while
they are copied, and the next look a moment later is right; an operator names a number, and the
kernel acts on that number only. Standard library only: main reads this.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from engine.processes.control import ControlSegment, RolePage

WORD_FIRST: Final = 288  # of the brain's page, behind its progress text
ROW_WORDS: Final = 14
ROWS: Final = 16  # engine.domain.desk.HELD_MAX; a test compares them
LOOKS_MAX: Final = 16  # for all of them to read the same twice


class HeldIntent(NamedTuple):
    """An entry that waits."""

    number: int  # 0: nothing waits here
    expires_ns: int  # CLOCK_MONOTONIC
    instrument_index: int
    strategy_index: int
    side: int
    order_type: int
    price_e8: int  # 0: MARKET
    qty_e8: int
    notional_e8: int


def write_held(control: ControlSegment, place: int, intent: HeldIntent) -> None:
    """Show one place of the queue; the brain only."""
    control.set_words(RolePage.BRAIN, WORD_FIRST + place * ROW_WORDS, intent)


def read_held(control: ControlSegment) -> list[HeldIntent]:
    """Return what waits and has not expired, the oldest first."""
    words = _settled(control)
    length = len(HeldIntent._fields)
    places = range(0, ROWS * ROW_WORDS, ROW_WORDS)
    rows = (HeldIntent(*words[place : place + length]) for place in places)
    now_ns = time.monotonic_ns()
    return sorted(row for row in rows if row.number > 0 and row.expires_ns > now_ns)


def _settled(control: ControlSegment) -> Sequence[int]:
    """Return all places as they read the same twice: the brain may be writing one."""
    before = control.words(RolePage.BRAIN, WORD_FIRST, ROWS * ROW_WORDS)
    for _ in range(LOOKS_MAX):
        again = control.words(RolePage.BRAIN, WORD_FIRST, ROWS * ROW_WORDS)
        if again == before:
            break
        before = again
    return before
