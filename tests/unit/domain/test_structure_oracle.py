"""Structure against the package its definitions come from, where that package is installed.

The package gives the first and the last bar a made-up swing; without those two its swings, gaps and
breaks over a whole series must be ours. It is an oracle here and is used for nothing else.
"""

import contextlib
import io
import math
import warnings
from typing import Any

import numpy as np
import pytest

from engine.domain.structure import StructureKind
from tests.feature_bars import Bar, random_bars
from tests.structure_twins import breaks, coarse_walk, streamed_structure, swings

SERIES = [coarse_walk(500, seed) for seed in range(4)] + [random_bars(500, seed) for seed in (1, 2)]


@pytest.fixture(scope="module")
def package() -> Any:  # noqa: ANN401 - it ships no types
    pytest.importorskip("pandas", reason="the oracle needs pandas, which is not installed")
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        oracle = pytest.importorskip(
            "smartmoneyconcepts.smc", reason="the oracle smartmoneyconcepts is not installed"
        )
    return oracle.smc


def frame(bars: list[Bar]) -> Any:  # noqa: ANN401 - pandas ships no types here
    pd = pytest.importorskip("pandas")

    return pd.DataFrame([bar._asdict() for bar in bars]).astype(float)


def known(column: Any) -> list[tuple[int, float]]:  # noqa: ANN401 - a column of the package
    return [(k, float(number)) for k, number in enumerate(column) if not math.isnan(number)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("bars", SERIES)
def test_swings_and_breaks_equal_the_packages_without_its_made_up_swings(
    package: Any,  # noqa: ANN401 - it ships no types
    bars: list[Bar],
) -> None:
    table = package.swing_highs_lows(frame(bars), swing_length=5)
    table.loc[[0, len(bars) - 1], :] = np.nan
    sides = dict(known(table.HighLow))
    levels = dict(known(table.Level))
    assert [(k, int(sides[k]), int(levels[k])) for k in sides] == swings(bars)
    found = package.bos_choch(frame(bars), table, close_break=True)
    level = dict(known(found.Level))
    theirs = {(StructureKind.BOS, int(side), k, int(level[k])) for k, side in known(found.BOS)}
    theirs |= {(StructureKind.CHOCH, int(side), k, int(level[k])) for k, side in known(found.CHOCH)}
    assert {row[:4] for row in breaks(bars)} == theirs
    assert theirs


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("bars", SERIES)
def test_gaps_equal_the_packages(
    package: Any,  # noqa: ANN401 - it ships no types
    bars: list[Bar],
) -> None:
    table = package.fvg(frame(bars))
    top, bottom = dict(known(table.Top)), dict(known(table.Bottom))
    theirs = {
        (int(side), k + 1, int(top[k] if side > 0 else bottom[k])) for k, side in known(table.FVG)
    }
    stream = streamed_structure(bars)
    opened = stream.of_kinds(StructureKind.GAP)
    assert {(event.side, event.known_at, event.level) for event in opened} == theirs
