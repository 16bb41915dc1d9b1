"""Settings of onboarding: when a strategy or a symbol goes live, and when it is taken off again."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class OnboardConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The out-of-sample gate; the same numbers say when what is live has decayed."""

    candidates: Annotated[
        tuple[str, ...],
        Meta(
            description="Names or patterns of strategies that a run carries OFF until `aegis "
            "onboard` takes them to live, with no new start; each costs what one that trades does."
        ),
    ] = ()
    trades_min: Annotated[
        int, Meta(ge=1, description="Closed positions from which on a record is judged.")
    ] = 30
    net_bps_min: Annotated[
        float,
        Meta(
            description="Mean result of a closed position after costs, bps of an entry's notional, "
            "that must be exceeded."
        ),
    ] = 0.0
    fall_ratio_max: Annotated[
        float,
        Meta(
            gt=0,
            description="Furthest fall of the record from its peak, in parts of an entry's "
            "notional; beyond it a record fails at once.",
        ),
    ] = 0.1
    look_s: Annotated[
        int,
        Meta(
            ge=1,
            description="Between two looks at a shadow record: the session's market is played "
            "again, beside the engine, at lowest priority.",
        ),
    ] = 900
    bad_data_s: Annotated[
        int,
        Meta(ge=1, description="Without live quotes for so long a symbol is offboarded."),
    ] = 600
