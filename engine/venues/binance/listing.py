"""Whether an instrument that is traded may still be entered, by what the venue lists of it now.

An instrument's steps and bounds are fixed for a run: rings, books and journals count in them. A
change that makes an order of ours impossible, or an end that is near, leaves it open to exits only;
a change that only allows more than before changes nothing.
"""

from __future__ import annotations

from typing import Final

from engine.domain.instrument_row import Instrument, InstrumentError
from engine.venues.binance.exchange_info import SymbolRow, ends_soon, instrument_of

# Fields that must stay what they were, by the venue's word: everything is counted in them.
GRID: Final = {
    "price_exponent": "tickSize",
    "tick_scaled": "tickSize",
    "qty_exponent": "stepSize",
    "lot_scaled": "stepSize",
}
KIND: Final = ("quote", "margin", "contract_type")
# Bounds: the venue may lower the first and raise the second.
LOWER: Final = (
    "min_price_ticks", "min_qty_lots", "market_min_qty_lots", "min_notional_e8",
    "multiplier_down_e8",
)  # fmt: skip
UPPER: Final = (
    "max_price_ticks", "max_qty_lots", "market_max_qty_lots", "multiplier_up_e8",
    "max_open_orders",
)  # fmt: skip
ABSENT_IF_ZERO: Final = frozenset({"multiplier_up_e8", "max_open_orders"})  # 0: no such bound


def why_no_entries(known: Instrument, row: SymbolRow | None, now_ns: int) -> str:
    """Return why an instrument takes no entries; empty: it does.

    Args:
        known: the instrument as this run trades it.
        row: as listed now; None: no longer.
        now_ns: the venue's time.
    """
    if row is None:
        return "no longer listed"
    if row.status != "TRADING":
        return f"status {row.status}"
    if ends_soon(row, now_ns):
        return f"ends at {row.deliveryDate} ms"
    try:
        listed = instrument_of(row)
    except InstrumentError as error:
        return f"filters: {error}"
    changed = forbidding_changes(known, listed)
    return f"filters: {' '.join(changed)}" if changed else ""


def forbidding_changes(known: Instrument, listed: Instrument) -> list[str]:
    """Return what the venue may now refuse although it was right for `known`, by name."""

    def differs(name: str) -> bool:
        return bool(getattr(known, name) != getattr(listed, name))

    grid = dict.fromkeys(word for name, word in GRID.items() if differs(name))
    if grid:
        return list(grid)  # bounds are counted in steps: no comparison means anything
    found = [name for name in KIND if differs(name)]
    found += [name for name in LOWER if getattr(listed, name) > getattr(known, name)]
    found += [name for name in UPPER if _bound(listed, name) < _bound(known, name)]
    if known.market_step_lots % listed.market_step_lots:
        found.append("market_step_lots")
    return found


def _bound(instrument: Instrument, name: str) -> float:
    bound: int = getattr(instrument, name)
    return float("inf") if bound == 0 and name in ABSENT_IF_ZERO else bound
