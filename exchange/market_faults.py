"""Faults of instruments: delisting, and filters that change while everybody trades by them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import orjson

from exchange.errors import ApiError
from exchange.fault_life import Begin, Fault, Undo
from exchange.fault_orders import (
    UNBOUNDED,
    DisconnectOrder,
    FilterOrder,
    PartialOrder,
    SymbolStatusOrder,
)
from exchange.listing import STATUSES, TRADING
from exchange.matching import Market
from exchange.stream_faults import Drop, RuleKey, StreamFaults, StreamRule
from exchange.streams import CONTRACT_INFO_KEY, keys_of_market
from exchange.symbols import SymbolSpec, parse_money, parse_units

if TYPE_CHECKING:
    from exchange.server import Exchange


class MarketFaults:
    """What is wrong with instruments now."""

    def __init__(self, exchange: Exchange, streams: StreamFaults) -> None:
        """Keep the assembled exchange and where stream rules are armed."""
        self._exchange = exchange
        self._streams = streams

    def status(self, _kind: str, order: SymbolStatusOrder) -> Begin:
        """Return a fault that takes a symbol out of trading."""
        market = self._exchange.venue.market(order.symbol)
        if order.status not in STATUSES:
            raise ApiError(-1000, f"unknown symbol status {order.status!r}")

        def begin(_fault: Fault) -> Undo:
            halted = order.status != TRADING and not order.streams
            unmute = self._mute(market, mute=halted)
            listing = market.listing
            before = listing.status, listing.listed, listing.delivery_ms
            listing.status, listing.listed = order.status, order.listed
            if order.delivery_in_ms is not None:
                listing.delivery_ms = self._exchange.clock.now_ms() + order.delivery_in_ms
            self._announce(market)

            def undo() -> None:
                listing.status, listing.listed, listing.delivery_ms = before
                unmute()
                self._announce(market)

            return undo

        return begin

    def partial(self, _kind: str, order: PartialOrder) -> Begin:
        """Return a fault under which orders find a part of what they want to take."""
        faults, venue = self._exchange.faults, self._exchange.venue
        most = order.count or (UNBOUNDED if order.duration_ms else 1)

        def begin(fault: Fault) -> Undo:
            def found(qty: int) -> int:
                fault.uses += 1
                if order.cut:
                    faults.connections.disconnect(DisconnectOrder(category="private"))
                if fault.uses >= most:
                    faults.register.end(fault)
                return int(qty * order.share)

            before, venue.found_qty = venue.found_qty, found

            def undo() -> None:
                venue.found_qty = before

            return undo

        return begin

    def _mute(self, market: Market, *, mute: bool) -> Callable[[], None]:
        """Let every stream of a market fall silent if asked to; return what ends that.

        Raises:
            ApiError: when one of them has as many rules as it may have.
        """
        keys = keys_of_market(market.index) if mute else []
        armed: list[tuple[RuleKey, StreamRule]] = [
            (key, StreamRule(Drop(), UNBOUNDED)) for key in keys
        ]
        self._streams.add_all(armed)

        def unmute() -> None:
            for key, rule in armed:
                self._streams.remove(key, rule)

        return unmute

    def filters(self, _kind: str, order: FilterOrder) -> Begin:
        """Return a fault that changes a symbol's filters."""
        market = self._exchange.venue.market(order.symbol)
        changed = changed_spec(market.spec, order)

        def begin(_fault: Fault) -> Undo:
            before = market.spec
            market.spec = changed
            self._announce(market)

            def undo() -> None:
                market.spec = before
                self._announce(market)

            return undo

        return begin

    def _announce(self, market: Market) -> None:
        """Tell `!contractInfo` what a symbol is now."""
        listing, now_ms = market.listing, self._exchange.clock.now_ms()
        body = {
            "e": "contractInfo",
            "E": now_ms,
            "s": market.spec.symbol,
            "ps": listing.pair,
            "ct": listing.contract_type,
            "dt": listing.delivery_ms,
            "ot": 0,
            "cs": listing.status,
            "bks": [],
            "st": listing.family or 1,
        }
        self._exchange.hub.emit(CONTRACT_INFO_KEY, orjson.dumps(body))
        self._exchange.hub.flush()


def changed_spec(spec: SymbolSpec, order: FilterOrder) -> SymbolSpec:
    """Return a symbol's filters with those of an order in the place of its own.

    Raises:
        ApiError: when a number is none, or finer than the symbol's decimals.
    """
    tick = parse_units(order.tick_size, spec.price_decimals) if order.tick_size else spec.tick
    step = parse_units(order.step_size, spec.qty_decimals) if order.step_size else spec.step
    least = parse_units(order.min_quantity, spec.qty_decimals) if order.min_quantity else 0
    notional = parse_money(order.min_notional) if order.min_notional else spec.min_notional
    if tick <= 0 or step <= 0:
        raise ApiError(-1000, "tick and step are above zero")
    min_qty = least or max(spec.min_qty, step)
    return replace(
        spec, tick=tick, step=step, min_qty=min_qty, min_notional=notional, min_price=tick
    )
