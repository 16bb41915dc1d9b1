"""How close to its limits an account is: the fullest first, and nothing is all of a limit of 0."""

from __future__ import annotations

from typing import Any

import pytest

from engine.config import LimitsConfig
from engine.domain.words import Word
from engine.processes.brain_ports import WORD_COUNTERS
from engine.processes.used_limits import used_limits


class Counters:
    def __init__(self, **numbers: int) -> None:
        self.numbers = numbers

    def count(self, _role: str, name: str) -> int:
        return self.numbers.get(name, 0)


class Pages:
    def __init__(self, exposure: list[tuple[str, float]] | None = None) -> None:
        self.costs = exposure or []

    def exposure(self) -> list[tuple[str, float]]:
        return self.costs


def used(limits: LimitsConfig, pages: Pages, **numbers: int) -> dict[str, Any]:
    rows = used_limits(limits, Counters(**numbers), pages)  # type: ignore[arg-type]
    assert [row["ratio"] for row in rows] == sorted((row["ratio"] for row in rows), reverse=True)
    return {row["limit"]: row for row in rows}


def test_each_limit_has_its_share() -> None:
    limits = LimitsConfig(max_entries_per_day=20, max_daily_loss_ratio=0.02, max_drawdown_ratio=0.1)
    pages = Pages([("BTCUSDT", 1_500.0), ("ETHUSDT", 500.0)])
    base = {"day_start_equity_e8": 1_000 * 10**8, "peak_equity_e8": 1_100 * 10**8}
    found = used(limits, pages, equity_e8=990 * 10**8, memory_mb=600, day_entries=5, **base)
    assert found["entries today"]["ratio"] == 0.25
    assert found["loss today"]["ratio"] == 0.5
    assert found["fall from peak"]["ratio"] == pytest.approx(1.0)
    assert found["position BTCUSDT"]["ratio"] == 0.5
    assert found["all positions"]["used"] == 2_000.0
    assert found["memory"]["ratio"] == 0.1


def test_a_gain_is_no_loss_and_nothing_held_is_nothing_used() -> None:
    base = {"day_start_equity_e8": 1_000 * 10**8, "peak_equity_e8": 1_200 * 10**8}
    found = used(LimitsConfig(), Pages(), equity_e8=1_200 * 10**8, **base)
    assert (found["loss today"]["used"], found["fall from peak"]["used"]) == (0.0, 0.0)
    assert found["position"]["used"] == 0.0


def test_before_the_account_is_known_nothing_is_lost() -> None:
    found = used(LimitsConfig(), Pages(), equity_e8=-5)
    assert (found["loss today"]["used"], found["fall from peak"]["used"]) == (0.0, 0.0)


def test_a_limit_of_nothing_is_full() -> None:
    found = used(LimitsConfig(max_entries_per_day=0), Pages())
    assert found["entries today"]["ratio"] == 1.0


def test_loss_and_fall_are_counted_from_where_the_gates_count() -> None:
    words = {"day_start_equity_e8": "DAY_START_EQUITY_E8", "peak_equity_e8": "PEAK_EQUITY_E8"}
    for name, word in {**words, "day_entries": "DAY_ENTRY_COUNT"}.items():
        assert WORD_COUNTERS[name] is Word[word]
