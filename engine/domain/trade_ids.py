"""Which of the venue's trade ids were applied: every fill and payment once, whatever is sent again.

    trade_ring[k & mask]   keys in the order they were remembered
    trade_index            key -> place in the ring
    payment_ring, _index   the same of funding payments

Keys are exact: (trade_id, instrument, kind) packed into one int64. When the ring of fills is full
the oldest id is forgotten and its instrument's `trade_floor` rises to it. Venues number the trades
of an instrument upwards, so an id at or below the floor may have been applied: it is never applied
again, and reconciliation decides whether something is missing.

Payments have a ring of their own, for many fills would push them out and their numbers need not
rise: it holds those of a day of every instrument, and they are asked for again over an hour
(`engine.venues.binance.funding`).
"""

from __future__ import annotations

from engine.domain.desk import Desk
from engine.domain.kernel import kernel
from engine.domain.key_index import ABSENT, find_key, insert_key, remove_key
from engine.domain.words import Word

KIND_FILL = 0
KIND_FUNDING = 1
PAYMENTS_MAX = 4096
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
    index = desk.payment_index if kind == KIND_FUNDING else desk.trade_index
    return find_key(index, key) != ABSENT


@kernel
def remember_trade(desk: Desk, i: int, trade_id: int, kind: int) -> None:
    """Remember an id, in place; forgets the oldest one when the ring is full."""
    is_payment = kind == KIND_FUNDING
    ring = desk.payment_ring if is_payment else desk.trade_ring
    index = desk.payment_index if is_payment else desk.trade_index
    word = Word.PAYMENT_COUNT if is_payment else Word.TRADE_COUNT
    capacity = ring.shape[0]
    count = desk.words[word]
    place = count % capacity
    if count >= capacity:
        oldest = ring[place]
        remove_key(index, oldest)
        owner = (oldest >> 1) % INSTRUMENT_PLACES
        if not is_payment:
            floor = (oldest >> 1) // INSTRUMENT_PLACES
            desk.ledger["trade_floor"][owner] = max(desk.ledger["trade_floor"][owner], floor)
    key = trade_key(i, trade_id, kind)
    ring[place] = key
    insert_key(index, key, place)
    desk.words[word] = count + 1
