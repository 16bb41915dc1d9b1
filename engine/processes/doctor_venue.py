"""What `aegis doctor` finds at a venue: reach, clock, instruments, budget, key, modes.

        ping           -> region and reachability, in a sentence
        time, 3 times  -> offset of this machine's clock, with its doubt
        exchangeInfo   -> whether each instrument that was named can be traded, and why not
        account        -> whether the key is known and may trade; position and margin mode

Nothing is changed there: leverage and margin type are set by a start, not by a look.
"""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from engine.clock import NS_PER_MS, VenueClock
from engine.config import Config
from engine.processes.finding import Finding
from engine.venues.binance.account import ask
from engine.venues.binance.account_terms import (
    FEES_IN_BNB,
    POSITION_MODE_PATH,
    SETTINGS_PATH,
    SettingView,
    pays_fees_in_bnb,
)
from engine.venues.binance.exchange_info import ExchangeInfo, select_instruments
from engine.venues.binance.http import parse_url
from engine.venues.binance.market import BinanceMarketData
from engine.venues.binance.order_views import PositionModeView, decode_view
from engine.venues.binance.refusals import retry_after_s, sentence, socket_error
from engine.venues.binance.rest import RECV_WINDOW_MS, BinanceRest
from engine.venues.venue import ClockError, CredentialError, VenueError

VENUE_TIMEOUT_S: Final = 5.0
VENUE_REMEDY: Final = "runbook, `Its market data is not there`; the engine waits and asks again"
ACCOUNT_PATH: Final = "/fapi/v2/account"
CLOCK_SAMPLES: Final = 3
OFFSET_WARN_MS: Final = 250
WEIGHT_WARN_SHARE: Final = 0.5  # of a minute's: somebody else asks from this address
NAMED_MAX: Final = 5  # instruments named in one line


class AccountView(msgspec.Struct):
    """What of the account says whether it may trade."""

    canTrade: bool = False  # noqa: N815  the venue's spelling


Look = Callable[[], Awaitable[list[Finding]]]


def look_at_venue(config: Config) -> list[Finding]:
    """Ask a venue that is named whether it answers this address; nothing is asked of none."""
    if not config.venue.rest_url:
        return []
    endpoint = parse_url(config.venue.rest_url)
    kind = http.client.HTTPSConnection if endpoint.secure else http.client.HTTPConnection
    connection = kind(endpoint.host, endpoint.port, timeout=VENUE_TIMEOUT_S)
    try:
        connection.request("GET", f"{endpoint.path}/fapi/v1/ping")
        answer = connection.getresponse()
        status, wait_s = answer.status, retry_after_s(answer.headers.get("Retry-After", ""))
    except (OSError, http.client.HTTPException) as error:
        as_socket = error if isinstance(error, OSError) else OSError(str(error))
        said = str(socket_error(endpoint.host, endpoint.port, as_socket))
        return [Finding("venue", good=False, found=said, remedy=VENUE_REMEDY)]
    finally:
        connection.close()
    said = sentence(status, wait_s)
    found = said or f"{endpoint.host} answers with HTTP {status}"
    return [Finding("venue", status == http.client.OK, found, VENUE_REMEDY)]


def look_at_account(config: Config) -> list[Finding]:
    """Return what a venue that answers says of its clock, instruments, budget and our account."""
    return asyncio.run(_VenueLook(config).findings())


class _VenueLook:
    def __init__(self, config: Config) -> None:
        venue = config.venue
        self._config = config
        self._clock = VenueClock()
        self._rest = BinanceRest(
            venue.rest_url, self._clock, api_key=venue.api_key, api_secret=venue.api_secret
        )
        self._market = BinanceMarketData(self._rest)

    async def findings(self) -> list[Finding]:
        """Look in order; the account only where a key is given."""
        looks: list[tuple[str, Look]] = [
            ("venue clock", self._look_at_clock),
            ("instruments", self._look_at_instruments),
            ("rate budget", self._look_at_budget),
        ]
        if self._config.venue.api_key:
            looks += [
                ("key", self._look_at_key),
                ("position mode", self._look_at_position_mode),
                ("fees", self._look_at_fees),
                ("margin mode", self._look_at_margin_mode),
            ]
        found: list[Finding] = []
        try:
            for name, look in looks:
                found += await _tried(name, look)
        finally:
            await self._rest.close()
        if not self._config.venue.api_key:
            live = self._config.trading_mode == "live"
            said = "none is given; paper and practice money need none"
            found.append(Finding("key", not live, said, "set BINANCE_API_KEY", fatal=live))
        return found

    async def _look_at_clock(self) -> list[Finding]:
        for _ in range(CLOCK_SAMPLES):
            sample = await self._market.fetch_clock()
            self._clock.learn(sample.sent_ns, sample.received_ns, sample.venue_ns)
        return [clock_finding(self._clock.offset_ns(), self._clock.bound_ns)]

    async def _look_at_instruments(self) -> list[Finding]:
        return [instrument_finding(self._config, await self._market.fetch_list())]

    async def _look_at_budget(self) -> list[Finding]:
        used, limit = self._rest.used_weight, self._rest.budget.weight.limit
        is_calm = used <= WEIGHT_WARN_SHARE * limit
        found = f"{used:,} of {limit:,} weight used this minute"
        remedy = "another program asks from this address; stop it or move one of them"
        return [Finding("rate budget", is_calm, found, remedy)]

    async def _look_at_key(self) -> list[Finding]:
        view = decode_view(await ask(self._rest, "GET", ACCOUNT_PATH), AccountView)
        found = "known, may trade" if view.canTrade else "known, may not trade"
        remedy = "give the key the permission to trade futures, in the venue's settings"
        return [Finding("key", view.canTrade, found, remedy, fatal=True)]

    async def _look_at_position_mode(self) -> list[Finding]:
        view = decode_view(await ask(self._rest, "GET", POSITION_MODE_PATH), PositionModeView)
        is_one_way = not view.dualSidePosition
        found = "one-way" if is_one_way else "hedge"
        remedy = "switch the account to one-way mode; an order of ours names no position side"
        return [Finding("position mode", is_one_way, found, remedy, fatal=True)]

    async def _look_at_fees(self) -> list[Finding]:
        in_bnb = await pays_fees_in_bnb(self._rest)
        found = "paid in BNB" if in_bnb else "paid in the quote currency"
        return [Finding("fees", not in_bnb, found, FEES_IN_BNB, fatal=True)]

    async def _look_at_margin_mode(self) -> list[Finding]:
        rows = decode_view(await ask(self._rest, "GET", SETTINGS_PATH), list[SettingView])
        return [margin_finding(self._config, rows)]


async def _tried(name: str, look: Look) -> list[Finding]:
    """Return what a look finds, or the venue's refusal as its finding."""
    try:
        return await look()
    except CredentialError as error:
        remedy = "look at key, secret, the addresses the key allows and its permissions"
        return [Finding(name, good=False, found=str(error), remedy=remedy, fatal=True)]
    except ClockError as error:
        remedy = "set this machine's clock (NTP)"
        return [Finding(name, good=False, found=str(error), remedy=remedy, fatal=True)]
    except VenueError as error:
        return [Finding(name, good=False, found=str(error), remedy="ask again; see the runbook")]


def clock_finding(offset_ns: int, doubt_ns: int) -> Finding:
    """Return what an offset of this machine's clock from the venue's means.

    Args:
        offset_ns: the venue's clock less ours.
        doubt_ns: by how much that may be wrong.
    """
    offset_ms = offset_ns / NS_PER_MS
    found = f"{offset_ms:+,.1f} ms from ours, known to {doubt_ns / NS_PER_MS:,.1f} ms"
    return Finding(
        "venue clock",
        abs(offset_ms) <= OFFSET_WARN_MS,
        found,
        f"set this machine's clock (NTP); signed requests are corrected by it, and beyond "
        f"{RECV_WINDOW_MS:,} ms other programs' are refused",
    )


def instrument_finding(config: Config, info: ExchangeInfo) -> Finding:
    """Return whether the instruments of a configuration can be traded by what the venue lists."""
    chosen, left_out = select_instruments(
        info, config.instruments, config.instruments_max, config.depth_instruments_max
    )
    refused = left_out if config.instruments else {}
    found = f"{len(chosen)} of {len(info.symbols)} listed have filters the engine can count in"
    if refused:
        named = [f"{symbol}: {why}" for symbol, why in list(refused.items())[:NAMED_MAX]]
        more = f"; {len(refused) - NAMED_MAX} more" if len(refused) > NAMED_MAX else ""
        found = f"{len(chosen)} of {len(config.instruments)} named; {'; '.join(named)}{more}"
    remedy = "name instruments that the venue lists (`instruments`)"
    return Finding("instruments", bool(chosen) and not refused, found, remedy, fatal=not chosen)


def margin_finding(config: Config, rows: list[SettingView]) -> Finding:
    """Return whether margin type and leverage are as configured; a start sets what differs."""
    venue = config.venue
    wanted = set(config.instruments)
    asked = [row for row in rows if not wanted or row.symbol in wanted]
    kinds = sorted({row.marginType for row in asked if row.marginType})
    differing = [
        row.symbol
        for row in asked
        if (venue.margin_type and row.marginType != venue.margin_type)
        or (venue.leverage and row.leverage != str(venue.leverage))
    ]
    found = f"{' and '.join(kinds) or 'not said'} on {len(asked)} instruments"
    if differing:
        found += f"; margin type or leverage of {len(differing)} is not the configured one"
    remedy = "the start sets it; the venue refuses while orders or a position exist"
    return Finding("margin mode", not differing, found, remedy)
