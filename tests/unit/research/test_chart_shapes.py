"""What is drawn of a structure is what the brain holds of it, and nothing before it was known."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.structure import StructureKind
from engine.domain.structure_state import BlockState, Part
from research.chart_data import NS_PER_S, bars_and_structure, by_clock
from research.chart_figure import runs
from research.chart_shapes import Line, Shapes, StructureEvent, clipped, shapes
from tests.feature_bars import Bar
from tests.structure_twins import coarse_walk, streamed_structure
from tests.unit.research.test_chart_data import START_NS, trades_of

SEEDS = st.integers(0, 200)
WEDNESDAY_NS = 1_700_006_400 * NS_PER_S  # 2023-11-15


def events_of(walk: list[Bar]) -> tuple[StructureEvent, ...]:
    return bars_and_structure(trades_of(walk), by_clock(1)).events


def edges(row: np.void, name: str, r: int, places: list[int]) -> list[tuple[float, float]]:
    near, far = row[f"{name}_near_ticks"][r], row[f"{name}_far_ticks"][r]
    return sorted((float(near[k]), float(far[k])) for k in places)


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(60, 160))
def test_what_stands_at_the_end_is_what_the_brain_holds(seed: int, count: int) -> None:
    walk = coarse_walk(count, seed)
    row = streamed_structure(walk).row
    drawn = shapes(events_of(walk), count)
    assert row["dropped_gaps"] == row["dropped_blocks"] == row["dropped_pools"] == 0
    closed_now = {zone for zone in drawn.zones if zone.last == count - 1}
    for r, side in ((0, 1), (1, -1)):
        gaps = edges(row, "gap", r, list(range(row["gap_count"][r])))
        drawn_gaps = sorted(
            (it.near, it.far) for it in closed_now if (it.name, it.side) == ("gap", side)
        )
        assert set(gaps) <= set(drawn_gaps)
        states = row["block_state"][r][: row["block_count"][r]]
        for name, kept, seen_from in (
            ("order block", states != BlockState.BREAKER, side),
            ("breaker", states == BlockState.BREAKER, -side),
        ):
            own = edges(row, "block", r, np.flatnonzero(kept).tolist())
            if name == "breaker":
                own = sorted((far, near) for near, far in own)
            found = [
                (it.near, it.far) for it in closed_now if (it.name, it.side) == (name, seen_from)
            ]
            assert not [pair for pair in own if pair not in found]
        pools = int((row["pool_touches"][r][: row["pool_count"][r]] > 1).sum())
        standing = [it for it in drawn.lines if (it.name, it.side) == ("pool", side)]
        swept = sum(e.kind is StructureKind.POOL_SWEPT and e.side == side for e in events_of(walk))
        assert len(standing) == pools + swept


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(20, 119))
def test_nothing_is_drawn_before_it_was_known(seed: int, cut: int) -> None:
    """What is drawn of the first bars only grows longer when more bars come."""
    walk = coarse_walk(120, seed)
    events = events_of(walk)
    early = shapes([event for event in events if event.known_at < cut], cut)
    late = shapes(events, 120)
    assert set(early.points) <= set(late.points)
    begun = {(it.name, it.side, it.first, it.near, it.far) for it in late.zones}
    assert {(it.name, it.side, it.first, it.near, it.far) for it in early.zones} <= begun
    assert all(zone.first < cut for zone in early.zones)
    ways = {it for it in late.lines if it.name == "leg"}
    assert {it for it in early.lines if it.name == "leg"} <= ways
    breaks = {it for it in late.lines if it.name in {"BOS", "CHOCH", "BOS_LIVE"}}
    assert {it for it in early.lines if it.name in {"BOS", "CHOCH", "BOS_LIVE"}} <= breaks


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(0, 119), st.integers(1, 120))
def test_a_stretch_shows_what_the_whole_shows_there(seed: int, first: int, length: int) -> None:
    whole = shapes(events_of(coarse_walk(120, seed)), 120)
    behind = min(first + length, 120)
    part = clipped(whole, first, behind)
    seen = [it for it in whole.zones if it.first < behind and it.last >= first]
    assert len(part.zones) == len(seen)
    for zone, of_whole in zip(part.zones, seen, strict=True):
        assert 0 <= zone.first <= zone.last < behind - first
        inside = set(range(of_whole.first, of_whole.last + 1)) & set(range(first, behind))
        assert set(range(zone.first + first, zone.last + first + 1)) == inside
    for line in part.lines:
        assert 0 <= line.first <= line.last < behind - first
    assert {(it.name, it.bar + first, it.price) for it in part.points} == {
        (it.name, it.bar, it.price)
        for it in whole.points
        if first <= it.bar < behind and it.known_at < behind
    }


def test_a_slope_that_is_cut_keeps_its_way() -> None:
    leg = Line("leg", 1, 0, 10, 100.0, 200.0)
    (cut,) = clipped(Shapes(lines=(leg,)), 4, 7).lines
    assert cut == Line("leg", 1, 0, 2, 140.0, 160.0)
    assert clipped(Shapes(lines=(leg,)), 11, 20).lines == ()


def event(kind: StructureKind, known_at: int, **changes: float) -> StructureEvent:
    made = StructureEvent(kind, 1, known_at, known_at, -1, 100.0, 90.0, 0)
    return made._replace(**changes)  # type: ignore[arg-type]


def test_a_block_that_breaks_works_the_other_way_round_until_it_is_gone() -> None:
    kinds = StructureKind
    told = (
        event(kinds.BLOCK, 5, bar=3),
        event(kinds.BLOCK_MITIGATED, 7, bar=3),
        event(kinds.BLOCK_BREAKER, 9, bar=3),
        event(kinds.BLOCK_INVALID, 14, bar=3),
    )
    assert [tuple(zone) for zone in shapes(told, 20).zones] == [
        ("order block", 1, 5, 9, 100.0, 90.0),
        ("breaker", -1, 9, 14, 90.0, 100.0),
    ]
    assert [zone.last for zone in shapes(told[:2], 20).zones] == [19], "mitigated, it stands"


def test_highs_and_lows_of_a_day_stand_until_they_are_taken_or_the_next_is_over() -> None:
    kinds, day = StructureKind, int(Part.DAY)
    told = (
        event(kinds.SPAN_ENDED, 4, side=0, part=day),
        event(kinds.SPAN_TAKEN, 6, side=1, part=day),
        event(kinds.SPAN_ENDED, 9, side=0, part=day, level=110.0, far=95.0),
        event(kinds.SPAN_ENDED, 10, side=0, part=int(Part.NEW_YORK), level=99.0, far=98.0),
    )
    assert {tuple(line) for line in shapes(told, 12).lines} == {
        ("day before", 1, 4, 6, 100.0, 100.0),
        ("day before", -1, 4, 9, 90.0, 90.0),
        ("day before", 1, 9, 11, 110.0, 110.0),
        ("day before", -1, 9, 11, 95.0, 95.0),
        ("new york before", 1, 10, 11, 99.0, 99.0),
        ("new york before", -1, 10, 11, 98.0, 98.0),
    }


def test_an_entry_zone_lasts_until_the_next_leg_is_known() -> None:
    kinds = StructureKind
    told = (
        event(kinds.SWING_LOCKED, 3, bar=1, level=80.0),
        event(kinds.SWING_LOCKED, 6, bar=4, level=120.0),
        event(kinds.OTE, 8, level=95.0, far=88.0),
        event(kinds.SWING_LOCKED, 12, bar=9, level=85.0, side=-1),
        event(kinds.OTE, 15, level=107.0, far=113.0, side=-1),
    )
    drawn = shapes(told, 20)
    assert [(it.name, it.first, it.last) for it in drawn.zones] == [("OTE", 8, 12), ("OTE", 15, 19)]
    legs = [(it.first, it.last, it.begin, it.end) for it in drawn.lines]
    assert legs == [(1, 4, 80.0, 120.0), (4, 9, 120.0, 85.0)]


def test_a_pool_is_drawn_until_the_sweep_nearest_to_it() -> None:
    kinds = StructureKind
    told = (
        event(kinds.POOL, 3, level=100.0),
        event(kinds.POOL, 4, level=120.0),
        event(kinds.POOL, 4, level=121.0, side=-1),
        event(kinds.POOL_SWEPT, 8, level=121.0, broken_at=-1),
    )
    drawn = shapes(told, 12)
    assert {(it.side, it.first, it.last, it.begin) for it in drawn.lines} == {
        (1, 4, 8, 121.0),
        (1, 3, 11, 100.0),
        (-1, 4, 11, 121.0),
    }
    assert [(it.name, it.bar) for it in drawn.points] == [("sweep, reclaimed", 8)]


@given(st.lists(st.integers(0, 1), max_size=40))
def test_runs_are_the_stretches_of_ones(flags: list[int]) -> None:
    found = runs(np.array(flags, dtype=np.int64))
    made = [0] * len(flags)
    for first, last in found:
        assert first <= last
        made[first : last + 1] = [1] * (last - first + 1)
    assert made == flags
    assert all(after[0] - before[1] > 1 for before, after in pairwise(found))


def test_bars_say_which_sessions_are_open() -> None:
    """A Wednesday in winter: Tokyo 00 to 09, London 08 to 17, New York 13 to 22, all UTC."""
    walk = coarse_walk(24, 1)
    trades = trades_of(walk)
    trades["venue_time_ns"] = WEDNESDAY_NS + (trades["venue_time_ns"] - START_NS) * 3_600
    seen = bars_and_structure(trades, by_clock(3_600))
    hours = (seen.bars["start_ns"] - WEDNESDAY_NS) // (3_600 * NS_PER_S)
    assert hours.tolist() == list(range(24))
    expected = [
        (0 <= hour < 9) + 2 * (8 <= hour < 17) + 4 * (13 <= hour < 22) for hour in range(24)
    ]
    assert seen.open_sessions.tolist() == expected


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_is_drawn_of_nothing(count: int) -> None:
    assert shapes((), count) == Shapes()
    assert clipped(Shapes(), 0, count) == Shapes()
