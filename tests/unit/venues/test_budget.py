"""What is left of the venue's limits: its counts, ours since, and the reserve."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clock import VenueClock
from engine.venues.binance.budget import (
    SLICES,
    TOLD_MS,
    Budget,
    RateLimit,
    RollingWindow,
    ToldCount,
)
from engine.venues.binance.market import BinanceMarketData
from engine.venues.binance.rest import BinanceRest
from engine.venues.venue import ProtocolError, RateLimitError, VenueUnreachableError
from exchange.limits import Limits

NOON_MS = 1_795_262_400_000  # a whole minute


@pytest.fixture
def budget(monkeypatch: pytest.MonkeyPatch) -> Budget:
    set_clock(monkeypatch, NOON_MS)
    return Budget()


def set_clock(monkeypatch: pytest.MonkeyPatch, now_ms: int) -> None:
    monkeypatch.setattr(
        "engine.venues.binance.budget.time.monotonic_ns", lambda: now_ms * 1_000_000
    )


def heard(weight: int = 0, short: int = 0, minute: int = 0) -> dict[str, str]:
    names = ("x-mbx-used-weight-1m", "x-mbx-order-count-10s", "x-mbx-order-count-1m")
    return dict(zip(names, map(str, (weight, short, minute)), strict=True))


def test_what_the_venue_told_last_counts_for_a_while() -> None:
    told = ToldCount(5)
    assert (told.count(NOON_MS), told.left_s(NOON_MS)) == (0, 0)
    told.hear(4, NOON_MS)
    told.hear(7, NOON_MS + 1)
    assert (told.count(NOON_MS + TOLD_MS), told.count(NOON_MS + TOLD_MS + 1)) == (7, 0)
    assert told.left_s(NOON_MS + 501) == TOLD_MS / 1_000 - 0.5
    told.hear(2, NOON_MS + 502)
    assert told.count(NOON_MS + 503) == 2


@given(
    phase_ms=st.integers(0, 59_999),
    gaps_ms=st.lists(st.integers(1, 3_000), min_size=1, max_size=100),
    weight=st.integers(1, 40),
    used_before=st.integers(0, 2_400),
)
def test_a_new_minute_of_the_venue_is_found_soon(
    phase_ms: int, gaps_ms: list[int], weight: int, used_before: int
) -> None:
    """Our minute began, the venue's went on: its count held for all of ours, and trading halted."""
    told, now_ms = ToldCount(1_800), NOON_MS
    used = Counter({(NOON_MS - phase_ms) // 60_000: used_before})
    for gap_ms in gaps_ms:
        now_ms += gap_ms
        minute = (now_ms - phase_ms) // 60_000
        began_ms = minute * 60_000 + phase_ms
        if told.count(now_ms) >= told.limit:
            assert used[minute] >= told.limit or now_ms - began_ms < TOLD_MS
            assert 0 < told.left_s(now_ms) <= TOLD_MS / 1_000
            continue
        used[minute] += weight
        told.hear(used[minute], now_ms)
    assert max(used.values()) <= 2_400 + weight


def test_tenth_of_the_weight_is_kept_for_what_is_urgent(budget: Budget) -> None:
    budget.hear(heard(weight=2_159))
    assert budget.request_wait_s(urgent=False) == 0
    budget.hear(heard(weight=2_160))
    assert budget.request_wait_s(urgent=False) == TOLD_MS / 1_000
    assert budget.request_wait_s(urgent=True) == 0


def test_weight_is_left_for_the_next_start_once_the_account_was_read(budget: Budget) -> None:
    budget.hear(heard(weight=1_800))
    assert budget.request_wait_s(urgent=False) == 0
    budget.is_starting = False
    assert budget.request_wait_s(urgent=False) == TOLD_MS / 1_000
    assert budget.request_wait_s(urgent=True) == 0


def test_one_request_asks_whether_a_new_minute_has_begun(
    budget: Budget, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget.hear(heard(weight=2_400))
    set_clock(monkeypatch, NOON_MS + TOLD_MS - 1_000)
    assert budget.request_wait_s(urgent=False) == 1
    set_clock(monkeypatch, NOON_MS + TOLD_MS)
    assert budget.request_wait_s(urgent=False) == 0
    budget.hear(heard(weight=2_400))
    assert budget.request_wait_s(urgent=False) == TOLD_MS / 1_000


@pytest.mark.parametrize(("short", "minute", "span_s"), [(300, 300, 10), (10, 1_200, 60)])
def test_orders_wait_for_the_longest_of_the_full_windows(
    budget: Budget, short: int, minute: int, span_s: float
) -> None:
    budget.hear(heard(short=short - 1, minute=minute - 1))
    assert budget.order_wait_s() == 0
    budget.note_order()
    assert span_s < budget.order_wait_s() <= span_s * (1 + 2 / SLICES)


@given(
    limit=st.integers(1, 40),
    gaps_ms=st.lists(st.integers(0, 900), min_size=1, max_size=200),
    phase_ms=st.integers(0, 9_999),
    late_ms=st.lists(st.integers(0, 400), min_size=1, max_size=7),
)
def test_no_interval_of_the_venue_sees_more_than_its_limit(
    limit: int, gaps_ms: list[int], phase_ms: int, late_ms: list[int]
) -> None:
    """Once the windows began with our clock's intervals: at the edge both let a whole limit go."""
    window, sent = RollingWindow(10_000, limit), []
    now_ms = NOON_MS
    for gap_ms in gaps_ms:
        now_ms += gap_ms
        if window.count(now_ms) < limit:
            window.add(1, now_ms)
            sent.append(now_ms)
    arrived = [at + late_ms[k % len(late_ms)] for k, at in enumerate(sent)]
    seen = Counter((at - phase_ms) // 10_000 for at in arrived)
    assert max(seen.values()) <= limit


@given(limit=st.integers(1, 5), gaps_ms=st.lists(st.integers(0, 30_000), min_size=1, max_size=30))
def test_what_waits_as_long_as_it_is_told_may_go(limit: int, gaps_ms: list[int]) -> None:
    window, now_ms = RollingWindow(10_000, limit), NOON_MS
    for gap_ms in gaps_ms:
        now_ms += gap_ms
        if window.count(now_ms) >= limit:
            wait_ms = round(window.left_s(now_ms) * 1_000)
            assert 0 < wait_ms <= 11_000
            assert window.count(now_ms + wait_ms - 1) >= limit
            now_ms += wait_ms
        assert window.count(now_ms) < limit
        assert window.left_s(now_ms) == 0
        window.add(1, now_ms)


def test_orders_of_others_count_as_long_as_ours() -> None:
    window = RollingWindow(10_000, 5)
    window.add(1, NOON_MS)
    window.hear(5, NOON_MS + 1)
    window.hear(1, NOON_MS + 9_000)  # the venue's next interval has begun: ours has not
    assert window.count(NOON_MS + 9_001) == 5
    assert window.count(NOON_MS + 11_000) == 0


def test_a_rolling_count_holds_no_more_slices_than_a_span_has() -> None:
    window = RollingWindow(10_000, 10**6)
    for at_ms in range(NOON_MS, NOON_MS + 100_000, 50):
        window.add(1, at_ms)
        assert len(window._slices) <= SLICES + 2
        assert window.count(at_ms) <= 11_000 // 50


def test_a_clock_that_is_set_back_forgets_nothing() -> None:
    window = RollingWindow(10_000, 5)
    window.add(2, NOON_MS)
    window.add(1, NOON_MS - 3_600_000)
    assert window.count(NOON_MS - 3_600_000) == 3
    assert window.count(NOON_MS + 11_000) == 0


def test_limits_are_those_the_venue_announces(budget: Budget) -> None:
    rows = Limits(weight_1m=100, orders_10s=2, orders_1m=50).view()
    text = str({"rateLimits": [*rows, {"rateLimitType": "RAW", "interval": "DAY"}]})
    with pytest.raises(ProtocolError):
        budget.learn_limits(text.encode())
    rows.append({"rateLimitType": "RAW", "interval": "DAY", "intervalNum": 1, "limit": 9})
    import msgspec

    budget.learn_limits(msgspec.json.encode({"rateLimits": rows, "symbols": [{"symbol": "X"}]}))
    budget.hear(heard(weight=90, short=2))
    assert budget.request_wait_s(urgent=False) == TOLD_MS / 1_000
    assert budget.order_wait_s() > 10


def test_row_names_the_header_that_tells_the_same() -> None:
    assert RateLimit("ORDERS", "SECOND", 10).header == "x-mbx-order-count-10s"
    assert RateLimit("ORDERS", "DAY", 1).header == ""


def test_client_keeps_the_reserve_and_lets_cancels_go() -> None:
    async def body() -> None:
        client = BinanceRest("http://127.0.0.1:1", VenueClock())
        client.budget.hear(heard(weight=2_399))
        assert client.used_weight == 2_399
        with pytest.raises(RateLimitError, match="reserve") as refused:
            await client.request("GET", "/x")
        assert 0 < refused.value.retry_after_s <= TOLD_MS / 1_000
        with pytest.raises(VenueUnreachableError):  # it was let through, to nobody
            await client.request("DELETE", "/x", urgent=True)

    asyncio.run(body())


def test_limits_are_asked_for_though_the_usual_ones_are_used_up() -> None:
    """An engine with wider limits was killed: the next one's feed waited for the minute to end."""

    async def body() -> None:
        client = BinanceRest("http://127.0.0.1:1", VenueClock())
        client.budget.hear(heard(weight=50_000))
        with pytest.raises(VenueUnreachableError):  # it was let through, to nobody
            await BinanceMarketData(client).fetch_list()

    asyncio.run(body())
