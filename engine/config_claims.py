"""The part of the configuration that is about what strategies claim (`engine.config`)."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Claim = Annotated[float, Meta(ge=0.0, le=1.0)]


class ClaimsConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whether a strategy's claim follows its record. Learned at the start, fixed for a session."""

    learn: Annotated[
        bool,
        Meta(
            description="Learn the claim of strategies from the account's record at the start; "
            "those that are learned enter only where their edge is at least 0."
        ),
    ] = False
    exits_min: Annotated[
        int, Meta(ge=1, description="Closed positions from which on a record counts.")
    ] = 20
    prior_exits: Annotated[
        int, Meta(ge=1, description="How many closed positions a row's own claim weighs as.")
    ] = 30
    learned: Annotated[
        dict[str, Claim],
        Meta(description="Claims by strategy that replace the rows' own; the start fills it in."),
    ] = {}
