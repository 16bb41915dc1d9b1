"""What earlier sessions of a (venue, account, mode) knew, as the first reports of a new one.

        journals, oldest needed first -> this session's numbers -> domain.fold -> RESTORE_* records
                                                             `-> execution.kept -> PARENT_STATE

A session begins with the records it was given, so reading starts at the last session that got as
far as RESTORE_END. Whatever cannot be read, or said in this session's numbers, is refused
with a sentence: an engine that guesses what it holds must not start. Imports Numba through the
domain; the brain is the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.domain.codes import EventType
from engine.domain.execution.kept import KeptParents, told
from engine.domain.execution.work import StopReason
from engine.domain.fold import Fold
from engine.domain.instrument_row import Instrument
from engine.domain.orders import TERMINAL
from engine.domain.records import EVENT_DTYPE
from engine.store.errors import SessionError
from engine.store.frames import FrameKind
from engine.store.journal import SOURCE_EVENTS_BRAIN
from engine.store.reader import join_records, read_batches
from engine.store.reindex import Numbering
from engine.store.retention import was_restored
from engine.store.session import SessionDocument, sessions

JOINED_RECORDS: Final = 8_192  # 2 MB

Events = NDArray[np.void]
STRATEGY_EXTERNAL: Final = -1
NO_INSTRUMENT: Final = -1  # of what this session does not trade
SUMS: Final = (
    "position_lots",
    "position_cost_e8",
    "realised_pnl_e8",
    "fee_e8",
    "funding_e8",
)


def load_restore_records(
    state_directory: Path, instruments: Sequence[Instrument], strategies: Sequence[str]
) -> Events:
    """Return EVENT_DTYPE[n], the last of which is RESTORE_END.

    The first is RESTORE_LIMITS, then a PARENT_STATE of each parent order that is taken up,
    or ends because this session does not trade its instrument.

    The running session's own journal counts too, for a brain that is restarted in place; then its
    event ring must have been drained before.

    Args:
        state_directory: `<home>/state/<venue>-<account>-<mode>`.
        instruments: this session's, in the order of instrument_index.
        strategies: names of this session's, in the order of strategy_index.

    Raises:
        JournalCorruptError: a journal is damaged in its middle.
        SessionError: something held or resting cannot be said in this session's numbers, or events
            of a session were lost.
    """
    numbering = Numbering(instruments, strategies)
    fold, parents = Fold(), KeptParents()
    for directory, document in _needed(sessions(state_directory)):
        to_wall_ns = document.realtime_ns(0)
        for records in _joined(directory):
            translated = numbering.translate(records, document)
            fold.add(translated)
            parents.add(translated, to_wall_ns)
    restored = _in_this_session(fold.restore_records(), numbering)
    kept = parents.records(fold.known.orders, restored, numbering.resized)
    _end_untraded(kept, numbering)
    # Who takes a parent up hears of it before its children; what is restored begins with limits.
    return join_records([restored[:1], kept, restored[1:]], EVENT_DTYPE)


def _joined(directory: Path) -> Iterator[Events]:
    """Yield a session's events, many frames at once: a busy brain's have two events each."""
    waiting: list[Events] = []
    count = 0
    for batch in read_batches(directory, SOURCE_EVENTS_BRAIN):
        if batch.kind is FrameKind.LOST:
            raise SessionError(
                f"{batch.record_count} events of session {directory.name} were never "
                "journaled, so what it held is not known; move its directory aside to start "
                "from the venue's word alone"
            )
        waiting.append(batch.records)
        count += len(batch.records)
        if count >= JOINED_RECORDS:
            yield join_records(waiting, EVENT_DTYPE)
            waiting, count = [], 0
    yield join_records(waiting, EVENT_DTYPE)


def _needed(found: list[tuple[Path, SessionDocument]]) -> list[tuple[Path, SessionDocument]]:
    for place in range(len(found) - 1, -1, -1):
        if was_restored(found[place][0]):
            return found[place:]
    return found


def _in_this_session(records: Events, numbering: Numbering) -> Events:
    is_elsewhere = records["instrument_index"] >= numbering.instrument_count
    _refuse_what_is_held(records[is_elsewhere], numbering)
    is_gone = records["strategy_index"] >= numbering.strategy_count
    records["strategy_index"][is_gone] = STRATEGY_EXTERNAL
    # The day of a strategy that is gone is nobody's.
    is_days = is_gone & (records["event_type"] == EventType.RESTORE_BOUNDS)
    return _sum_columns(records[~is_elsewhere & ~is_days])


def _end_untraded(parents: Events, numbering: Numbering) -> None:
    """End the parents that this session cannot work, in place; of these nothing rests."""
    is_elsewhere = parents["instrument_index"] >= numbering.instrument_count
    is_nobodys = parents["strategy_index"] >= numbering.strategy_count
    for place in np.flatnonzero(is_elsewhere | is_nobodys):
        index = int(parents["instrument_index"][place])
        ended = told(parents[place]).ended(StopReason.UNTRADED)
        for name, word in ended.words().items():
            parents[name][place] = word
        parents["text"][place] = numbering.instruments[index].symbol
        parents["instrument_index"][place] = NO_INSTRUMENT
    parents["strategy_index"][is_nobodys] = STRATEGY_EXTERNAL


def _refuse_what_is_held(records: Events, numbering: Numbering) -> None:
    for record in records:
        symbol = numbering.instruments[int(record["instrument_index"])].symbol
        kind = int(record["event_type"])
        if kind == EventType.RESTORE_POSITION and record["position_lots"]:
            what = f"a position of {int(record['position_lots'])} lots"
        elif kind == EventType.RESTORE_ORDER and _may_rest(record):
            what = f"order {int(record['order_sequence'])}, which may still rest at the venue"
        else:
            continue
        raise SessionError(
            f"an earlier session left {what} in {symbol}, which this session does not trade; "
            "add it to the instruments, or settle it there first"
        )


def _may_rest(record: np.void) -> bool:
    return not record["trade_id"] and not TERMINAL[int(record["order_status"])]


def _sum_columns(records: Events) -> Events:
    """Return the records with one RESTORE_POSITION per column: what is gone shares one."""
    places: dict[tuple[int, int], int] = {}
    doubled: list[int] = []
    for place in _positions(records):
        key = (int(records["instrument_index"][place]), int(records["strategy_index"][place]))
        first = places.setdefault(key, place)
        if first != place:
            doubled.append(place)
            for name in SUMS:
                records[name][first] += records[name][place]
            floor = max(records["trade_id"][first], records["trade_id"][place])
            records["trade_id"][first] = floor
    return np.delete(records, doubled)


def _positions(records: Events) -> Iterable[int]:
    places: list[int] = np.flatnonzero(records["event_type"] == EventType.RESTORE_POSITION).tolist()
    return places
