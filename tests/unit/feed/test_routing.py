"""A stream goes to the category that delivers it, or nowhere."""

from __future__ import annotations

import pytest

from engine.domain.codes import Channel
from engine.venues.binance.routing import (
    STREAMS_PER_CONNECTION,
    RoutingError,
    category_of,
    channel_stream,
    check_category,
    plan_connections,
)

CHANNELS = ("bookTicker", "depth", "aggTrade", "markPrice", "kline_1m", "forceOrder")


@pytest.mark.parametrize(
    ("stream", "category"),
    [
        ("btcusdt@bookTicker", "public"),
        ("btcusdt@depth", "public"),
        ("btcusdt@depth@100ms", "public"),
        ("btcusdt@depth20@500ms", "public"),
        ("!bookTicker", "public"),
        ("btcusdt@trade", "market"),
        ("btcusdt@aggTrade", "market"),
        ("btcusdt@kline_15m", "market"),
        ("btcusdt_perpetual@continuousKline_1m", "market"),
        ("btcusdt@markPrice@1s", "market"),
        ("btcusdt@forceOrder", "market"),
        ("!forceOrder@arr", "market"),
        ("!contractInfo", "market"),
    ],
)
def test_a_stream_has_one_category(stream: str, category: str) -> None:
    assert category_of(stream) == category
    check_category(category, [stream])


@pytest.mark.parametrize(
    "stream",
    ["", "btcusdt", "btcusdt@", "btcusdt@depth7", "btcusdt@Trade", "!nothing", "x@depth@1ms"],
)
def test_an_unknown_stream_is_refused(stream: str) -> None:
    with pytest.raises(RoutingError):
        category_of(stream)


def test_a_mixed_connection_is_refused() -> None:
    with pytest.raises(RoutingError, match="delivered under /market"):
        check_category("public", ["btcusdt@bookTicker", "btcusdt@aggTrade"])


def test_an_unknown_channel_is_refused_with_the_known_ones() -> None:
    assert channel_stream("kline_5m") == (Channel.BAR, "kline_5m")
    for name in ("kline_7m", "depth20", "user"):
        with pytest.raises(RoutingError, match="bookTicker"):
            channel_stream(name)


def test_two_instruments_need_two_connections() -> None:
    plans = plan_connections(["BTCUSDT", "ETHUSDT"], CHANNELS, 1)
    assert [plan.category for plan in plans] == ["public", "market"]
    assert plans[0].streams == ["btcusdt@bookTicker", "ethusdt@bookTicker", "btcusdt@depth@100ms"]
    assert len(plans[1].streams) == 8
    assert {(s.instrument_index, s.channel) for s in plans[1].subscriptions} == {
        (index, channel)
        for index in (0, 1)
        for channel in (Channel.TRADE, Channel.MARK, Channel.BAR, Channel.LIQUIDATION)
    }


def test_many_instruments_are_spread_and_none_is_lost() -> None:
    symbols = [f"S{n}USDT" for n in range(300)]
    plans = plan_connections(symbols, CHANNELS, 50)
    for plan in plans:
        assert 0 < len(plan.streams) <= STREAMS_PER_CONNECTION
        check_category(plan.category, plan.streams)
    streams = [stream for plan in plans for stream in plan.streams]
    assert len(streams) == len(set(streams)) == 300 * 5 + 50


@pytest.mark.parametrize(("count", "streams_max"), [(300, 200), (500, 1_024), (500, 50)])
def test_hundreds_of_instruments_are_spread_over_connections_within_the_bound(
    count: int, streams_max: int
) -> None:
    symbols = [f"S{number}USDT" for number in range(count)]
    channels = ("bookTicker", "depth", "aggTrade", "markPrice", "kline_1m", "forceOrder")
    plans = plan_connections(symbols, channels, 50, streams_max)
    names = [name for plan in plans for name in plan.streams]
    assert len(names) == len(set(names)) == 5 * count + 50
    for plan in plans:
        assert len(plan.streams) <= streams_max
        assert {category_of(name) for name in plan.streams} == {plan.category}
    assert len(plans) <= (count + 50) // streams_max + 4 * count // streams_max + 2
