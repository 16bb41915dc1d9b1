"""Copies the kernel's queue of waiting entries to where main reads it; the brain's main thread."""

from __future__ import annotations

from engine.domain.desk import HELD_EXPIRES, HELD_MAX, HELD_NUMBER
from engine.domain.limits import E8
from engine.domain.state import State
from engine.domain.words import Word
from engine.processes.control import ControlSegment
from engine.processes.held_page import HeldIntent, write_held

EMPTY = HeldIntent(*[0] * len(HeldIntent._fields))


class HeldShow:
    """Looks at the queue of one state."""

    def __init__(self, control: ControlSegment, state: State) -> None:
        """Show nothing: what an earlier brain showed is gone with it."""
        self._control = control
        self._state = state
        self._shown = [EMPTY] * HELD_MAX
        for place in range(HELD_MAX):
            write_held(control, place, EMPTY)

    def look(self) -> None:
        """Write what changed; next to nothing while nothing waits."""
        waits = self._state.desk.words[Word.HELD_COUNT] > 0
        if not waits and all(row == EMPTY for row in self._shown):
            return
        for place in range(HELD_MAX):
            row = self._row(place)
            if row != self._shown[place]:
                write_held(self._control, place, row)
                self._shown[place] = row

    def _row(self, place: int) -> HeldIntent:
        desk = self._state.desk
        number = int(desk.held[place, HELD_NUMBER])
        if number == 0:
            return EMPTY
        draft = desk.held_drafts[place]
        i = int(draft["instrument_index"])
        tick, lot = (float(desk.instruments[name][i]) for name in ("tick_size", "lot_size"))
        return HeldIntent(
            number=number,
            expires_ns=int(desk.held[place, HELD_EXPIRES]),
            instrument_index=i,
            strategy_index=int(draft["column"]),
            side=int(draft["side"]),
            order_type=int(draft["order_type"]),
            price_e8=round(int(draft["price_ticks"]) * tick * E8),
            qty_e8=round(int(draft["qty_lots"]) * lot * E8),
            notional_e8=int(draft["lot_notional_e8"]) * int(draft["qty_lots"]),
        )
