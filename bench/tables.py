"""The tables of bench/README.md, from recorded results: `python -m bench.tables [--write]`.

Between `<!-- NAME -->` and `<!-- /NAME -->` stand the tables of bench/results/NAME.json: a row per
case, medians over the passes, and the ratio of the first column to the case's baseline in the same
run. `--write` puts them there; without it they are printed. A test holds the two together.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).resolve().parent
README: Final = FOLDER / "README.md"
LATENCY: Final = ("p50", "p99", "p99.9", "max", "count")
# The metrics of each table; a case is in a table when it has all of them.
COLUMNS: Final[Mapping[str, Sequence[Sequence[str]]]] = {
    "ring_peers": (
        ("p50", "p99", "p99.9", "max", "p99 since due", "count"),
        ("records per second",),
    ),
    "ingest_peers": (("messages/s CPU", "messages/s wall", "CPU per message", "records"),),
    "replay_peers": (
        ("records/s CPU", "records/s wall", "CPU per record", "times NautilusTrader", "orders"),
    ),
    "paced_latency": ((*LATENCY, "sent late p99"),),
    "brain_profile": (
        ("whole", "read", "firewall", "book", "bars", "features", "structure"),
        ("whole", "score", "strategies", "risk", "write", "put together", "production"),
    ),
    "brain_twin": (("ns", "records", "decisions"),),
    "instruction_count": (("instructions", "mean", "records"),),
    "strategy_count": (("quote", "bar end", "opportunities"),),
    "brain_hop": (
        ("p50", "p99", "p99.9", "max", "count"),
        ("p50 since due", "p99 since due"),
    ),
    "ring_hop": (
        ("p50", "p99", "p99.9", "max", "count"),
        ("p50 since due", "p99 since due", "p50 order written"),
    ),
    "ring_crowd": (("p50", "p99", "p99.9", "max", "core used"),),
    "time_slice": (("p50", "p90", "p99", "max", "granted"),),
    "ring_observers": (("records per second",), ("mean below p99", "p50", "p99")),
    "growth": (("ns", "records", "state"),),
    "features": (("ns", "columns"), ("ns", "streams"), ("ns", "together")),
    "tick_to_order": ((*LATENCY, "missed"),),
    "waterfall": (("p50", "p90", "p99", "p99.9", "max", "slowest 1 %", "count"),),
    "order_path": (LATENCY,),
    "order_rate": (
        ("orders", "fills", "over limit", "held back"),
        ("refused", "unknown", "disagreements"),
    ),
    "control": (LATENCY,),
    "page": (("p50", "p99", "max", "count"),),
    "order_gates": (("per_turn",),),
    "restart": (("reconciled", "settled", "withdrawn", "fills"),),
    "durability": (("p50", "p99", "max", "count"),),
    "store_rates": (("records",), ("rows", "events")),
    "market_load": (
        ("offered", "delivered", "late", "lost", "undecided", "conflated", "refused"),
        ("lag p50", "lag p99", "lag max", "feed", "brain", "exchange"),
    ),
    "paper_fills": (
        ("orders", "exchange filled", "paper filled", "same", "only paper"),
        ("paper quantity", "first apart"),
    ),
    "tape_write": (
        ("publish p50", "publish p99", "records/s", "count"),
        ("lost", "recorder CPU", "bytes per record", "records/s"),
    ),
    "tape_replay": (("records/s wall", "records/s CPU", "CPU per record", "orders", "count"),),
}
MARKED: Final = re.compile(r"<!-- (?P<name>\w+) -->\n(?P<body>.*?)<!-- /(?P=name) -->", re.DOTALL)


def number(value: float) -> str:
    """Return a figure as it is printed: three digits, or whole with separators."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(report: Mapping[str, Any], metrics: Sequence[str]) -> str:
    """Return one Markdown table; empty when no case has all metrics."""
    rows = {(row["case"], row["metric"]): row for row in report["rows"]}
    cases = [case for case in report["passes"] if all((case, one) in rows for one in metrics)]
    if not cases:
        return ""
    units = {one: rows[cases[0], one]["unit"] for one in metrics}
    heads = [f"{one}, {units[one]}" if units[one] not in {"", one} else one for one in metrics]
    lines = [f"| case | {' | '.join(heads)} | ratio |", f"| --- |{' ---: |' * (len(heads) + 1)}"]
    for case in cases:
        figures = [number(rows[case, one]["value"]) for one in metrics]
        ratio = rows[case, metrics[0]]["ratio"]
        shown = "" if ratio is None else f"{ratio:.3g}"
        lines.append(f"| {case} | {' | '.join(figures)} | {shown} |")
    return "\n".join(lines) + "\n"


def noise(report: Mapping[str, Any]) -> str:
    """Return how much others used the cores: the largest median of a case."""
    values = [row["value"] for row in report["rows"] if row["metric"] == "foreign cores"]
    return f"{max(values, default=0.0):.2g}"


def section(report: Mapping[str, Any], columns: Sequence[Sequence[str]]) -> str:
    """Return the tables of a report and where they come from."""
    about = report["machine"]
    passes = max(len(found) for found in report["passes"].values())
    peers = [name for name in ("hftbacktest", "nautilus_trader") if name in about]
    system = [f"Linux {about['kernel']}"] if "kernel" in about else []
    versions = [
        *system,
        f"Python {about['python']}",
        *(f"{name} {about[name]}" for name in peers),
    ]
    origin = (
        f"`python -m bench.{report['name']}`, commit {report['commit']}, {about['cpu']}, "
        f"{len(about['cores'])} cores{' (virtual)' if about['virtual'] else ''}, "
        f"{', '.join(versions)}; medians of {passes} passes; other "
        f"programs used at most {noise(report)} cores (median of a case).\n"
    )
    parts = [made for made in (table(report, metrics) for metrics in columns) if made]
    return "\n".join(["", *parts, origin])


def updated(text: str, results: Path) -> str:
    """Return the document with the tables of every recorded result between its marks."""

    def replaced(found: re.Match[str]) -> str:
        name = found["name"]
        file = results / f"{name}.json"
        if name not in COLUMNS or not file.exists():
            return found[0]
        made = section(json.loads(file.read_text("utf-8")), COLUMNS[name])
        return f"<!-- {name} -->\n{made}\n<!-- /{name} -->"

    return MARKED.sub(replaced, text)


def main(words: Sequence[str] | None = None) -> int:
    """Print or write; 0."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help="change bench/README.md")
    asked = parser.parse_args(words)
    text = updated(README.read_text("utf-8"), FOLDER / "results")
    if asked.write:
        README.write_text(text, "utf-8")
    else:
        print("\n".join(found["body"] for found in MARKED.finditer(text)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
