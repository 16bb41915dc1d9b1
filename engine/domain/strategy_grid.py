"""Named strategies expanded from a declared grid: `strategies.toml`, one block per family.

Each combination of a block's grid is a row. Its name is the block's, the numbers of the grid in
their order, and the length of the bars: `trend.ema_21_1.5@5m`. Grid keys that are parameters set
them; others stand in braces in the names of features. No numpy here, as in `strategy_table`.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from itertools import product

import msgspec

from engine.domain import typed
from engine.domain.strategy_table import StrategyKind, StrategyRow, check_row, parameters_of

FAMILIES_FILE = "strategies.toml"
# What every row does unless its block says otherwise: no entry that does not clear its cost, stop
# and target moved by the regime; and none on a bar that ended more than its length ago.
FAMILY_PARAMETERS = {"edge_min_bps": 0.0, "regime_adapt": 0.5}


class Family(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One block of the file.

    Args:
        name: what names of its rows begin with.
        kind: the kernel that decides, in lower case.
        rules: as of a StrategyRow; words in braces are replaced from the grid.
        grid: numbers or words to combine, by key.
        timeframes_s: bar lengths, s: one more axis.
        parameters: what all its rows set.
        notional: size of an entry, quote currency.
        rationale: one line that says why this could work.
    """

    name: str
    kind: str = "rules"
    rules: dict[str, str] = {}
    grid: dict[str, list[float | str]] = {}
    timeframes_s: list[int]
    parameters: dict[str, float] = {}
    notional: float = 200.0
    rationale: str


def bar_word(timeframe_s: int) -> str:
    """Return a bar length as a word: 30s, 5m, 1h."""
    if timeframe_s % 3_600 == 0:
        return f"{timeframe_s // 3_600}h"
    return f"{timeframe_s // 60}m" if timeframe_s % 60 == 0 else f"{timeframe_s}s"


def family_rows(family: Family) -> list[StrategyRow]:
    """Return the rows of one block, in the order of its grid.

    Raises:
        StrategyError: a row is wrong.
        KeyError: no kind has this name.
    """
    rows = []
    kind = StrategyKind[family.kind.upper()]
    settable = {it.name for it in parameters_of(kind)}
    for values, timeframe_s in product(product(*family.grid.values()), family.timeframes_s):
        words = [f"{it:g}" if isinstance(it, float) else it for it in values]
        texts = dict(zip(family.grid, words, strict=True))
        numbers = {key: float(text) for key, text in texts.items() if key in settable}
        row = StrategyRow(
            name="_".join([family.name, *words]) + f"@{bar_word(timeframe_s)}",
            kind=kind,
            timeframe_s=timeframe_s,
            notional=family.notional,
            parameters={**FAMILY_PARAMETERS, "expiry_s": timeframe_s} | family.parameters | numbers,
            rationale=family.rationale,
            rules={key: text.format_map(texts) for key, text in family.rules.items()},
        )
        rows.append(check_row(row))
    return rows


def parse_families(text: str) -> tuple[Family, ...]:
    """Return the blocks of a TOML text.

    Raises:
        msgspec.ValidationError: a block misses a field, or has an unknown one.
    """
    return tuple(typed.convert(tomllib.loads(text).get("family", []), list[Family]))


@cache
def expanded_rows() -> tuple[StrategyRow, ...]:
    """Return every row of the file that is shipped, in its order."""
    text = resources.files("engine.domain").joinpath(FAMILIES_FILE).read_text("utf-8")
    return tuple(row for family in parse_families(text) for row in family_rows(family))
