"""The part of the configuration that is about a paper account (`engine.config` has the whole)."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class PaperConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A paper account on a third party's market data: orders are filled on this machine."""

    taker_fee_bps: Annotated[
        float, Meta(ge=0.0, description="Fee of fills that took liquidity, basis points.")
    ] = 5.0
    maker_fee_bps: Annotated[
        float, Meta(ge=0.0, description="Fee of fills that rested, basis points.")
    ] = 2.0
    latency_ms: Annotated[
        int,
        Meta(
            ge=0,
            description="From a command to its effect where it is not measured; matching looks "
            "every 5 ms.",
        ),
    ] = 20
    latency: Annotated[
        str,
        Meta(
            pattern="^(measured|fixed)$",
            description="measured: drawn from round trips to the venue of the data, latency_ms "
            "before there are eight. fixed: always latency_ms.",
        ),
    ] = "measured"
    queue: Annotated[
        str,
        Meta(
            pattern="^(trades|share)$",
            description="What a cancel at a resting order's price means. trades: it stood behind "
            "us. share: it struck the queue evenly.",
        ),
    ] = "trades"
    maintenance_bps: Annotated[
        float,
        Meta(
            ge=0.0,
            le=10_000.0,
            description="Of the notional at mark, basis points: equity at or below it is "
            "liquidated, as the venue does.",
        ),
    ] = 250.0
    wallet: Annotated[float, Meta(ge=0.0, description="Opening balance, quote currency.")] = (
        10_000.0
    )
