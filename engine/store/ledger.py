"""What the double-entry ledger says: that it balances, who earned what, and how equity went.

Read from the `postings` of either database; integers of 1e-8 of the quote currency throughout.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from engine.store.database import Database
from engine.store.postings import LedgerAccount

_UNBALANCED: Final = """
    SELECT entry_id, SUM(amount_e8) FROM postings WHERE state_key = ?
    GROUP BY entry_id HAVING SUM(amount_e8) <> 0 ORDER BY entry_id LIMIT 20"""
_TOTALS: Final = """
    SELECT account, SUM(amount_e8) FROM postings WHERE state_key = ? GROUP BY account"""
_WALLET: Final = "SELECT SUM(wallet_e8) FROM balances WHERE state_key = ?"
_RESULTS: Final = """
    SELECT instrument, strategy, account, SUM(amount_e8) FROM postings
    WHERE state_key = ? AND account IN ('TRADING', 'FEES', 'FUNDING')
    GROUP BY instrument, strategy, account ORDER BY instrument, strategy"""
_CURVE: Final = """
    SELECT time_ns, SUM(amount_e8) FROM postings WHERE state_key = ? AND account = 'WALLET'
    GROUP BY time_ns ORDER BY time_ns"""


class Result(NamedTuple):
    """What one strategy made on one instrument, 1e-8."""

    instrument: str
    strategy: str
    realised_e8: int  # by the venue, before fees
    fees_e8: int  # paid > 0
    funding_e8: int  # received > 0

    @property
    def net_e8(self) -> int:
        """Return what is left of it."""
        return self.realised_e8 - self.fees_e8 + self.funding_e8


class Ledger:
    """The ledger of one (venue, account, mode)."""

    def __init__(self, database: Database, state_key: str) -> None:
        """Read from a database that is projected."""
        self._database = database
        self._key = state_key

    def problems(self) -> list[str]:
        """Return what does not balance, each as a sentence; empty: everything does."""
        found = [
            f"ledger entry {entry_id} sums to {int(amount)} e8"
            for entry_id, amount in self._query(_UNBALANCED)
        ]
        balance = self._query(_WALLET)[0][0]
        posted = self.totals().get(LedgerAccount.WALLET, 0)
        if balance is not None and posted != int(balance):
            found.append(f"ledger: {posted} e8 posted to the wallet, the balance is {balance} e8")
        return found

    def totals(self) -> dict[str, int]:
        """Return the sum of each account; all of them sum to zero."""
        return {str(account): int(amount) for account, amount in self._query(_TOTALS)}

    def results(self) -> list[Result]:
        """Return what each strategy made on each instrument."""
        sums: dict[tuple[str, str], dict[str, int]] = {}
        for instrument, strategy, account, amount in self._query(_RESULTS):
            sums.setdefault((instrument, strategy), {})[account] = int(amount)
        return [
            Result(
                *key,
                realised_e8=-found.get(LedgerAccount.TRADING, 0),
                fees_e8=found.get(LedgerAccount.FEES, 0),
                funding_e8=-found.get(LedgerAccount.FUNDING, 0),
            )
            for key, found in sums.items()
        ]

    def wallet_curve(self) -> list[tuple[int, int]]:
        """Return (time, ns; wallet, 1e-8) after each change: equity while nothing is held."""
        curve: list[tuple[int, int]] = []
        wallet = 0
        for time_ns, amount in self._query(_CURVE):
            wallet += int(amount)
            curve.append((int(time_ns), wallet))
        return curve

    def _query(self, statement: str) -> list[tuple[Any, ...]]:
        return self._database.query(statement, (self._key,))
