"""What exchangeInfo says about a symbol beside its filters, and symbols that only stand there.

The variants are what a discovery must pass over: contracts that expire, other quote assets,
statuses other than TRADING, the other product family. They trade nothing here; what they claim to
have traded yesterday is more than any real market's, so that a ranking that lets one through shows.
"""

from __future__ import annotations

from dataclasses import dataclass

from exchange.symbols import MONEY_SCALE, SymbolSpec, known_spec, spec_for

TRADING = "TRADING"
PERPETUAL = "PERPETUAL"
USD_M = 1
COIN_M = 2
STATUSES = frozenset(
    {
        "PENDING_TRADING", TRADING, "PRE_DELIVERING", "DELIVERING", "DELIVERED", "PRE_SETTLE",
        "SETTLING", "CLOSE",
    }
)  # fmt: skip
PERPETUAL_DELIVERY_MS = 4_133_404_800_000  # the year 2100
VARIANT_QUOTE_VOLUME = 10**12 * MONEY_SCALE


@dataclass(frozen=True, slots=True)
class Yesterday:
    """A day's trading before this market began to play; money in 1e-8 USDT."""

    price: int = 0
    qty: int = 0
    quote: int = 0
    count: int = 0


@dataclass(slots=True)
class Listing:
    """One row of exchangeInfo."""

    spec: SymbolSpec
    base: str
    quote: str
    pair: str = ""
    margin: str = ""
    contract_type: str = PERPETUAL
    status: str = TRADING
    family: int = 0  # 0: the key `st` is not sent
    delivery_ms: int = PERPETUAL_DELIVERY_MS
    listed: bool = True
    yesterday: Yesterday = Yesterday()


def perpetual(spec: SymbolSpec) -> Listing:
    """Return the listing of a perpetual contract that trades."""
    base = spec.symbol
    for quote in ("USDT", "USDC", "BTC"):
        if spec.symbol.endswith(quote) and spec.symbol != quote:
            base = spec.symbol.removesuffix(quote)
            break
    quote = spec.symbol[len(base) :]
    return Listing(spec, base, quote, pair=spec.symbol, margin=quote)


def busy_yesterday(spec: SymbolSpec, price: int, quote: int) -> Yesterday:
    """Return a day of so much money at one price."""
    factor = price * spec.money_factor
    qty = quote // factor if factor else 0
    return Yesterday(price, qty, qty * factor, max(1, qty))


# symbol, base, quote, pair, margin, contract type, status, product family, delivery
_ROWS: tuple[tuple[str, str, str, str, str, str, str, int, int], ...] = (
    ("BTCUSDT_270326", "BTC", "USDT", "BTCUSDT", "USDT", "CURRENT_QUARTER", TRADING, 1, 1),
    ("BTCUSDT_270625", "BTC", "USDT", "BTCUSDT", "USDT", "NEXT_QUARTER", TRADING, 1, 2),
    ("ETHUSDT_270326", "ETH", "USDT", "ETHUSDT", "USDT", "CURRENT_QUARTER", TRADING, 1, 1),
    ("BTCUSDC", "BTC", "USDC", "BTCUSDC", "USDC", PERPETUAL, TRADING, 1, 0),
    ("ETHBTC", "ETH", "BTC", "ETHBTC", "BTC", PERPETUAL, TRADING, 1, 0),
    ("TSLAUSDT", "TSLA", "USDT", "TSLAUSDT", "USDT", "TRADIFI_PERPETUAL", TRADING, 1, 0),
    ("SOONUSDT", "SOON", "USDT", "SOONUSDT", "USDT", PERPETUAL, "PENDING_TRADING", 1, 0),
    ("SETTLEUSDT", "SETTLE", "USDT", "SETTLEUSDT", "USDT", PERPETUAL, "SETTLING", 1, 0),
    ("GONEUSDT", "GONE", "USDT", "GONEUSDT", "USDT", PERPETUAL, "CLOSE", 1, 0),
    ("BTCUSD_PERP", "BTC", "USD", "BTCUSD", "BTC", PERPETUAL, TRADING, 2, 0),
    ("LIKEUSDT", "LIKE", "USDT", "LIKEUSDT", "USDT", PERPETUAL, TRADING, 2, 0),
)
_DELIVERIES_MS = (PERPETUAL_DELIVERY_MS, 1_806_048_000_000, 1_813_910_400_000)


def variants() -> list[Listing]:
    """Return the symbols that only stand in exchangeInfo, with yesterdays nobody reaches."""
    found: list[Listing] = []
    for symbol, base, quote, pair, margin, contract, status, family, delivery in _ROWS:
        known = known_spec(symbol)
        spec = known or spec_for(symbol, price_decimals=2, qty_decimals=3, tick=10)
        yesterday = busy_yesterday(spec, 60_000_00, VARIANT_QUOTE_VOLUME)
        found.append(
            Listing(
                spec, base, quote, pair, margin, contract, status, family,
                _DELIVERIES_MS[delivery], yesterday=yesterday,
            )
        )  # fmt: skip
    return found
