"""What runs came to, a line of JSON each: a seed that it has for this tree is not run again.

Seeds mean something else in another tree, so a line counts for its commit only. Lines are appended
whole: several programs may write one ledger.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class RunLedger:
    """The lines of one commit in a file; without a file they are kept in memory alone."""

    def __init__(self, path: Path | None, commit: str) -> None:
        """Read what is there."""
        self._path = path
        self._commit = commit
        self.rows: list[Row] = []
        if path is not None and path.exists():
            rows = (json.loads(line) for line in path.read_text("utf-8").splitlines())
            self.rows = [row for row in rows if row["commit"] == commit]

    @property
    def seeds(self) -> set[int]:
        """Return the seeds that were run."""
        return {int(row["seed"]) for row in self.rows}

    def add(self, row: Row) -> None:
        """Keep a run."""
        self.rows.append(row)
        if self._path is not None:
            line = json.dumps({"commit": self._commit, **row}) + "\n"
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line)


def summed_up(rows: Iterable[Row]) -> str:
    """Return in a few lines how many runs there were, of what, and which broke a law."""
    kept = list(rows)
    if not kept:
        return "0 runs"
    kinds = Counter(kind for row in kept for kind in row["kinds"])
    phases: Counter[str] = Counter()
    for row in kept:
        phases.update(row["phases"])
    shares = ", ".join(f"{name} {total / len(kept):.1f}" for name, total in phases.items())
    seconds = sum(row["seconds"] for row in kept) / len(kept)
    broken = sorted(row["seed"] for row in kept if row["broken"])
    idle = sum(row.get("sent") == 0 for row in kept)
    return (
        f"{len(kept)} runs, {sum(row['lives'] for row in kept)} engines, "
        f"{sum(row['orders'] or 0 for row in kept)} orders of last engines\n"
        f"{seconds:.1f} s a run: {shares}\n"
        f"acts: {', '.join(f'{kind} {count}' for kind, count in sorted(kinds.items()))}\n"
        f"{idle} sent no order\n"
        f"{len(broken)} broke a law: {broken}"
    )
