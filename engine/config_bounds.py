"""The part of the configuration that bounds single strategies and venues, and holds odd orders."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from engine.config_people import Count

Amount = Annotated[float, Meta(ge=0.0)]


class BoundConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bounds of one strategy or venue; what is left out is bounded by the account's limits alone.

    0 refuses everything. Notionals and the loss are in the quote currency.
    """

    max_order_notional: Amount | None = None
    max_position_notional: Amount | None = None
    max_orders_per_day: Count | None = None
    max_daily_loss: Amount | None = None


class InstrumentBoundConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bounds of one instrument; what is left out is bounded by `limits`. 0 refuses everything."""

    max_order_size: Amount | None = None
    max_position_exposure: Amount | None = None
    max_order_notional: Amount | None = None
    max_position_notional: Amount | None = None


class BoundsConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bounds beside those of the account (`limits`)."""

    strategy: Annotated[
        dict[str, BoundConfig],
        Meta(
            description="By the strategy's name (`*`: each that is not named): max_order_notional, "
            "max_position_notional (one instrument), max_orders_per_day (entries, exits and "
            "amendments; then no entries), max_daily_loss (realised, after fees; then no entries "
            "until a resume)."
        ),
    ] = {}
    venue: Annotated[
        dict[str, BoundConfig],
        Meta(
            description="By the venue's name, the same four: max_position_notional is of all "
            "positions together, max_daily_loss of the equity; then REDUCING, flat HALTED."
        ),
    ] = {}
    instrument: Annotated[
        dict[str, InstrumentBoundConfig],
        Meta(
            description="By symbol, in the place of `limits`: max_order_size and "
            "max_position_exposure (contracts), max_order_notional and max_position_notional."
        ),
    ] = {}


class ApprovalConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Entries that wait for an operator's word."""

    notional: Annotated[
        Amount, Meta(description="An entry above it waits, quote currency; 0: none does.")
    ] = 0.0
    usual_ratio: Annotated[
        Amount,
        Meta(
            description="So does one so many times the mean of its strategy's entries, from the "
            "sixth on; 0: none does."
        ),
    ] = 0.0
    wait_s: Annotated[int, Meta(ge=1, le=86_400, description="Then it is dropped.")] = 300


class PortfolioConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many positions strategies hold at once, and whether a better one takes a place."""

    positions_max: Annotated[
        Count,
        Meta(
            description="Positions of strategies at once, one for each strategy and instrument, "
            "with those an entry is on its way for; 0: no bound."
        ),
    ] = 0
    rotate: Annotated[
        bool,
        Meta(
            description="With every place taken a better entry closes the weakest position first "
            "and enters when that is closed (docs/portfolio.md)."
        ),
    ] = False
    rotate_bps: Annotated[
        Amount, Meta(description="How much better it must be, beside all costs, bps.")
    ] = 5.0
    rotate_hold_s: Annotated[
        Count, Meta(le=86_400, description="No position is closed for another before this time.")
    ] = 30
