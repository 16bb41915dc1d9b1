"""Modes kept from before, as RESTORE_MODE records: of a brain that begins, of what comes in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.domain.codes import EventType, Mode, ModeScope
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
    return _records(known)


def newcomer_modes(path: Path, instruments: Sequence[Instrument]) -> NDArray[np.void]:
    """Return EVENT_DTYPE[n], one for each of some instruments that was given a mode before.

    As long as the file cannot be read, each of them is SHADOW.
    """
    try:
        given = {part: row.mode for part, row in read_modes(path).items()}
        otherwise = Mode.LIVE
    except ModesUnreadableError:
        given, otherwise = {}, Mode.SHADOW
    modes = {
        row.instrument_index: given.get(f"instrument:{row.symbol}", otherwise)
        for row in instruments
    }
    places = [((ModeScope.INSTRUMENT, index), mode) for index, mode in modes.items() if mode]
    return _records(places)


def _records(given: Sequence[tuple[tuple[ModeScope, int], Mode]]) -> NDArray[np.void]:
    records = np.zeros(len(given), dtype=EVENT_DTYPE)
    records["event_type"] = EventType.RESTORE_MODE
    records["instrument_index"] = -1
    for n, ((scope, which), mode) in enumerate(given):
        records["order_type"][n] = scope
        records["cause_sequence"][n] = which
        records["time_in_force"][n] = mode
    return records
