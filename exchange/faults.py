"""Faults on command: frames that lie, streams that stall, answers that get lost.

One order, as JSON from the control routes or as a row of a scenario file, is one fault. It acts at
once, or it is armed, lasts and ends; `exchange.fault_kinds` is the table of them. Nothing here is
ever active without a command.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from exchange import fault_orders as orders
from exchange import userdata
from exchange.account import Account
from exchange.connection_faults import ConnectionFaults
from exchange.errors import ApiError
from exchange.fault_kinds import (
    CONNECTION_KINDS,
    KINDS,
    REQUEST_KINDS,
    STREAM_KINDS,
)
from exchange.fault_life import Begin, Fault, FaultRegister, Undo
from exchange.fault_money import CLIENT_ID, force_trades, pay_funding
from exchange.http1 import Request, Response
from exchange.market_faults import MarketFaults
from exchange.order_api import ORDERS
from exchange.poison import POISON, poisoned_quote
from exchange.request_faults import RequestFaults
from exchange.stream_arming import rule_of
from exchange.stream_faults import RuleKey, StreamFaults, StreamRule
from exchange.streams import USER_STREAM, Mute, StreamKey, parse_stream
from exchange.symbols import money_text

if TYPE_CHECKING:
    from exchange.server import Exchange

Answer = dict[str, object]
CATEGORY_OF = {"public": "public", "market": "market", "private": "private", "ws-fapi": ORDERS}
# Each action knows the shape of its orders; the table of kinds pairs them.
Words = Any


class Faults:
    """All faults of the exchange."""

    def __init__(self, exchange: Exchange) -> None:
        """Attach to the assembled exchange."""
        self._exchange = exchange
        self._hub = exchange.hub
        self.register = FaultRegister()
        self.streams = StreamFaults()
        self._hub.faults = self.streams
        self.requests = RequestFaults(exchange)
        self.connections = ConnectionFaults(exchange)
        self.markets = MarketFaults(exchange, self.streams)
        self.injected_count = 0
        connections = self.connections
        self._lasting: dict[str, Callable[[str, Words], Begin]] = {
            **dict.fromkeys(STREAM_KINDS, self._stream),
            **dict.fromkeys(REQUEST_KINDS, self.requests.begin),
            **dict.fromkeys(CONNECTION_KINDS, connections.impaired),
            "half_frame": lambda _k, o: connections.half_frame(o),
            "shape": lambda _k, o: connections.shape(o),
            "pings": lambda _k, o: connections.pings(o),
            "life_limit": lambda _k, o: connections.life(o),
            "refuse_connections": lambda _k, o: connections.refuse(o),
            "slow_handshake": lambda _k, o: connections.handshake(o),
            "accepted_silent": self._accepted_silent,
            "names": self._names,
            "symbol_status": self.markets.status,
            "filter_change": self.markets.filters,
            "partial_fill": self.markets.partial,
        }
        self._at_once: dict[str, Callable[[str, Words], Answer]] = {
            **dict.fromkeys(POISON, self._poison),
            "clear": lambda _k, _o: self._clear(),
            "end": lambda _k, o: {"ended": self.register.end_id(o.id)},
            "frame": lambda _k, o: self._inject(o.stream, o.text),
            "disconnect": lambda _k, o: {"closed": connections.disconnect(o)},
            "server_shutdown": self._shutdown,
            "time_offset": self._time_offset,
            "listen_key_expired": self._expire,
            "user_event": self._user_event,
            "funding": self._fund,
            **dict.fromkeys(CLIENT_ID, self._force),
        }

    def clear(self) -> None:
        """End everything."""
        self.register.clear()

    def command(self, order: Mapping[str, Any], account_key: str = "") -> Answer:
        """Carry out one order.

        Raises:
            ApiError: as `prepared`, and -2015 when it names an account that is not there.
        """
        return self.prepared(order, account_key)()

    def prepared(self, order: Mapping[str, Any], account_key: str = "") -> Callable[[], Answer]:
        """Return what carries an order out, having checked it; nothing happens before.

        Raises:
            ApiError: -1000 when the order is not understood, -1121 for an unknown symbol.
        """
        kind = str(order.get("kind", ""))
        row = KINDS.get(kind)
        if row is None:
            raise ApiError(-1000, f"unknown fault kind {kind!r}")
        words = dict(order)
        if issubclass(row.shape, orders.AccountOrder | orders.UserEventOrder):
            words.setdefault("account", account_key)
        parsed = orders.parse(row.shape, words)
        at_once = self._at_once.get(kind)
        if at_once is not None:
            return self._counted(lambda: at_once(kind, parsed))
        lasting = cast("orders.Lasting", parsed)
        begin = self._lasting[kind](kind, lasting)

        def launch() -> Answer:
            fault = self.register.launch(kind, lasting, begin)
            return {"armed": kind, "id": fault.fault_id, **self._named(parsed)}

        return self._counted(launch)

    def _counted(self, act: Callable[[], Answer]) -> Callable[[], Answer]:
        def counted() -> Answer:
            self.injected_count += 1
            return act()

        return counted

    def _named(self, order: orders.Order) -> Answer:
        if isinstance(order, orders.StreamOrder):
            return {"stream": USER_STREAM if order.account else _stream_name(order)}
        return {"count": order.count} if isinstance(order, orders.RestOrder) else {}

    # Streams --------------------------------------------------------------------------------

    def _stream(self, kind: str, order: orders.StreamOrder) -> Begin:
        keys = self._keys_of(order)

        def begin(fault: Fault) -> Undo:
            armed: list[tuple[RuleKey, StreamRule]] = []
            left = [len(keys)]

            def one_ended() -> None:
                left[0] -= 1
                if left[0] == 0:
                    self.register.end(fault)

            for place, key in enumerate(keys):
                rule = rule_of(kind, order, place)
                rule.on_end = one_ended
                armed.append((key, rule))
            self.streams.add_all(armed)

            def undo() -> None:
                fault.uses = sum(rule.uses for _, rule in armed)
                for key, rule in armed:
                    held = self.streams.remove(key, rule)
                    if held:
                        self._hub.send_held(key, held)
                        self._hub.flush()

            return undo

        return begin

    def _keys_of(self, order: orders.StreamOrder) -> list[RuleKey]:
        if order.account:
            return [(USER_STREAM, order.account, "")]
        return [*self._stream_keys(_stream_name(order))]

    def _stream_keys(self, name: str) -> list[StreamKey]:
        names = [name]
        if name.startswith("*@"):
            names = [symbol.lower() + name[1:] for symbol in self._hub.index_of]
        keys = [parse_stream(one, self._hub.index_of) for one in names]
        found = [key for key in keys if key is not None]
        if len(found) < len(names):
            raise ApiError(-1000, f"unknown stream {name!r}")
        return found

    def _accepted_silent(self, _kind: str, order: orders.SubscriptionOrder) -> Begin:
        keys = frozenset(self._stream_keys(order.stream))

        def begin(fault: Fault) -> Undo:
            def use() -> None:
                fault.uses += 1
                if order.count and fault.uses >= order.count:
                    self.register.end(fault)

            mute = Mute(keys, use)
            self._hub.muted.append(mute)
            return lambda: self._hub.muted.remove(mute)

        return begin

    def _names(self, _kind: str, order: orders.NamesOrder) -> Begin:
        server = self._exchange.names
        if server is None:
            raise ApiError(-1000, "no name server runs: start with --names-port")
        return server.failing(order)

    # At once --------------------------------------------------------------------------------

    def _clear(self) -> Answer:
        self.clear()
        return {"cleared": True}

    def _inject(self, name: str, text: str) -> Answer:
        key = parse_stream(name, self._hub.index_of)
        if key is None:
            raise ApiError(-1000, f"unknown stream {name!r}")
        outlets = self._hub.outlets(key)
        self._hub.send_to(outlets, [text.encode()])
        self._hub.flush()
        return {"sent": len(outlets)}

    def _poison(self, kind: str, order: orders.PoisonOrder) -> Answer:
        market = self._exchange.venue.market(order.symbol)
        text = poisoned_quote(kind, market, self._exchange.clock.now_ms())
        return self._inject(f"{order.symbol.lower()}@bookTicker", text)

    def _shutdown(self, _kind: str, order: orders.ShutdownOrder) -> Answer:
        now_ms = self._exchange.clock.now_ms()
        return {"told": self.connections.announce_shutdown(order, now_ms)}

    def _time_offset(self, _kind: str, order: orders.TimeOffsetOrder) -> Answer:
        self._exchange.clock.shift_ms(order.offset_ms)
        return {"serverTime": self._exchange.clock.now_ms()}

    def _account(self, key: str) -> Account:
        account = self._exchange.venue.accounts.get(key)
        if account is None:
            raise ApiError(-2015, f"no account {key!r}")
        return account

    def _expire(self, _kind: str, order: orders.AccountOrder) -> Answer:
        account = self._account(order.account)
        now_ms = self._exchange.clock.now_ms()
        event = userdata.listen_key_expired_event(account.listen_key, now_ms)
        self._hub.expire_listen_key(account, event)
        return {"expired": account.key}

    def _user_event(self, _kind: str, order: orders.UserEventOrder) -> Answer:
        self._hub.tell(self._account(order.account), order.event)
        return {"sent": order.account}

    def _fund(self, _kind: str, order: orders.FundingOrder) -> Answer:
        paid = pay_funding(self._exchange.venue, self._account(order.account), order)
        return {"paid": money_text(paid)}

    def _force(self, kind: str, order: orders.ForcedOrder) -> Answer:
        account = self._account(order.account)
        return {"fills": force_trades(self._exchange.venue, account, kind, order)}

    # Requests and handshakes ----------------------------------------------------------------

    def upgrade_fault(self, request: Request) -> tuple[Response | None, float]:
        """Return the refusal of a stream handshake, if any, and how long it waits."""
        first = request.path.strip("/").partition("/")[0]
        category = CATEGORY_OF.get(first, "")
        refusal = self.requests.refused_upgrade(request)
        return refusal, self.connections.handshake_delay_s(category)


def _stream_name(order: orders.StreamOrder) -> str:
    return order.stream or f"{order.symbol.lower()}@depth"
