"""Entries of the double-entry ledger, each as postings that sum to zero.

        fill        WALLET + realised - fee     FEES + fee       TRADING - realised
        funding     WALLET + amount             FUNDING - amount
        cash        WALLET + change             ADJUSTMENT - change: the venue's word, no reason
        opening     WALLET + balance            OPENING - balance

A fill that came after an adjustment had taken its money over is posted against ADJUSTMENT: it says
what that change was. Realised money is the venue's, average cost over the whole account; by
strategy see `fills.realised_pnl_e8`. Nothing here rounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING

from engine.store.tables import Cells

if TYPE_CHECKING:
    from engine.store.event_names import Event, EventNames  # numpy, which main must not import


class LedgerAccount(StrEnum):
    """Accounts of the ledger; money that came in is negative on all but WALLET."""

    WALLET = "WALLET"
    TRADING = "TRADING"
    FEES = "FEES"
    FUNDING = "FUNDING"
    ADJUSTMENT = "ADJUSTMENT"
    OPENING = "OPENING"


def post_fill(
    names: EventNames, event: Event, strategy: str, *, is_taken_over: bool
) -> list[Cells]:
    """Return the postings of a fill; `is_taken_over`: an adjustment has its money already."""
    realised, fee = int(event["venue_realised_pnl_e8"]), int(event["fee_e8"])
    receiver = LedgerAccount.ADJUSTMENT if is_taken_over else LedgerAccount.WALLET
    amounts = {
        receiver: realised - fee,
        LedgerAccount.FEES: fee,
        LedgerAccount.TRADING: -realised,
    }
    number = int(event["trade_id"])
    return _posted(names, event, f"fill-{names.instrument(event)}-{number}", strategy, amounts)


def post_funding(names: EventNames, event: Event) -> list[Cells]:
    """Return the postings of a funding payment that was applied."""
    amount = int(event["funding_e8"])
    amounts = {LedgerAccount.WALLET: amount, LedgerAccount.FUNDING: -amount}
    number = int(event["trade_id"])
    return _posted(names, event, f"funding-{names.instrument(event)}-{number}", "", amounts)


def post_cash(
    names: EventNames, event: Event, sequence: int, change_e8: int, reason: LedgerAccount
) -> list[Cells]:
    """Return the postings of a change of the wallet that no trade explains."""
    amounts = {LedgerAccount.WALLET: change_e8, reason: -change_e8}
    return _posted(names, event, f"cash-{names.document.session_id}-{sequence}", "", amounts)


def _posted(
    names: EventNames,
    event: Event,
    entry_id: str,
    strategy: str,
    amounts: Mapping[LedgerAccount, int],
) -> list[Cells]:
    assert sum(amounts.values()) == 0, amounts
    shared: Cells = {
        "state_key": names.document.state_key,
        "entry_id": entry_id,
        "instrument": names.instrument(event),
        "strategy": strategy,
        "session_id": names.document.session_id,
        "venue_time_ns": int(event["venue_time_ns"]),
        "time_ns": names.time_ns(event),
    }
    return [
        {**shared, "account": account.value, "amount_e8": amount}
        for account, amount in amounts.items()
        if amount
    ]
