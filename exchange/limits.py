"""Request and order budgets of this venue: counted in real time, per peer and per account."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from exchange.errors import ApiError

MINUTE_S = 60
TEN_SECONDS_S = 10
BAN_FACTOR = 2  # going on to this multiple of the weight limit earns a ban
BAN_S = 120


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is allowed; announced in exchangeInfo."""

    weight_1m: int = 2_400
    orders_10s: int = 300
    orders_1m: int = 1_200

    def view(self) -> list[dict[str, object]]:
        """Return the limits as exchangeInfo lists them."""
        rows = (
            ("REQUEST_WEIGHT", "MINUTE", 1, self.weight_1m),
            ("ORDERS", "MINUTE", 1, self.orders_1m),
            ("ORDERS", "SECOND", 10, self.orders_10s),
        )
        return [
            {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}
            for kind, interval, number, limit in rows
        ]


@dataclass(slots=True)
class Window:
    """A count that starts again with each interval of the clock."""

    span_s: int
    period: int = -1
    count: int = 0

    def add(self, amount: int, now_s: float) -> int:
        """Count and return the sum of this interval."""
        period = int(now_s // self.span_s)
        if period != self.period:
            self.period, self.count = period, 0
        self.count += amount
        return self.count

    def remaining_s(self, now_s: float) -> int:
        """Return seconds until the interval ends, at least one."""
        return max(1, int(self.span_s - now_s % self.span_s))


class OverLimitError(ApiError):
    """A refusal that says when to try again."""

    def __init__(self, code: int, *, status: int, retry_after_s: int) -> None:
        """Keep the seconds for the Retry-After header."""
        super().__init__(code, status=status)
        self.retry_after_s = retry_after_s


@dataclass(slots=True)
class Budgets:
    """Who used how much."""

    limits: Limits
    weights: dict[str, Window] = field(default_factory=dict)
    orders: dict[str, tuple[Window, Window]] = field(default_factory=dict)
    banned_until_s: dict[str, float] = field(default_factory=dict)
    refused_count: int = 0  # requests and orders that were over a limit

    def use_weight(self, peer: str, weight: int) -> int:
        """Count a request and return the weight used in this minute.

        Raises:
            OverLimitError: 429 over the limit, 418 while banned.
        """
        now_s = time.monotonic()
        banned_s = self.banned_until_s.get(peer, 0.0) - now_s
        if banned_s > 0:
            raise self._refusal(-1003, 418, int(banned_s) + 1)
        window = self.weights.setdefault(peer, Window(MINUTE_S))
        used = window.add(weight, now_s)
        if used > self.limits.weight_1m:
            if used > BAN_FACTOR * self.limits.weight_1m:
                self.banned_until_s[peer] = now_s + BAN_S
            raise self._refusal(-1003, 429, window.remaining_s(now_s))
        return used

    def use_order(self, account_key: str) -> tuple[int, int]:
        """Count an order and return the counts of ten seconds and of the minute.

        Raises:
            OverLimitError: -1015 over either limit.
        """
        now_s = time.monotonic()
        windows = self.orders.get(account_key)
        if windows is None:
            windows = self.orders[account_key] = (Window(TEN_SECONDS_S), Window(MINUTE_S))
        short, minute = windows
        counts = short.add(1, now_s), minute.add(1, now_s)
        if counts[0] > self.limits.orders_10s:
            raise self._refusal(-1015, 429, short.remaining_s(now_s))
        if counts[1] > self.limits.orders_1m:
            raise self._refusal(-1015, 429, minute.remaining_s(now_s))
        return counts

    def _refusal(self, code: int, status: int, retry_after_s: int) -> OverLimitError:
        self.refused_count += 1
        return OverLimitError(code, status=status, retry_after_s=retry_after_s)
