"""What is left of the venue's limits: its counts, ours since, and the reserve."""

from __future__ import annotations

import asyncio

import pytest

from engine.clock import VenueClock
from engine.venues.binance.budget import Budget, RateLimit, Window
from engine.venues.binance.rest import BinanceRest
from engine.venues.venue import ProtocolError, RateLimitError, VenueUnreachableError
from exchange.limits import Limits

NOON_MS = 1_795_262_400_000  # a whole minute


@pytest.fixture
def budget(monkeypatch: pytest.MonkeyPatch) -> Budget:
    set_clock(monkeypatch, NOON_MS)
    return Budget()


def set_clock(monkeypatch: pytest.MonkeyPatch, now_ms: int) -> None:
    monkeypatch.setattr("engine.venues.binance.budget.time.time_ns", lambda: now_ms * 1_000_000)


def heard(weight: int = 0, short: int = 0, minute: int = 0) -> dict[str, str]:
    names = ("x-mbx-used-weight-1m", "x-mbx-order-count-10s", "x-mbx-order-count-1m")
    return dict(zip(names, map(str, (weight, short, minute)), strict=True))


def test_window_starts_again_with_its_interval() -> None:
    window = Window(10_000, 5)
    window.add(3, 12_000)
    window.add(1, 19_999)
    assert (window.count(19_999), window.count(20_000)) == (4, 0)
    assert window.left_s(12_500) == 7.5


def test_count_of_the_venue_counts_unless_ours_is_ahead() -> None:
    window = Window(10_000, 5)
    window.add(2, 1_000)
    window.hear(7, 1_001)
    assert window.count(1_002) == 7
    window.add(1, 1_003)
    window.hear(7, 1_004)  # an answer from before our last send
    assert window.count(1_005) == 8
    window.hear(1, 10_001)
    assert window.count(10_002) == 1


def test_tenth_of_the_weight_is_kept_for_what_is_urgent(budget: Budget) -> None:
    budget.hear(heard(weight=2_159))
    assert budget.request_wait_s(urgent=False) == 0
    budget.hear(heard(weight=2_160))
    assert budget.request_wait_s(urgent=False) == 60
    assert budget.request_wait_s(urgent=True) == 0


def test_next_minute_has_its_own_weight(budget: Budget, monkeypatch: pytest.MonkeyPatch) -> None:
    budget.hear(heard(weight=2_400))
    set_clock(monkeypatch, NOON_MS + 59_000)
    assert budget.request_wait_s(urgent=False) == 1
    set_clock(monkeypatch, NOON_MS + 60_000)
    assert budget.request_wait_s(urgent=False) == 0


@pytest.mark.parametrize(("short", "minute", "wait_s"), [(300, 300, 10), (10, 1_200, 60)])
def test_orders_wait_for_the_longest_of_the_full_windows(
    budget: Budget, short: int, minute: int, wait_s: float
) -> None:
    budget.hear(heard(short=short - 1, minute=minute - 1))
    assert budget.order_wait_s() == 0
    budget.note_order()
    assert budget.order_wait_s() == wait_s


def test_limits_are_those_the_venue_announces(budget: Budget) -> None:
    rows = Limits(weight_1m=100, orders_10s=2, orders_1m=50).view()
    text = str({"rateLimits": [*rows, {"rateLimitType": "RAW", "interval": "DAY"}]})
    with pytest.raises(ProtocolError):
        budget.learn_limits(text.encode())
    rows.append({"rateLimitType": "RAW", "interval": "DAY", "intervalNum": 1, "limit": 9})
    import msgspec

    budget.learn_limits(msgspec.json.encode({"rateLimits": rows, "symbols": [{"symbol": "X"}]}))
    budget.hear(heard(weight=90, short=2))
    assert budget.request_wait_s(urgent=False) == 60
    assert budget.order_wait_s() == 10


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
        assert 0 < refused.value.retry_after_s <= 60
        with pytest.raises(VenueUnreachableError):  # it was let through, to nobody
            await client.request("DELETE", "/x", urgent=True)

    asyncio.run(body())
