"""The ledger as people read it: by strategy, instrument and account, what is open, how it went.

Money is exact, in decimals of the account's currency. What is open is valued at a mid that the
caller brings; without one it is not valued, and neither is equity. No numpy: main reads this.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from engine.domain.instrument_row import decimal_text
from engine.store.database import Database
from engine.store.ledger import Ledger, Result
from engine.store.queries import NET, time_text

CURVE_POINTS_MAX: Final = 500
MONEY_DIGITS: Final = 8
_HOLDINGS: Final = """
    SELECT p.instrument, p.strategy, p.lots, p.cost_e8, i.tick_scaled, i.price_exponent,
           i.lot_scaled, i.qty_exponent, i.unit_e8
    FROM positions p JOIN instruments i
      ON i.state_key = p.state_key AND i.instrument = p.instrument
    WHERE p.state_key = ? AND p.strategy <> ? AND p.lots <> 0
    ORDER BY p.instrument, p.strategy"""
_ASSET: Final = "SELECT asset FROM balances WHERE state_key = ? ORDER BY asset"
Fields = dict[str, Any]
Mids = Mapping[str, Decimal]


class Holding(NamedTuple):
    """What one strategy holds of one instrument; cost is signed as its lots are."""

    instrument: str
    strategy: str
    lots: int
    cost_e8: int
    tick_scaled: int
    price_exponent: int
    lot_scaled: int
    qty_exponent: int
    unit_e8: int

    @property
    def quantity(self) -> str:
        """Return how much is held, as a decimal."""
        return decimal_text(self.lots * self.lot_scaled, self.qty_exponent)

    def unrealised_e8(self, mid: Decimal) -> int:
        """Return what closing at a price would realise, 1e-8, to the nearest."""
        ticks = mid.scaleb(self.price_exponent) / self.tick_scaled
        return round(ticks * self.lots * self.unit_e8) - self.cost_e8


def holdings(database: Database, state_key: str) -> list[Holding]:
    """Return what the strategies of an account hold.

    Raises:
        ProjectionError: the database cannot be read.
    """
    return [Holding._make(row) for row in database.query(_HOLDINGS, (state_key, NET))]


def ledger_document(database: Database, state_key: str, mids: Mids) -> Fields:
    """Return the whole ledger of an account as plain values.

    Args:
        database: projected.
        state_key: VENUE-ACCOUNT-MODE.
        mids: by instrument; one that is held and has none leaves what is open without a value.

    Raises:
        ProjectionError: the database cannot be read.
    """
    ledger = Ledger(database, state_key)
    problems, totals = ledger.problems(), ledger.totals()
    assets = database.query(_ASSET, (state_key,))
    held = holdings(database, state_key)
    worth = {
        (row.instrument, row.strategy): row.unrealised_e8(mids[row.instrument])
        for row in held
        if row.instrument in mids
    }
    open_e8 = sum(worth.values()) if len(worth) == len(held) else None
    wallet_e8 = totals.get("WALLET", 0)
    curve = thinned(ledger.wallet_curve())
    results = ledger.results()
    return {
        "account": state_key,
        "currency": assets[0][0] if assets else "",
        "sums_to_zero": not problems and sum(totals.values()) == 0,
        "problems": problems,
        "accounts": {name: money(amount) for name, amount in sorted(totals.items())},
        "rows": _rows(results, held, worth),
        "by_strategy": _grouped(results, lambda row: row.strategy),
        "by_instrument": _grouped(results, lambda row: row.instrument),
        "wallet": money(wallet_e8),
        "unrealised": None if open_e8 is None else money(open_e8),
        "equity": None if open_e8 is None else money(wallet_e8 + open_e8),
        "curve": [[time_text(time_ns), money(amount)] for time_ns, amount in curve],
    }


def money(amount_e8: int) -> str:
    """Return an amount of 1e-8 as a decimal."""
    return decimal_text(amount_e8, MONEY_DIGITS)


def thinned(curve: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return at most CURVE_POINTS_MAX points of a curve: its last, and others evenly."""
    step = -(-len(curve) // CURVE_POINTS_MAX) or 1
    return list(curve[::-1][::step][::-1])


def _rows(
    results: Iterable[Result], held: Iterable[Holding], worth: Mapping[tuple[str, str], int]
) -> list[Fields]:
    made = {(row.instrument, row.strategy): row for row in results}
    quantities = {(row.instrument, row.strategy): row.quantity for row in held}
    return [
        {
            "instrument": key[0],
            "strategy": key[1],
            "quantity": quantities.get(key, "0"),
            **_sums([made[key]] if key in made else []),
            "unrealised": money(worth[key]) if key in worth else None,
        }
        for key in sorted(made.keys() | quantities.keys())
    ]


def _grouped(results: Iterable[Result], name: Callable[[Result], str]) -> list[Fields]:
    groups: dict[str, list[Result]] = defaultdict(list)
    for row in results:
        groups[name(row)].append(row)
    return [{"name": key, **_sums(rows)} for key, rows in sorted(groups.items())]


def _sums(rows: Sequence[Result]) -> Fields:
    return {
        "realised": money(sum(row.realised_e8 for row in rows)),
        "fees": money(sum(row.fees_e8 for row in rows)),
        "funding": money(sum(row.funding_e8 for row in rows)),
        "net": money(sum(row.net_e8 for row in rows)),
    }
