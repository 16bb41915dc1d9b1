"""The usual way from tick to order: asyncio, websockets, json, and a kept-alive REST session.

    python -m bench.sides.order_usual URL STREAM_URL SYMBOL CORE

The same strategy as the engine's quote_imbalance row: enter beyond the threshold, leave beyond its
opposite. Prints `ready` and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import sys
import time
from urllib.parse import urlencode

import aiohttp
import websockets

THRESHOLD = 0.9
QUANTITY = "0.004"


class Trader:
    """One symbol, one position, one order at a time."""

    def __init__(self, url: str, symbol: str, session: aiohttp.ClientSession) -> None:
        """Start flat."""
        self._url = url
        self._symbol = symbol
        self._session = session
        self._position = 0
        self._order_count = 0

    async def on_quote(self, quote: dict[str, str]) -> None:
        """Decide on one quote."""
        bid_qty, ask_qty = float(quote["B"]), float(quote["A"])
        if float(quote["b"]) <= 0 or bid_qty + ask_qty <= 0:
            return
        imbalance = (bid_qty - ask_qty) / (bid_qty + ask_qty)
        if imbalance > THRESHOLD and self._position == 0:
            await self.send("BUY", reduce_only=False)
            self._position = 1
        elif imbalance < -THRESHOLD and self._position == 1:
            await self.send("SELL", reduce_only=True)
            self._position = 0

    async def send(self, side: str, *, reduce_only: bool) -> None:
        """Send a market order and wait for the answer."""
        self._order_count += 1
        params = {
            "symbol": self._symbol,
            "side": side,
            "type": "MARKET",
            "quantity": QUANTITY,
            "newClientOrderId": f"usual-{os.getpid()}-{self._order_count}",
            "recvWindow": 60_000,
            "timestamp": int(time.time() * 1000),
        }
        if reduce_only:
            params["reduceOnly"] = "true"
        query = urlencode(params)
        signature = hmac.new(b"practice", query.encode(), hashlib.sha256).hexdigest()
        async with self._session.post(
            f"{self._url}/fapi/v1/order?{query}&signature={signature}",
            headers={"X-MBX-APIKEY": "practice"},
        ) as answer:
            await answer.json()


async def main() -> None:
    """Connect and trade until standard input ends."""
    url, stream_url, symbol = sys.argv[1:4]
    stream = f"{stream_url}/public/ws/{symbol.lower()}@bookTicker"
    async with (
        aiohttp.ClientSession() as session,
        websockets.connect(stream, compression=None) as connection,
    ):
        trader = Trader(url, symbol, session)
        async with session.get(f"{url}/fapi/v1/ping") as answer:
            await answer.read()

        async def trade() -> None:
            async for message in connection:
                await trader.on_quote(json.loads(message))

        trading = asyncio.create_task(trade())
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        trading.cancel()


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[4])})
    asyncio.run(main())
