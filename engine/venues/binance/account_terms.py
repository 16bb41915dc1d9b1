"""What an account must be set to before it trades: position mode, fees, leverage, margin type.

Settings are read first and changed only where they differ; "already so" is as good as done. Hedge
mode is respected by refusing to trade: an order of ours names no position side. So are fees paid in
another asset than positions are: what trading costs would stand in no book.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import msgspec

from engine.domain.instrument_row import Instrument
from engine.venues.binance.account import ask
from engine.venues.binance.order_views import FeeBurnView, PositionModeView, decode_view
from engine.venues.binance.rest import BinanceRest, Params
from engine.venues.venue import AlreadySetError, UnfitAccountError, VenueError

POSITION_MODE_PATH: Final = "/fapi/v1/positionSide/dual"
SETTINGS_PATH: Final = "/fapi/v2/positionRisk"
LEVERAGE_PATH: Final = "/fapi/v1/leverage"
MARGIN_TYPE_PATH: Final = "/fapi/v1/marginType"
HEDGE_MODE: Final = (
    "the account is in hedge mode, which is not supported: set Position Mode to One-way at the "
    "venue (positionSide/dual: false) while no order is open and no position is held"
)
FEE_BURN_PATH: Final = "/fapi/v1/feeBurn"
NO_SUCH_PATH: Final = 404
FEES_IN_BNB: Final = (
    "fees of the account are paid in BNB, which its books and limits do not count: switch "
    '"Using BNB for fees" off at the venue (feeBurn: false)'
)
MARGIN_TYPES: Final = {"cross": "CROSSED", "isolated": "ISOLATED"}


class SettingView(msgspec.Struct, frozen=True):
    """What a row of positionRisk says about the settings of a symbol."""

    symbol: str
    leverage: str = ""
    marginType: str = ""  # noqa: N815  the venue's spelling


async def require_one_way_mode(rest: BinanceRest) -> None:
    """Check the position mode.

    Raises:
        UnfitAccountError: the account is in hedge mode.
        VenueError: by kind.
    """
    body = await ask(rest, "GET", POSITION_MODE_PATH)
    if decode_view(body, PositionModeView).dualSidePosition:
        raise UnfitAccountError(HEDGE_MODE)


async def pays_fees_in_bnb(rest: BinanceRest) -> bool:
    """Return whether fees are paid in BNB; a venue that has no such setting takes the quote.

    Raises:
        VenueError: by kind.
    """
    try:
        body = await ask(rest, "GET", FEE_BURN_PATH)
    except VenueError as error:
        if error.http_status == NO_SUCH_PATH:
            return False
        raise
    return decode_view(body, FeeBurnView).feeBurn


async def require_fees_in_quote(rest: BinanceRest) -> None:
    """Check in what fees are paid.

    Raises:
        UnfitAccountError: in BNB.
        VenueError: by kind.
    """
    if await pays_fees_in_bnb(rest):
        raise UnfitAccountError(FEES_IN_BNB)


async def set_terms(
    rest: BinanceRest, instruments: Sequence[Instrument], leverage: int, margin_type: str
) -> int:
    """Set leverage and margin type where they differ; return how many requests that took.

    Args:
        rest: the client of the account.
        instruments: those to set.
        leverage: 0 leaves it.
        margin_type: `cross` or `isolated`; empty leaves it.

    Raises:
        VenueError: by kind; the venue may refuse a margin type while orders or a position exist.
    """
    if not leverage and not margin_type:
        return 0
    listed = decode_view(await ask(rest, "GET", SETTINGS_PATH), list[SettingView])
    found = {row.symbol: row for row in listed}
    count = 0
    for instrument in instruments:
        now = found.get(instrument.symbol, SettingView(instrument.symbol))
        if leverage and now.leverage != str(leverage):
            await _set(rest, LEVERAGE_PATH, {"symbol": now.symbol, "leverage": leverage})
            count += 1
        if margin_type and now.marginType != margin_type:
            wanted = MARGIN_TYPES[margin_type]
            await _set(rest, MARGIN_TYPE_PATH, {"symbol": now.symbol, "marginType": wanted})
            count += 1
    return count


async def _set(rest: BinanceRest, path: str, params: Params) -> None:
    with suppress(AlreadySetError):
        await ask(rest, "POST", path, params)
