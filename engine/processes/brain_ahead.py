"""What a record will need is asked for before the step that needs it begins.

A quote of one of hundreds of instruments, and the rare order it brings, finds the rows of that
instrument far away. A step does a hundred things first: that time is enough to fetch them, all at
once instead of one after the other. Nothing is read or changed here.
"""

from __future__ import annotations

from engine.domain.arrays import CACHE_LINE_BYTES
from engine.domain.desk import LEDGER_DTYPE
from engine.domain.instrument import INSTRUMENT_DTYPE
from engine.domain.kernel import fused, kernel
from engine.domain.limits import INSTRUMENT_LIMITS_DTYPE, RATE_DTYPE, RATE_FIRST
from engine.domain.market_state import HOT_DTYPE
from engine.domain.position import POSITION_DTYPE
from engine.domain.state import State
from engine.processes.brain_words import Ports
from ringbuffer.atomics import address_of, prefetch
from ringbuffer.layout import HANDLE_MASK

_LINE = CACHE_LINE_BYTES
_HOT_BYTES = HOT_DTYPE.itemsize
_PLACES = {name: field[1] for name, field in (HOT_DTYPE.fields or {}).items()}
_QUOTE_BYTES = 2 * _LINE  # of a hot row: the quote, and when it came
_LANE_AT, _MOVES_AT = _PLACES["anchors"], _PLACES["moves"]
_MICRO_AT = _PLACES["micro"]
_MICRO_BYTES = _PLACES["flow_buckets"] - _MICRO_AT  # features and sums of flow
_INSTRUMENT_BYTES = INSTRUMENT_DTYPE.itemsize
_BOUNDS_BYTES = 3 * _LINE  # of an instrument's row: flags and filters
_LEDGER_BYTES = LEDGER_DTYPE.itemsize
_POSITION_BYTES = POSITION_DTYPE.itemsize
_LIMITS_BYTES = INSTRUMENT_LIMITS_DTYPE.itemsize
_RATE_BYTES = RATE_DTYPE.itemsize


@fused
def prefetch_bytes(address: int, count: int) -> None:
    """Ask for the cache lines of `count` bytes that begin on one."""
    for line in range(0, count, _LINE):
        prefetch(address + line)


@kernel
def fetch_ahead(ports: Ports, state: State, sequence: int) -> None:
    """Ask for the rows of the instrument of one market record: its own, and those of the gates.

    Args:
        ports: the record lies in its market ring.
        state: whose rows are asked for.
        sequence: the record's, not yet judged: its instrument may be none of ours.
    """
    place = sequence & ports.market_ring[HANDLE_MASK]
    i = int(ports.market_slots["instrument_index"][place])
    desk = state.desk
    if i >= desk.hot.shape[0]:
        return
    hot = address_of(desk.hot) + i * _HOT_BYTES
    prefetch_bytes(hot, _QUOTE_BYTES)
    prefetch(hot + _LANE_AT)
    prefetch_bytes(hot + _MICRO_AT, _MICRO_BYTES)
    prefetch(hot + _MOVES_AT)
    prefetch_bytes(address_of(desk.instruments) + i * _INSTRUMENT_BYTES, _BOUNDS_BYTES)
    prefetch_bytes(address_of(desk.ledger) + i * _LEDGER_BYTES, _LEDGER_BYTES)
    columns = desk.positions.shape[1]
    positions = address_of(desk.positions) + i * columns * _POSITION_BYTES
    prefetch(positions)
    prefetch(positions + (columns - 1) * _POSITION_BYTES)
    prefetch(address_of(desk.instrument_limits) + i * _LIMITS_BYTES)
    prefetch(address_of(desk.rates) + (RATE_FIRST + i) * _RATE_BYTES)
