"""How close to its limits an account is: the fullest first, and nothing is all of a limit of 0."""

from __future__ import annotations

from typing import Any

import pytest

from engine.config import LimitsConfig
from engine.processes.used_limits import used_limits


class Counters:
    def __init__(self, **numbers: int) -> None:
        self.numbers = numbers

    def count(self, _role: str, name: str) -> int:
        return self.numbers.get(name, 0)


class Pages:
    def __init__(self, entries: int = 0, exposure: list[tuple[str, float]] | None = None) -> None:
        self.entries = entries
        self.costs = exposure or []

    def entries_since(self, _time_ns: int) -> int:
        return self.entries

    def exposure(self) -> list[tuple[str, float]]:
        return self.costs


def used(
    limits: LimitsConfig, pages: Pages, seen: tuple[float, float], **numbers: int
) -> dict[str, Any]:
    rows = used_limits(limits, Counters(**numbers), pages, seen)  # type: ignore[arg-type]
    assert [row["ratio"] for row in rows] == sorted((row["ratio"] for row in rows), reverse=True)
    return {row["limit"]: row for row in rows}


def test_each_limit_has_its_share() -> None:
    limits = LimitsConfig(max_entries_per_day=20, max_daily_loss_ratio=0.02, max_drawdown_ratio=0.1)
    pages = Pages(5, [("BTCUSDT", 1_500.0), ("ETHUSDT", 500.0)])
    found = used(limits, pages, (1_000.0, 1_100.0), equity_e8=990 * 10**8, memory_mb=600)
    assert found["entries today"]["ratio"] == 0.25
    assert found["loss since start"]["ratio"] == 0.5
    assert found["fall from peak"]["ratio"] == pytest.approx(1.0)
    assert found["position BTCUSDT"]["ratio"] == 0.5
    assert found["all positions"]["used"] == 2_000.0
    assert found["memory"]["ratio"] == 0.1


def test_a_gain_is_no_loss_and_nothing_held_is_nothing_used() -> None:
    found = used(LimitsConfig(), Pages(), (1_000.0, 1_000.0), equity_e8=1_200 * 10**8)
    assert (found["loss since start"]["used"], found["fall from peak"]["used"]) == (0.0, 0.0)
    assert found["position"]["used"] == 0.0


def test_a_limit_of_nothing_is_full() -> None:
    found = used(LimitsConfig(max_entries_per_day=0), Pages(), (0.0, 0.0))
    assert found["entries today"]["ratio"] == 1.0
