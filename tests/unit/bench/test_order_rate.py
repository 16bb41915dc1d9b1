"""What the bench of order rates reads from pages and summaries."""

import pytest

from bench import order_rate
from bench.order_rate import COUNTERS, counters, exchange_words
from engine import exit_codes
from engine.telemetry import BRAIN_COUNTERS

PAGE = """
aegis_orders_total{role="brain"} 1200
aegis_orders_total{role="feed"} 7
aegis_orders_unknown_total{role="brain"} 3
aegis_orders_rejected_total{role="brain"} 200
aegis_fills_total{role="brain"} 990
"""
NOTHING = dict.fromkeys(COUNTERS, 0)


def test_counters_are_the_brains_own() -> None:
    assert counters(PAGE) == {"orders": 1200, "fills": 990, "unknown": 3, "refused": 200}
    assert counters("") == NOTHING


def test_every_counter_it_looks_at_is_declared() -> None:
    declared = {f"aegis_{counter.name}" for counter in BRAIN_COUNTERS}
    assert set(COUNTERS.values()) <= declared


def test_only_a_lifted_exchange_is_told_other_limits() -> None:
    assert "--order-limit-10s" in exchange_words(lifted=True)
    assert not [word for word in exchange_words(lifted=False) if "limit" in word]


@pytest.mark.parametrize(
    ("summary", "code", "differences"),
    [
        ({"differences": []}, exit_codes.DONE, 0),
        ({"differences": ["a position"]}, exit_codes.DONE, 1),
        ({"differences": []}, exit_codes.HALTED, 1),
    ],
)
def test_an_end_that_is_not_in_agreement_is_counted(
    summary: dict[str, object], code: int, differences: int
) -> None:
    found = order_rate._result(NOTHING, counters(PAGE), 10.0, 4, summary, code)
    assert found["disagreements"] == differences
    assert found["over limit"] == 4
    assert (found["orders"], found["fills"], found["held back"]) == (100.0, 99.0, 200.0)
