"""Structure: equal to its brute-force twin at every prefix, and no reading is ever rewritten."""

import itertools

import numpy as np
import pytest

from engine.domain.structure import StructureKind
from engine.domain.structure_state import GAPS_MAX, SWING_BARS, SWING_MASK, SWING_RING
from tests.feature_bars import Bar, random_bars
from tests.structure_twins import (
    Stream,
    breaks,
    coarse_walk,
    gaps,
    streamed_structure,
    swings,
)

SEEDS = range(6)


def known_swings(stream: Stream) -> list[tuple[int, int, int]]:
    rows = stream.row
    count = int(rows["swing_count"])
    kept = range(max(0, count - SWING_RING), count)
    return [
        (
            int(rows["swing_bar"][k & SWING_MASK]),
            int(rows["swing_side"][k & SWING_MASK]),
            int(rows["swing_level_ticks"][k & SWING_MASK]),
        )
        for k in kept
    ]


def standing_breaks(stream: Stream) -> list[tuple[StructureKind, int, int, float]]:
    """Return (kind, side, bar, level) of every BOS and CHoCH emitted and not cancelled."""
    return sorted(
        (event.kind, event.side, event.bar, event.level)
        for number, event in enumerate(stream.events)
        if event.kind in {StructureKind.BOS, StructureKind.CHOCH} and number not in stream.cancelled
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_swings_equal_their_twin_at_every_prefix(seed: int) -> None:
    bars = coarse_walk(300, seed)
    stream = Stream()
    for k, bar in enumerate(bars):
        stream.push(bar)
        assert known_swings(stream) == swings(bars[: k + 1])[-SWING_RING:], k
    assert int(stream.row["swing_count"]) > 2 * SWING_RING


@pytest.mark.parametrize("seed", SEEDS)
def test_gaps_equal_their_twin(seed: int) -> None:
    bars = random_bars(400, seed)
    stream = streamed_structure(bars)
    opened = {
        (event.side, event.known_at, event.level, event.far)
        for event in stream.of_kinds(StructureKind.GAP)
    }
    mitigated = {
        (event.side, event.bar, event.level, event.far, event.known_at)
        for event in stream.of_kinds(StructureKind.GAP_MITIGATED)
    }
    expected = gaps(bars)
    assert opened == {row[:4] for row in expected}
    assert mitigated == {row for row in expected if row[4] >= 0}
    still_open = [row for row in expected if row[4] < 0]
    assert int(stream.row["gap_count"].sum()) == len(still_open)
    assert int(stream.row["dropped_gaps"]) == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_breaks_that_stand_equal_their_twin_at_every_prefix(seed: int) -> None:
    bars = coarse_walk(400, seed)
    stream = Stream()
    seen = 0
    for k, bar in enumerate(bars):
        stream.push(bar)
        expected = sorted(row[:4] for row in breaks(bars[: k + 1]))
        assert standing_breaks(stream) == expected, k
        seen = max(seen, len(expected))
    assert seen >= 3, "the walk has breaks to compare"


@pytest.mark.parametrize("seed", SEEDS)
def test_no_event_is_taken_back_and_each_is_known_at_its_bar(seed: int) -> None:
    bars = coarse_walk(300, seed)
    whole = streamed_structure(bars)
    stream = Stream()
    for k, bar in enumerate(bars):
        for event in stream.push(bar):
            assert event.known_at == k
            assert event.bar <= k
        assert stream.events == whole.events[: len(stream.events)], "a later bar rewrote it"
    assert stream.events == whole.events


@pytest.mark.parametrize("cut", [20, 77, 150, 222])
def test_what_is_known_at_a_bar_does_not_depend_on_later_bars(cut: int) -> None:
    bars = coarse_walk(300, 9)
    other = [*bars[:cut], *coarse_walk(300 - cut, 10)]
    first = [event for event in streamed_structure(bars).events if event.known_at < cut]
    second = [event for event in streamed_structure(other).events if event.known_at < cut]
    assert first == second
    assert first


def test_a_bar_fed_early_is_noticed() -> None:
    bars = coarse_walk(300, 9)
    early = [*bars[:150], bars[151], *bars[151:]]
    first = [event for event in streamed_structure(bars).events if event.known_at <= 150]
    second = [event for event in streamed_structure(early).events if event.known_at <= 150]
    assert first != second


def valley(levels: list[int]) -> list[Bar]:
    """Return bars that go straight from level to level, each leg long enough for a swing."""
    bars = []
    for start, end in itertools.pairwise(levels):
        path = np.linspace(start, end, 2 * SWING_BARS + 2).astype(int)
        for before, after in itertools.pairwise(path):
            low, high = sorted((int(before), int(after)))
            bars.append(Bar(int(before), high, low, int(after), 10, 5))
    return bars


def test_a_close_beyond_the_last_locked_high_is_known_on_that_bar() -> None:
    bars = valley([1_000, 1_100, 1_040, 1_160])
    stream = streamed_structure(bars)
    live = [event for event in stream.of_kinds(StructureKind.BOS_LIVE) if event.side == 1]
    first_beyond = next(k for k, bar in enumerate(bars) if bar.close > 1_100)
    assert [(event.known_at, event.level) for event in live] == [(first_beyond, 1_100)]


def test_a_broken_level_is_live_only_once() -> None:
    bars = valley([1_000, 1_100, 1_040, 1_160])
    bars += [bar._replace() for bar in valley([1_160, 1_165, 1_170])]
    stream = streamed_structure(bars)
    assert len([e for e in stream.of_kinds(StructureKind.BOS_LIVE) if e.side == 1]) == 1


def test_rising_lows_and_highs_are_a_break_of_structure() -> None:
    stream = streamed_structure(valley([1_050, 1_000, 1_100, 1_040, 1_160, 1_120]))
    kinds = [(event.kind, event.side) for event in stream.of_kinds(StructureKind.BOS)]
    assert kinds == [(StructureKind.BOS, 1)]
    assert stream.row["trend_side"] == 1


def test_a_higher_high_after_a_lower_low_is_a_change_of_character() -> None:
    stream = streamed_structure(valley([1_090, 1_040, 1_100, 1_000, 1_160, 1_120]))
    kinds = [(event.kind, event.side) for event in stream.of_kinds(StructureKind.CHOCH)]
    assert kinds == [(StructureKind.CHOCH, 1)]


def test_falling_mirrors_rising() -> None:
    bars = coarse_walk(200, 3)
    mirrored = [
        Bar(20_000 - bar.open, 20_000 - bar.low, 20_000 - bar.high, 20_000 - bar.close, 10, 5)
        for bar in bars
    ]
    up = streamed_structure(bars)
    down = streamed_structure(mirrored)
    expected = sorted((e.kind, -e.side, e.bar, e.known_at, 20_000 - e.level) for e in up.events)
    assert expected == sorted((e.kind, e.side, e.bar, e.known_at, e.level) for e in down.events)


def test_the_furthest_gap_gives_way_when_there_is_no_room_and_is_counted() -> None:
    bars = []
    for k in range(GAPS_MAX + 5):  # a straight climb: every third bar leaves a gap behind
        for step in (0, 10, 20):
            low = 1_000 + 40 * k + step
            bars.append(Bar(low, low + 9, low, low + 9, 10, 5))
    stream = streamed_structure(bars)
    opened = len(stream.of_kinds(StructureKind.GAP))
    dropped = int(stream.row["dropped_gaps"])
    assert dropped == opened - GAPS_MAX > 0
    opened_at = [event.level for event in stream.of_kinds(StructureKind.GAP)]
    assert stream.row["gap_near_ticks"][0, GAPS_MAX - 1] == max(opened_at)


def test_a_return_is_remembered_only_while_the_close_holds_the_gap() -> None:
    climb = [
        Bar(1_000, 1_010, 1_000, 1_010, 10, 5),
        Bar(1_010, 1_030, 1_010, 1_030, 10, 9),
        Bar(1_030, 1_040, 1_025, 1_040, 10, 9),
    ]
    held = streamed_structure([*climb, Bar(1_040, 1_040, 1_020, 1_024, 10, 5)])
    assert held.row["return_side"] == 1
    assert held.row["return_near_ticks"] == 1_025
    given_up = streamed_structure([*climb, Bar(1_040, 1_040, 1_000, 1_005, 10, 5)])
    assert given_up.row["return_side"] == 0
    assert len(given_up.of_kinds(StructureKind.GAP_MITIGATED)) == 1
