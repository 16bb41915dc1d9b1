"""Keys of what was applied: one for each instrument, number and kind; none for what has none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.key_index import ABSENT
from engine.domain.trade_ids import (
    INSTRUMENT_PLACES,
    KIND_FILL,
    KIND_FUNDING,
    TRADE_ID_MAX,
    trade_key,
)

IDS = st.tuples(
    st.integers(0, INSTRUMENT_PLACES - 1),
    st.one_of(st.integers(1, 40), st.integers(1, TRADE_ID_MAX - 1)),
    st.sampled_from([KIND_FILL, KIND_FUNDING]),
)


@given(IDS, IDS)
def test_keys_are_equal_where_all_three_are(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    assert (trade_key(*one) == trade_key(*other)) is (one == other)
    assert ABSENT < trade_key(*one) < 1 << 63


@given(IDS)
def test_a_key_says_its_instrument_and_its_number(one: tuple[int, int, int]) -> None:
    i, trade_id, _ = one
    assert divmod(trade_key(*one) >> 1, INSTRUMENT_PLACES) == (trade_id, i)


@pytest.mark.parametrize(
    ("i", "trade_id"),
    [(0, 0), (0, -5), (0, TRADE_ID_MAX), (-1, 7), (INSTRUMENT_PLACES, 7)],
)
def test_what_cannot_be_an_id_has_no_key(i: int, trade_id: int) -> None:
    assert trade_key(i, trade_id, KIND_FILL) == ABSENT
    assert trade_key(0, TRADE_ID_MAX - 1, KIND_FILL) != ABSENT
