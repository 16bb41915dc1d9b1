"""Chart patterns: drawn by hand, against brute force on long walks, and never taken back."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.features.catalogue import FeatureRow
from tests.feature_bars import CATALOGUE, Bar, batch, random_context, scaled_bars, timed
from tests.feature_twins import Seen
from tests.feature_twins_patterns import PATTERN_TWINS, formed, locks
from tests.structure_twins import coarse_walk

ROWS = [row for row in CATALOGUE.bar_rows if row.family == "patterns"]
NAMES = [row.name for row in ROWS]
LEG_BARS = 12
BASE = 100_000


def drawn(turns: Sequence[int]) -> list[Bar]:
    """Return bars that go straight from turn to turn, a leg of twelve bars each."""
    closes = [float(BASE + turns[0])]
    for level in turns[1:]:
        closes += np.linspace(closes[-1], BASE + level, LEG_BARS + 1)[1:].tolist()
    path = [closes[0], *closes]
    bars = [
        Bar(
            open=path[k],
            high=max(path[k], path[k + 1]) + 1,
            low=min(path[k], path[k + 1]) - 1,
            close=path[k + 1],
            volume=10,
            bought=5,
        )
        for k in range(len(closes))
    ]
    return timed(bars)


def sides(row_name: str, bars: Sequence[Bar]) -> list[float]:
    """Return the sides that became known, in order."""
    column = CATALOGUE.bar_columns.index(f"{row_name}.side")
    found = batch(bars)
    ages = found[:, column + 1]
    return found[ages == 0, column].tolist()


# The turns before a pattern let two swings lock and the average true range settle.
LEAD = [0, 300, 0]
DRAWN = {
    "patterns.double": [*LEAD, 600, 300, 602, 100, 400],
    "patterns.head_shoulders": [*LEAD, 500, 300, 700, 300, 500, 0, 200],
    "patterns.triangle": [*LEAD, 600, 100, 500, 200, 400, 250, 900],
    "patterns.wedge": [*LEAD, 500, 250, 560, 400, 600, 0],
    "patterns.flag": [*LEAD, 900, 700, 880, 600, 1_400],
}
SIDES = {
    "patterns.double": -1.0,
    "patterns.head_shoulders": -1.0,
    "patterns.triangle": 1.0,
    "patterns.wedge": -1.0,
    "patterns.flag": 1.0,
}


@pytest.mark.parametrize("name", NAMES)
def test_a_pattern_drawn_by_hand_is_known_with_its_side(name: str) -> None:
    assert SIDES[name] in sides(name, drawn(DRAWN[name]))


@pytest.mark.parametrize("name", NAMES)
def test_a_pattern_upside_down_has_the_other_side(name: str) -> None:
    assert -SIDES[name] in sides(name, drawn([-turn for turn in DRAWN[name]]))


@pytest.mark.parametrize("name", NAMES)
def test_a_pattern_is_known_no_earlier_than_the_close_beyond_its_level(name: str) -> None:
    """Everything but the last leg is drawn: the break has not happened."""
    whole = drawn(DRAWN[name])
    assert len(sides(name, whole[: -LEG_BARS - 1])) < len(sides(name, whole))


def test_a_double_top_that_price_rises_beyond_is_given_up() -> None:
    turns = [*LEAD, 600, 300, 602, 450, 900, 850]
    assert sides("patterns.double", drawn(turns)) == []


def test_a_flag_that_falls_below_its_way_back_is_given_up() -> None:
    turns = [*LEAD, 900, 700, 880, 650, 800, 400, 600]
    assert 1.0 not in sides("patterns.flag", drawn(turns))


def test_a_symmetrical_triangle_breaks_out_to_either_side() -> None:
    turns = [*LEAD, 600, 100, 500, 200, 400]
    up, down = drawn([*turns, 250, 900]), drawn([*turns, -300, 0])
    assert sides("patterns.triangle", up)[-1] == 1.0
    assert sides("patterns.triangle", down)[-1] == -1.0


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_a_pattern_equals_its_twin_on_a_long_walk(row: FeatureRow, seed: int) -> None:
    bars = timed(coarse_walk(900, seed))
    context = random_context(len(bars))
    column = CATALOGUE.bar_columns.index(row.columns[0])
    found = batch(bars, context)[:, column : column + 2]
    twin = PATTERN_TWINS[row.kernel]
    for count in range(60, len(bars), 60):
        expected = twin(Seen(bars[:count], context[:count]), *row.params)
        np.testing.assert_array_equal(found[count - 1], expected)


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_long_walks_form_each_pattern_on_both_sides(row: FeatureRow) -> None:
    """What the law above compares is there to be compared."""
    found = [
        shape.side
        for seed in (1, 2, 3)
        for bars in [timed(coarse_walk(900, seed))]
        for _, shape in formed(Seen(bars, random_context(len(bars))), row.kernel, row.params)
    ]
    assert {-1, 1} <= set(found)
    assert len(found) > 5


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_what_a_pattern_said_stays_said(row: FeatureRow) -> None:
    """Sides and ages of a run cut short are those of the whole run: nothing is repainted."""
    bars = timed(coarse_walk(600, 4))
    context = random_context(len(bars))
    column = CATALOGUE.bar_columns.index(row.columns[0])
    whole = batch(bars, context)[:, column : column + 2]
    for cut in (100, 333, 500):
        part = batch(bars[:cut], context[:cut])[:, column : column + 2]
        np.testing.assert_array_equal(part, whole[:cut])


@given(st.lists(st.integers(-7, 7), min_size=10, max_size=20))
def test_prices_upside_down_make_the_same_patterns_of_the_other_side(steps: list[int]) -> None:
    """Turns that alternate; in a flat stretch a bar is both a high and a low: the high counts."""
    turns = [0]
    for k, step in enumerate(steps):
        turns.append((1 if k % 2 else -1) * (200 + 25 * step))
    first = CATALOGUE.bar_columns.index(ROWS[0].columns[0])
    one = batch(drawn(turns))[:, first : first + 10]
    other = batch(drawn([-turn for turn in turns]))[:, first : first + 10]
    np.testing.assert_array_equal(one[:, ::2], -other[:, ::2])
    np.testing.assert_array_equal(one[:, 1::2], other[:, 1::2])


def test_patterns_do_not_depend_on_the_level_of_prices() -> None:
    bars = timed(coarse_walk(600, 5))
    first = CATALOGUE.bar_columns.index(ROWS[0].columns[0])
    one, other = batch(bars), batch(scaled_bars(bars, 2.0**12))
    np.testing.assert_array_equal(one[:, first : first + 10], other[:, first : first + 10])


def test_locks_alternate_and_come_after_their_swing() -> None:
    found = locks(timed(coarse_walk(600, 6)))
    assert len(found) > 20
    assert all(a.side == -b.side and a.at < b.at for a, b in pairwise(found))
