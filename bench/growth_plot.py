"""Draw what `bench.growth` measured: `python -m bench.growth_plot RESULT.json PICTURE.png`.

Needs matplotlib, which is in the extra `bench`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

BASELINE: Final = "20 instruments"
BOUND: Final = 1.5  # times the cost at the baseline


def draw(document: dict[str, Any], path: Path) -> None:
    """Draw cost and memory over the number of instruments."""
    import matplotlib as mpl

    mpl.use("Agg")  # there is no screen
    from matplotlib import pyplot as plt

    values = {(row["case"], row["metric"]): float(row["value"]) for row in document["rows"]}
    names = list(dict.fromkeys(str(row["case"]) for row in document["rows"]))
    counts = [int(name.split()[0]) for name in names]
    figure, (cost, memory) = plt.subplots(1, 2, figsize=(10, 4))
    cost.plot(counts, [values[name, "ns"] for name in names], "o-", label="measured, median")
    for name, count in zip(names, counts, strict=True):
        passes = [found["ns"] for found in document["passes"][name]]
        cost.plot([count] * len(passes), passes, ".", color="tab:blue", alpha=0.35)
    limit = BOUND * values[BASELINE, "ns"]
    cost.axhline(limit, linestyle="--", color="tab:red", label=f"{BOUND} times {BASELINE}")
    cost.set(xscale="log", ylim=(0, None), xlabel="instruments", ylabel="ns of CPU per record")
    memory.plot(counts, [values[name, "state"] for name in names], "o-", label="state")
    memory.set(xscale="log", yscale="log", xlabel="instruments", ylabel="MB")
    for axes in (cost, memory):
        axes.grid(visible=True, alpha=0.3)
        axes.set_xticks(counts, [f"{count:,}" for count in counts])
        axes.legend()
    figure.suptitle("The brain's step as instruments are added")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text("utf-8")), Path(sys.argv[2]))
