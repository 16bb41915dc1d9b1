"""Rate limits against their definition: a bucket that fills, a fifth of it kept for exits."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from engine.domain.limits import (
    EXIT_SHARE,
    RATE_GLOBAL,
    S_TO_NS,
    RiskLimits,
    pack_rates,
    rate_allows,
    rate_take,
)

WINDOW_NS = 10 * S_TO_NS


class Bucket:
    """A bucket of orders that fills evenly over its window, in fractions."""

    def __init__(self, orders: int) -> None:
        self.interval_ns = -(-WINDOW_NS // orders)
        self.used_ns = Fraction(0)  # how much of the window is taken
        self.now_ns = 0

    def allows(self, is_entry: bool, now_ns: int) -> bool:
        self.used_ns = max(self.used_ns - (now_ns - self.now_ns), Fraction(0))
        self.now_ns = now_ns
        kept_ns = 0
        if is_entry and EXIT_SHARE * self.interval_ns <= WINDOW_NS:
            kept_ns = WINDOW_NS // EXIT_SHARE
        return self.used_ns + self.interval_ns <= WINDOW_NS - kept_ns


@given(
    orders=st.integers(1, 40),
    asked=st.lists(st.tuples(st.integers(0, WINDOW_NS // 4), st.booleans()), max_size=80),
)
def test_an_order_is_let_through_when_the_bucket_has_room(
    orders: int, asked: list[tuple[int, bool]]
) -> None:
    rates = pack_rates(RiskLimits(orders_per_10s=orders), 1)
    bucket = Bucket(orders)
    now_ns = 1
    for pause_ns, is_entry in asked:
        now_ns += pause_ns
        expected = bucket.allows(is_entry, now_ns)
        assert rate_allows(rates, RATE_GLOBAL, is_entry, now_ns) == expected
        if expected:
            rate_take(rates, RATE_GLOBAL, now_ns)
            bucket.used_ns += bucket.interval_ns


def test_where_few_orders_fit_nothing_is_kept_for_exits() -> None:
    for orders in (1, 2, 4, 5, 8, 10):  # that divide the window
        rates = pack_rates(RiskLimits(orders_per_10s=orders), 1)
        taken = 0
        while rate_allows(rates, RATE_GLOBAL, True, 1):
            rate_take(rates, RATE_GLOBAL, 1)
            taken += 1
        assert taken == (orders if orders < EXIT_SHARE else int(orders * 0.8))
        assert rate_allows(rates, RATE_GLOBAL, False, 1) == (taken < orders)
