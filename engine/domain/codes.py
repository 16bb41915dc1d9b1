"""Enumerations and flags of every record: the numbers that rings, journal and database share.

Standard library only, because the main process reads and writes records before numpy is imported.
The layouts that hold these numbers are in `engine.domain.records`.
"""

from __future__ import annotations

from enum import IntEnum


class RecordType(IntEnum):
    """What a market slot holds. 0 is never written."""

    QUOTE = 1
    TRADE = 2
    LEVEL = 3
    BAR = 4
    MARK = 5
    LIQUIDATION = 6
    LIVENESS = 7
    GAP = 8
    FILTER = 9  # a bound of an instrument that changed


class Channel(IntEnum):
    """A kind of market data of one instrument; liveness is kept per (instrument, channel)."""

    QUOTE = 0
    TRADE = 1
    BOOK = 2
    BAR = 3
    MARK = 4
    LIQUIDATION = 5


class Liveness(IntEnum):
    """State of one (instrument, channel), decided from that channel's own cadence."""

    UNSUPPORTED = 0
    CONNECTING = 1
    SYNCING = 2
    LIVE = 3
    SILENT = 4
    STALE = 5
    INVALID = 6


class GapReason(IntEnum):
    """Why records are missing before this one."""

    SEQUENCE = 1
    CONFLATED = 2
    RECONNECT = 3
    LAPPED = 4


# Flags of market records, by record type.
TRADE_BUYER_AGGRESSOR = 1
TRADE_AGGREGATED = 2
LEVEL_BID = 1
LEVEL_LAST_OF_DIFF = 2
LEVEL_SNAPSHOT_FIRST = 4  # clear both sides before applying this level
BAR_FINAL = 1
LIQUIDATION_BUY = 1
CONFLATED = 128  # stands for several records that were merged under back-pressure

VECTOR_SLOT_BYTES = 3072  # a slot of the features ring; its layout is in `records`


class EventType(IntEnum):
    """What an event slot holds: below 100 results; 100s commands; 200s reports; 300s control."""

    # Results, written by the kernel thread or by a role about itself.
    SIGNAL_GENERATED = 1  # a TRADING_DECISION: an entry or exit opportunity that reached risk
    ORDER_REQUEST = 2  # intent recorded before its command leaves
    RISK_REFUSAL = 3
    POSITION_CHANGED = 4
    TRADING_STATE_CHANGED = 5
    RECONCILED = 6
    ADJUSTMENT = 7
    DRAIN_MARK = 8
    ROLE_FAULT = 9
    ROLE_STATE_CHANGED = 10
    SESSION_START = 11
    RECORD_REJECTED = 12  # distinct firewall reject, rate limited
    TICK_UPDATE = 13  # the name of a market record where subscribers are by event type
    LIMITS_CHANGED = 14  # cash, day, peak and tripped limits: what a restart needs of them
    INTENT_HELD = 20  # passed every gate and waits for an operator's word; trade_id: its number
    INTENT_SETTLED = 21  # reason: a HeldOutcome; trade_id: its number
    BOUNDS_CHANGED = 22  # a strategy's day (-2: the venue's), as RESTORE_BOUNDS
    SCORER_CHANGED = 23  # reason 1: its answers are no scores, 0: believed again
    STOP_TRAILED = 24  # price_ticks: the stop; last_price_ticks: the best price since the entry
    # Commands, kernel thread to executor thread.
    COMMAND_NEW = 100
    COMMAND_CANCEL = 101
    COMMAND_CANCEL_ALL = 102
    COMMAND_REPLACE = 103
    COMMAND_FETCH = 104  # fetch venue state for a reconciliation
    # Reports, executor thread to kernel thread; echoed into the event ring with derived fields.
    ORDER_SENT = 200  # the first byte went out
    ORDER_UPDATE = 201  # order_status says what the venue said
    FILL = 202
    ORDER_UNKNOWN = 203  # timeout or ambiguous answer
    CANCEL_REJECTED = 204
    VENUE_ORDER = 205
    VENUE_POSITION = 206
    VENUE_BALANCE = 207
    FETCH_BEGIN = 208
    FETCH_END = 209
    FETCH_FAILED = 210
    VENUE_CONNECTED = 211
    VENUE_DISCONNECTED = 212
    VENUE_CLOCK = 213
    EXECUTOR_FAULT = 214
    FUNDING = 215
    RESTORE_ORDER = 216  # state of an earlier session, fed back before anything else
    RESTORE_POSITION = 217
    RESTORE_LIMITS = 218
    RESTORE_END = 219
    CHILD_ORDER = 220  # a parent order's next child, before the gates
    CHILD_CANCEL = 221
    PARENT_STATE = 222  # how far a parent order is, for the journal
    RESTORE_BOUNDS = 223  # of a strategy (-2: of the venue): day, its orders and result, tripped
    RESTORE_MODE = 224  # as CONTROL_MODE
    # Control, main process to everybody.
    CONTROL_HALT = 300
    CONTROL_RESUME = 301
    CONTROL_PAUSE = 302
    CONTROL_REDUCE = 303
    CONTROL_CANCEL_ALL = 304
    CONTROL_FLATTEN = 305
    CONTROL_STOP_INTENTS = 306  # stopping: no new intents, settle what is in flight
    CONTROL_RECONCILE = 307
    CONTROL_ORDER = 308  # a person's order, before the gates
    CONTROL_CANCEL = 309  # of one order of ours, or of a parent order
    CONTROL_EXECUTE = 310  # a parent order: what, how and until when
    CONTROL_MODE = 320  # order_type: ModeScope, time_in_force: Mode; cause_sequence: of what
    CONTROL_APPROVE = 321  # trade_id: number of the held intent
    CONTROL_REJECT = 322
    CONTROL_MEMORY = 323  # reason: MEMORY_STATE shuts its gate to entries, 0 opens it


class Role(IntEnum):
    """Who wrote an event."""

    MAIN = 0
    FEED = 1
    BRAIN = 2
    ORCHESTRATOR = 3


class Side(IntEnum):
    """FIX 54, signed."""

    SELL = -1
    NONE = 0
    BUY = 1


class OrderType(IntEnum):
    """FIX 40."""

    MARKET = 1
    LIMIT = 2
    # From here on: conditional, a market order is born when the price is reached.
    STOP_MARKET = 3
    TAKE_PROFIT_MARKET = 4  # FIX says J
    TRAILING_STOP_MARKET = 5  # FIX says P


class TimeInForce(IntEnum):
    """FIX 59; post-only is a flag of its own (venue GTX)."""

    GTC = 1
    IOC = 2
    FOK = 3
    GTD = 4  # rests as GTC does, until good_till_ms


class OrderStatus(IntEnum):
    """FIX 39 plus UNKNOWN: sent, outcome not known."""

    NONE = 0
    PENDING_NEW = 1
    NEW = 2
    PARTIALLY_FILLED = 3
    FILLED = 4
    PENDING_CANCEL = 5
    PENDING_REPLACE = 6
    CANCELED = 7
    REJECTED = 8
    EXPIRED = 9
    UNKNOWN = 10


class Liquidity(IntEnum):
    """FIX 851."""

    NONE = 0
    MAKER = 1
    TAKER = 2


class TradingState(IntEnum):
    """By severity; the most severe of several writers holds."""

    ENABLED = 0
    PAUSED = 1
    REDUCING = 2
    HALTED = 3


class Mode(IntEnum):
    """How far entries of a part of the engine may go, by severity; exits always go."""

    LIVE = 0
    SIMULATE = 1  # where no order leaves for a third party
    SHADOW = 2  # the decision is recorded, nothing is sent
    OFF = 3  # nor recorded


class ModeScope(IntEnum):
    """What a mode is given to; the most severe of those an entry belongs to holds."""

    ALL = 0
    MODULE = 1  # a StrategyKind
    STRATEGY = 2
    INSTRUMENT = 3
    REGIME = 4  # a Regime


class Regime(IntEnum):
    """A regime of an instrument's bars, by the labels of `engine.domain.features.regime`."""

    TREND_DOWN = 0
    TREND_NONE = 1
    TREND_UP = 2
    CALM = 3
    USUAL = 4
    WILD = 5


class HeldOutcome(IntEnum):
    """What became of an intent that waited for an operator's word. Stored in journals."""

    SENT = 1  # approved, and every gate passed it again
    REFUSED = 2  # approved, and a gate refused it by then
    REJECTED = 3
    EXPIRED = 4


# Flags of event records.
EVENT_REDUCE_ONLY = 1
EVENT_POST_ONLY = 2
EVENT_APPLIED = 4  # the report changed our state
EVENT_DUPLICATE = 8  # known already: changed nothing
EVENT_FOREIGN = 16  # an order or fill that is not ours
EVENT_ENTRY = 32  # opens or adds to a position; without it: reduces
EVENT_QUESTION = 64  # an order from outside: what would the gates say? Nothing comes of it

# What `order_status` of a COMMAND_NEW says; 0: the executor writes the order.
COMMAND_ON_LINE = 1  # the kernel thread took the order line for it and writes it, or has
