"""Whether an instrument that is traded may still be entered, by what the venue lists of it now.

An instrument's steps are fixed for a run: rings, books and journals count in them, so another grid
leaves it open to exits only, as an end that is near does; the next run counts in the new one. Other
bounds on the same grid are taken over (`changed_bounds`).
"""

from __future__ import annotations

from typing import Final

from engine.domain.instrument_row import FILTER_FIELDS, Instrument, InstrumentError
from engine.venues.binance.exchange_info import SymbolRow, ends_soon, instrument_of

# Fields that must stay what they were, by the venue's word: everything is counted in them.
GRID: Final = {
    "price_exponent": "tickSize",
    "tick_scaled": "tickSize",
    "qty_exponent": "stepSize",
    "lot_scaled": "stepSize",
}
KIND: Final = ("quote", "margin", "contract_type")
NOT_LISTED: Final = frozenset(
    {"flags", "open_interest_lots", "news"}
)  # of what may change in a run
BOUNDS: Final = tuple(name for name in FILTER_FIELDS if name not in NOT_LISTED)


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
    """Return what is another instrument now, or counted otherwise, by name."""

    def differs(name: str) -> bool:
        return bool(getattr(known, name) != getattr(listed, name))

    grid = dict.fromkeys(word for name, word in GRID.items() if differs(name))
    return list(grid) or [name for name in KIND if differs(name)]


def changed_bounds(known: Instrument, row: SymbolRow) -> dict[str, int]:
    """Return the bounds of a listed instrument that are not those of `known`, by field.

    None where its grid is another one: bounds are counted in steps, so no number means the same.
    """
    try:
        listed = instrument_of(row)
    except InstrumentError:
        return {}
    if forbidding_changes(known, listed):
        return {}
    numbers = {name: int(getattr(listed, name)) for name in BOUNDS}
    return {name: n for name, n in numbers.items() if n != getattr(known, name)}
