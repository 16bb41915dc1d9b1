"""The scalars of the order side: one int64 array, each number by its name, and the counters.

Kernels read and write `words[Word.X]` and `counts[Tally.X]`; telemetry and the brain's control page
read them between steps. Times are on the monotonic clock, money is in 1e-8 of the quote currency.
"""

from __future__ import annotations

from enum import IntEnum

WORDS_MAX = 96
REASONS_MAX = 64  # bits of a refusal mask
TALLIES_MAX = 160


class Word(IntEnum):
    """Position of each scalar of the order side."""

    NOW_NS = 0
    OUTER_STATE = 1  # most severe of main's, the operator's and the orchestrator's words
    OPERATOR_STATE = 2  # asked for by control records
    OWN_STATE = 3  # the brain's own word: operator's and tripped limits
    EFFECTIVE_STATE = 4
    STATE_REASON = 5  # RiskReason
    TRIPPED = 6  # one bit per RiskReason that tripped; an operator's resume clears it
    STOPPING = 7
    MEMORY_STATE = 8  # 1: over the limit, no entries
    CONNECTED = 9
    SYNCED = 10
    RESTORED = 11
    EPOCH = 12
    LEASE_EPOCH = 13  # 0: lost
    # Orders
    NEXT_ORDER_SEQUENCE = 16
    DECISION_COUNT = 17
    OPEN_COUNT = 18
    ORDER_CURSOR = 19
    TRADE_COUNT = 20  # trade ids ever remembered
    ORDERS_DUE = 21  # 1: look at every open order in this step
    NEXT_ORDER_CHECK_NS = 22
    LAST_FILL_VENUE_NS = 23
    FLATTEN_ACTIVE = 24
    FLATTEN_ORDERS = 25
    UNKNOWN_COUNT = 26
    PAYMENT_COUNT = 27  # funding payments ever remembered
    # Money
    CASH_E8 = 32
    CASH_KNOWN = 33
    CASH_CHANGED_NS = 34
    REALISED_E8 = 35
    FEE_E8 = 36
    FUNDING_E8 = 37
    UNREALISED_E8 = 38
    EQUITY_E8 = 39
    NOTIONAL_E8 = 40  # worst case of all instruments together
    PEAK_EQUITY_E8 = 41
    DAY_NUMBER = 42
    DAY_START_EQUITY_E8 = 43
    DAY_REALISED_E8 = 44  # after fees
    DAY_ENTRY_COUNT = 45
    FAILURE_COUNT = 46  # rejected or unknown outcomes in a row
    LIMITS_DIRTY = 47
    NEXT_LIMITS_NS = 48
    NEXT_MARK_NS = 49
    OPENING = 50  # 1: cash is known, the account's positions are not yet compared
    # Reconciliation
    RECONCILE_REQUIRED = 56
    FETCH_STATE = 57
    FETCH_ROUND = 58
    FETCH_ASKED_NS = 59
    FETCH_BEGIN_NS = 60
    FETCH_BEGIN_VENUE_NS = 61
    FETCH_FAILURES = 62
    NEXT_FETCH_NS = 63
    MISMATCH_ROUNDS = 64
    BUSY_ROUNDS = 65
    ADJUST_ROUNDS = 66
    LAST_RECONCILED_NS = 67
    WALLET_E8 = 68
    WALLET_ROUND = 69
    WALLET_MISMATCH_E8 = 70
    FOREIGN_OPEN = 71
    FOREIGN_STAGED = 72
    FETCH_FAILING_NS = 73  # first of the failures in a row
    CANCEL_ALL_DUE = 74  # 1: foreign orders are to be cancelled too
    UNBOOKED_SEQUENCE = 75  # number of an order that is asked for and not yet in the store; 0: none
    REQUEST_COUNT = 76  # orders from outside ever remembered
    AGREED_NS = 77  # when the last whole fetch showed no difference; 0: it showed one
    MODES_SET = 80  # 1: an instrument or a regime has a mode that is not LIVE
    BOUNDS_DIRTY = 81  # 1: a row of `bounds` waits to be written
    HELD_COUNT = 82  # intents that wait for an operator's word
    HELD_NUMBER = 83  # of the last one
    DISCONNECTED_NS = 84  # since when there is no order connection; 0: there is one
    PLACES_TAKEN = 85  # strategies that hold or have an order open, each in its instrument
    ROTATING = 86  # number of the held entry that a position is being closed for; 0: none
    ROTATED_OUT = 87  # that position: instrument * columns + column
    SCORER_FAULT = 88  # 1: it was told that the scorer is at fault


class Tally(IntEnum):
    """Counters of the order side, in `counts`; refusals by reason follow at REFUSAL_FIRST."""

    RECORDS = 0
    STEPS = 1
    DECISIONS = 2  # entry opportunities that reached risk
    EXITS = 3  # exit opportunities that reached risk
    ORDERS = 4
    CANCELS = 5
    REFUSALS = 6
    REFUSALS_SUPPRESSED = 7
    FILLS = 8
    FILLS_DUPLICATE = 9
    FILLS_FOREIGN = 10
    FILLS_LATE = 11  # covered by an adjustment before they arrived
    REPORTS = 12
    REPORTS_DUPLICATE = 13
    REPORTS_FOREIGN = 14
    REPORTS_INVALID = 15
    CONTROLS = 16
    ORDERS_UNKNOWN = 17
    QUERIES = 18
    FETCHES = 19
    FETCHES_FAILED = 20
    RECONCILED = 21
    ADJUSTMENTS = 22
    ORDERS_ADOPTED = 23
    CONTRADICTIONS = 24
    OVERFILLS = 25
    REJECTED_ORDERS = 26
    CANCELED_ORDERS = 27
    EXPIRED_ORDERS = 28
    FILLED_ORDERS = 29
    ROUND_TRIPS = 30  # strategy positions that came back to zero
    REJECTED_RECORDS = 31  # market records refused by the firewall
    EXECUTOR_FAULTS = 32
    CANCEL_REJECTS = 33
    SLICED = 34  # steps that ended early because `out` was full
    HELD = 35  # intents held for an operator's word
    AMENDMENTS = 36  # quotes moved in place
    SCORER_FAULTS = 37  # times that the scorer's answers began to be none
    ROTATIONS = 38  # positions closed for a better entry
    REFUSAL_FIRST = 64  # + RiskReason


class FetchState(IntEnum):
    """Where a fetch of the venue's state stands."""

    IDLE = 0
    ASKED = 1
    BEGUN = 2


assert max(Word) < WORDS_MAX, "words fit"
assert Tally.REFUSAL_FIRST + REASONS_MAX <= TALLIES_MAX, "tallies fit"
