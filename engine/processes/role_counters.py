"""Counters and histograms of every role by name, and their text for a metrics collector.

Reading touches shared memory only. Standard library and ringbuffer only: main reads here.
"""

from __future__ import annotations

from engine import telemetry
from ringbuffer.counters import CounterPage, Percentiles

PAGES = {
    "main": (0, telemetry.MAIN_COUNTERS, telemetry.MAIN_HISTOGRAMS),
    "feed": (1, telemetry.FEED_COUNTERS, telemetry.FEED_HISTOGRAMS),
    "brain": (2, telemetry.BRAIN_COUNTERS, telemetry.BRAIN_HISTOGRAMS),
    "orchestrator": (3, telemetry.ORCHESTRATOR_COUNTERS, telemetry.ORCHESTRATOR_HISTOGRAMS),
}


class Counters:
    """Counters and histograms by name instead of by word."""

    def __init__(self, pages: dict[str, CounterPage]) -> None:
        """Take each role's page by the role's name."""
        self._pages = pages
        self._words = {
            role: {row.name: word for word, row in enumerate(rows)}
            for role, (_, rows, _) in PAGES.items()
        }
        self._histograms = {
            role: {row.name: place for place, row in enumerate(rows)}
            for role, (_, _, rows) in PAGES.items()
        }

    def count(self, role: str, name: str) -> int:
        """Return one counter."""
        return self._pages[role].counter(self._words[role][name])

    def percentiles(self, role: str, name: str) -> Percentiles:
        """Return one histogram's summary."""
        return self._pages[role].percentiles(self._histograms[role][name])

    def by_reason(self, role: str, prefix: str) -> dict[str, int]:
        """Return the non-zero counters named `<prefix><reason>_total`, by reason."""
        found = {}
        for name, word in self._words[role].items():
            is_sum = name == f"{prefix}total"
            if name.startswith(prefix) and name.endswith("_total") and not is_sum:
                number = self._pages[role].counter(word)
                if number:
                    found[name.removeprefix(prefix).removesuffix("_total")] = number
        return found

    def rows(self) -> list[tuple[str, telemetry.Counter, int]]:
        """Return every counter as (role, declaration, number)."""
        return [
            (role, row, self._pages[role].counter(word))
            for role, (_, rows, _) in PAGES.items()
            for word, row in enumerate(rows)
        ]

    def exposition(self) -> list[str]:
        """Return every counter and histogram, lines of the Prometheus text format."""
        # A metric that several roles have is declared once, its samples together.
        samples: dict[str, list[str]] = {}
        for role, row, number in self.rows():
            name = f"aegis_{row.name}"
            head = [f"# HELP {name} {row.label} ({row.unit})"]
            if row.name.endswith("_total"):
                head.append(f"# TYPE {name} counter")
            samples.setdefault(name, head).append(f'{name}{{role="{role}"}} {number}')
        lines = [line for family in samples.values() for line in family]
        for role, (_, _, histograms) in PAGES.items():
            for histogram in histograms:
                found = self.percentiles(role, histogram.name)
                lines += _summary_lines(role, histogram.name, found)
        return lines


def _summary_lines(role: str, name: str, found: Percentiles) -> list[str]:
    metric = f"aegis_{name.removesuffix('_ns')}_seconds"
    quantiles = (
        (0.5, found.p50_ns),
        (0.9, found.p90_ns),
        (0.99, found.p99_ns),
        (0.999, found.p999_ns),
    )
    lines = [
        f'{metric}{{role="{role}",quantile="{quantile}"}} {value_ns / 1e9:.9f}'
        for quantile, value_ns in quantiles
    ]
    lines.append(f'{metric}_count{{role="{role}"}} {found.sample_count}')
    lines.append(f'{metric}_sum{{role="{role}"}} {found.mean_ns * found.sample_count / 1e9:.9f}')
    return lines


def microseconds(found: Percentiles) -> dict[str, float]:
    """Return a histogram's summary as a person and a program read it."""
    return {
        "p50": round(found.p50_ns / 1e3, 1),
        "p99": round(found.p99_ns / 1e3, 1),
        "p999": round(found.p999_ns / 1e3, 1),
        "max": round(found.max_ns / 1e3, 1),
        "count": found.sample_count,
    }
