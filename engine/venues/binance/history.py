"""History from Binance USD-M through python-binance: klines and aggregated trades, in pages.

Loaded only by who downloads: python-binance comes with the extra `history`. Requests are paced by
the weight the venue says was used, and wait as long as it asks when it refuses for the rate.
"""

from __future__ import annotations

import asyncio
import random
import time
import warnings
from collections.abc import Callable
from typing import Any, Final

from engine.venues.venue import VenueError, VenueUnreachableError

KLINES_MAX: Final = 1_500  # of one request
TRADES_MAX: Final = 1_000
HOUR_MS: Final = 3_600_000  # between start and end of one request for trades, at most
WEIGHT_SHARE_MAX: Final = 0.8  # of the minute's budget; an engine on the same address has the rest
WEIGHT_DEFAULT: Final = 2_400
ATTEMPTS_MAX: Final = 6
PAUSE_MAX_S: Final = 60.0
REFUSED_FOR_RATE: Final = 429
BANNED: Final = 418
TIMEOUT_S: Final = 10.0


class HistoryClient:
    """One client, one request at a time."""

    def __init__(self, url: str = "", *, pause: Callable[[float], object] = time.sleep) -> None:
        """Load the library; nothing is sent before the first request.

        Args:
            url: of a practice exchange or a proxy; empty: the venue's own.
            pause: waits so many seconds.

        Raises:
            ImportError: python-binance is not installed.
        """
        with warnings.catch_warnings():
            # The library's own deprecations are not ours to mend.
            warnings.simplefilter("ignore")
            from binance import Client
            from binance.exceptions import BinanceAPIException, BinanceRequestException
        members = {"FUTURES_URL": f"{url.rstrip('/')}/fapi"} if url else {}
        chosen: Any = type("HistoryVenue", (Client,), members)
        # WHY: the client takes or makes the thread's event loop, never uses it and never closes it.
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        self._client = chosen(ping=False, requests_params={"timeout": TIMEOUT_S})
        asyncio.set_event_loop(None)
        loop.close()
        self._refusal: type[Exception] = BinanceAPIException
        self._nonsense: type[Exception] = BinanceRequestException
        self._pause = pause
        self._weight_max = 0
        self.request_count = 0

    def klines(self, symbol: str, interval: str, start_ms: int, end_ms: int) -> list[list[Any]]:
        """Return the bars opened in a span, both ends included, KLINES_MAX at most.

        Raises:
            VenueError: the venue refuses, or cannot be reached after several tries.
        """
        return self._ask(
            self._client.futures_klines,
            symbol=symbol,
            interval=interval,
            startTime=start_ms,
            endTime=end_ms,
            limit=KLINES_MAX,
        )

    def trades_between(self, symbol: str, start_ms: int, end_ms: int) -> list[dict[str, Any]]:
        """Return the first aggregated trades of a span of an hour at most; see `klines`.

        Raises:
            VenueError: as with `klines`.
        """
        assert end_ms - start_ms <= HOUR_MS, (start_ms, end_ms)
        ask = self._client.futures_aggregate_trades
        return self._ask(ask, symbol=symbol, startTime=start_ms, endTime=end_ms, limit=TRADES_MAX)

    def trades_from(self, symbol: str, first_id: int) -> list[dict[str, Any]]:
        """Return aggregated trades from an id on, TRADES_MAX at most.

        Raises:
            VenueError: as with `klines`.
        """
        ask = self._client.futures_aggregate_trades
        return self._ask(ask, symbol=symbol, fromId=first_id, limit=TRADES_MAX)

    def close(self) -> None:
        """Let the connection go."""
        self._client.session.close()

    def _ask(self, request: Callable[..., Any], **parameters: object) -> list[Any]:
        if not self._weight_max:
            self._weight_max = WEIGHT_DEFAULT
            self._weight_max = self._learn_weight_max()
        reason: Exception | None = None
        for attempt in range(ATTEMPTS_MAX):
            try:
                self.request_count += 1
                found = request(**parameters)
            except self._refusal as error:
                self._after_refusal(error, attempt)
                reason = error
            except (OSError, self._nonsense) as error:
                self._pause(_pause_s(attempt))
                reason = error
            else:
                self._after_answer()
                return list(found)
        message = f"no answer after {ATTEMPTS_MAX} tries: {reason}"
        raise VenueUnreachableError(message) from reason

    def _learn_weight_max(self) -> int:
        """Return the weight a minute allows, as the venue says."""
        limits = self._ask(lambda: self._client.futures_exchange_info()["rateLimits"])
        found = [row["limit"] for row in limits if row["rateLimitType"] == "REQUEST_WEIGHT"]
        return int(found[0]) if found else WEIGHT_DEFAULT

    def _after_refusal(self, error: Any, attempt: int) -> None:  # noqa: ANN401  untyped library
        if error.status_code == BANNED:
            raise VenueError("the venue has banned this address for a while; stop and wait")
        if error.status_code == REFUSED_FOR_RATE:
            self._pause(_retry_after_s(error.response))
        elif error.status_code >= 500:
            self._pause(_pause_s(attempt))
        else:
            raise VenueError(f"{error.message} (code {error.code})") from error

    def _after_answer(self) -> None:
        used = int(self._client.response.headers.get("x-mbx-used-weight-1m", 0))
        if used >= self._weight_max * WEIGHT_SHARE_MAX:
            self._pause(60.0 - time.time() % 60.0 + 0.5)


def _retry_after_s(response: Any) -> float:  # noqa: ANN401  untyped library
    try:
        return min(PAUSE_MAX_S, max(1.0, float(response.headers.get("retry-after", 1.0))))
    except ValueError:
        return 1.0


def _pause_s(attempt: int) -> float:
    bound_s = min(PAUSE_MAX_S, 0.5 * 2.0**attempt)
    return bound_s * random.uniform(0.5, 1.0)  # noqa: S311  jitter, no secret
