"""Binance USD-M market data over REST, and the numbers its streams are judged by.

Cadences are the venue's documented ones; deadlines and limits are multiples of them. A stream that
sends only what changes may rightly be quiet for a while: its limit adapts to its own pace between
the floor and the ceiling below.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from engine.clock import NS_PER_MS
from engine.domain.codes import Channel, Liveness
from engine.domain.instrument_row import Instrument
from engine.venues.binance.discovery import (
    DAY_TICKER_PATH,
    DAY_TICKER_WEIGHT,
    WEIGHT_SHARE,
    parse_day_volumes,
    weight_limit,
)
from engine.venues.binance.errors import classify
from engine.venues.binance.exchange_info import (
    ExchangeInfo,
    parse_exchange_info,
    select_instruments,
)
from engine.venues.binance.rest import TIMEOUT_S, BinanceRest, Params
from engine.venues.venue import (
    ClockSample,
    NotExecutedError,
    OutcomeUnknownError,
    ProtocolError,
    RateLimitError,
    VenueUnreachableError,
)

S = 1_000_000_000  # ns
SECOND_AFTER_S = 2.0  # an address that does not answer so long is not asked for a while
FIRST_AGAIN_S = 30.0  # then the first address is tried again
Laws = tuple[int, int, int, int, int, int, int, int, int, int]

# Bounds of the laws in C, in the order of `Laws` in _feed.pyi.
TIME_FUTURE_NS = 5 * S  # a venue stamp is never ahead of the venue's clock by more than clock error
TIME_PAST_NS = 60 * S  # older than any delivery
ID_JUMP_MAX = 100_000_000_000  # update ids count for all instruments: 0.65 M/s recorded, 40 h
TRADE_JUMP_MAX = 1_000_000  # trade ids count per instrument
PRICE_JUMP_BPS = 1_000  # of the last price of the same stream
SPREAD_BPS = 1_000
FUNDING_E8_MAX = 5_000_000  # 5 % per interval; the venue caps at 3 %
SPIKE_SIGMAS = 50  # of a stream's own moves; the recorded captures stay below their floor
SPIKE_FLOOR_BPS = 50  # the furthest recorded move between two quotes is 10.6 (BTCUSDT, 2024-08-08)

LAWS = (
    TIME_FUTURE_NS,
    TIME_PAST_NS,
    ID_JUMP_MAX,
    TRADE_JUMP_MAX,
    PRICE_JUMP_BPS,
    SPREAD_BPS,
    FUNDING_E8_MAX,
    SPIKE_SIGMAS,
    SPIKE_FLOOR_BPS,
    0,
)


def laws(*, plays_tapes: bool, spike_sigmas: int = SPIKE_SIGMAS) -> Laws:
    """Return the bounds for a venue.

    Args:
        spike_sigmas: standard deviations of a stream's own moves beyond which a price is refused;
            0: no price is.
        plays_tapes: its clock may stand, run at any speed, or jump with its events, so the time
            bounds follow the newest event too. A stamp from tomorrow is further than any of that.
    """
    return (*LAWS[:-3], spike_sigmas, SPIKE_FLOOR_BPS, int(plays_tapes))


# Per channel: first record at the latest (0: may never come), stale after at least, at most (0:
# never). Venue cadence: quotes real time, trades 100 ms, depth 100 ms, klines 250 ms, marks 1 s.
CADENCES: dict[Channel, tuple[int, int, int]] = {
    Channel.QUOTE: (10 * S, 3 * S, 60 * S),
    Channel.TRADE: (30 * S, 10 * S, 300 * S),
    Channel.BOOK: (10 * S, 3 * S, 60 * S),
    Channel.BAR: (30 * S, 10 * S, 300 * S),
    Channel.MARK: (10 * S, 5 * S, 30 * S),
    Channel.LIQUIDATION: (0, 0, 0),
}
# Channels an exchange that plays a tape may have nothing for; they then block nothing.
OPTIONAL_CHANNELS = frozenset({Channel.BAR, Channel.MARK, Channel.LIQUIDATION})

# Snapshot limit and weight by how many books are kept: a full round stays below half a minute's
# budget of 2400.
SNAPSHOT_ROWS: tuple[tuple[int, int, int], ...] = (
    (50, 1000, 20),
    (100, 500, 10),
    (200, 100, 5),
    (10_000, 50, 2),
)


class _Time(msgspec.Struct):
    serverTime: int  # noqa: N815  the venue's spelling


class _OpenInterest(msgspec.Struct):
    openInterest: Decimal  # noqa: N815  the venue's spelling


_TIME = msgspec.json.Decoder(_Time)
_OPEN_INTEREST = msgspec.json.Decoder(_OpenInterest)


def cadence_words(*, may_lack_channels: bool) -> tuple[int, ...]:
    """Return the cadences as the core takes them.

    Args:
        may_lack_channels: an optional channel that stays silent is unsupported, not silent.
    """
    words: list[int] = []
    for channel in Channel:
        first, floor, ceiling = CADENCES[channel]
        lacks = may_lack_channels and channel in OPTIONAL_CHANNELS
        words += [first, Liveness.UNSUPPORTED if lacks else Liveness.SILENT, floor, ceiling]
    return tuple(words)


def snapshot_limit(book_count: int) -> tuple[int, int]:
    """Return (levels per side, weight of one request) for so many books."""
    for count, limit, weight in SNAPSHOT_ROWS:
        if book_count <= count:
            return limit, weight
    return SNAPSHOT_ROWS[-1][1:]


class BinanceMarketData:
    """The market-data side of a venue, over REST clients that stay the caller's.

    With a second address a request that the first does not answer in SECOND_AFTER_S, or answers
    with a failure of its own (5xx), goes there, and so do those of the next FIRST_AGAIN_S. What the
    venue refuses (418, 429, 4xx) both would refuse: it is counted by address of ours.
    """

    name = "binance"

    def __init__(self, rest: BinanceRest, second: BinanceRest | None = None) -> None:
        """Ask `rest`, or where it does not answer `second`."""
        self._rest = rest
        self._second = second
        self._second_until_s = 0.0  # monotonic: the first is asked again from then on
        self.switch_count = 0  # times the second stepped in

    async def fetch_list(self) -> ExchangeInfo:
        """Return every instrument with its filters, as listed now.

        Raises:
            VenueError: no answer, or not this one.
        """
        # Urgent: what we hold back by may be wrong before this is known.
        body = await self._get("/fapi/v1/exchangeInfo", urgent=True)
        self._rest.budget.learn_limits(body)
        return parse_exchange_info(body)

    async def fetch_day_volumes(self, info: ExchangeInfo) -> dict[str, Decimal]:
        """Return the quote volume of the last 24 h by symbol.

        Raises:
            RateLimitError: the minute has no room for so heavy a request; nothing was sent.
            VenueError: no answer, or not this one.
        """
        limit = weight_limit(info)
        used = self.used_weight
        if used + DAY_TICKER_WEIGHT > WEIGHT_SHARE * limit:
            message = f"24 h ticker: {used} of {limit} weight is used this minute"
            raise RateLimitError(message, retry_after_s=60.0)
        return parse_day_volumes(await self._get(DAY_TICKER_PATH))

    async def fetch_instruments(self) -> Sequence[Instrument]:
        """Return the instruments that trade, in the venue's order."""
        chosen, _ = select_instruments(await self.fetch_list(), (), 10_000, 0)
        return chosen

    async def fetch_clock(self) -> ClockSample:
        """Return one sample of the venue's clock."""
        sent_ns = time.monotonic_ns()
        body = await self._get("/fapi/v1/time")
        received_ns = time.monotonic_ns()
        try:
            answer = _TIME.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ProtocolError(f"time: {error}") from error
        return ClockSample(sent_ns, received_ns, answer.serverTime * NS_PER_MS)

    async def fetch_book_snapshot(self, symbol: str, limit: int) -> bytes:
        """Return one book snapshot as the venue sent it."""
        return await self._get("/fapi/v1/depth", {"symbol": symbol, "limit": limit})

    async def fetch_trades(self, symbol: str, first_id: int, limit: int) -> bytes:
        """Return aggregated trades from an id on, as the venue sent them; weight 20."""
        params: Params = {"symbol": symbol, "fromId": first_id, "limit": limit}
        return await self._get("/fapi/v1/aggTrades", params)

    async def fetch_bars(self, symbol: str, interval: str, limit: int) -> bytes:
        """Return the latest bars, the running one last, as the venue sent them; weight 1."""
        params: Params = {"symbol": symbol, "interval": interval, "limit": limit}
        return await self._get("/fapi/v1/klines", params)

    async def fetch_quotes(self) -> bytes:
        """Return the best quotes of every symbol as the venue sent them; weight 5."""
        return await self._get("/fapi/v1/ticker/bookTicker")

    async def fetch_open_interest(self, symbol: str) -> Decimal:
        """Return how much of an instrument is open, base currency; weight 1.

        Raises:
            RateLimitError: half of the minute's weight is used; nothing was sent.
            VenueError: no answer, or not this one.
        """
        limit = self._asked().budget.weight.limit
        if self.used_weight >= WEIGHT_SHARE * limit:
            message = f"open interest: {self.used_weight} of {limit} weight is used this minute"
            raise RateLimitError(message, retry_after_s=60.0)
        body = await self._get("/fapi/v1/openInterest", {"symbol": symbol})
        try:
            return _OPEN_INTEREST.decode(body).openInterest
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ProtocolError(f"open interest: {error}") from error

    @property
    def used_weight(self) -> int:
        """Return the request weight of this minute, as the venue last counted it."""
        return self._asked().used_weight

    async def close(self) -> None:
        """Close the clients' idle connections."""
        await self._rest.close()
        if self._second is not None:
            await self._second.close()

    def _asked(self) -> BinanceRest:
        """Return the client whose turn it is."""
        if self._second is not None and time.monotonic() < self._second_until_s:
            return self._second
        return self._rest

    async def _get(self, path: str, params: Params | None = None, *, urgent: bool = False) -> bytes:
        if self._second is None:
            return await _body(self._rest, path, params, TIMEOUT_S, urgent)
        asked = self._asked()
        try:
            return await _body(asked, path, params, SECOND_AFTER_S, urgent)
        except (VenueUnreachableError, OutcomeUnknownError, NotExecutedError):
            pass
        if asked is self._rest:
            self.switch_count += 1
            self._second_until_s = time.monotonic() + FIRST_AGAIN_S
            return await _body(self._second, path, params, TIMEOUT_S, urgent)
        self._second_until_s = 0.0
        return await _body(self._rest, path, params, TIMEOUT_S, urgent)


async def _body(
    rest: BinanceRest, path: str, params: Params | None, timeout_s: float, urgent: bool
) -> bytes:
    response = await rest.request("GET", path, params, urgent=urgent, timeout_s=timeout_s)
    error = classify(response)
    if error is not None:
        raise error
    return response.body
