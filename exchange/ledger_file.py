"""Accounts across restarts of the exchange: written when it stops, read when it starts.

Open orders come back at the end of the queue: whoever was ahead before is unknown, so everybody
displayed at their price is. A file is replaced whole, never written in place.
"""

from __future__ import annotations

import os
from contextlib import suppress
from errno import EISDIR
from pathlib import Path
from typing import Any

import orjson

from exchange.account import Account, Position
from exchange.errors import LedgerFileError
from exchange.orders import Fill, Order
from exchange.venue import Venue

VERSION = 1
EVERYBODY_AHEAD = 2**62  # shrinks to the displayed quantity with the first quote or diff

_ORDER_FIELDS = (
    "order_id", "client_order_id", "side", "order_type", "time_in_force", "price", "qty",
    "reduce_only", "created_ms", "updated_ms", "status", "cum_qty", "cum_quote",
    "good_till_ms", "amendments",
)  # fmt: skip
_FILL_FIELDS = ("price", "qty", "maker", "fee", "realised", "time_ms", "burned")


def save(path: Path, venue: Venue) -> None:
    """Write all accounts of a venue; what was there stays when that fails.

    Raises:
        LedgerFileError: when the file cannot be written.
    """
    document = {
        "version": VERSION,
        "last_order_id": venue.last_order_id,
        "last_trade_id": venue.last_trade_id,
        "accounts": [
            _account_document(account) | {"algo_orders": venue.algo_desk.rows(account)}
            for account in venue.accounts.values()
        ],
    }
    part = _part_of(path)
    try:
        with part.open("wb") as file:
            file.write(orjson.dumps(document))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as fault:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise LedgerFileError(f"{path}: cannot be written ({fault.strerror})") from fault


def check_writable(path: Path) -> None:
    """Find out before anybody trades whether the ledger can be kept.

    Raises:
        LedgerFileError: when the file could not be written now.
    """
    part = _part_of(path)
    try:
        if path.is_dir():
            raise IsADirectoryError(EISDIR, os.strerror(EISDIR))
        part.open("wb").close()
        part.unlink()
    except OSError as fault:
        raise LedgerFileError(f"{path}: cannot be written ({fault.strerror})") from fault


def _part_of(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _account_document(account: Account) -> dict[str, object]:
    return {
        "key": account.key,
        "deposit": account.deposit,
        "wallet": account.wallet,
        "adjustments": account.adjustments,
        "leverage": account.leverage,
        "margin_type": account.margin_type,
        "fee_burn": account.fee_burn,
        "positions": {
            symbol: [p.qty, p.cost, p.realised, p.fees, p.updated_ms]
            for symbol, p in account.positions.items()
        },
        "orders": [
            {"symbol": order.spec.symbol, **{n: getattr(order, n) for n in _ORDER_FIELDS}}
            for order in account.orders.values()
        ],
        "fills": [
            [f.trade_id, f.order.order_id, *(getattr(f, name) for name in _FILL_FIELDS)]
            for f in account.fills
            if f.order.order_id in account.orders  # the oldest orders of long runs are forgotten
        ],
        "income": account.income,
        "by_hand": account.by_hand,
    }


def load(path: Path, venue: Venue) -> bool:
    """Read accounts into a venue that has the same keys and symbols; False without a file.

    Raises:
        LedgerFileError: when the file is not one, or names a symbol this market does not list.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return False
    except OSError as fault:
        raise LedgerFileError(f"{path}: cannot be read ({fault.strerror})") from fault
    try:
        document = orjson.loads(text)
        if document["version"] != VERSION:
            raise LedgerFileError(f"{path}: version {document['version']} is not {VERSION}")
        for part in document["accounts"]:
            account = venue.accounts.get(part["key"])
            if account is not None:
                _restore(venue, account, part)
        venue.last_order_id = int(document["last_order_id"])
        venue.last_trade_id = int(document["last_trade_id"])
    except (orjson.JSONDecodeError, LookupError, TypeError, ValueError) as fault:
        raise LedgerFileError(f"{path}: not a ledger of this market ({fault!r})") from fault
    return True


def _restore(venue: Venue, account: Account, part: dict[str, Any]) -> None:
    account.deposit = part["deposit"]
    account.wallet = part["wallet"]
    account.adjustments = part["adjustments"]
    account.leverage = part["leverage"]
    account.margin_type = part["margin_type"]
    account.fee_burn = part.get("fee_burn", False)
    account.income = part["income"]
    account.by_hand = [tuple(row) for row in part.get("by_hand", [])]
    for symbol, numbers in part["positions"].items():
        account.positions[symbol] = Position(venue.markets[symbol].spec, *numbers)
    for row in part["orders"]:
        market = venue.markets[row.pop("symbol")]
        order = Order(spec=market.spec, account_key=account.key, **row)
        account.orders[order.order_id] = order
        account.last_by_client_id[order.client_order_id] = order
        if order.is_open:
            account.open_orders[order.order_id] = order
            account.open_by_client_id[order.client_order_id] = order
            order.ahead_qty = EVERYBODY_AHEAD
            market.resting.append(order)
    venue.algo_desk.restore(account, part.get("algo_orders", []))
    for trade_id, order_id, *rest in part["fills"]:
        account.fills.append(Fill(trade_id, account.orders[order_id], *rest))
