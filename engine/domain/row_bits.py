"""Sets of strategies as bits: which of hundreds a quote concerns is read in a few words.

A word holds ROWS_PER_WORD strategies, the lowest first; it is never negative, so that shifting it
to the right ends.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.domain.kernel import Integers, fused, kernel

WORD_SHIFT = 5
ROWS_PER_WORD = 1 << WORD_SHIFT
PLACE_MASK = ROWS_PER_WORD - 1


def words_for(rows: int) -> int:
    """Return how many words hold so many strategies."""
    return -(-rows // ROWS_PER_WORD)


def pack_bits(members: Sequence[bool]) -> NDArray[np.int64]:
    """Return the set of the strategies for which `members` is true."""
    words = np.zeros(words_for(len(members)), dtype=np.int64)
    for row, is_member in enumerate(members):
        words[row >> WORD_SHIFT] |= int(is_member) << (row & PLACE_MASK)
    return words


@kernel
def mark_row(words: Integers, row: int, is_member: bool) -> None:
    """Put a strategy into a set, or take it out, in place."""
    bit = np.int64(1) << (row & PLACE_MASK)  # uncompiled, `row` may be narrower
    kept = words[row >> WORD_SHIFT] & ~bit
    words[row >> WORD_SHIFT] = kept | bit if is_member else kept


@fused
def next_row(one: Integers, other: Integers, row: int) -> int:
    """Return the first strategy from `row` on that is in one of two sets; -1: there is none."""
    word = row >> WORD_SHIFT
    shift = row & PLACE_MASK
    while word < one.shape[0]:
        bits = (one[word] | other[word]) >> shift
        if bits != 0:
            row = (word << WORD_SHIFT) + shift
            while bits & 1 == 0:
                bits >>= 1
                row += 1
            return row
        word += 1
        shift = 0
    return -1
