"""What a user calls an instrument, and what its venue calls it: one table.

        btc  BTC-USDT  BTC/USDT:USDT  XBT  BTCUSDT.P     ->  BTCUSDT   of binance
        ES1!  ES                                         ->  ES        of cme, front month
        GBPUSD                                           ->  6B        of cme, front month

A word names an instrument of one venue; on another venue it is refused with a sentence, never
guessed. A word that already has the venue's form passes, so that what was listed this morning can
be traded; whether the venue lists it is the feed's to see. Case and spaces around do not matter.
Standard library only.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

BINANCE: Final = "binance"
CME: Final = "cme"
MARKET_OF: Final = {"practice": BINANCE, "binance": BINANCE}  # venue module -> whose symbols
NEAREST_MAX: Final = 3
QUOTE: Final = "USDT"  # of a word that names none


class VenueSymbol(NamedTuple):
    """An instrument as its venue calls it."""

    venue: str
    symbol: str
    is_front_month: bool = False  # a root: the contract is chosen by date


class UnknownSymbolError(ValueError):
    """A word names no instrument of the venue; the message is one sentence with nearest names."""


# The venue's base asset by every word for it. A base that is not here is named by its full symbol.
_BASES: Final[dict[str, tuple[str, ...]]] = {
    "BTC": ("XBT", "BITCOIN"),
    "ETH": ("ETHER", "ETHEREUM"),
    "BNB": (),
    "SOL": ("SOLANA",),
    "XRP": ("RIPPLE",),
    "DOGE": ("XDG", "DOGECOIN"),
    "ADA": ("CARDANO",),
    "AVAX": ("AVALANCHE",),
    "LINK": ("CHAINLINK",),
    "DOT": ("POLKADOT",),
    "LTC": ("LITECOIN",),
    "BCH": ("BITCOINCASH",),
    "TRX": ("TRON",),
    "UNI": ("UNISWAP",),
    "NEAR": (),
    "SUI": (),
    "FIL": ("FILECOIN",),
    "ETC": (),
    "ATOM": ("COSMOS",),
    "APT": ("APTOS",),
    "ARB": ("ARBITRUM",),
    "OP": ("OPTIMISM",),
    "AAVE": (),
    "XLM": ("STELLAR",),
    # Too cheap for a price of their own: listed by the thousand.
    "1000PEPE": ("PEPE", "KPEPE"),
    "1000SHIB": ("SHIB", "KSHIB"),
    "1000BONK": ("BONK", "KBONK"),
    "1000FLOKI": ("FLOKI", "KFLOKI"),
    "1000LUNC": ("LUNC", "KLUNC"),
    "1000SATS": ("SATS",),
}
# Futures roots by every word for their front month.
_ROOTS: Final[dict[str, tuple[str, ...]]] = {
    "ES": ("ES1!", "ES=F"),
    "NQ": ("NQ1!", "NQ=F"),
    "6B": ("6B1!", "GBPUSD"),
    "6E": ("6E1!", "EURUSD"),
    "6A": ("6A1!", "AUDUSD"),
    "GC": ("GC1!", "GC=F", "XAUUSD"),
}
_BASE_OF: Final = {word: base for base, words in _BASES.items() for word in (base, *words)}
_ROOT_OF: Final = {word: root for root, words in _ROOTS.items() for word in (root, *words)}

# BTC-USDT, BTC/USDT:USDT, BTC_USDT; BINANCE: in front, .P, -PERP or a delivery day behind.
_BEFORE: Final = re.compile(r"^BINANCE:")
_BEHIND: Final = re.compile(r"(?:\.P|-PERP|[-/]SWAP)$")
_PAIR: Final = re.compile(r"^([^\W_]+?)[-/_]?(USDT|USDC)(?::\2)?(_\d{6})?$")
_OTHER_QUOTES: Final = {"ETHBTC": "ETHBTC", "ETH/BTC": "ETHBTC", "ETH-BTC": "ETHBTC"}


def resolve(word: str, venue: str) -> VenueSymbol:
    """Return the instrument of a venue that a word names.

    Args:
        word: as a user wrote it.
        venue: venue module that is to trade it; `practice` trades Binance's symbols.

    Raises:
        UnknownSymbolError: none, or one of another venue.
    """
    market = MARKET_OF.get(venue, venue)
    found = _of_word(word.strip().upper())
    if found is None:
        raise UnknownSymbolError(f"{word!r} is no symbol known here; nearest: {nearest(word)}")
    if found.venue != market:
        raise UnknownSymbolError(
            f"{word!r} is {found.symbol} of {found.venue}, which venue {venue!r} does not trade; "
            f"nearest there: {nearest(word, market)}"
        )
    return found


def resolve_all(words: Sequence[str], venue: str) -> tuple[str, ...]:
    """Return the venue's symbols of several words in their order, each once.

    Raises:
        UnknownSymbolError: for the first word that names none.
    """
    return tuple(dict.fromkeys(resolve(word, venue).symbol for word in words))


def nearest(word: str, market: str = "") -> str:
    """Return the known words most alike, as a list to read."""
    known = {BINANCE: sorted(_BASE_OF), CME: sorted(_ROOT_OF)}
    words = known.get(market) or [name for names in known.values() for name in names]
    text = word.strip().upper()
    alike = difflib.get_close_matches(text, words, NEAREST_MAX, cutoff=0.0)
    return ", ".join(alike)


def _of_word(text: str) -> VenueSymbol | None:
    if text in _ROOT_OF:
        return VenueSymbol(CME, _ROOT_OF[text], is_front_month=True)
    symbol = _pair(text)
    return VenueSymbol(BINANCE, symbol) if symbol else None


def _pair(text: str) -> str:
    text = _BEHIND.sub("", _BEFORE.sub("", text))
    if text in _BASE_OF:
        return _BASE_OF[text] + QUOTE
    found = _PAIR.match(text)
    if found is not None:
        base, quote, day = found.groups()
        return f"{_BASE_OF.get(base, base)}{quote}{day or ''}"
    return _OTHER_QUOTES.get(text, "")
