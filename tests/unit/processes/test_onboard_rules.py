"""The gate on its own: sessions as one record, and what a record says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config_onboard import OnboardConfig
from engine.processes.onboard_rules import Evidence, SessionRecord, Verdict, evidence_of, judge

RULES = OnboardConfig(trades_min=10, net_bps_min=1.0, fall_ratio_max=0.5)
RESULTS = st.lists(st.integers(-50, 50).map(float), max_size=12)


def record_of(results: list[float]) -> SessionRecord:
    """Return what a session of these closed positions of 100 each made."""
    net = peak = fall = 0.0
    for result in results:
        net += result
        peak = max(peak, net)
        fall = max(fall, peak - net)
    count = len(results)
    return SessionRecord(
        trades=count, fills=2 * count, traded=200.0 * count, net=net, peak=peak, fall=fall
    )


@given(st.lists(RESULTS, max_size=6))
def test_sessions_are_one_record_whose_fall_is_at_least_the_true_one(
    sessions: list[list[float]],
) -> None:
    whole = record_of([result for session in sessions for result in session])
    found = evidence_of(map(record_of, sessions))
    assert (found.trades, found.net) == (whole.trades, whole.net)
    assert found.fall >= whole.fall
    assert found.size == (100.0 if whole.trades else 0.0)
    if len(sessions) == 1:
        assert found.fall == whole.fall


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (Evidence(0, 0.0, 0.0, 0.0), Verdict.WAITS),
        (Evidence(9, 50.0, 0.0, 100.0), Verdict.WAITS),
        (Evidence(10, 0.2, 0.0, 100.0), Verdict.PASSES),
        (Evidence(10, 0.1, 0.0, 100.0), Verdict.FAILS),
        (Evidence(10, -5.0, 5.0, 100.0), Verdict.FAILS),
        (Evidence(10, 5.0, 50.0, 100.0), Verdict.PASSES),
        (Evidence(10, 5.0, 50.1, 100.0), Verdict.FAILS),
        (Evidence(1, 5.0, 50.1, 100.0), Verdict.FAILS),
    ],
)
def test_a_record_waits_passes_or_fails(found: Evidence, verdict: Verdict) -> None:
    assert judge(found, RULES).verdict is verdict


def test_the_reason_names_the_numbers() -> None:
    assert judge(Evidence(3, 0.3, 2.0, 100.0), RULES).why == (
        "3 trades, +10.00 bps each, fall 0.0200: 10 trades are asked"
    )
