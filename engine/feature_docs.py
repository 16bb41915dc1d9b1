"""The table of features, written from the catalogue: one place says what a feature is.

`python -m engine.feature_docs` prints docs/features.md; a test compares the two.
"""

from __future__ import annotations

import sys
from itertools import groupby
from typing import Final

from engine.domain.features.catalogue import (
    Catalogue,
    FeatureRow,
    catalogue_text,
    compile_plan,
)
from engine.domain.features.plan import SHAPES

COLUMNS: Final = ("feature", "reads", "warm-up", "scale", "compared with", "meaning")

HEAD: Final = """\
# Features

Written by `python -m engine.feature_docs` from `engine/domain/features/catalogue.toml`: change the
catalogue, not this page.

{bar_rows} rows give {bar_columns} columns at the end of every bar of every timeframe, and
{micro_columns} more change with quotes and trades. One kernel per kind of row is called in one loop
over its rows by its family's file in `engine/domain/features/`; the same call serves the brain, a
replay, a batch for training and a peek at a bar still open (`engine/domain/features/batch.py`).
Every timeframe has its own columns.

- **`@5`, `@15`, `@60`**: the same kernel over bars made of so many of the timeframe's own, by the
  clock ([bars.md](bars.md#made-of-several)): of minutes those are five and fifteen minutes and an
  hour. The value stays until the next such bar closes.
- **Warm-up** is the number of bars whose value is NaN, for all outputs of a row alike; `+ 1 day`
  means from the first change of the UTC day on that was seen.
- **NaN has a reason** (`why_unknown`): the venue does not supply what the row reads, too few bars,
  or no such number exists of these bars (flat, without volume, without flow). Never a zero instead.
- **Inputs that are not always there**: `mark` and `liquidations` where the venue has such streams;
  `book` of the instruments whose book the feed keeps (`depth_instruments_max`), its best 20 levels
  while they are whole and nothing doubts them;
  `leader` while the instrument that the setting of that name says is traded; `others` with two
  instruments or more; `open_interest` where the venue says it: the feed asks for it, and it is what
  was said last (`sources.open_interest_s`); `news` where there is a calendar of events
  (`sources.news_file`, [market_data.md](market_data.md#news)).
- **Nothing depends on the price's level** nor on later bars. Both are tests over every row, as are
  the warm-up, the oracle or slow twin, a copied state, and a leak of one bar that must be noticed.
- **What cannot be a bar** (a number missing, high below low, a price not above zero, a time not
  after the bar before) gives NaN once and leaves no trace.
- `plan_hash()` names catalogue, kernel sources and number formats; it belongs to everything stored.
"""


def warm_up(row: FeatureRow) -> str:
    """Return the warm-up in words."""
    days = f" + {row.warm_days} day{'s' if row.warm_days > 1 else ''}" if row.warm_days else ""
    return f"{row.warm_up}{days}"


def table_row(row: FeatureRow) -> str:
    """Return one row of the table."""
    outputs = SHAPES[row.kernel].outputs if row.trigger == "bar" else ()
    name = f"`{row.name}`" + (f" .{', .'.join(outputs)}" if outputs else "")
    cells = (name, ", ".join(row.inputs), warm_up(row), row.scale, row.oracle, row.meaning)
    return f"| {' | '.join(cells)} |"


def markdown(catalogue: Catalogue) -> str:
    """Return docs/features.md."""
    lines = [
        HEAD.format(
            bar_rows=len(catalogue.bar_rows),
            bar_columns=len(catalogue.bar_columns),
            micro_columns=len(catalogue.micro_rows),
        )
    ]
    rows = sorted((*catalogue.bar_rows, *catalogue.micro_rows), key=lambda row: row.family)
    for family, members in groupby(rows, key=lambda row: row.family):
        lines += [
            f"## {family}",
            "",
            f"| {' | '.join(COLUMNS)} |",
            f"| {' | '.join('---' for _ in COLUMNS)} |",
            *(table_row(row) for row in members),
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    """Print the page."""
    sys.stdout.write(markdown(compile_plan(catalogue_text())))


if __name__ == "__main__":
    main()
