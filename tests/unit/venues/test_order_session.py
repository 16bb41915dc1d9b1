"""An order side whose key logs a session on, against the practice exchange."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from engine.domain.codes import EventType, OrderStatus, Side
from engine.venues.binance.session_answers import decode_answer
from engine.venues.order_records import LocalReason
from engine.venues.venue import CredentialError, ProtocolError, VenueUnreachableError
from tests.order_api_client import STRANGER, Json, pem_of, secret_of
from tests.order_side import Exchange, OrderSide, open_order_side, running_exchange
from tests.unit.venues.test_orders_on_exchange import enough_lots, far_bid_ticks

PAIR = "pair"
RETRY_AFTER_S = 70
ORDER_PATH = "/fapi/v1/order"
LOGON_PATH = "/ws-fapi/v1/session.logon"
UPDATE = EventType.ORDER_UPDATE


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    account = f"{PAIR}:{secret_of()}"
    with running_exchange("--generate", "1", "--seed", "3", "--account", account) as running:
        running.wait_for_quotes(running.instruments()[0].symbol)
        yield running


@pytest.fixture(autouse=True)
def calm(exchange: Exchange) -> Iterator[None]:
    yield
    exchange.fault(kind="clear")


class Scene:
    """An order side with a session, and a count of the requests that took HTTP instead."""

    def __init__(self, side: OrderSide) -> None:
        self.side = side
        self.session: Any = side.orders.context.session
        self.over_http = 0
        rest = side.orders.context.rest
        submit = rest.submit_bytes

        def counted(request: bytes) -> Any:  # noqa: ANN401
            self.over_http += 1
            return submit(request)

        rest.submit_bytes = counted  # type: ignore[method-assign]
        exchange_bytes = rest.exchange_bytes

        async def counted_too(request: bytes) -> Any:  # noqa: ANN401
            self.over_http += 1
            return await exchange_bytes(request)

        rest.exchange_bytes = counted_too  # type: ignore[method-assign,assignment]

    async def ready(self) -> None:
        await self.side.wait_until(lambda: self.session.is_ready, "no session")

    def rest_order(self) -> Any:  # noqa: ANN401
        return self.side.new_order(Side.BUY, enough_lots(self.side), far_bid_ticks(self.side))

    def orders_of(self, sequence: int) -> list[Json]:
        """Return the orders that the exchange has under a number of this side."""
        ledger = self.side.exchange.call("GET", f"/practice/ledger?account={PAIR}")
        part = f"-{'0123456789abcdefghijklmnopqrstuvwxyz'[sequence]}-"
        mine = f"a{_base36(self.side.epoch)}-"
        return [
            order
            for order in ledger["orders"]
            if order["clientOrderId"].startswith(mine) and part in order["clientOrderId"]
        ]


def _base36(number: int) -> str:
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    return digits[number] if number < 36 else _base36(number // 36) + digits[number % 36]


def play(exchange: Exchange, scene: Any, **options: Json) -> None:  # noqa: ANN401
    async def scenario() -> None:
        key = {"key": PAIR, "secret": pem_of()} | options
        async with open_order_side(exchange, **key) as side:
            made = Scene(side)
            await made.ready()
            await scene(made)

    asyncio.run(scenario())


def break_order(exchange: Exchange, **answer: Json) -> None:
    exchange.fault(kind="rest", path=ORDER_PATH, method="POST", **answer)


def refuse_logon(exchange: Exchange, status: int, code: int, *, count: int = 1) -> None:
    body = {"code": code, "msg": "no"}
    exchange.fault(
        kind="rest", path=LOGON_PATH, status=status, body=body, execute=False, count=count
    )


def test_orders_cancels_and_queries_go_over_the_session(exchange: Exchange) -> None:
    async def scene(s: Scene) -> None:
        command = s.rest_order()
        ack = await s.side.wait(UPDATE, OrderStatus.NEW)
        assert (ack.order_sequence, ack.price_ticks) == (1, command.price_ticks)
        s.side.query(command)
        await s.side.wait_until(lambda: len(s.side.of_type(UPDATE)) >= 3, "no second answer")
        s.side.orders.submit(command._replace(event_type=EventType.COMMAND_CANCEL))
        await s.side.wait(UPDATE, OrderStatus.CANCELED)
        assert (s.over_http, s.session.logon_count) == (0, 1)

    play(exchange, scene)


def test_fills_of_a_session_come_over_the_user_stream(exchange: Exchange) -> None:
    async def scene(s: Scene) -> None:
        command = s.side.new_order(Side.BUY, enough_lots(s.side))
        await s.side.wait_until(
            lambda: (
                sum(fill.last_qty_lots for fill in s.side.of_type(EventType.FILL))
                == command.qty_lots
            ),
            "fills do not sum to the order",
        )
        assert s.over_http == 0

    play(exchange, scene)


def test_refusal_is_final_and_named(exchange: Exchange) -> None:
    async def scene(s: Scene) -> None:
        s.side.new_order(Side.BUY, 1, 1)
        refused = await s.side.wait(UPDATE, OrderStatus.REJECTED)
        assert refused.reason < -1000
        assert s.session.is_ready

    play(exchange, scene)


@pytest.mark.parametrize("execute", [True, False])
def test_end_of_the_session_leaves_an_order_in_doubt_until_it_is_queried(
    exchange: Exchange, execute: bool
) -> None:
    async def scene(s: Scene) -> None:
        break_order(exchange, status=-1, execute=execute)
        command = s.rest_order()
        unknown = await s.side.wait(EventType.ORDER_UNKNOWN)
        assert unknown.reason == LocalReason.CONNECTION_LOST
        await s.side.wait_until(lambda: s.session.logon_count == 2, "not logged on again")
        assert len(s.orders_of(1)) == execute, "nothing was sent a second time"
        first = len(s.side.reports)
        s.side.query(command)
        found = OrderStatus.NEW if execute else OrderStatus.NONE
        assert (await s.side.wait(UPDATE, found, first)).order_sequence == 1
        assert len(s.orders_of(1)) == execute

    play(exchange, scene)


def test_late_answer_leaves_the_session_up_and_is_not_taken_for_another(
    exchange: Exchange,
) -> None:
    async def scene(s: Scene) -> None:
        break_order(exchange, delay_ms=400)
        s.rest_order()
        unknown = await s.side.wait(EventType.ORDER_UNKNOWN)
        assert unknown.reason == LocalReason.TIMEOUT
        s.rest_order()
        ack = await s.side.wait(UPDATE, OrderStatus.NEW, s.side.reports.index(unknown))
        await asyncio.sleep(0.5)  # the late one comes meanwhile
        assert s.session.logon_count == 1
        answered = {row.order_sequence for row in s.side.of_type(UPDATE)}
        assert ack.order_sequence in answered

    play(exchange, scene, timeout_ms=150)


def test_without_a_session_signed_requests_carry_the_orders(exchange: Exchange) -> None:
    refuse_logon(exchange, 401, -2015, count=1_000)

    async def scenario() -> None:
        async with open_order_side(exchange, key=PAIR, secret=pem_of()) as side:
            s = Scene(side)
            command = s.rest_order()
            await side.wait(UPDATE, OrderStatus.NEW)
            side.query(command)
            await side.wait_until(lambda: len(side.of_type(UPDATE)) >= 3, "no second answer")
            change = {"price_ticks": command.price_ticks - 10}
            kind = EventType.COMMAND_REPLACE
            side.orders.submit(command._replace(event_type=kind, **change))
            await side.wait_until(
                lambda: any(r.price_ticks == change["price_ticks"] for r in side.of_type(UPDATE)),
                "not amended",
            )
            side.orders.submit(command._replace(event_type=EventType.COMMAND_CANCEL))
            await side.wait(UPDATE, OrderStatus.CANCELED)
            assert s.over_http >= 3
            await side.wait_until(
                lambda: isinstance(s.session.last_error, CredentialError), "nobody says why"
            )
            exchange.fault(kind="clear")
            await s.ready()

    asyncio.run(scenario())


def test_clock_that_is_off_is_learned_and_the_order_sent_once_more(exchange: Exchange) -> None:
    async def scene(s: Scene) -> None:
        exchange.fault(kind="clock_skew", offset_ms=-30_000, duration_ms=3_000)
        s.rest_order()
        await s.side.wait_until(lambda: bool(s.side.of_type(UPDATE)), "no answer")
        assert len(s.orders_of(1)) <= 1
        assert s.session.is_ready

    play(exchange, scene)


def test_clock_that_is_off_at_the_logon_is_learned_first(exchange: Exchange) -> None:
    refuse_logon(exchange, 400, -1021)

    async def scene(s: Scene) -> None:
        assert s.session.logon_count == 1
        assert len(s.side.of_type(EventType.VENUE_CLOCK)) >= 2

    play(exchange, scene)


def test_rate_limit_heard_on_the_session_stops_both_ways(exchange: Exchange) -> None:
    async def scene(s: Scene) -> None:
        refusal = {"code": -1003, "msg": "slow down"}
        break_order(
            exchange,
            status=429,
            body=refusal,
            headers={"Retry-After": RETRY_AFTER_S},
            execute=False,
        )
        began_ns = time.monotonic_ns()
        s.rest_order()
        await s.side.wait(UPDATE, OrderStatus.REJECTED)
        until_ns = s.side.orders.context.rest._blocked_until_ns
        assert began_ns < until_ns - RETRY_AFTER_S * 10**9 < time.monotonic_ns()
        s.rest_order()
        await s.side.wait_until(lambda: len(s.side.of_type(UPDATE)) == 2, "not refused")
        assert s.side.of_type(UPDATE)[1].reason == LocalReason.RATE_PAUSED

    play(exchange, scene)


def test_announced_shutdown_is_followed_by_another_session(exchange: Exchange) -> None:
    async def scene(s: Scene) -> None:
        exchange.fault(kind="server_shutdown", category="orders")
        await s.side.wait_until(lambda: s.session.logon_count == 2, "no new session")
        s.rest_order()
        await s.side.wait(UPDATE, OrderStatus.NEW)

    play(exchange, scene)


def test_pings_of_the_venue_are_answered(exchange: Exchange) -> None:
    async def scene(s: Scene) -> None:
        exchange.fault(kind="pings", period_ms=100, timeout_ms=2_000)
        await asyncio.sleep(3.0)  # longer than an unanswered ping may take
        assert (s.session.is_ready, s.session.logon_count) == (True, 1)
        exchange.fault(kind="clear")

    play(exchange, scene)


def test_half_an_answer_ends_the_session_and_another_follows(exchange: Exchange) -> None:
    async def scene(s: Scene) -> None:
        exchange.fault(kind="half_answer", path=ORDER_PATH, method="POST")
        s.rest_order()
        await s.side.wait(EventType.ORDER_UNKNOWN)
        await s.side.wait_until(lambda: s.session.logon_count == 2, "no new session")

    play(exchange, scene)


def test_answer_that_describes_no_order_proves_nothing(exchange: Exchange) -> None:
    async def scene(s: Scene) -> None:
        break_order(exchange, status=200, body={"orderId": "x"})
        s.rest_order()
        await s.side.wait(EventType.ORDER_UNKNOWN)
        assert s.session.logon_count == 1

    play(exchange, scene)


def test_amended_order_is_reported_as_the_venue_has_it(exchange: Exchange) -> None:
    async def scene(s: Scene) -> None:
        command = s.rest_order()
        await s.side.wait(UPDATE, OrderStatus.NEW)
        change = command._replace(
            event_type=EventType.COMMAND_REPLACE,
            price_ticks=command.price_ticks - 10,
            qty_lots=command.qty_lots + 5,
        )
        s.side.orders.submit(change)
        await s.side.wait_until(
            lambda: any(
                (row.price_ticks, row.qty_lots) == (change.price_ticks, change.qty_lots)
                for row in s.side.of_type(UPDATE)
            ),
            "not amended",
        )
        first = len(s.side.reports)
        s.side.orders.submit(change)  # nothing is different: the order is what was asked for
        told = await s.side.wait(UPDATE, OrderStatus.NEW, first)
        assert told.price_ticks == change.price_ticks
        assert not s.side.of_type(EventType.CANCEL_REJECTED)

    play(exchange, scene)


def test_amendment_waits_for_no_budget_and_is_refused_without_a_request(
    exchange: Exchange,
) -> None:
    async def scene(s: Scene) -> None:
        command = s.rest_order()
        await s.side.wait(UPDATE, OrderStatus.NEW)
        for window in s.side.orders.context.rest.budget._orders:
            window.limit = 0
        s.side.orders.submit(command._replace(event_type=EventType.COMMAND_REPLACE))
        refused = await s.side.wait(EventType.CANCEL_REJECTED)
        assert refused.reason == LocalReason.RATE_PAUSED

    play(exchange, scene)


def test_session_that_is_not_ready_sends_nothing(exchange: Exchange) -> None:
    async def scene(s: Scene) -> None:
        s.session.close()
        assert s.session.write(b"frame") is None
        with pytest.raises(VenueUnreachableError):
            await s.session.ask("order.status", {})

    play(exchange, scene)


def test_key_of_somebody_else_is_refused_at_the_start(exchange: Exchange) -> None:
    async def scenario() -> None:
        side = OrderSide(exchange, key=PAIR, secret=pem_of(STRANGER))
        with pytest.raises(CredentialError):
            await side.orders.open()
        await side.orders.close()

    asyncio.run(scenario())


def test_shared_secret_has_no_session(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            assert side.orders.context.session is None

    asyncio.run(scenario())


# Answers ------------------------------------------------------------------------------------


def test_answer_becomes_what_http_would_have_said() -> None:
    text = (
        b'{"id":"a1-1-1-1","status":200,"result":{"orderId":5},"rateLimits":[{"rateLimitType":'
        b'"ORDERS","interval":"SECOND","intervalNum":10,"limit":300,"count":12},'
        b'{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":2400,'
        b'"count":7},{"rateLimitType":"OTHER","interval":"DAY","intervalNum":1}]}'
    )
    answer = decode_answer(text)
    response = answer.response()
    assert (answer.id, response.status, response.body) == ("a1-1-1-1", 200, b'{"orderId":5}')
    assert response.headers == {"x-mbx-order-count-10s": "12", "x-mbx-used-weight-1m": "7"}


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        ('"data":{"serverTime":1000,"retryAfter":3001}', "3"),
        ('"data":{"serverTime":1000,"retryAfter":900}', None),
        ('"data":{"serverTime":1000}', None),
        ('"data":7', None),
        ('"other":1', None),
    ],
)
def test_answer_says_when_to_come_again(times: str, seconds: str | None) -> None:
    text = f'{{"id":1,"status":429,"error":{{"code":-1003,"msg":"no",{times}}}}}'
    assert decode_answer(text.encode()).response().headers.get("retry-after") == seconds


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b'{"status":"200"}', b'{"id":{}}', b"\xff"])
def test_frame_that_is_none_is_refused(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_answer(text)
