"""The numbers of an instrument that may change in a run, one FILTER record for each.

The grid (tick, lot, money unit) never changes: rings, books and journals count in it. A bound does:
the feed learns the venue's new one and writes it into the ring, so the brain takes it between two
records and a session that is run again takes it there too. Each bound holds by itself, so one that
is taken before its neighbour allows nothing that neither list allows. Open interest, which is
asked for again and again, and the news of a calendar come the same way.

    FILTER   aux: byte offset of the field in the instrument's row; filter_number: its new number
"""

from __future__ import annotations

from engine.domain.firewall_reasons import FirewallReason
from engine.domain.instrument_row import FILTER_OFFSETS, NO_BOUND, InstrumentFlag, News
from engine.domain.kernel import Record, Records, kernel

_FLAGS = FILTER_OFFSETS["flags"]
_FLAGS_MAX = int(InstrumentFlag.TRADING | InstrumentFlag.PERPETUAL | InstrumentFlag.BOOK)
_MIN_PRICE = FILTER_OFFSETS["min_price_ticks"]
_MAX_PRICE = FILTER_OFFSETS["max_price_ticks"]
_MIN_QTY = FILTER_OFFSETS["min_qty_lots"]
_MAX_QTY = FILTER_OFFSETS["max_qty_lots"]
_MARKET_MIN_QTY = FILTER_OFFSETS["market_min_qty_lots"]
_MARKET_MAX_QTY = FILTER_OFFSETS["market_max_qty_lots"]
_MARKET_STEP = FILTER_OFFSETS["market_step_lots"]
_MIN_NOTIONAL = FILTER_OFFSETS["min_notional_e8"]
_MULTIPLIER_UP = FILTER_OFFSETS["multiplier_up_e8"]
_MULTIPLIER_DOWN = FILTER_OFFSETS["multiplier_down_e8"]
_MAX_OPEN_ORDERS = FILTER_OFFSETS["max_open_orders"]
_OPEN_INTEREST = FILTER_OFFSETS["open_interest_lots"]
_NEWS = FILTER_OFFSETS["news"]
_NEWS_MAX = int(max(News))
_MAX_OPEN_ORDERS_MAX = (1 << 31) - 1
_NO_BOUND = NO_BOUND
_NUMBER_RANGE = int(FirewallReason.NUMBER_RANGE)


@kernel
def check_filter(slot: Record) -> int:
    """Return NUMBER_RANGE for a FILTER of no field that may change, or of no number for it."""
    field = int(slot["aux"])
    number = slot["filter_number"]
    least, most = 1, _NO_BOUND
    if field == _FLAGS:
        least, most = 0, _FLAGS_MAX
    elif field == _MAX_OPEN_ORDERS:
        least, most = 0, _MAX_OPEN_ORDERS_MAX
    elif field == _NEWS:
        least, most = 0, _NEWS_MAX
    elif field in (_MIN_NOTIONAL, _MULTIPLIER_UP, _MULTIPLIER_DOWN, _OPEN_INTEREST):
        least = 0
    elif field not in (
        _MIN_PRICE, _MAX_PRICE, _MIN_QTY, _MAX_QTY, _MARKET_MIN_QTY, _MARKET_MAX_QTY, _MARKET_STEP,
    ):  # fmt: skip
        return _NUMBER_RANGE
    return 0 if least <= number <= most else _NUMBER_RANGE


@kernel
def apply_filter(rows: Records, i: int, slot: Record) -> None:
    """Take over a number that `check_filter` let pass, in place."""
    field = int(slot["aux"])
    number = slot["filter_number"]
    if field == _FLAGS:
        rows["flags"][i] = number
    elif field == _MIN_PRICE:
        rows["min_price_ticks"][i] = number
    elif field == _MAX_PRICE:
        rows["max_price_ticks"][i] = number
    elif field == _MIN_QTY:
        rows["min_qty_lots"][i] = number
    elif field == _MAX_QTY:
        rows["max_qty_lots"][i] = number
    elif field == _MARKET_MIN_QTY:
        rows["market_min_qty_lots"][i] = number
    elif field == _MARKET_MAX_QTY:
        rows["market_max_qty_lots"][i] = number
    elif field == _MARKET_STEP:
        rows["market_step_lots"][i] = number
    elif field == _MIN_NOTIONAL:
        rows["min_notional_e8"][i] = number
    elif field == _MULTIPLIER_UP:
        rows["multiplier_up_e8"][i] = number
    elif field == _MULTIPLIER_DOWN:
        rows["multiplier_down_e8"][i] = number
    elif field == _MAX_OPEN_ORDERS:
        rows["max_open_orders"][i] = number
    elif field == _OPEN_INTEREST:
        rows["open_interest_lots"][i] = number
    elif field == _NEWS:
        rows["news"][i] = number
