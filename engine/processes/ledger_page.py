"""The ledger for the API and the command line: the account's database, and mids of what is held."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from engine import exit_codes
from engine.cli_views import table
from engine.processes.projected import open_projected
from engine.store.errors import ProjectionError
from engine.store.ledger_view import Holding, holdings, ledger_document
from engine.store.sqlite import DATABASE_NAME, SqliteDatabase

ASKED_MAX: Final = 64  # books asked of the feed for one page
OK: Final = 200
BOOKED: Final = (
    "realised is what the venue books: average cost over the whole account; `aegis report` has "
    "what each strategy's own positions made"
)
SUMS: Final = ("realised", "fees", "funding", "net")
ROW_COLUMNS: Final = ("instrument", "strategy", "quantity", *SUMS, "unrealised")
ACCOUNT_COLUMNS: Final = ("account", "wallet", "net", "sums_to_zero")
Book = Callable[[str, int], tuple[int, dict[str, Any]]]


def account_ledger(state_dir: Path, book: Book) -> dict[str, Any]:
    """Return the ledger of a running engine's account.

    Args:
        state_dir: of the account.
        book: asks a whole book: symbol, levels; answers a status and the book.

    Raises:
        ProjectionError: the database is not there yet, or cannot be read now.
    """
    database = SqliteDatabase(state_dir / DATABASE_NAME, read_only=True)
    try:
        held = holdings(database, state_dir.name)
        return ledger_document(database, state_dir.name, _mids(held, book))
    finally:
        database.close()


def ledger_command(home: Path, state: str | None, *, as_json: bool) -> int:
    """Print an account's ledger and, beside it, every account's sums; return the exit code.

    0: everything sums to zero; 4: the books do not balance; 3: there is no ledger.
    """
    try:
        with open_projected(home, state) as (database, folder):
            document = ledger_document(database, folder.name, {})
        accounts = [_account(home, path.parent.name) for path in _databases(home)]
    except ProjectionError as error:
        return exit_codes.fail(str(error), exit_codes.ENVIRONMENT)
    text = ledger_text(document, accounts)
    print(json.dumps({**document, "all_accounts": accounts}) if as_json else text)  # noqa: T201
    return exit_codes.DONE if document["sums_to_zero"] else exit_codes.HALTED


def ledger_text(document: dict[str, Any], accounts: Sequence[dict[str, Any]]) -> str:
    """Return the readable form of a ledger."""
    sums = "sums to zero" if document["sums_to_zero"] else "DOES NOT BALANCE"
    open_text = document["unrealised"] or "not valued: no engine was asked for prices"
    lines = [
        f"{document['account']}: {sums}",
        f"wallet      {document['wallet']} {document['currency']}",
        f"open        {open_text}",
        *(f"{name.lower():<11} {amount}" for name, amount in document["accounts"].items()),
        *document["problems"],
        BOOKED,
    ]
    for title, rows, columns in (
        ("by strategy and instrument", document["rows"], ROW_COLUMNS),
        ("by strategy", document["by_strategy"], ("name", *SUMS)),
        ("by instrument", document["by_instrument"], ("name", *SUMS)),
        ("by account", accounts, ACCOUNT_COLUMNS),
    ):
        lines += ["", title, *(table(rows, columns) if rows else ["  none"])]
    return "\n".join(lines)


def _mids(held: Sequence[Holding], book: Book) -> dict[str, Decimal]:
    mids: dict[str, Decimal] = {}
    for symbol in sorted({row.instrument for row in held})[:ASKED_MAX]:
        status, found = book(symbol, 1)
        if status == OK and found.get("bids") and found.get("asks"):
            mids[symbol] = (Decimal(found["bids"][0][0]) + Decimal(found["asks"][0][0])) / 2
    return mids


def _databases(home: Path) -> list[Path]:
    return sorted((home / "state").glob(f"*/{DATABASE_NAME}"))


def _account(home: Path, name: str) -> dict[str, Any]:
    with open_projected(home, name) as (database, folder):
        document = ledger_document(database, folder.name, {})
    net = sum((Decimal(row["net"]) for row in document["by_strategy"]), Decimal(0))
    return {**{column: document.get(column) for column in ACCOUNT_COLUMNS}, "net": str(net)}
