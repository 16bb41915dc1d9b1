"""The modes a brain begins with, as RESTORE_MODE records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.domain.codes import EventType, Mode
from engine.domain.instrument_row import Instrument
from engine.domain.records import EVENT_DTYPE
from engine.domain.strategy_table import StrategyRow
from engine.processes.mode_file import ALL, ModesUnreadableError, place_of, read_modes


def mode_records(
    path: Path, instruments: Sequence[Instrument], strategies: Sequence[StrategyRow]
) -> NDArray[np.void]:
    """Return EVENT_DTYPE[n], one for each part of the file that this session has.

    A file that cannot be read is unknown, and what is unknown does not trade: everything is SHADOW.
    """
    numbers = {row.name: s for s, row in enumerate(strategies)}
    symbols = {row.symbol: i for i, row in enumerate(instruments)}
    try:
        given = {part: row.mode for part, row in read_modes(path).items()}
    except ModesUnreadableError:
        given = {ALL: Mode.SHADOW}
    known = [
        (place, mode)
        for part, mode in given.items()
        if (place := place_of(part, numbers, symbols)) is not None
    ]
    records = np.zeros(len(known), dtype=EVENT_DTYPE)
    records["event_type"] = EventType.RESTORE_MODE
    records["instrument_index"] = -1
    for n, ((scope, which), mode) in enumerate(known):
        records["order_type"][n] = scope
        records["cause_sequence"][n] = which
        records["time_in_force"][n] = mode
    return records
