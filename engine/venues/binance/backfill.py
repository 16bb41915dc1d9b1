"""Answers of the venue's history as the frames its streams would have sent.

What is fetched to fill a hole goes through the same decoder and firewall as everything else: each
row becomes one frame, with the row's own time as its event time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from engine.venues.venue import ProtocolError


class _Trade(msgspec.Struct):
    a: int
    p: str
    q: str
    f: int
    l: int  # noqa: E741  the venue's spelling
    T: int
    m: bool


class _Quote(msgspec.Struct):
    symbol: str
    bidPrice: str  # noqa: N815  the venue's spelling
    bidQty: str  # noqa: N815
    askPrice: str  # noqa: N815
    askQty: str  # noqa: N815
    time: int
    lastUpdateId: int = -1  # noqa: N815


_TRADES = msgspec.json.Decoder(list[_Trade])
_BARS = msgspec.json.Decoder(list[tuple[Any, ...]])
_QUOTES = msgspec.json.Decoder(list[_Quote])
_BAR_CELLS = 9  # open time, open, high, low, close, volume, close time, quote volume, trades


class TradeFrame(NamedTuple):
    """One aggregated trade of the history, as a frame."""

    trade_id: int
    venue_ms: int
    frame: bytes


def trade_frames(symbol: str, body: bytes) -> list[TradeFrame]:
    """Return the trades of an answer in its order.

    Raises:
        ProtocolError: it is not such an answer.
    """
    return [
        TradeFrame(
            row.a,
            row.T,
            _frame(
                f"{symbol.lower()}@aggTrade",
                {"e": "aggTrade", "E": row.T, "s": symbol, **msgspec.structs.asdict(row)},
            ),
        )
        for row in _decoded(_TRADES, body, "aggTrades")
    ]


def bar_frames(
    symbol: str, interval: str, body: bytes, span_ms: tuple[int, int], now_ms: int
) -> list[bytes]:
    """Return the bars of an answer that closed within a span, both ends included.

    Raises:
        ProtocolError: it is not such an answer.
    """
    frames = []
    for row in _decoded(_BARS, body, "klines"):
        if len(row) < _BAR_CELLS:
            raise ProtocolError(f"klines: a row of {len(row)} cells")
        opened, open_, high, low, close, volume, closed, quote_volume, trades = row[:_BAR_CELLS]
        if not isinstance(closed, int) or not span_ms[0] <= closed <= span_ms[1]:
            continue
        bar = {
            "t": opened, "T": closed, "s": symbol, "i": interval, "f": 0, "L": 0, "o": open_,
            "c": close, "h": high, "l": low, "v": volume, "n": trades, "x": True,
            "q": quote_volume,
        }  # fmt: skip
        event = {"e": "kline", "E": now_ms, "s": symbol, "k": bar}
        frames.append(_frame(f"{symbol.lower()}@kline_{interval}", event))
    return frames


def quote_frames(body: bytes, oldest_ms: int) -> Iterator[tuple[str, bytes]]:
    """Yield (symbol, frame) of each best quote since `oldest_ms` that says which update it is of.

    Raises:
        ProtocolError: it is not such an answer.
    """
    for row in _decoded(_QUOTES, body, "ticker/bookTicker"):
        if row.lastUpdateId < 0 or row.time < oldest_ms:
            continue  # without it nobody can tell older from newer
        event = {
            "e": "bookTicker", "u": row.lastUpdateId, "s": row.symbol, "b": row.bidPrice,
            "B": row.bidQty, "a": row.askPrice, "A": row.askQty, "T": row.time, "E": row.time,
        }  # fmt: skip
        yield row.symbol, _frame(f"{row.symbol.lower()}@bookTicker", event)


def _decoded(decoder: msgspec.json.Decoder[Any], body: bytes, what: str) -> Any:  # noqa: ANN401
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ProtocolError(f"{what}: {error}") from error


def _frame(stream: str, event: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"stream": stream, "data": event})
