"""Why an order was refused, and why trading stopped: one number each, in the order of the gates.

A refusal sets bit `1 << reason` for every gate that failed; `reason` of the event is the first one.
Numbers are stored in journals: never renumbered, never reused. Standard library only.
"""

from __future__ import annotations

from enum import IntEnum


class RiskReason(IntEnum):
    """Gates in the order they are evaluated, then what else can stop trading."""

    NONE = 0
    # Trading state and what must be known before anything is sent.
    TRADING_STATE = 1
    STOPPING = 2
    VENUE_DISCONNECTED = 3
    NOT_SYNCED = 4
    ORDER_UNKNOWN = 5  # an order of this instrument has an unknown outcome
    # The three arming switches, for every order that leaves for a third party.
    ALLOW_ORDERS = 6
    DRY_RUN = 7
    ENABLE_ORDER_EXEC = 8
    LEASE = 9
    # Market.
    INSTRUMENT_STATUS = 10
    LIVENESS = 11
    PRICE_AGE = 12
    DECISION_AGE = 13
    PRICE_COLLAR = 14
    # Size.
    ORDER_QTY = 15
    ORDER_NOTIONAL = 16
    POSITION_QTY = 17
    POSITION_NOTIONAL = 18
    TOTAL_NOTIONAL = 19
    REDUCE_ONLY = 20  # an exit of more than the strategy holds
    # Limits over time.
    ENTRIES_PER_DAY = 21
    DAILY_LOSS = 22
    DRAWDOWN = 23
    CONSECUTIVE_FAILURES = 24
    RATE_GLOBAL = 25
    RATE_INSTRUMENT = 26
    # Venue filters.
    FILTER_QTY = 27
    FILTER_NOTIONAL = 28
    FILTER_PRICE = 29
    FILTER_OPEN_ORDERS = 30
    MEMORY_STATE = 31
    # What an operator allows, and limits of one strategy and of the day.
    MODE = 32
    STRATEGY_ORDER_NOTIONAL = 33
    STRATEGY_POSITION_NOTIONAL = 34
    STRATEGY_ORDERS_PER_DAY = 35
    STRATEGY_DAILY_LOSS = 36
    PROFIT_LOCK = 37
    APPROVAL = 38  # an intent that waits for an operator's word
    GUARDED = 39  # a position of the instrument has its stop or target at the venue
    # Not gates: they stop trading until an operator resumes.
    RECONCILE_FAILED = 40  # the venue's state could not be fetched, retries used up
    RECONCILE_DIVERGED = 41  # ours and the venue's do not converge
    ORDER_UNRESOLVED = 42  # an order stays unknown after every query
    NUMBER_RANGE = 43  # a fill outside the stated integer ranges
    LEASE_LOST = 44
    # Gates again: limits of the venue.
    VENUE_ORDER_NOTIONAL = 45
    VENUE_TOTAL_NOTIONAL = 46
    VENUE_ORDERS_PER_DAY = 47
    VENUE_DAILY_LOSS = 48
    VENUE_UNREACHABLE = 49  # no order connection for VENUE_OUTAGE_NS; no gate
    # Reasons of a trading state that is not ours.
    OPERATOR = 50
    OUTER = 51  # main, the command line or the orchestrator
    # Gates again.
    SELF_TRADE = 52  # it could trade with an order of ours
    POSITION_COUNT = 53  # the portfolio's places are taken


RISK_REASON_TEXT: dict[RiskReason, str] = {
    RiskReason.NONE: "no reason",
    RiskReason.TRADING_STATE: "the trading state forbids it",
    RiskReason.STOPPING: "the engine is stopping: no new intents",
    RiskReason.VENUE_DISCONNECTED: "the order connection is down",
    RiskReason.NOT_SYNCED: "the account is not reconciled with the venue",
    RiskReason.ORDER_UNKNOWN: "an order of the instrument has an unknown outcome",
    RiskReason.ALLOW_ORDERS: "ALLOW_ORDERS is not 1",
    RiskReason.DRY_RUN: "DRY_RUN is not 0",
    RiskReason.ENABLE_ORDER_EXEC: "ENABLE_ORDER_EXEC is not 1",
    RiskReason.LEASE: "this engine does not hold the account's lease",
    RiskReason.INSTRUMENT_STATUS: "the instrument is not trading at the venue",
    RiskReason.LIVENESS: "a market channel the entry needs is not live",
    RiskReason.PRICE_AGE: "the quote is missing or too old",
    RiskReason.DECISION_AGE: "the cause of the decision is too old",
    RiskReason.PRICE_COLLAR: "the price is too far from mid",
    RiskReason.ORDER_QTY: "the order's quantity is over its limit",
    RiskReason.ORDER_NOTIONAL: "the order's notional is over its limit",
    RiskReason.POSITION_QTY: "the position would be over its quantity limit",
    RiskReason.POSITION_NOTIONAL: "the position would be over its notional limit",
    RiskReason.TOTAL_NOTIONAL: "all positions together would be over their notional limit",
    RiskReason.REDUCE_ONLY: "the exit is not backed by a position of the strategy",
    RiskReason.ENTRIES_PER_DAY: "the day's entries are used up",
    RiskReason.DAILY_LOSS: "the day's loss is at its limit",
    RiskReason.DRAWDOWN: "the fall from the equity peak is at its limit",
    RiskReason.CONSECUTIVE_FAILURES: "too many orders failed in a row",
    RiskReason.RATE_GLOBAL: "too many orders in the account's window",
    RiskReason.RATE_INSTRUMENT: "too many orders in the instrument's window",
    RiskReason.FILTER_QTY: "the venue does not take the quantity",
    RiskReason.FILTER_NOTIONAL: "the venue does not take so small a notional",
    RiskReason.FILTER_PRICE: "the venue does not take the price",
    RiskReason.FILTER_OPEN_ORDERS: "too many open orders of the instrument",
    RiskReason.MEMORY_STATE: "memory is over its limit, or the order store is full",
    RiskReason.MODE: "the mode of its module, strategy, instrument or regime keeps it back",
    RiskReason.STRATEGY_ORDER_NOTIONAL: "the order's notional is over its strategy's limit",
    RiskReason.STRATEGY_POSITION_NOTIONAL: "the strategy's position would be over its limit",
    RiskReason.STRATEGY_ORDERS_PER_DAY: "the strategy's orders of the day are used up",
    RiskReason.STRATEGY_DAILY_LOSS: "the strategy's loss of the day is at its limit",
    RiskReason.PROFIT_LOCK: "the day's profit is at its lock",
    RiskReason.APPROVAL: "it is large or unusual and waits for an operator's word",
    RiskReason.GUARDED: "a position of the instrument is guarded at the venue",
    RiskReason.RECONCILE_FAILED: "the venue's state could not be fetched",
    RiskReason.RECONCILE_DIVERGED: "our state and the venue's do not converge",
    RiskReason.ORDER_UNRESOLVED: "an order stays unknown after every query",
    RiskReason.NUMBER_RANGE: "a fill lies outside the integer ranges",
    RiskReason.LEASE_LOST: "another engine holds the account's lease",
    RiskReason.VENUE_ORDER_NOTIONAL: "the order's notional is over the venue's limit",
    RiskReason.VENUE_TOTAL_NOTIONAL: "all positions would be over the venue's limit",
    RiskReason.VENUE_ORDERS_PER_DAY: "the venue's orders of the day are used up",
    RiskReason.VENUE_DAILY_LOSS: "the day's loss is at the venue's limit",
    RiskReason.VENUE_UNREACHABLE: "the order connection was down for too long",
    RiskReason.OPERATOR: "the operator asked for it",
    RiskReason.OUTER: "another process of the engine asked for it",
    RiskReason.SELF_TRADE: "it could trade with an order of ours",
    RiskReason.POSITION_COUNT: "every place of the portfolio is taken",
}
NO_GATES = frozenset(
    {
        RiskReason.NONE,
        RiskReason.RECONCILE_FAILED,
        RiskReason.RECONCILE_DIVERGED,
        RiskReason.ORDER_UNRESOLVED,
        RiskReason.NUMBER_RANGE,
        RiskReason.LEASE_LOST,
        RiskReason.VENUE_UNREACHABLE,
        RiskReason.OPERATOR,
        RiskReason.OUTER,
    }
)
GATES = tuple(reason for reason in RiskReason if reason not in NO_GATES)


def reasons_of(mask: int) -> tuple[RiskReason, ...]:
    """Return the reasons in a refusal mask, in the order of the gates."""
    return tuple(reason for reason in RiskReason if reason and mask >> reason & 1)


assert set(RISK_REASON_TEXT) == set(RiskReason), "every reason says what it means"
assert max(RiskReason) < 63, "a mask fits an int64 without its sign"
