"""Draw the latency distributions that the benches recorded: `python -m bench.plots [NAME ...]`.

Reads bench/results/NAME.json (default: every one with percentiles) and writes NAME.png beside it:
one line per case from p50 to the maximum, each the median over the passes, with the range over the
passes behind it. Cases whose name starts with a rate (`1,000/s, ...`) get a panel per rate. Needs
matplotlib, which is in the extra `bench`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

RESULTS: Final = Path(__file__).resolve().parent / "results"
STEPS: Final = ("p50", "p90", "p99", "p99.9", "max")
IN_US: Final = {"ns": 1e-3, "us": 1.0, "ms": 1e3}
DOTS_PER_INCH: Final = 110
PANEL_INCHES: Final = (5.4, 4.6)
COLOURS: Final = (
    "#0b6e99",
    "#d1495b",
    "#66a182",
    "#edae49",
    "#6a4c93",
    "#00798c",
    "#b5651d",
    "#7f7f7f",
    "#30638e",
)
FAINT: Final = 0.08  # of the lightness of a range


class Curve(NamedTuple):
    """One case: us at each step of STEPS, and the least and most over the passes."""

    case: str
    median: list[float]
    least: list[float]
    most: list[float]


def curves(report: Mapping[str, Any]) -> list[Curve]:
    """Return the cases of a report that have every percentile; [] when none has."""
    rows = {(row["case"], row["metric"]): row for row in report["rows"]}
    found = []
    for case, passes in report["passes"].items():
        if not all((case, step) in rows for step in STEPS):
            continue
        scale = [IN_US[rows[case, step]["unit"]] for step in STEPS]
        values = [
            [one[step] * factor for one in passes]
            for step, factor in zip(STEPS, scale, strict=True)
        ]
        median = [
            rows[case, step]["value"] * factor for step, factor in zip(STEPS, scale, strict=True)
        ]
        found.append(Curve(case, median, list(map(min, values)), list(map(max, values))))
    return found


def panels(found: Sequence[Curve]) -> dict[str, list[Curve]]:
    """Return the curves by panel: the rate that a case's name starts with, else one for all."""
    made: dict[str, list[Curve]] = {}
    for curve in found:
        rate, comma, rest = curve.case.partition("/s, ")
        title = f"{rate} a second" if comma else ""
        made.setdefault(title, []).append(curve._replace(case=rest if comma else curve.case))
    return made


def caption(report: Mapping[str, Any]) -> str:
    """Return where the numbers come from."""
    about = report["machine"]
    cores = len(about["cores"])
    return f"{report['name']}, commit {report['commit']}: {about['cpu']}, {cores} cores"


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Write the picture of a report that has curves."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    parts = panels(curves(report))
    names = sorted({curve.case for part in parts.values() for curve in part})
    colours = {name: COLOURS[k % len(COLOURS)] for k, name in enumerate(names)}
    width, height = PANEL_INCHES
    figure, axes = plt.subplots(
        1, len(parts), figsize=(width * len(parts) + 2.6, height), sharey=True, squeeze=False
    )
    places = range(len(STEPS))
    for axis, (title, part) in zip(axes[0], parts.items(), strict=True):
        for curve in part:
            colour = colours[curve.case]
            axis.fill_between(places, curve.least, curve.most, color=colour, alpha=FAINT, lw=0)
            axis.plot(places, curve.median, color=colour, marker="o", ms=4, label=curve.case)
        axis.set_yscale("log")
        axis.set_xticks(list(places), STEPS)
        axis.set_title(title, fontsize=10)
        axis.grid(visible=True, which="major", alpha=0.35)
        axis.grid(visible=True, which="minor", alpha=0.12)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("us, log scale: median over passes, range behind it")
    handles: dict[str, Any] = {}
    for axis in axes[0]:
        handles |= dict(zip(*axis.get_legend_handles_labels()[::-1], strict=True))
    figure.legend(handles.values(), handles.keys(), loc="center right", fontsize=8, frameon=False)
    figure.suptitle(str(report["question"]), fontsize=11, x=0.02, ha="left")
    figure.text(0.02, 0.01, caption(report), fontsize=7, color="#555555")
    figure.tight_layout(rect=(0, 0.02, 1 - 2.6 / (width * len(parts) + 2.6), 0.97))
    figure.savefig(path, dpi=DOTS_PER_INCH)
    plt.close(figure)


def main(words: Sequence[str] | None = None) -> int:
    """Draw what was asked for; 0, or 3 when nothing has percentiles."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="benches; default: all recorded")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER")
    asked = parser.parse_args(words)
    files = [asked.results / f"{name}.json" for name in asked.names]
    drawn = 0
    for file in files or sorted(asked.results.glob("*.json")):
        report = json.loads(file.read_text("utf-8"))
        if "rows" not in report or not curves(report):
            continue
        draw(report, file.with_suffix(".png"))
        print(file.with_suffix(".png"))
        drawn += 1
    if not drawn:
        print(f"nothing with percentiles in {asked.results}")
    return 0 if drawn else 3


if __name__ == "__main__":
    sys.exit(main())
