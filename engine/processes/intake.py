"""The brain's side of instruments that come in a run: it learns them, and says what is at stake.

        count grew -> the executor learns the rows -> the kernel's waiting rows are filled
                   -> a mode that was kept for one of them holds in the kernel -> taken
        once a second -> one byte a row: is there a position, or an order

The feed sends nothing of a row before `taken` covers it, so the kernel thread reads no row that is
half written, and decides nothing of an instrument before the mode it was given; and it gives up the
streams of a closed instrument only when nothing is at stake.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from engine.config import Config
from engine.domain.instrument_row import (
    INSTRUMENT_BYTES,
    SEGMENT_ROWS_OFFSET,
    SEGMENT_TAKEN_OFFSET,
    STAKE_OFFSET,
    Instrument,
    Stake,
)
from engine.domain.state import State
from engine.domain.words import Word
from engine.processes.brain_state import learn_instrument
from engine.processes.mode_file import MODES_FILE
from engine.processes.mode_records import newcomer_modes
from engine.store.instrument_segment import published_count, published_instruments
from native_ext import _native
from ringbuffer.segment import Segment

STAKES_S: Final = 1.0


class Learns(Protocol):
    """What the executor does for it."""

    @property
    def known_count(self) -> int:
        """Return how many instruments it knows; 0: it has not begun."""
        ...

    def learn(self, instruments: Sequence[Instrument]) -> None:
        """Take up more instruments; from any thread, done when `known_count` says so."""
        ...

    def offer(self, record: bytes) -> None:
        """Publish a record of 256 bytes to the kernel; from any thread."""
        ...


class Intake:
    """Follows the instruments segment; `look` is called by the brain's main thread."""

    def __init__(
        self,
        segment: Segment,
        config: Config,
        state: State,
        executor: Learns,
        instruments: Sequence[Instrument],
    ) -> None:
        """Fill `state`, which knows `instruments`, from `segment`."""
        self._segment = segment
        self._config = config
        self._state = state
        self._executor = executor
        self.instruments = list(instruments)
        self._modes_path = Path(config.state_dir) / MODES_FILE
        self._asked = 0  # rows the executor was told of
        self._moded = len(instruments)  # rows whose kept modes hold in the kernel
        self._offered: dict[int, int] = {}  # instrument index -> the kept mode the kernel was told
        self._told_s = -STAKES_S

    def look(self) -> None:
        """Take over what has come, as far as it goes; say what is at stake when it is time."""
        count = published_count(self._segment)
        if self._executor.known_count and self._is_taken_up(count):
            self._take(count)
        if time.monotonic() - self._told_s > STAKES_S:
            self._told_s = time.monotonic()
            self._tell_stakes()

    def _is_taken_up(self, count: int) -> bool:
        """Return whether the executor knows every row; tell it of those it does not."""
        first = max(self._asked, self._executor.known_count)
        if first < count:
            self._asked = count
            self._executor.learn(published_instruments(self._segment, first)[: count - first])
        return self._executor.known_count >= count

    def _take(self, count: int) -> None:
        first = len(self.instruments)
        for instrument in published_instruments(self._segment, first)[: count - first]:
            learn_instrument(self._state, self._config, instrument)
            self.instruments.append(instrument)
        if self._modes_hold():
            self._moded = len(self.instruments)
            # MEMORY: release; rows of the kernel and of the executor are complete before the feed
            # may send anything of them. Pairs with the acquire in the feed's roster.
            _native.store_release(self._segment.address + SEGMENT_TAKEN_OFFSET, self._moded)

    def _modes_hold(self) -> bool:
        """Return whether what came has the modes kept for it; tell the kernel of those.

        The file is read again at each look: an operator may change his mind meanwhile.
        """
        if self._moded == len(self.instruments):
            return True
        holds = True
        for record in newcomer_modes(self._modes_path, self.instruments[self._moded :]):
            index, mode = int(record["cause_sequence"]), int(record["time_in_force"])
            if self._state.desk.instrument_limits["mode"][index] >= mode:
                continue
            holds = False
            if self._offered.get(index) != mode:
                self._offered[index] = mode
                self._executor.offer(record.tobytes())
        return holds

    def _tell_stakes(self) -> None:
        """Write a byte for each row. The kernel thread may be writing: the next second knows."""
        held = at_stake(self._state)
        for row in range(len(self.instruments)):
            first = SEGMENT_ROWS_OFFSET + row * INSTRUMENT_BYTES + STAKE_OFFSET
            self._segment.buffer[first] = Stake.HELD if held[row] else Stake.NONE


def at_stake(state: State) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return, by instrument, whether there is a position or an order of ours or of others."""
    desk = state.desk
    held: np.ndarray[tuple[int], np.dtype[np.bool_]] = (desk.positions["lots"] != 0).any(axis=1)
    held |= (desk.pending != 0).any(axis=(1, 2))
    for name in ("foreign_buy_lots", "foreign_sell_lots", "unknown_count"):
        held |= desk.ledger[name] != 0
    rows = desk.open_rows[: int(desk.words[Word.OPEN_COUNT])]
    held[desk.orders["instrument_index"][rows]] = True
    return held
