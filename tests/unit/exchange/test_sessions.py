"""Whole sessions over the wire: a client's own books must equal the ledger to the last unit."""

import asyncio
import json
import random
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from exchange.clock import UNLIMITED
from exchange.generator import Generator
from exchange.limits import Limits
from exchange.server import Options
from tests.exchange_rig import KEY, Rest, Running, Stream, run, running, tape_of

MANY = Limits(weight_1m=10**9, orders_10s=10**9, orders_1m=10**9)
USDT_PLACES = Decimal("0.00000001")


class Books:
    """What a client knows from its user events alone."""

    def __init__(self, deposit: str) -> None:
        self.wallet = Decimal(deposit)
        self.told_wallet = Decimal(deposit)
        self.positions: dict[str, Decimal] = defaultdict(Decimal)
        self.orders: dict[int, dict[str, Any]] = {}
        self.trades: set[int] = set()
        self.hints: set[int] = set()

    def take(self, event: dict[str, Any]) -> None:
        """Apply one user event."""
        if event["e"] == "ACCOUNT_UPDATE":
            self.told_wallet = Decimal(event["a"]["B"][0]["wb"])
        elif event["e"] == "TRADE_LITE":
            self.hints.add(event["t"])
        elif event["e"] == "ORDER_TRADE_UPDATE":
            order = event["o"]
            self.orders[order["i"]] = order
            if order["x"] == "TRADE":
                assert order["t"] not in self.trades
                self.trades.add(order["t"])
                signed = Decimal(order["l"]) * (1 if order["S"] == "BUY" else -1)
                self.positions[order["s"]] += signed
                self.wallet += Decimal(order["rp"]) - Decimal(order["n"])

    def compare(self, ledger: dict[str, Any]) -> None:
        """Hold these books against the exchange's ledger."""
        assert self.wallet == self.told_wallet
        assert str(self.wallet.quantize(USDT_PLACES)) == ledger["balances"][0]["walletBalance"]
        theirs = {row["symbol"]: Decimal(row["positionAmt"]) for row in ledger["positions"]}
        assert {s: q for s, q in self.positions.items() if q} == {
            s: q for s, q in theirs.items() if q
        }
        assert self.trades == self.hints == {row["id"] for row in ledger["trades"]}
        for row in ledger["orders"]:
            mine = self.orders[row["orderId"]]
            assert (mine["X"], mine["z"]) == (row["status"], row["executedQty"])
        assert len(self.orders) == len(ledger["orders"])


async def listen(stream: Stream, books: Books) -> None:
    """Feed the books until the connection ends."""
    try:
        while True:
            books.take(json.loads(await stream.socket.recv()))
    except ConnectionClosed:
        return


async def drain(stream: Stream) -> None:
    """Read and forget, as a subscriber that keeps up."""
    try:
        while True:
            await stream.socket.recv()
    except ConnectionClosed:
        return


async def trade_at_random(rest: Rest, symbols: list[str], seed: int, count: int) -> int:
    """Send orders and cancels of every kind; return how many orders were accepted."""
    dice = random.Random(seed)
    accepted = 0
    for _ in range(count):
        symbol = dice.choice(symbols)
        book = (await rest.open("/fapi/v1/ticker/bookTicker", symbol=symbol)).json
        touch = Decimal(book["bidPrice"])
        if not touch:
            continue
        tick = Decimal("0.1") if symbol == "BTCUSDT" else Decimal("0.01")
        quantity = (Decimal(200) / touch).quantize(Decimal("0.001")) + Decimal("0.001")
        order: dict[str, object] = {"symbol": symbol, "side": dice.choice(["BUY", "SELL"])}
        order["quantity"] = str(quantity * dice.randint(1, 20))
        if dice.random() < 0.3:
            order["type"] = "MARKET"
        else:
            order["timeInForce"] = dice.choice(["GTC", "GTC", "IOC", "FOK", "GTX"])
            order["price"] = str(touch + tick * dice.randint(-3, 4))
        answer = await rest.order(**order)
        accepted += answer.status == 200
        if dice.random() < 0.1:
            await rest.signed("DELETE", "/fapi/v1/allOpenOrders", symbol=symbol)
    return accepted


async def settle(exchange: Running, books: Books) -> dict[str, Any]:
    """Cancel what rests, wait until every event was heard, and return the ledger."""
    rest = exchange.rest()
    for symbol in exchange.exchange.venue.markets:
        await rest.signed("DELETE", "/fapi/v1/allOpenOrders", symbol=symbol)
    account = exchange.exchange.venue.accounts[KEY]
    last = {order.order_id: order.status for order in account.orders.values()}
    await exchange.until(
        lambda: (
            {order_id: o["X"] for order_id, o in books.orders.items()} == last
            and len(books.trades) == len(account.fills)
        )
    )
    ledger: dict[str, Any] = (await rest.open("/practice/ledger", account=KEY)).json
    return ledger


async def session(exchange: Running, seed: int, count: int) -> tuple[Books, dict[str, Any], int]:
    """Trade at random while the market plays; return books, ledger and accepted orders."""
    rest = exchange.rest()
    user = await exchange.user_stream(rest)
    symbols = list(exchange.exchange.venue.markets)
    names = "/".join(f"{symbol.lower()}@bookTicker" for symbol in symbols)
    market = await exchange.stream(f"/public/stream?streams={names}")
    books = Books("1000000")
    listeners = [
        asyncio.create_task(listen(user, books)),
        asyncio.create_task(drain(market)),
    ]
    markets = exchange.exchange.venue.markets.values()
    await exchange.until(lambda: all(m.book.synced and m.last_price for m in markets))
    accepted = await trade_at_random(rest, symbols, seed, count)
    ledger = await settle(exchange, books)
    await user.close()
    await market.close()
    await asyncio.gather(*listeners)
    return books, ledger, accepted


def rich(speed: float) -> Options:
    return Options(speed=speed, balance=1_000_000 * 10**8, limits=MANY)


def test_random_session_on_a_generated_market() -> None:
    async def test() -> None:
        async with running(Generator(2, 11, 2_000), rich(5.0)) as exchange:
            books, ledger, accepted = await session(exchange, 1, 150)
            assert accepted > 80
            assert len(ledger["trades"]) > 30
            assert any(trade["maker"] for trade in ledger["trades"])
            books.compare(ledger)

    run(test())


@pytest.mark.parametrize("seed", [2, 3])
def test_random_session_on_the_recorded_market(captures: list[Path], seed: int) -> None:
    async def test() -> None:
        async with running(tape_of(*captures), rich(20.0)) as exchange:
            books, ledger, accepted = await session(exchange, seed, 120)
            assert accepted > 60
            assert len(ledger["trades"]) > 20
            books.compare(ledger)

    run(test())


def test_recorded_market_to_its_end_at_unlimited_speed(captures: list[Path]) -> None:
    async def test() -> None:
        async with running(tape_of(*captures), rich(UNLIMITED)) as exchange:
            rest = exchange.rest()
            user = await exchange.user_stream(rest)
            books = Books("1000000")
            public = await exchange.stream(
                "/public/stream?streams=btcusdt@depth/ethusdt@depth/btcusdt@bookTicker"
            )
            counts: dict[str, int] = defaultdict(int)
            last_ids: dict[str, int] = {}
            placed = 0
            listening = asyncio.create_task(listen(user, books))
            try:
                while True:
                    message = json.loads(await public.socket.recv())
                    counts[message["stream"]] += 1
                    body = message["data"]
                    if body["e"] == "depthUpdate":
                        symbol = body["s"]
                        assert body["pu"] == last_ids.get(symbol, body["pu"])
                        last_ids[symbol] = body["u"]
                    elif counts["btcusdt@bookTicker"] % 2_000 == 0:
                        side = "BUY" if placed % 2 else "SELL"
                        price = body["b"] if side == "BUY" else body["a"]
                        await rest.order(side=side, quantity="0.050", price=price)
                        placed += 1
            except ConnectionClosed:
                pass
            assert counts == {
                "btcusdt@depth": 6_551,
                "ethusdt@depth": 6_586,
                "btcusdt@bookTicker": 66_089,
            }
            assert placed > 20
            ledger = await settle(exchange, books)
            books.compare(ledger)
            assert any(trade["maker"] for trade in ledger["trades"])
            state = (await rest.open("/practice/state")).json
            assert (state["tape_ended"], state["events"]) == (True, 168_609)
            await user.close()
            await listening

    run(test())


def test_book_kept_by_a_client_agrees_with_the_quotes(captures: list[Path]) -> None:
    """Follow the recorded book by the venue's rule and compare its top with bookTicker."""

    async def test() -> None:
        async with running(tape_of(*captures), rich(10.0)) as exchange:
            stream = await exchange.stream("/public/ws/btcusdt@depth@100ms/btcusdt@bookTicker")
            rest = exchange.rest()
            seen = await stream.take(200)
            while (answer := await depth_of(rest))["lastUpdateId"] < 0:
                seen.append(await stream.next())
            sides = {name: dict(answer[name]) for name in ("bids", "asks")}
            last, started, agreed = answer["lastUpdateId"], False, 0
            quotes: dict[int, dict[str, Any]] = {}
            while agreed < 20:
                event = seen.pop(0) if seen else await stream.next()
                if event["e"] == "bookTicker":
                    quotes[event["u"]] = event
                    continue
                if event["u"] < last:
                    continue
                assert started or event["U"] <= last <= event["u"]
                assert not started or event["pu"] == last
                started, last = True, event["u"]
                apply(sides, event)
                if last in quotes:
                    best_bid = max(sides["bids"], key=Decimal)
                    best_ask = min(sides["asks"], key=Decimal)
                    quote = quotes[last]
                    assert (best_bid, sides["bids"][best_bid]) == (quote["b"], quote["B"])
                    assert (best_ask, sides["asks"][best_ask]) == (quote["a"], quote["A"])
                    agreed += 1
            await stream.close()

    run(test())


async def depth_of(rest: Rest) -> dict[str, Any]:
    answer = await rest.open("/fapi/v1/depth", symbol="BTCUSDT", limit=1000)
    if answer.status != 200:
        return {"lastUpdateId": -1}
    found: dict[str, Any] = answer.json
    return found


def apply(sides: dict[str, dict[str, str]], event: dict[str, Any]) -> None:
    for name, rows in (("bids", event["b"]), ("asks", event["a"])):
        for price, qty in rows:
            if Decimal(qty):
                sides[name][price] = qty
            else:
                sides[name].pop(price, None)


def test_two_exchanges_with_one_seed_send_the_same_bytes() -> None:
    async def heard() -> list[str]:
        options = Options(speed=UNLIMITED, start_ms=1_700_000_000_000)
        async with running(Generator(3, 42, 3_000), options) as exchange:
            stream = await exchange.stream(
                "/public/stream?streams=btcusdt@bookTicker/ethusdt@depth/gen003usdt@bookTicker"
            )
            texts = [await stream.next_text() for _ in range(3_000)]
            stream.cut()
            return texts

    async def test() -> None:
        assert await heard() == await heard()

    run(test())
