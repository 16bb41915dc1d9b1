"""Counters and histograms of every role by name, and their text for a metrics collector.

Reading touches shared memory only. Standard library and ringbuffer only: main reads here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from typing import Final, NamedTuple

from engine import telemetry
from ringbuffer.counters import (
    HISTOGRAM_BUCKETS,
    HISTOGRAM_SUM,
    HISTOGRAM_WORDS,
    CounterPage,
    Percentiles,
    bucket_index,
)

PAGES = {
    "main": (0, telemetry.MAIN_COUNTERS, telemetry.MAIN_HISTOGRAMS),
    "feed": (1, telemetry.FEED_COUNTERS, telemetry.FEED_HISTOGRAMS),
    "brain": (2, telemetry.BRAIN_COUNTERS, telemetry.BRAIN_HISTOGRAMS),
    "orchestrator": (3, telemetry.ORCHESTRATOR_COUNTERS, telemetry.ORCHESTRATOR_HISTOGRAMS),
}
# Counters `<prefix><reason>_total` are one metric with a label: an aggregate over names has none.
BY_REASON: Final = {
    "refused_": "aegis_refusal_reasons_total",
    "rejected_": "aegis_rejection_reasons_total",
}
BASE_UNITS = {
    "ns": ("seconds", 1e9),
    "ms": ("seconds", 1e3),
    "mb": ("bytes", 2.0**-20),
    "e8": ("quote", 1e8),
    "ppb": ("ratio", 1e9),
}
EDGE_FIRST = 7  # 128 ns
EDGE_LAST = 34  # 17 s; powers of two, where the buckets of shared memory end


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
        numbers = self._pages[role].counters(len(self._words[role]))
        return {name: numbers[word] for name, word in _reasons(role, prefix) if numbers[word]}

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
            shown = exposed(row.name)
            unit = shown.name.rpartition("_")[2] if shown.divisor else row.unit
            label = f"by reason: {unit}" if shown.reason else f"{row.label} ({unit})"
            kind = "counter" if row.name.endswith("_total") else "gauge"
            reason = f',reason="{shown.reason}"' if shown.reason else ""
            value = number / shown.divisor if shown.divisor else number
            sample = f'{shown.name}{{role="{role}"{reason}}} {value}'
            samples.setdefault(shown.name, declared(shown.name, label, kind)).append(sample)
        lines = [line for family in samples.values() for line in family]
        for role, (_, _, histograms) in PAGES.items():
            for histogram in histograms:
                lines += _histogram_lines(role, histogram, self.words(role, histogram.name))
        return lines

    def words(self, role: str, name: str) -> list[int]:
        """Return a copy of one histogram's words."""
        return self._pages[role].histogram(self._histograms[role][name])


@cache
def _reasons(role: str, prefix: str) -> list[tuple[str, int]]:
    """Return each reason in the names of a role's counters `<prefix><reason>_total`, by word."""
    _, rows, _ = PAGES[role]
    return [
        (row.name.removeprefix(prefix).removesuffix("_total"), word)
        for word, row in enumerate(rows)
        if row.name.startswith(prefix)
        and row.name.endswith("_total")
        and row.name != f"{prefix}total"
    ]


class Exposed(NamedTuple):
    """How a counter is shown to a metrics collector."""

    name: str  # in base units
    divisor: float  # of its number; 0: none
    reason: str = ""  # label of a metric that counts by reason


def exposed(name: str) -> Exposed:
    """Return how a counter is shown."""
    for prefix, family in BY_REASON.items():
        reason = name.removeprefix(prefix).removesuffix("_total")
        if name == f"{prefix}{reason}_total":
            return Exposed(family, 0.0, reason)
    head, _, unit = name.rpartition("_")
    base, divisor = BASE_UNITS.get(unit, ("", 0.0))
    return Exposed(f"aegis_{head}_{base}" if base else f"aegis_{name}", divisor)


def declared(name: str, label: str, kind: str = "gauge") -> list[str]:
    """Return the lines that say what the samples of a metric are."""
    return [f"# HELP {name} {label}", f"# TYPE {name} {kind}"]


def edges(words: Sequence[int]) -> list[tuple[int, int]]:
    """Return how many values of a histogram are below each power of two, as (ns, count)."""
    sums = list(accumulate(words[HISTOGRAM_BUCKETS:HISTOGRAM_WORDS]))
    return [
        (1 << power, sums[bucket_index((1 << power) - 1)])
        for power in range(EDGE_FIRST, EDGE_LAST + 1)
    ]


def _histogram_lines(role: str, histogram: telemetry.Histogram, words: Sequence[int]) -> list[str]:
    metric = f"aegis_{histogram.name.removesuffix('_ns')}_seconds"
    total = sum(words[HISTOGRAM_BUCKETS:HISTOGRAM_WORDS])
    lines = [
        f'{metric}_bucket{{role="{role}",le="{upper_ns / 1e9:.9f}"}} {count}'
        for upper_ns, count in edges(words)
    ]
    return [
        *declared(metric, histogram.label, "histogram"),
        *lines,
        f'{metric}_bucket{{role="{role}",le="+Inf"}} {total}',
        f'{metric}_sum{{role="{role}"}} {words[HISTOGRAM_SUM] / 1e9:.9f}',
        f'{metric}_count{{role="{role}"}} {total}',
    ]


def microseconds(found: Percentiles) -> dict[str, float]:
    """Return a histogram's summary as a person and a program read it."""
    return {
        "p50": round(found.p50_ns / 1e3, 1),
        "p99": round(found.p99_ns / 1e3, 1),
        "p999": round(found.p999_ns / 1e3, 1),
        "max": round(found.max_ns / 1e3, 1),
        "count": found.sample_count,
    }
