"""Funding payments as the venue booked them: from its income rows, each under its own number.

The user stream only says that the wallet changed, and in cross margin not for which instrument. So
an event is a reason to ask, and the income rows are what is booked: one FUNDING per instrument and
payment, keyed by the venue's transaction id. Asked for with a picture of the account: at the first
one, after a loss of the stream or an event, when the wallet is another one than in the last picture
(an event can be lost), and now and then.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from engine.domain.codes import EventType
from engine.venues.binance.order_views import NS_PER_MS, AccountReader, money_e8
from engine.venues.order_records import Report

INCOME_PATH: Final = "/fapi/v1/income"
FUNDING_FEE: Final = "FUNDING_FEE"
LOOK_AGAIN_NS: Final = 600_000_000_000  # a request weighs 30, and funding comes every few hours
ASKS_MAX: Final = 10  # in ASKS_SPAN_NS because the wallet changed, which trading does too
ASKS_SPAN_NS: Final = 60_000_000_000
ROWS_MAX: Final = 1_000
# Payments are asked for again over this span: of one made while the venue's clock was set back the
# stamp lies before the last look. `engine.domain.trade_ids` knows those of a longer one.
PAYMENTS_OVERLAP_MS: Final = 3_600_000
ID_MASK: Final = (1 << 48) - 1  # what the kernel keeps of a transaction id


class IncomeView(msgspec.Struct, frozen=True):
    """A row of income."""

    symbol: str
    incomeType: str  # noqa: N815
    income: str
    asset: str
    time: int
    tranId: int  # noqa: N815


class FundingWatch:
    """Knows whether the venue has to be asked for funding payments."""

    def __init__(self, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        """Be due at once."""
        self._monotonic_ns = monotonic_ns
        self._asked_ns: int | None = None
        self._asks_ns: deque[int] = deque(maxlen=ASKS_MAX)
        self._wallet = ""
        self._wallet_changed = False

    def expect(self) -> None:
        """Take note that there may be payments that are not known."""
        self._asked_ns = None

    def see_wallet(self, wallet: str) -> None:
        """Take note of the wallet of a picture, as the venue wrote it."""
        self._wallet_changed |= wallet != self._wallet
        self._wallet = wallet

    @property
    def is_due(self) -> bool:
        """Return whether to ask with this picture."""
        now_ns, asked_ns = self._monotonic_ns(), self._asked_ns
        if asked_ns is None or now_ns - asked_ns > LOOK_AGAIN_NS:
            return True
        has_budget = len(self._asks_ns) < ASKS_MAX or now_ns - self._asks_ns[0] > ASKS_SPAN_NS
        return self._wallet_changed and has_budget

    def asked(self) -> None:
        """Take note that the venue has answered."""
        self._asked_ns = self._monotonic_ns()
        self._asks_ns.append(self._asked_ns)
        self._wallet_changed = False


def funding_report(view: IncomeView, reader: AccountReader) -> Report | None:
    """Return a payment as FUNDING; None for other income and instruments we do not trade.

    Raises:
        ProtocolError: the amount is none.
    """
    instrument = reader.instrument(view.symbol)
    if instrument is None or view.incomeType != FUNDING_FEE:
        return None
    return Report(
        EventType.FUNDING,
        instrument.instrument_index,
        venue_time_ns=view.time * NS_PER_MS,
        trade_id=view.tranId & ID_MASK,
        venue_realised_pnl_e8=money_e8(view.income),
        text=view.asset,
    )
