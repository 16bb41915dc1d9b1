"""Fetches of the venue's state: when to ask, what to do when nothing comes, what was said.

One fetch at a time, numbered by FETCH_ROUND; `request_id` carries the number out and back. A fetch
is due at start, after each connect, when something demands it, and every interval. Its judgement
is `engine.domain.reconcile`.
"""

from __future__ import annotations

from engine.domain.codes import EventType
from engine.domain.desk import Desk, Out
from engine.domain.emit import begin_event, copy_command
from engine.domain.equity import trip
from engine.domain.kernel import Records, kernel
from engine.domain.risk_reasons import RiskReason
from engine.domain.words import FetchState, Tally, Word

FETCH_FAILURES_MAX = 3  # failures in a row after which our state counts as unknown
FETCH_OUTAGE_NS = 90_000_000_000  # failing while connected halts; a venue's minute may be used up
VENUE_OUTAGE_NS = 300_000_000_000  # without an order connection; then it halts
BUSY_ROUNDS_MAX = 8  # fetches disturbed by our own activity before the interval is awaited
RETRY_PAUSE_NS = 250_000_000
RETRY_DOUBLINGS_MAX = 4
AGREED_NS_MAX = 10_000_000_000  # since a comparison that a resume may rest on
NOT_QUIET = 9008  # `reason` of a FETCH_FAILED: the account did not hold still to be read

_COMMAND_FETCH = int(EventType.COMMAND_FETCH)
_RECONCILE_FAILED = int(RiskReason.RECONCILE_FAILED)
_VENUE_UNREACHABLE = int(RiskReason.VENUE_UNREACHABLE)


@kernel
def watch_outage(desk: Desk, now_ns: int) -> None:
    """Trip VENUE_UNREACHABLE once the order connection has been down for VENUE_OUTAGE_NS."""
    words = desk.words
    if words[Word.DISCONNECTED_NS] == 0:
        words[Word.DISCONNECTED_NS] = now_ns
    elif now_ns - words[Word.DISCONNECTED_NS] >= VENUE_OUTAGE_NS:
        trip(desk, _VENUE_UNREACHABLE)


@kernel
def ask_fetch(desk: Desk, out: Out, now_ns: int) -> None:
    """Write COMMAND_FETCH for everything, if one is due and none is under way."""
    words = desk.words
    if words[Word.RESTORED] == 0:
        return
    if words[Word.CONNECTED] == 0:
        watch_outage(desk, now_ns)
        return
    words[Word.DISCONNECTED_NS] = 0
    if words[Word.FETCH_STATE] != FetchState.IDLE:
        if now_ns - words[Word.FETCH_ASKED_NS] > desk.limits["fetch_timeout_ns"][0]:
            fail_fetch(desk, now_ns)
        return
    age_ns = now_ns - words[Word.LAST_RECONCILED_NS]
    due = words[Word.RECONCILE_REQUIRED] or age_ns >= desk.limits["reconcile_interval_ns"][0]
    if not due or now_ns < words[Word.NEXT_FETCH_NS]:
        return
    words[Word.FETCH_STATE] = FetchState.ASKED
    words[Word.RECONCILE_REQUIRED] = 0  # what becomes due from now on needs another fetch
    words[Word.FETCH_ASKED_NS] = now_ns
    words[Word.FETCH_ROUND] += 1
    n = begin_event(desk, out, _COMMAND_FETCH)
    out.events["request_id"][n] = words[Word.FETCH_ROUND]
    out.events["venue_time_ns"][n] = words[Word.LAST_FILL_VENUE_NS]
    out.events["decision_time_ns"][n] = now_ns
    copy_command(out, n, _COMMAND_FETCH)
    desk.counts[Tally.FETCHES] += 1


@kernel
def is_compared(desk: Desk, now_ns: int) -> bool:
    """Return whether the venue agreed so lately that a resume need not ask, and none is due."""
    words = desk.words
    due = words[Word.RECONCILE_REQUIRED] != 0 or words[Word.FETCH_STATE] != FetchState.IDLE
    agreed_ns = words[Word.AGREED_NS]
    fresh = agreed_ns > 0 and now_ns - agreed_ns <= AGREED_NS_MAX
    return fresh and not due and words[Word.SYNCED] != 0


@kernel
def pause_fetch(desk: Desk, attempts: int, now_ns: int) -> None:
    """Ask again after a pause that doubles with the attempts."""
    doublings = min(max(attempts - 1, 0), RETRY_DOUBLINGS_MAX)
    desk.words[Word.NEXT_FETCH_NS] = now_ns + (RETRY_PAUSE_NS << doublings)
    desk.words[Word.RECONCILE_REQUIRED] = 1


@kernel
def fail_fetch(desk: Desk, now_ns: int) -> None:
    """A fetch failed or did not end: nothing is known, so nothing changes but the count."""
    words = desk.words
    words[Word.FETCH_STATE] = FetchState.IDLE
    words[Word.FETCH_FAILURES] += 1
    desk.counts[Tally.FETCHES_FAILED] += 1
    if words[Word.FETCH_FAILURES] == 1:
        words[Word.FETCH_FAILING_NS] = now_ns
    if words[Word.FETCH_FAILURES] >= FETCH_FAILURES_MAX:
        words[Word.SYNCED] = 0
        if now_ns - words[Word.FETCH_FAILING_NS] >= FETCH_OUTAGE_NS:
            trip(desk, _RECONCILE_FAILED)
    pause_fetch(desk, words[Word.FETCH_FAILURES], now_ns)


@kernel
def defer_fetch(desk: Desk, now_ns: int) -> None:
    """Our own activity disturbed a fetch: again soon; once synced, at last with the interval."""
    words = desk.words
    words[Word.FETCH_STATE] = FetchState.IDLE
    words[Word.BUSY_ROUNDS] += 1
    if words[Word.BUSY_ROUNDS] < BUSY_ROUNDS_MAX or words[Word.SYNCED] == 0:
        pause_fetch(desk, words[Word.BUSY_ROUNDS], now_ns)
        return
    words[Word.BUSY_ROUNDS] = 0
    words[Word.LAST_RECONCILED_NS] = now_ns


@kernel
def is_this_round(desk: Desk, events: Records, n: int) -> bool:
    """Return whether a report answers the fetch under way; 0: the executor does not say."""
    request = events["request_id"][n]
    return request == 0 or request == desk.words[Word.FETCH_ROUND]


@kernel
def begin_fetch(desk: Desk, events: Records, n: int, now_ns: int) -> None:
    """FETCH_BEGIN: from here on the venue's words belong to this round."""
    words = desk.words
    if words[Word.FETCH_STATE] != FetchState.ASKED or not is_this_round(desk, events, n):
        return
    words[Word.FETCH_STATE] = FetchState.BEGUN
    words[Word.FETCH_BEGIN_NS] = now_ns
    words[Word.FETCH_BEGIN_VENUE_NS] = events["venue_time_ns"][n]
    words[Word.FOREIGN_STAGED] = 0
    for i in range(desk.venue.shape[0]):
        desk.venue["staged_buy_lots"][i] = 0
        desk.venue["staged_sell_lots"][i] = 0


@kernel
def note_position(desk: Desk, events: Records, n: int) -> None:
    """VENUE_POSITION: the venue's net position of one instrument."""
    i = events["instrument_index"][n]
    if not 0 <= i < desk.venue.shape[0]:
        desk.counts[Tally.REPORTS_INVALID] += 1
        return
    desk.venue["round"][i] = desk.words[Word.FETCH_ROUND]
    desk.venue["lots"][i] = events["position_lots"][n]
    desk.venue["cost_e8"][i] = events["position_cost_e8"][n]


@kernel
def note_balance(desk: Desk, events: Records, n: int) -> None:
    """VENUE_BALANCE: the account's wallet."""
    desk.words[Word.WALLET_E8] = events["wallet_e8"][n]
    desk.words[Word.WALLET_ROUND] = desk.words[Word.FETCH_ROUND]
