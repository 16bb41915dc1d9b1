"""Fills of an account are all read, whichever end of a span of time the venue gives first."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from engine.venues.binance import account
from engine.venues.binance.http import Response
from engine.venues.binance.rest import BinanceRest, Params
from engine.venues.venue import NotExecutedError

PAGE = 3
SYMBOL = "BTCUSDT"


class Venue:
    """userTrades over fills (id, order, ms), in pages of PAGE rows: newest or oldest of a time."""

    def __init__(self, fills: list[tuple[int, int, int]], *, newest_first: bool) -> None:
        self.fills = fills
        self.newest_first = newest_first

    async def request(self, _method: str, _path: str, params: Params, **_how: bool) -> Response:
        assert not ("fromId" in params and "startTime" in params), "the venue refuses both"
        asked = {name: int(value) for name, value in params.items() if name != "symbol"}
        assert asked["limit"] == PAGE
        found = [
            fill
            for fill in self.fills
            if fill[0] >= asked.get("fromId", 0)
            and fill[1] == asked.get("orderId", fill[1])
            and asked.get("startTime", 0) <= fill[2] <= asked.get("endTime", fill[2])
        ]
        newest = "fromId" not in asked and self.newest_first
        page = found[-PAGE:] if newest else found[:PAGE]
        return Response(200, {}, msgspec.json.encode([row(*fill) for fill in page]))


def row(trade_id: int, order_id: int, time_ms: int) -> dict[str, Any]:
    texts = dict.fromkeys(("side", "price", "qty", "commission", "commissionAsset"), "0")
    numbers = {"id": trade_id, "orderId": order_id, "time": time_ms}
    return {"symbol": SYMBOL, **texts, **numbers, "realizedPnl": "0", "maker": False}


def read(venue: Venue, which: Params) -> list[tuple[int, int, int]]:
    views = asyncio.run(account.fill_pages(cast("BinanceRest", venue), SYMBOL, which))
    return [(view.id, view.orderId, view.time) for view in views]


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "FILLS_PAGE", PAGE)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, int, int]]:
    """Fills by rising id and time, fewer than a page in any millisecond."""
    steps = draw(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 3)), max_size=40))
    fills: list[tuple[int, int, int]] = []
    for step, order_id in steps:
        last_id, last_ms = (fills[-1][0], fills[-1][2]) if fills else (0, 0)
        crowded = sum(fill[2] == last_ms for fill in fills) >= PAGE - 1
        time_ms = last_ms + (1 if crowded else step // 3)
        fills.append((last_id + step, order_id, time_ms))
    return fills


@given(histories(), st.integers(0, 30), st.booleans())
def test_every_fill_since_a_time_is_read_once(
    fills: list[tuple[int, int, int]], since_ms: int, newest_first: bool
) -> None:
    venue = Venue(fills, newest_first=newest_first)
    assert read(venue, {"startTime": since_ms}) == [fill for fill in fills if fill[2] >= since_ms]


@given(histories(), st.integers(0, 3))
def test_every_fill_of_an_order_is_read_once(
    fills: list[tuple[int, int, int]], order_id: int
) -> None:
    venue = Venue(fills, newest_first=False)
    assert read(venue, {"orderId": order_id}) == [fill for fill in fills if fill[1] == order_id]


def test_more_than_the_pages_that_are_asked_for_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "PAGES_MAX", 4)
    venue = Venue([(k, 0, k) for k in range(1, 40)], newest_first=False)
    with pytest.raises(NotExecutedError, match="more than 12 fills"):
        read(venue, {"startTime": 0})
