"""The fault table of docs/market_data.md, of a recorded run: `python -m bench.fault_table --write`.

Between `<!-- faults -->` and `<!-- /faults -->` stands a row per case of the run: the fault,
what the engine did, how long until all was whole, what was lost. Without `--write` it is
printed. A sentence is chosen by what was counted, so it cannot say what the run did not show.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping
from typing import Any, Final

from bench import harness

RESULT: Final = harness.ROOT / "bench" / "results" / "failover.json"
PAGE: Final = harness.ROOT / "docs" / "market_data.md"
HEAD: Final = (
    "| fault | what the engine did | recovery | lost |",
    "| --- | --- | --- | --- |",
)
BLOCK: Final = re.compile(r"(<!-- faults -->\n).*?(<!-- /faults -->)", re.DOTALL)


def deeds(found: Mapping[str, float]) -> str:
    """Return what a pass's counts say the engine did."""
    said = []
    if found["healed"]:
        said.append(f"brought back {found['healed']:,.0f} trades by id, in their place")
    if found["books"]:
        said.append(f"fetched {found['books']:,.0f} books again")
    if found["repeated"]:
        said.append(f"dropped {found['repeated']:,.0f} frames that came twice")
    if found["gaps"]:
        said.append(f"wrote {found['gaps']:,.0f} gap records")
    if found["refused"]:
        said.append(f"refused {found['refused']:,.0f} frames")
    return ", ".join(said) or "nothing was missed: another connection delivered"


def recovery(ms: float) -> str:
    """Return how long a recovery took; 0: no incident was needed."""
    if ms == 0:
        return "nothing was lost"
    return f"{ms / 1_000:.1f} s" if ms >= 1_000 else f"{ms:.0f} ms"


def fault_table(document: Mapping[str, Any]) -> str:
    """Return the table of a result of `bench.failover`; one pass a case, as it records them."""
    rows = list(HEAD)
    for case, passes in document["passes"].items():
        found = passes[-1]
        lost = f"{found['lost']:,.0f} trades, each in a gap record" if found["lost"] else "0"
        rows.append(f"| {case} | {deeds(found)} | {recovery(found['recovery'])} | {lost} |")
    return "\n".join(rows) + "\n"


def written(page: str, table: str) -> str:
    """Return a page with the table in its place.

    Raises:
        ValueError: the page has no such place.
    """
    if not BLOCK.search(page):
        raise ValueError("the page has no <!-- faults --> block")
    return BLOCK.sub(lambda match: match[1] + table + match[2], page)


def main() -> int:
    """Print the table, or write it into its page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help="into docs/market_data.md")
    asked = parser.parse_args()
    if not RESULT.exists():
        print(f"no {RESULT.name}: python -m bench.failover --json {RESULT}", file=sys.stderr)
        return 1
    table = fault_table(json.loads(RESULT.read_text("utf-8")))
    if asked.write:
        PAGE.write_text(written(PAGE.read_text("utf-8"), table), "utf-8")
    else:
        print(table, end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
