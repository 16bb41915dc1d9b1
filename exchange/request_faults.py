"""Faults of requests at work: which rule each order arms, and what the venue's clock says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson

from exchange import fault_orders as orders
from exchange.errors import ApiError
from exchange.fault_life import Begin, Fault, Undo
from exchange.fault_orders import UNBOUNDED
from exchange.http1 import Request, Response
from exchange.rest_faults import (
    DEPTH_PATH,
    FULL_DEPTH,
    Alter,
    RestFaults,
    RestRule,
    Snapshot,
    altered_snapshot,
    crossed_snapshot,
    empty_snapshot,
    half_answer,
    moved_snapshot,
    refusal,
    stale_snapshot,
)
from exchange.rest_market import depth_view

if TYPE_CHECKING:
    from exchange.server import Exchange

# Each maker knows the shape of its orders; the table of kinds pairs them.
Words = Any


def _uses(order: orders.RequestOrder | orders.SnapshotOrder) -> int:
    return order.count or (UNBOUNDED if order.duration_ms else 1)


def _body(body: object) -> bytes:
    return body.encode() if isinstance(body, str) else orjson.dumps(body)


class RequestFaults:
    """What is wrong with requests now."""

    def __init__(self, exchange: Exchange) -> None:
        """Keep the assembled exchange."""
        self._exchange = exchange
        self.rules = RestFaults()
        self.upgrades = RestFaults()
        self._makers: dict[str, Callable[[Words], RestRule]] = {
            "rest": self._any,
            "http_status": self._status,
            "slow_answer": lambda o: RestRule(o.path, o.method, delay_ms=o.delay_ms),
            "half_answer": lambda o: RestRule(o.path, o.method, alter=half_answer),
            "stale_snapshot": lambda o: self._snapshot(o, stale_snapshot(self._books(o.symbol))),
            "snapshot_behind": lambda o: self._snapshot(o, moved_snapshot(-o.ids)),
            "snapshot_ahead": lambda o: self._snapshot(o, moved_snapshot(o.ids)),
            "crossed_snapshot": lambda o: self._snapshot(o, altered_snapshot(crossed_snapshot)),
            "empty_snapshot": lambda o: self._snapshot(o, altered_snapshot(empty_snapshot)),
        }

    def begin(self, kind: str, order: Words) -> Begin:
        """Return how a fault of requests begins."""
        if kind == "clock_skew":
            return self._skew(order)
        if kind == "weight_limit":
            return self._weight(order)
        rules = [self.rules]
        if kind == "http_status" and order.streams:
            rules.append(self.upgrades)
        return self._armed(rules, lambda: self._makers[kind](order), _uses(order))

    def _armed(self, lists: list[RestFaults], make: Callable[[], RestRule], uses: int) -> Begin:
        register = self._exchange.faults.register

        def begin(fault: Fault) -> Undo:
            armed: list[tuple[RestFaults, RestRule]] = []

            def undo() -> None:
                fault.uses = sum(rule.uses for _, rule in armed)
                for rules, rule in armed:
                    rules.remove(rule)

            for rules in lists:
                rule = make()
                rule.count = uses
                rule.on_end = lambda: register.end(fault)
                try:
                    rules.add(rule)
                except ApiError:
                    undo()
                    raise
                armed.append((rules, rule))
            return undo

        return begin

    def _any(self, order: orders.RestOrder) -> RestRule:
        headers = [(name, str(text)) for name, text in order.headers.items()]
        answer = Response(order.status, _body(order.body), headers) if order.status else None
        return RestRule(
            order.path,
            order.method,
            answer=answer,
            execute=order.execute,
            delay_ms=order.delay_ms,
            alter=half_answer if order.half else None,
        )

    def _status(self, order: orders.HttpStatusOrder) -> RestRule:
        now_ms = self._exchange.clock.now_ms()
        answer = refusal(order.status, order.retry_after_s, now_ms)
        return RestRule(order.path, order.method, answer=answer, execute=False)

    def _snapshot(self, order: orders.SnapshotOrder, alter: Alter) -> RestRule:
        return RestRule(DEPTH_PATH, "GET", symbol=order.symbol, alter=alter)

    def _books(self, symbol: str) -> dict[str, Snapshot]:
        venue = self._exchange.venue
        chosen = [venue.market(symbol)] if symbol else list(venue.markets.values())
        now_ms = self._exchange.clock.now_ms()
        return {
            market.spec.symbol: depth_view(market, FULL_DEPTH, now_ms)
            for market in chosen
            if market.book.synced
        }

    def _skew(self, order: orders.SkewOrder) -> Begin:
        api = self._exchange.api

        def begin(_fault: Fault) -> Undo:
            before = api.skew_ms, api.skew_hidden
            api.skew_ms, api.skew_hidden = order.offset_ms, order.hidden

            def undo() -> None:
                api.skew_ms, api.skew_hidden = before

            return undo

        return begin

    def _weight(self, order: orders.WeightOrder) -> Begin:
        budgets = self._exchange.api.budgets

        def begin(_fault: Fault) -> Undo:
            before = budgets.limits
            budgets.limits = replace(before, weight_1m=order.weight_1m)

            def undo() -> None:
                budgets.limits = before
                budgets.banned_until_s.clear()

            return undo

        return begin

    # Use ------------------------------------------------------------------------------------

    def answer(
        self, request: Request, dispatch: Callable[[Request], Response]
    ) -> tuple[Response, float]:
        """Answer a request through the first rule that fits; return the delay too."""
        rule = self.rules.match(request)
        if rule is None:
            return dispatch(request), 0.0
        return rule.respond(request, dispatch), rule.delay_ms / 1000

    def refused_upgrade(self, request: Request) -> Response | None:
        """Return the refusal of a stream handshake, if one is armed."""
        rule = self.upgrades.match(request) if self.upgrades else None
        return rule.answer if rule is not None else None
