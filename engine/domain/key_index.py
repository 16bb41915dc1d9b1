"""Exact int64 keys to int64 values in a preallocated table: open addressing, linear probing.

        table int64[capacity, 2]      column 0 key, column 1 value; key -1 marks an empty place

Keys are non-negative and compared whole, so two keys never alias. Removal shifts the run back, so
there are no tombstones and a probe is bounded by the longest run. The owner keeps the table at most
half full; `insert` refuses above that.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.domain.kernel import Integers, kernel

EMPTY_KEY = -1
ABSENT = -1


def create_index(entries_max: int) -> NDArray[np.int64]:
    """Return an empty table for `entries_max` keys: a power of two places, at most half used."""
    assert entries_max > 0, entries_max
    places = 1 << (2 * entries_max - 1).bit_length()
    table = np.zeros((places, 2), dtype=np.int64)
    table[:, 0] = EMPTY_KEY
    return table


@kernel
def home_of(key: int, mask: int) -> int:
    """Return the place at which the search for a key starts."""
    # WHY: shifts and masks only; a product of int64 would wrap, which plain Python reports.
    mixed = key ^ (key >> 17) ^ (key >> 31)
    return (mixed ^ (mixed >> 9)) & mask


@kernel
def find_key(table: Integers, key: int) -> int:
    """Return the value stored for a key, or ABSENT."""
    mask = table.shape[0] - 1
    place = home_of(key, mask)
    for _ in range(table.shape[0]):
        if table[place, 0] == key:
            return table[place, 1]
        if table[place, 0] == EMPTY_KEY:
            return ABSENT
        place = (place + 1) & mask
    return ABSENT


@kernel
def insert_key(table: Integers, key: int, value: int) -> bool:
    """Store a key that is not in the table; False: the table has no empty place near."""
    mask = table.shape[0] - 1
    place = home_of(key, mask)
    for _ in range(table.shape[0] // 2):
        if table[place, 0] == EMPTY_KEY:
            table[place, 0] = key
            table[place, 1] = value
            return True
        place = (place + 1) & mask
    return False


@kernel
def remove_key(table: Integers, key: int) -> bool:
    """Remove a key and close the run behind it, in place; False: it was not there."""
    mask = table.shape[0] - 1
    place = home_of(key, mask)
    for _ in range(table.shape[0]):
        if table[place, 0] == EMPTY_KEY:
            return False
        if table[place, 0] == key:
            break
        place = (place + 1) & mask
    hole = place
    follow = (hole + 1) & mask
    while table[follow, 0] != EMPTY_KEY and follow != place:
        # The follower may fill the hole when its own search starts at or before the hole.
        distance = (follow - home_of(table[follow, 0], mask)) & mask
        if distance >= ((follow - hole) & mask):
            table[hole, 0] = table[follow, 0]
            table[hole, 1] = table[follow, 1]
            hole = follow
        follow = (follow + 1) & mask
    table[hole, 0] = EMPTY_KEY
    return True
