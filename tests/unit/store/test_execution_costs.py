"""What an execution cost, by hand and by identities."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.store.execution_costs import (
    MARKOUTS_S,
    NS_PER_S,
    Execution,
    Mids,
    average_price,
    costs_of,
    lines_of,
)

SIDES = st.sampled_from([1, -1])
FILLS = st.lists(
    st.builds(Execution, st.integers(0, 100 * NS_PER_S), st.integers(9_000, 11_000),
              st.integers(1, 500), st.just(False), st.just(0)),
    min_size=1, max_size=20,
).map(sorted)  # fmt: skip


def mids(*rows: tuple[float, int], end_s: float = 1_000.0) -> Mids:
    """Return mids of (seconds, half ticks)."""
    times = [round(at_s * NS_PER_S) for at_s, _ in rows]
    return Mids(times, [half for _, half in rows], round(end_s * NS_PER_S))


def at(seconds: float, price: int, lots: int, *, is_maker: bool = False) -> Execution:
    return Execution(round(seconds * NS_PER_S), price, lots, is_maker)


def test_a_purchase_by_hand() -> None:
    market = mids((0, 20_000), (1, 20_010), (3, 20_020), (40, 20_100))
    fills = [at(1, 10_006, 30), at(3, 10_009, 10, is_maker=True)]
    trades = [(NS_PER_S * s, price, lots) for s, price, lots in
              ((0, 10_000, 50), (2, 10_008, 50), (3, 10_004, 100), (9, 99_999, 1))]  # fmt: skip
    found = costs_of(1, 60, 0, fills, trades, market)
    average = Fraction(10_006 * 30 + 10_009 * 10, 40)
    assert (found.filled_lots, found.maker_lots) == (40, 10)
    assert found.average_ticks == pytest.approx(float(average))
    assert found.arrival_bps == pytest.approx(float((average / 10_000 - 1) * 10_000))
    assert found.vwap_bps == pytest.approx(float((average / 10_004 - 1) * 10_000))
    spreads = Fraction(1, 10_005) * 30 + Fraction(-1, 10_010) * 10
    assert found.spread_bps == pytest.approx(float(spreads / 40 * 10_000))
    assert found.missed_bps == pytest.approx(10.0)
    one = Fraction(10_005 - 10_006, 10_006) * 30 + Fraction(10_010 - 10_009, 10_009) * 10
    assert found.markouts_bps[1] == pytest.approx(float(one / 40 * 10_000))
    assert found.markouts_bps[60] == pytest.approx(
        float((Fraction(10_050, 10_006) * 30 + Fraction(10_050, 10_009) * 10) / 40 - 1) * 10_000
    )


@given(SIDES, FILLS)
def test_selling_is_buying_with_the_sign_turned(side: int, fills: list[Execution]) -> None:
    market = mids((0, 20_000), (50, 20_200))
    trades = [(one.time_ns, 10_000, 7) for one in fills]
    ours = costs_of(side, 10**6, 0, fills, trades, market)
    other = costs_of(-side, 10**6, 0, fills, trades, market)
    for name in ("arrival_bps", "vwap_bps", "spread_bps", "missed_bps"):
        assert getattr(ours, name) == pytest.approx(-getattr(other, name))
    for after_s in MARKOUTS_S:
        value = ours.markouts_bps[after_s]
        assert value is not None
        assert value == pytest.approx(-(other.markouts_bps[after_s] or 0.0))


@given(SIDES, FILLS)
def test_where_we_were_the_whole_market_the_interval_cost_nothing(
    side: int, fills: list[Execution]
) -> None:
    trades = [(one.time_ns, one.price_ticks, one.qty_lots) for one in fills]
    found = costs_of(side, 1, 0, fills, trades, mids((0, 20_000)))
    assert found.vwap_bps == 0.0


@given(SIDES, FILLS, st.integers(0, 19))
def test_a_fill_in_two_halves_costs_the_same(side: int, fills: list[Execution], place: int) -> None:
    whole = fills[place % len(fills)]
    doubled = [one._replace(qty_lots=2 * one.qty_lots) for one in fills]
    split = sorted([*(one for one in doubled if one.time_ns != whole.time_ns),
                    *(half for one in fills if one.time_ns == whole.time_ns
                      for half in (one, one))])  # fmt: skip
    market = mids((0, 20_000), (30, 19_000), (70, 21_000))
    first, second = (costs_of(side, 1, 0, rows, [], market) for rows in (doubled, split))
    assert first == second


def test_what_is_not_known_is_none_and_never_nothing() -> None:
    nothing = costs_of(1, 10, 0, [], [], mids((5, 20_000)))
    assert (nothing.average_ticks, nothing.arrival_bps, nothing.spread_bps) == (None, None, None)
    assert set(nothing.markouts_bps.values()) == {None}
    found = costs_of(1, 10, 0, [at(6, 10_000, 10)], [], mids((5, 20_000), end_s=8.0))
    assert found.arrival_bps is None, "no quote before the order"
    assert found.vwap_bps is None, "nobody traded"
    assert (found.markouts_bps[1], found.markouts_bps[5]) == (0.0, None)
    assert found.missed_bps is None, "nothing was missed"


def test_the_average_price_is_exact() -> None:
    assert average_price([]) is None
    assert average_price([at(0, 3, 1), at(0, 4, 2)]) == Fraction(11, 3)


def test_people_read_every_figure() -> None:
    market = mids((0, 20_000), end_s=4.0)
    lines = lines_of("BTCUSDT", costs_of(-1, 20, 0, [at(1, 9_990, 10)], [], market))
    text = "\n".join(lines)
    assert "10 of 20 lots, 0 of them rested" in text
    assert "against arrival +10.00 bps" in text
    assert "VWAP not known, the mid +10.00 bps" in text
    assert "missed went away by +0.00 bps" in text
    assert "1 s -10.01 bps" in text
    assert "60 s not known" in text
