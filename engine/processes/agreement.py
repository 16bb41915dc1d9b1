"""Do our books and the exchange's agree? Compared by id and exact integer, after a run.

        /practice/ledger  ->  decimal strings  ->  ticks, lots, 1e-8  --.
        journal files     ->  tables in memory  -----------------------> same ids, same integers?

Our side is rebuilt from the journal files alone, never from what the engine still has in memory or
in its database. Positions and wallet must be what our fills explain: taking over by an adjustment
what somebody else did keeps the engine safe, but is no agreement, unless the exchange itself says
that it was no trade (a position set by hand, a transfer). Whatever cannot be read is
disagreement, and so is nothing to compare. What the exchange did for this account before we first
saw it is not ours to know: it is left out by the venue time of the opening balance, or a lower one
where that clock was set back since. That time is our estimate, off by as much as an answer took;
orders that we sent are later than it whatever their stamps say, and so are fills whose numbers are
above those of later ones.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from engine.domain.codes import OrderStatus, OrderType, Side
from engine.domain.instrument_row import Instrument, Rounding, grid_count
from engine.processes.agreement_books import Books
from engine.store.errors import StoreError
from engine.store.event_names import NET

DIFFERENCES_MAX: Final = 200  # listed; more are counted
NS_PER_MS: Final = 1_000_000
TRANSFER: Final = "TRANSFER"
KINDS: Final = ("orders", "fills", "positions", "balances")


class Agreement(NamedTuple):
    """The answer, how much it rests on, and what differs."""

    agrees: bool
    compared: dict[str, int]
    differences: list[str]


class LedgerError(Exception):
    """The ledger is not one; the message names the field."""


def compare(ledger: Mapping[str, Any], session_directory: Path) -> Agreement:
    """Compare an account's ledger with the journals of a session and those before it.

    Args:
        ledger: `/practice/ledger` of the practice exchange.
        session_directory: `<state directory>/journal/<session_id>`.
    """
    compared = dict.fromkeys(KINDS, 0)
    try:
        books = Books(session_directory.parent.parent)
        differences = [
            *_orders(ledger, books, compared),
            *_fills(ledger, books, compared),
            *_positions(ledger, books, compared),
            *_balances(ledger, books, compared),
            *books.problems,
        ]
    except (StoreError, LedgerError) as error:
        return Agreement(agrees=False, compared=compared, differences=[str(error)])
    if not any(compared.values()):
        differences.append("nothing was compared")
    agrees = not differences
    if len(differences) > DIFFERENCES_MAX:
        rest = len(differences) - DIFFERENCES_MAX
        differences = [*differences[:DIFFERENCES_MAX], f"and {rest} more"]
    return Agreement(agrees, compared, differences)


def _orders(ledger: Mapping[str, Any], books: Books, compared: dict[str, int]) -> Iterator[str]:
    known = set()
    for row in _rows(ledger, "orders"):
        client_order_id = _text(row, "clientOrderId")
        # Ours are unique by their id; what others name, and the venue itself, may repeat.
        key = (client_order_id, 0)
        if key not in books.orders:
            key = (client_order_id, _whole(row, "orderId"))
        known.add(key)
        if _time_ns(row, "updateTime") <= books.opened_ns:
            continue  # of its fills we may have been told, of the order itself never
        ours = books.orders.get(key)
        if ours is None:
            yield f"order {client_order_id}: the exchange has it, the journal does not"
            continue
        compared["orders"] += 1
        instrument = _instrument(books, row)
        theirs = (
            instrument.symbol,
            int(Side[_text(row, "side")]),
            _lots(instrument, row, "origQty"),
            _lots(instrument, row, "executedQty"),
            _ticks(instrument, row, "price"),
            _status(row),
        )
        names = ("instrument", "side", "quantity", "filled quantity", "price", "status")
        if ours[7] >= OrderType.STOP_MARKET:
            theirs = (*theirs[:4], ours[4], theirs[5])  # ours waited for a price, it had none
        yield from _fields(f"order {client_order_id}", names, ours[:6], theirs)
        if ours[6] != theirs[3]:
            yield (
                f"order {client_order_id}: fills in the journal sum to {ours[6]} lots, "
                f"the exchange says {theirs[3]}"
            )
    known |= yield from _waiting(ledger, books, compared)
    for key, cells in books.orders.items():
        # What the venue rejected it does not keep.
        if key not in known and cells[5] != OrderStatus.REJECTED:
            status = OrderStatus(cells[5]).name
            yield f"order {key[0]}: {status} in the journal, unknown to the exchange"


def _waiting(
    ledger: Mapping[str, Any], books: Books, compared: dict[str, int]
) -> Generator[str, None, set[tuple[str, int]]]:
    """Compare conditional orders of ours that never became an order; return the keys of all."""
    known = set()
    for row in _rows(ledger, "algoOrders"):
        key = (_text(row, "clientAlgoId"), 0)
        known.add(key)
        ours = books.orders.get(key)
        if ours is None or _text(row, "actualOrderId"):
            continue  # somebody else's, or compared as the order that it became
        compared["orders"] += 1
        instrument = _instrument(books, row)
        trails = ours[7] == OrderType.TRAILING_STOP_MARKET  # by a rate: no price to compare
        theirs = (
            instrument.symbol,
            int(Side[_text(row, "side")]),
            _lots(instrument, row, "quantity"),
            0,
            ours[4] if trails else _ticks(instrument, row, "triggerPrice"),
            int(OrderStatus[_text(row, "algoStatus")]),
        )
        names = ("instrument", "side", "quantity", "filled quantity", "trigger price", "status")
        yield from _fields(f"conditional order {key[0]}", names, ours[:6], theirs)
    return known


def _fills(ledger: Mapping[str, Any], books: Books, compared: dict[str, int]) -> Iterator[str]:
    known = set()
    for row in _rows(ledger, "trades"):
        instrument = _instrument(books, row)
        key = (instrument.symbol, _whole(row, "id"))
        ours = books.fills.get(key)
        if ours is None:
            if _time_ns(row, "time") > books.opened_ns:
                yield f"fill {key[0]} {key[1]}: the exchange has it, the journal does not"
            continue
        known.add(key)
        compared["fills"] += 1
        theirs = (
            int(Side[_text(row, "side")]),
            _lots(instrument, row, "qty"),
            _ticks(instrument, row, "price"),
            _money(row, "commission"),
            _money(row, "realizedPnl"),
        )
        names = ("side", "quantity", "price", "fee", "realised PnL")
        yield from _fields(f"fill {key[0]} {key[1]}", names, ours, theirs)
    for symbol, trade_id in books.fills.keys() - known:
        yield f"fill {symbol} {trade_id}: in the journal, unknown to the exchange"


def _positions(ledger: Mapping[str, Any], books: Books, compared: dict[str, int]) -> Iterator[str]:
    net = {symbol: lots for symbol, strategy, lots in books.positions if strategy == NET}
    columns: dict[Any, int] = dict.fromkeys(net, 0)
    for symbol, strategy, lots in books.positions:
        if strategy != NET:
            columns[symbol] = columns.get(symbol, 0) + int(lots or 0)
    theirs: dict[Any, int] = {}
    for row in _rows(ledger, "positions"):
        instrument = _instrument(books, row)
        theirs[instrument.symbol] = _lots(instrument, row, "positionAmt")
    by_hand = _by_hand(ledger, books)
    for symbol in sorted({*net, *theirs, *columns}, key=str):
        compared["positions"] += 1
        ours = int(net.get(symbol) or 0)
        if ours != theirs.get(symbol, 0):
            yield (
                f"position {symbol}: {ours} lots in the journal, "
                f"{theirs.get(symbol, 0)} at the exchange"
            )
        if columns.get(symbol, 0) != ours:
            yield f"position {symbol}: columns sum to {columns.get(symbol, 0)} lots, net is {ours}"
        explained = books.explained.get(symbol, 0) + by_hand.get(symbol, 0)
        if explained != theirs.get(symbol, 0):
            yield (
                f"position {symbol}: fills in the journal explain {explained} lots, "
                f"{theirs.get(symbol, 0)} are at the exchange"
            )


def _by_hand(ledger: Mapping[str, Any], books: Books) -> dict[Any, int]:
    """Return the lots per instrument that came without a trade since it was first seen."""
    lots: dict[Any, int] = {}
    for row in _rows(ledger, "byHand"):
        instrument = _instrument(books, row)
        seen_ns = books.covered_ns.get(instrument.symbol, books.opened_ns)
        if _time_ns(row, "time") > seen_ns:
            change = _lots(instrument, row, "qty")
            lots[instrument.symbol] = lots.get(instrument.symbol, 0) + change
    return lots


def _transfers(ledger: Mapping[str, Any], books: Books, asset: str) -> int:
    """Return what was paid in and out of a wallet since its opening balance, 1e-8."""
    return sum(
        _money(row, "income")
        for row in _rows(ledger, "income")
        if (row.get("incomeType"), row.get("asset")) == (TRANSFER, asset)
        and _time_ns(row, "time") > books.opened_ns
    )


def _balances(ledger: Mapping[str, Any], books: Books, compared: dict[str, int]) -> Iterator[str]:
    for row in _rows(ledger, "balances"):
        asset = _text(row, "asset")
        theirs = _money(row, "walletBalance")
        cells = books.wallets.get(asset)
        if cells is None or cells[0] is None:
            yield f"balance {asset}: the journal never learned it"
            continue
        compared["balances"] += 1
        if cells[0] != theirs:
            yield f"balance {asset}: {cells[0]} e8 in the journal, {theirs} e8 at the exchange"
        explained = books.explained_e8 + _transfers(ledger, books, asset)
        if explained != theirs:
            yield f"balance {asset}: fills explain {explained} e8, {theirs} e8 are at the exchange"


def _fields(
    what: str, names: tuple[str, ...], ours: tuple[Any, ...], theirs: tuple[Any, ...]
) -> Iterator[str]:
    for name, our, their in zip(names, ours, theirs, strict=True):
        if our != their:
            yield f"{what}: {name} is {our} in the journal, {their} at the exchange"


def _rows(ledger: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    rows = ledger.get(name)
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise LedgerError(f"the ledger has no list of {name}")
    return rows


def _text(row: Mapping[str, Any], name: str) -> str:
    found = row.get(name)
    if not isinstance(found, str):
        raise LedgerError(f"the ledger's {name} is {found!r}")
    return found


def _whole(row: Mapping[str, Any], name: str) -> int:
    found = row.get(name)
    if not isinstance(found, int) or isinstance(found, bool):
        raise LedgerError(f"the ledger's {name} is {found!r}")
    return found


def _time_ns(row: Mapping[str, Any], name: str) -> int:
    return _whole(row, name) * NS_PER_MS


def _instrument(books: Books, row: Mapping[str, Any]) -> Instrument:
    symbol = _text(row, "symbol")
    found = books.instruments.get(symbol)
    if found is None:
        raise LedgerError(f"the exchange knows {symbol}, the journal does not")
    return found


def _lots(instrument: Instrument, row: Mapping[str, Any], name: str) -> int:
    lots = instrument.qty_lots(_text(row, name))
    if lots is None:
        raise LedgerError(f"{instrument.symbol}: {name} {row[name]!r} is off the lot")
    return lots


def _ticks(instrument: Instrument, row: Mapping[str, Any], name: str) -> int:
    ticks = instrument.price_ticks(_text(row, name))
    if ticks is None:
        raise LedgerError(f"{instrument.symbol}: {name} {row[name]!r} is off the tick")
    return ticks


def _money(row: Mapping[str, Any], name: str) -> int:
    amount = grid_count(_text(row, name), 1, 8, Rounding.EXACT)
    if amount is None:
        raise LedgerError(f"the ledger's {name} {row[name]!r} is no amount")
    return amount


def _status(row: Mapping[str, Any]) -> int:
    name = _text(row, "status").removesuffix("_IN_MATCH")
    if name not in OrderStatus.__members__:
        raise LedgerError(f"the ledger's status is {name!r}")
    return int(OrderStatus[name])
