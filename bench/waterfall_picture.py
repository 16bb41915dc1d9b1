"""Draw the stages between tick and order: `python -m bench.waterfall_picture`.

Reads bench/results/waterfall.json and writes docs/tick_to_order.png: each stage starts where the
one before it ends, once for the median of every stage and once for the orders that were slowest in
all. Needs matplotlib, which is in the extra `bench`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bench.plots import DOTS_PER_INCH, caption
from bench.waterfall import SLOWEST, STAGES

ROOT: Final = Path(__file__).resolve().parents[1]
RESULT: Final = ROOT / "bench/results/waterfall.json"
PICTURE: Final = ROOT / "docs/tick_to_order.png"
COLOURS: Final = ("#7d92a5", "#66a182", "#0b6e99", "#7d92a5")
TEXTS: Final = {
    "wire in": "the exchange's write, loopback, the feed's turn",
    "ring": "decoder, firewall, ring, the brain's turn",
    "hand over": "decide, journaled intent, the request written by the thread that decided",
    "wire out": "the engine's write, loopback, the exchange's turn",
}
TITLES: Final = {"p50": "median of each stage", SLOWEST: "the slowest 1 % of the orders, mean"}


def bars(report: Mapping[str, Any], metric: str) -> list[tuple[str, float, float]]:
    """Return (stage, where it starts, how long it takes) in us, each behind the one before."""
    values = {row["case"]: row["value"] for row in report["rows"] if row["metric"] == metric}
    made, start = [], 0.0
    for stage in STAGES[:-1]:
        made.append((stage, start, values[stage]))
        start += values[stage]
    return made


def main() -> None:
    """Draw the picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    report = json.loads(RESULT.read_text(encoding="utf-8"))
    figure, panels = plt.subplots(len(TITLES), 1, figsize=(9.5, 5.0))
    for panel, (metric, title) in zip(panels, TITLES.items(), strict=True):
        rows = bars(report, metric)
        end = rows[-1][1] + rows[-1][2]
        for place, (_, start, length) in enumerate(rows):
            panel.barh(place, length, left=start, color=COLOURS[place], height=0.62)
            is_wide = length > 0.12 * end
            side = start + 0.5 * length if is_wide else start + length + 0.01 * end
            ha, colour = ("center", "white") if is_wide else ("left", "black")
            words = f"{length:,.1f} us"
            panel.text(side, place, words, va="center", ha=ha, size=9, color=colour)
        labels = [f"{stage}: {TEXTS[stage]}" for stage, _, _ in rows]
        panel.set_yticks(range(len(rows)), labels, size=8)
        panel.invert_yaxis()
        panel.set_xlim(0, 1.02 * end)
        panel.set_xlabel("us")
        panel.set_title(f"{title}: {end:,.0f} us", loc="left", size=10)
        panel.spines[["top", "right"]].set_visible(False)
    figure.suptitle("From the write of a tick to the arrival of its order", x=0.01, ha="left")
    figure.text(0.01, 0.01, caption(report), size=7, color="#555555")
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    figure.savefig(PICTURE, dpi=DOTS_PER_INCH)
    print(f"wrote {PICTURE}")


if __name__ == "__main__":
    main()
