"""Which of the venue's trade ids were applied: every fill once, whatever is sent again.

    trade_ring[k & mask]   keys in the order they were remembered
    trade_index            key -> place in the ring

Keys are exact: (trade_id, instrument, kind) packed into one int64. When the ring is full the oldest
id is forgotten and its instrument's `trade_floor` rises to it. Venues number the trades of an
instrument upwards, so an id at or below the floor may have been applied: it is never applied again,
and reconciliation decides whether something is missing.
"""

from __future__ import annotations

from engine.domain.desk import Desk
from engine.domain.kernel import kernel
from engine.domain.key_index import ABSENT, find_key, insert_key, remove_key
from engine.domain.words import Word

KIND_FILL = 0
KIND_FUNDING = 1
INSTRUMENT_PLACES = 8192
TRADE_ID_MAX = 2**49  # keys stay below 2 ** 63


@kernel
def trade_key(i: int, trade_id: int, kind: int) -> int:
    """Return the key of a trade id; ABSENT for an id that cannot be one."""
    if trade_id <= 0 or trade_id >= TRADE_ID_MAX or not 0 <= i < INSTRUMENT_PLACES:
        return ABSENT
    return (trade_id * INSTRUMENT_PLACES + i) * 2 + kind


@kernel
def is_known_trade(desk: Desk, i: int, trade_id: int, kind: int) -> bool:
    """Return whether an id was applied, or is so old that it may have been."""
    key = trade_key(i, trade_id, kind)
    if key == ABSENT or (kind == KIND_FILL and trade_id <= desk.ledger["trade_floor"][i]):
        return True
    return find_key(desk.trade_index, key) != ABSENT


@kernel
def remember_trade(desk: Desk, i: int, trade_id: int, kind: int) -> None:
    """Remember an id, in place; forgets the oldest one when the ring is full."""
    capacity = desk.trade_ring.shape[0]
    count = desk.words[Word.TRADE_COUNT]
    place = count % capacity
    if count >= capacity:
        oldest = desk.trade_ring[place]
        remove_key(desk.trade_index, oldest)
        owner = (oldest >> 1) % INSTRUMENT_PLACES
        if (oldest & 1) == KIND_FILL:
            floor = (oldest >> 1) // INSTRUMENT_PLACES
            desk.ledger["trade_floor"][owner] = max(desk.ledger["trade_floor"][owner], floor)
    key = trade_key(i, trade_id, kind)
    desk.trade_ring[place] = key
    insert_key(desk.trade_index, key, place)
    desk.words[Word.TRADE_COUNT] = count + 1
