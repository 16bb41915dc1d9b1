"""What is asked of a parent order: every number checked, and the plan it makes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.execution.algorithms import Iceberg, LiveVolume, Participation, Peg, Scheduled
from engine.domain.execution.asked import (
    GRACE_S,
    NS_PER_S,
    PAUSE_NS,
    SCHEDULED,
    Asked,
    Least,
    Method,
)
from engine.domain.execution.curve import WHOLE, by_volume
from engine.domain.execution.parent import Look
from engine.domain.execution.work import SPAN_NS_MAX

START = 7 * NS_PER_S
LEAST = Least(2, 1)


def ask(method: Method, **changes: Any) -> Asked:  # noqa: ANN401  fields of it
    """Return an order of 100 lots in ten seconds that its method can work."""
    details = {Method.POV: 0.2, Method.ICEBERG: 10.0, Method.SHORTFALL: 3.0}
    limit = 50 if method is Method.ICEBERG else 0
    asked = Asked(method, 1, 100, limit, 10.0, details.get(method, 0.0), 1.0)
    return asked._replace(**changes)


@pytest.mark.parametrize("method", list(Method))
def test_every_method_makes_a_plan_that_is_bounded(method: Method) -> None:
    plan = ask(method).plan(LEAST, START, expected_lots=1_000)
    assert plan.parent.qty_lots == 100
    assert plan.parent.least_lots == 2
    grace_s = GRACE_S + 1.0 if method in SCHEDULED else 0.0
    assert plan.bounds.start_ns == START
    assert plan.bounds.end_ns == START + round((10 + grace_s) * NS_PER_S)
    assert plan.bounds.pause_ns == PAUSE_NS


def test_each_number_goes_where_its_method_wants_it() -> None:
    pov = ask(Method.POV, detail=0.25).plan(LEAST, START).algorithm
    assert pov == Participation(250_000)
    iceberg = ask(Method.ICEBERG).plan(LEAST, START).algorithm
    assert iceberg == Iceberg(10, 50)
    peg = ask(Method.PEG, detail=3.0).plan(LEAST, START).algorithm
    assert peg == Peg(behind_ticks=3, end_ns=START + 10 * NS_PER_S)
    vwap = ask(Method.VWAP).plan(LEAST, START, expected_lots=500).algorithm
    assert isinstance(vwap, LiveVolume)
    assert (vwap.expected_lots, vwap.patience_ns) == (500, NS_PER_S)


def test_a_curve_of_volume_is_followed_where_there_is_one() -> None:
    curve = by_volume(START, START + 10 * NS_PER_S, [(START, 9), (START + 5 * NS_PER_S, 1)])
    found = ask(Method.VWAP).plan(LEAST, START, curve=curve).algorithm
    assert found == Scheduled(curve, NS_PER_S)


def test_shortfall_is_ahead_of_time_and_no_urgency_is_a_twap() -> None:
    middle = START + 5 * NS_PER_S
    shares = []
    for urgency in (0.0, 2.0, 8.0):
        algorithm = ask(Method.SHORTFALL, detail=urgency).plan(LEAST, START).algorithm
        assert isinstance(algorithm, Scheduled)
        shares.append(algorithm.curve.share(middle))
    assert shares == sorted(shares)
    assert abs(shares[0] - WHOLE // 2) <= 1
    assert shares[1] > WHOLE // 2


def test_a_cap_is_a_part_of_the_markets_volume() -> None:
    assert ask(Method.TWAP, cap=0.1).plan(LEAST, START).parent.cap_ppm == 100_000


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        (Method.TWAP, {"span_s": 0.0}),
        (Method.TWAP, {"span_s": -1.0}),
        (Method.TWAP, {"span_s": SPAN_NS_MAX / NS_PER_S * 1.01}),
        (Method.TWAP, {"patience_s": -1.0}),
        (Method.TWAP, {"patience_s": 11.0}),
        (Method.TWAP, {"qty_lots": 0}),
        (Method.TWAP, {"qty_lots": 1}),  # less than the least
        (Method.TWAP, {"side": 0}),
        (Method.TWAP, {"cap": 1.5}),
        (Method.TWAP, {"cap": -0.1}),
        (Method.TWAP, {"span_s": float("nan")}),
        (Method.POV, {"detail": 0.0}),
        (Method.POV, {"detail": 1.1}),
        (Method.ICEBERG, {"limit_ticks": 0}),
        (Method.ICEBERG, {"detail": 1.0}),
        (Method.ICEBERG, {"detail": 101.0}),
        (Method.PEG, {"detail": -1.0}),
        (Method.SHORTFALL, {"detail": -1.0}),
        (Method.VWAP, {}),  # no volume was seen
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(
    method: Method, changes: dict[str, float]
) -> None:
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        ask(method, **changes).plan(LEAST, START)


@given(
    st.sampled_from([Method.TWAP, Method.SHORTFALL, Method.VWAP]),
    st.integers(2, 10_000),
    st.floats(1.0, 86_400.0),
    st.floats(0.0, 1.0),
    st.integers(0, 10**9),
)
def test_a_schedule_wants_all_of_it_by_its_end(
    method: Method, qty: int, span_s: float, part: float, traded: int
) -> None:
    asked = ask(method, qty_lots=qty, span_s=span_s, patience_s=part * span_s, detail=1.0)
    plan = asked.plan(LEAST, START, expected_lots=10_000)
    end_ns = START + round(span_s * NS_PER_S)
    wanted = plan.algorithm.wanted(plan.parent, Look(end_ns, 10, 11, 0, traded_lots=traded))
    assert wanted is not None
    assert (wanted.qty_lots, wanted.is_immediate) == (qty, True)
