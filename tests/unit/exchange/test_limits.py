"""Budgets per peer and per account, in fixed intervals of real time."""

import time

import pytest

from exchange.limits import BAN_S, Budgets, Limits, OverLimitError, Window


class Seconds:
    def __init__(self) -> None:
        self.now = 6_000.0


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> Seconds:
    clock = Seconds()
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    return clock


def test_window_starts_again_with_its_interval() -> None:
    window = Window(10)
    assert [window.add(1, second) for second in (100.0, 109.9, 110.0)] == [1, 2, 1]
    assert window.remaining_s(113.2) == 6
    assert window.remaining_s(119.99) == 1


def test_weight_over_the_limit_is_refused_until_the_minute_ends(real: Seconds) -> None:
    budgets = Budgets(Limits(weight_1m=10))
    assert budgets.use_weight("peer", 10) == 10
    assert budgets.use_weight("other", 10) == 10
    with pytest.raises(OverLimitError) as refusal:
        budgets.use_weight("peer", 1)
    assert (refusal.value.status, refusal.value.retry_after_s) == (429, 60)
    real.now += 60
    assert budgets.use_weight("peer", 1) == 1


def test_going_on_after_refusals_earns_a_ban(real: Seconds) -> None:
    budgets = Budgets(Limits(weight_1m=10))
    statuses = []
    for _ in range(25):
        try:
            budgets.use_weight("peer", 1)
            statuses.append(200)
        except OverLimitError as refusal:
            statuses.append(refusal.status)
    assert statuses[9:11] == [200, 429]
    assert statuses[-1] == 418
    assert budgets.refused_count == 15
    real.now += 60
    with pytest.raises(OverLimitError):
        budgets.use_weight("peer", 1)
    real.now += BAN_S
    assert budgets.use_weight("peer", 1) == 1


@pytest.mark.parametrize(
    ("limits", "allowed"),
    [(Limits(orders_10s=3, orders_1m=100), 3), (Limits(orders_10s=100, orders_1m=4), 4)],
)
def test_either_order_limit_refuses(
    real: Seconds,
    limits: Limits,
    allowed: int,
) -> None:
    budgets = Budgets(limits)
    for count in range(1, allowed + 1):
        assert budgets.use_order("key") == (count, count)
    with pytest.raises(OverLimitError) as refusal:
        budgets.use_order("key")
    assert (refusal.value.code, refusal.value.status) == (-1015, 429)
    assert budgets.refused_count == 1
    assert budgets.use_order("other") == (1, 1)
    real.now += 60
    assert budgets.use_order("key") == (1, 1)


def test_short_window_ends_before_the_long_one(real: Seconds) -> None:
    budgets = Budgets(Limits())
    budgets.use_order("key")
    real.now += 10
    assert budgets.use_order("key") == (1, 2)
