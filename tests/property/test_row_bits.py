"""Sets of strategies as bits behave as sets of numbers do."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.row_bits import mark_row, next_row, pack_bits, words_for

ROWS_MAX = 140  # more than four words


@st.composite
def two_sets(draw: st.DrawFn) -> tuple[int, set[int], set[int]]:
    """Return a number of strategies, and two sets of them."""
    rows = draw(st.integers(1, ROWS_MAX))
    members = st.sets(st.integers(0, rows - 1))
    return rows, draw(members), draw(members)


def packed(rows: int, members: set[int]) -> np.ndarray:
    return pack_bits([row in members for row in range(rows)])


@given(two_sets())
def test_every_member_of_either_set_is_visited_once_in_order(
    given_sets: tuple[int, set[int], set[int]],
) -> None:
    rows, one, other = given_sets
    words, others = packed(rows, one), packed(rows, other)
    visited = []
    row = next_row(words, others, 0)
    while row >= 0:
        visited.append(row)
        row = next_row(words, others, row + 1)
    assert visited == sorted(one | other)


@given(two_sets())
def test_marking_makes_one_set_of_another(given_sets: tuple[int, set[int], set[int]]) -> None:
    rows, before, after = given_sets
    words = packed(rows, before)
    for row in before | after:
        mark_row(words, row, row in after)
    assert words.tolist() == packed(rows, after).tolist()
    assert (words >= 0).all(), "shifting a word to the right ends"


@given(st.integers(1, ROWS_MAX))
def test_a_set_of_all_has_no_bit_beyond_the_last_strategy(rows: int) -> None:
    words = packed(rows, set(range(rows)))
    assert len(words) == words_for(rows)
    assert sum(word.bit_count() for word in words.tolist()) == rows
