"""One order as a list of sentences: the twin of the transition table and of its merge.

The engine looks a status up in a table; here every status has a function of its own that says in
words what each stimulus means to it. Quantities are unbounded integers.
"""

from collections.abc import Callable
from dataclasses import dataclass

from engine.domain.codes import OrderStatus
from engine.domain.orders import Stimulus

S = OrderStatus
T = Stimulus
CLOSED = {S.FILLED, S.CANCELED, S.REJECTED, S.EXPIRED}
ASKING = {S.PENDING_NEW, S.PENDING_CANCEL, S.PENDING_REPLACE}
LAST_WORDS = {
    T.VENUE_FILLED: S.FILLED,
    T.VENUE_CANCELED: S.CANCELED,
    T.VENUE_EXPIRED: S.EXPIRED,
    T.PROVEN_GONE: S.CANCELED,
}
VENUE_SAYS = {
    T.VENUE_WORKING, T.VENUE_PARTIALLY_FILLED, T.VENUE_FILLED, T.VENUE_CANCELED,
    T.VENUE_REJECTED, T.VENUE_EXPIRED,
}  # fmt: skip


@dataclass
class PlainOrder:
    """What is known of one order."""

    qty: int
    status: OrderStatus = S.PENDING_NEW
    cum: int = 0
    filled: int = 0
    acknowledged: bool = False
    queries: int = 0

    def hear(self, stimulus: Stimulus, said: int, fill: int) -> None:
        """Take one report: what it says, the venue's total, and a fill not seen before."""
        self.filled += fill
        self.qty = max(self.qty, self.filled)
        self.cum = max(self.cum, self.filled, min(said, self.qty))
        if stimulus == T.VENUE_FILLED:
            self.qty = max(self.cum, said) if said else self.qty
            self.cum = self.qty
        self._acknowledge_after(stimulus)

    def _acknowledge_after(self, stimulus: Stimulus) -> None:
        verdict = self.status == S.UNKNOWN and self.queries > 0
        doubted = stimulus == T.VENUE_REJECTED and self.acknowledged and not verdict
        self.status = self._agreeing(self._after(T.UNSEEN if doubted else stimulus))
        if stimulus in VENUE_SAYS and not doubted and stimulus != T.VENUE_REJECTED:
            self.acknowledged = True

    def _agreeing(self, status: OrderStatus) -> OrderStatus:
        if self.cum >= self.qty:
            return S.FILLED
        if self.cum > 0 and status == S.NEW:
            return S.PARTIALLY_FILLED
        if self.cum > 0 and status == S.REJECTED:
            return S.UNKNOWN
        return status

    def _after(self, stimulus: Stimulus) -> OrderStatus:
        if self.status in CLOSED:
            return self._closed(stimulus)
        if stimulus in LAST_WORDS:
            return LAST_WORDS[stimulus]
        views: dict[OrderStatus, Callable[[Stimulus], OrderStatus]] = {
            S.PENDING_NEW: self._pending_new,
            S.NEW: self._working,
            S.PARTIALLY_FILLED: self._working,
            S.PENDING_CANCEL: self._pending_cancel,
            S.PENDING_REPLACE: self._pending_replace,
            S.UNKNOWN: self._unknown,
        }
        return views[self.status](stimulus)

    def _closed(self, stimulus: Stimulus) -> OrderStatus:
        """Closed stays closed, but for a fill of the whole and for proof that it is open."""
        if stimulus == T.VENUE_FILLED:
            return S.FILLED
        if stimulus == T.PROVEN_OPEN:
            return S.NEW
        if self.status == S.REJECTED and stimulus == T.VENUE_PARTIALLY_FILLED:
            return S.UNKNOWN
        return self.status

    def _pending_new(self, stimulus: Stimulus) -> OrderStatus:
        """Whatever the venue says is its first word; silence is doubt."""
        return {
            T.VENUE_WORKING: S.NEW,
            T.VENUE_PARTIALLY_FILLED: S.PARTIALLY_FILLED,
            T.VENUE_REJECTED: S.REJECTED,
            T.CANCEL_ASKED: S.PENDING_CANCEL,
            T.LOST: S.UNKNOWN,
            T.PROVEN_OPEN: S.NEW,
            T.PROVEN_ABSENT: S.REJECTED,
        }.get(stimulus, S.PENDING_NEW)

    def _working(self, stimulus: Stimulus) -> OrderStatus:
        """The venue took it: that it did not, or does not show it, contradicts that."""
        if stimulus in {T.VENUE_REJECTED, T.PROVEN_ABSENT, T.UNSEEN}:
            return S.UNKNOWN
        if stimulus == T.VENUE_PARTIALLY_FILLED:
            return S.PARTIALLY_FILLED
        asked = {T.CANCEL_ASKED: S.PENDING_CANCEL, T.REPLACE_ASKED: S.PENDING_REPLACE}
        return asked.get(stimulus, self.status)

    def _pending_cancel(self, stimulus: Stimulus) -> OrderStatus:
        """It works on until the venue says that it is gone, or that it will not cancel it."""
        return {
            T.VENUE_REJECTED: S.REJECTED,
            T.CANCEL_REJECTED: S.NEW,
            T.LOST: S.UNKNOWN,
            T.PROVEN_ABSENT: S.REJECTED,
            T.UNSEEN: S.UNKNOWN,
        }.get(stimulus, S.PENDING_CANCEL)

    def _pending_replace(self, stimulus: Stimulus) -> OrderStatus:
        """The next word that it works is the answer."""
        return {
            T.VENUE_WORKING: S.NEW,
            T.VENUE_PARTIALLY_FILLED: S.PARTIALLY_FILLED,
            T.VENUE_REJECTED: S.UNKNOWN,
            T.CANCEL_ASKED: S.PENDING_CANCEL,
            T.CANCEL_REJECTED: S.NEW,
            T.LOST: S.UNKNOWN,
            T.PROVEN_ABSENT: S.UNKNOWN,
            T.UNSEEN: S.UNKNOWN,
        }.get(stimulus, S.PENDING_REPLACE)

    def _unknown(self, stimulus: Stimulus) -> OrderStatus:
        """Only the venue's word ends doubt."""
        return {
            T.VENUE_WORKING: S.NEW,
            T.VENUE_PARTIALLY_FILLED: S.PARTIALLY_FILLED,
            T.VENUE_REJECTED: S.REJECTED,
            T.PROVEN_OPEN: S.NEW,
            T.PROVEN_ABSENT: S.REJECTED,
        }.get(stimulus, S.UNKNOWN)
