"""The key index against a dict: same answers after any insertions and removals."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.key_index import (
    ABSENT,
    EMPTY_KEY,
    create_index,
    find_key,
    home_of,
    insert_key,
    remove_key,
)

# Few distinct keys over a small table, so that runs collide, wrap round and close up.
KEYS = st.one_of(
    st.integers(0, 40), st.integers(0, 2**62), st.integers(0, 40).map(lambda k: k << 9)
)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.booleans(), KEYS), max_size=120))
def test_the_index_answers_like_a_dict(operations: list[tuple[bool, int]]) -> None:
    table = create_index(16)
    model: dict[int, int] = {}
    for number, (is_insert, key) in enumerate(operations):
        if is_insert and key not in model and len(model) < 16:
            assert insert_key(table, key, number)
            model[key] = number
        elif not is_insert:
            assert remove_key(table, key) == (model.pop(key, None) is not None)
        for known, value in model.items():
            assert find_key(table, known) == value
        assert find_key(table, key) == model.get(key, ABSENT)
    assert (table[:, 0] != EMPTY_KEY).sum() == len(model)


def test_a_table_is_at_most_half_used() -> None:
    for entries in (1, 2, 3, 1000, 4096):
        places = len(create_index(entries))
        assert places >= 2 * entries
        assert places & (places - 1) == 0


def test_removal_keeps_a_run_that_wraps_round_the_end() -> None:
    table = create_index(4)
    mask = len(table) - 1
    last = [key for key in range(200) if home_of(key, mask) == mask][:3]
    for value, key in enumerate(last):
        insert_key(table, key, value)
    remove_key(table, last[0])
    assert [find_key(table, key) for key in last] == [ABSENT, 1, 2]


def test_order_keys_of_one_session_spread_over_the_table() -> None:
    table = create_index(4096)
    mask = len(table) - 1
    homes = np.array([home_of(number * 256 + 7, mask) for number in range(1, 4097)])
    assert len(np.unique(homes)) > 2000
