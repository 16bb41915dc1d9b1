"""Raw captures of a venue's frames to drafts: `<stamp> <frame>` lines, with their depth snapshots.

Two ways of writing are known: `<ns> <frame>` with the snapshot among the lines, and `<seconds>:
<frame>` with the answers of the depth endpoint in a file beside (`*.http.*`). USD-M, COIN-M and
spot frames are read; what a spot frame does not say (transaction time, previous id) stays 0.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from engine.domain.codes import (
    BAR_FINAL,
    TRADE_AGGREGATED,
    TRADE_BUYER_AGGRESSOR,
    RecordType,
)
from engine.tapes.drafts import Draft
from engine.tapes.errors import ImportFormatError
from engine.tapes.top_book import TopBook

MS: Final = 1_000_000
S: Final = 1_000_000_000
BAD_LINES_MAX: Final = 1_000
_NS_DIGITS: Final = 19
Document = dict[str, Any]


def open_text(path: Path) -> IO[bytes]:
    """Open a file for reading, unpacked when it is packed by gzip."""
    with path.open("rb") as probe:
        packed = probe.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else path.open("rb")  # type: ignore[return-value]


def is_capture(head: bytes) -> bool:
    """Return whether a file's first bytes are those of a capture of frames."""
    if head[:_NS_DIGITS].isdigit() and head[_NS_DIGITS : _NS_DIGITS + 2] == b" {":
        return True
    return head.startswith(b"wss://")


def read_captures(paths: list[Path]) -> list[Draft]:
    """Return the drafts of captures; a book goes on from one file of a symbol to the next.

    Raises:
        ImportFormatError: too many lines of a file cannot be read.
    """
    market = _Frames()
    for path in paths:
        _take_file(market, path)
    return market.drafts()


def _take_file(market: _Frames, path: Path) -> None:
    market.begin_file()
    bad = 0
    with open_text(path) as lines:
        for receive_ns, text in chain(_answers_beside(path), _stamped(lines)):
            try:
                market.take(receive_ns, json.loads(text))
            except (ValueError, KeyError, TypeError) as error:
                bad += 1
                if bad > BAD_LINES_MAX:
                    raise ImportFormatError(f"{path}: {bad} lines cannot be read") from error


def _stamped(lines: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    try:
        for line in lines:
            if line[:_NS_DIGITS].isdigit():
                yield int(line[:_NS_DIGITS]), line[_NS_DIGITS + 1 :]
            elif not line.startswith(b"wss:"):
                stamp, _, text = line.partition(b": ")
                yield round(float(stamp) * S), text
    except EOFError:
        return  # a capture that was cut off ends where it was cut


def _answers_beside(path: Path) -> list[tuple[int, bytes]]:
    """Return the depth answers in the file beside a capture, each with its symbol put in."""
    found: list[tuple[int, bytes]] = []
    if ".ws." not in path.name:
        return found
    for other in sorted(path.parent.glob(f"{path.name.partition('.ws.')[0]}.http.*")):
        with open_text(other) as lines:
            for line in lines:
                url, _, rest = line.partition(b" -> ")
                stamp, _, text = rest.partition(b": ")
                if b"/depth?symbol=" not in url:
                    continue
                symbol = url.partition(b"symbol=")[2].partition(b"&")[0]
                body = b'{"s":"%b",%b' % (symbol, text.strip()[1:])
                found.append((round(float(stamp) * S), body))
    return found


class _Frames:
    """What the frames of one capture say, by symbol and kind."""

    def __init__(self) -> None:
        self._books: dict[str, TopBook] = {}
        self._waiting: dict[str, list[tuple[int, Document]]] = {}
        self._chains: dict[str, int] = {}  # update id of the last diff applied
        self._rows: dict[tuple[str, RecordType], list[tuple[float, ...]]] = {}
        self._symbol = ""  # of a file whose snapshots name none

    def begin_file(self) -> None:
        """Forget whose snapshot a nameless one would be."""
        self._symbol = ""

    def take(self, receive_ns: int, document: Document) -> None:
        """Take one frame or one answer."""
        data = document.get("data", document)
        if "lastUpdateId" in data and "bids" in data:
            self._snapshot(receive_ns, data)
            return
        event = data.get("e", "bookTicker" if "A" in data and "u" in data else "")
        self._symbol = self._symbol or str(data.get("s", ""))
        if event == "bookTicker":
            prices = (float(data["b"]), float(data["a"]), float(data["B"]), float(data["A"]))
            self._add(RecordType.QUOTE, receive_ns, data, *prices, _low_bits(data["u"]))
        elif event in {"trade", "aggTrade"}:
            self._trade(receive_ns, data)
        elif event == "depthUpdate":
            self._diff(receive_ns, data)
        elif event == "kline":
            self._bar(receive_ns, data)

    def _add(
        self, kind: RecordType, receive_ns: int, data: Document, *numbers: float, at: int = 0
    ) -> None:
        venue_ns = (at or data.get("T") or data.get("E") or 0) * MS
        rows = self._rows.setdefault((str(data["s"]), kind), [])
        rows.append((receive_ns, venue_ns, *numbers))

    def _trade(self, receive_ns: int, data: Document) -> None:
        is_aggregated = data["e"] == "aggTrade"
        flags = (0 if data["m"] else TRADE_BUYER_AGGRESSOR) + is_aggregated * TRADE_AGGREGATED
        trade_id = data["a"] if is_aggregated else data["t"]
        count = data["l"] - data["f"] + 1 if is_aggregated else 1
        price, quantity = float(data["p"]), float(data["q"])
        if price > 0 and quantity > 0:
            self._add(RecordType.TRADE, receive_ns, data, price, quantity, trade_id, count, flags)

    def _bar(self, receive_ns: int, data: Document) -> None:
        k = data["k"]
        seconds = (k["T"] - k["t"] + 1) // 1_000
        prices = (float(k[name]) for name in ("o", "h", "l", "c", "v"))
        flags = BAR_FINAL if k["x"] else 0
        self._add(RecordType.BAR, receive_ns, data, *prices, k["n"], seconds, flags, at=k["t"])

    def _snapshot(self, receive_ns: int, data: Document) -> None:
        symbol = str(data.get("s") or data.get("symbol") or self._symbol)
        book = self._books.setdefault(symbol, TopBook(symbol))
        book.replace(_side(data["bids"]), _side(data["asks"]))
        self._chains[symbol] = data["lastUpdateId"]
        book.tell(receive_ns, int(data.get("T") or data.get("E") or 0) * MS, data["lastUpdateId"])
        for waiting_ns, diff in self._waiting.pop(symbol, []):
            if diff["u"] >= data["lastUpdateId"]:
                self._apply(max(waiting_ns, receive_ns), diff)

    def _diff(self, receive_ns: int, data: Document) -> None:
        if data["s"] not in self._chains:
            self._waiting.setdefault(data["s"], []).append((receive_ns, data))
        elif data["u"] > self._chains[data["s"]]:
            self._apply(receive_ns, data)

    def _apply(self, receive_ns: int, data: Document) -> None:
        book = self._books[data["s"]]
        for name, is_bid in (("b", True), ("a", False)):
            levels = ((float(price), float(quantity)) for price, quantity in data[name])
            book.change(levels, is_bid=is_bid)
        self._chains[data["s"]] = data["u"]
        book.tell(receive_ns, int(data.get("T") or data["E"]) * MS, data["u"])

    def drafts(self) -> list[Draft]:
        """Return all that was said."""
        made = [_draft(symbol, kind, rows) for (symbol, kind), rows in self._rows.items()]
        return made + [book.draft() for book in self._books.values()]


_FIELDS: Final[dict[RecordType, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]]] = {
    RecordType.QUOTE: (
        ("bid_price_ticks", "ask_price_ticks"),
        ("bid_qty_lots", "ask_qty_lots"),
        ("aux",),
    ),
    RecordType.TRADE: (("price_ticks",), ("qty_lots",), ("trade_id", "trade_count", "flags")),
    RecordType.BAR: (
        ("open_ticks", "high_offset_ticks", "low_offset_ticks", "close_offset_ticks"),
        ("volume_lots",),
        ("bar_trade_count", "aux", "flags"),
    ),
}


def _draft(symbol: str, kind: RecordType, rows: list[tuple[float, ...]]) -> Draft:
    columns = list(zip(*rows, strict=True))
    names = _FIELDS[kind]
    whole = [np.array(column, dtype=np.int64) for column in columns[:2]]
    numbers = iter(columns[2:])
    prices = {name: np.array(next(numbers), dtype=np.float64) for name in names[0]}
    quantities = {name: np.array(next(numbers), dtype=np.float64) for name in names[1]}
    plain = {name: np.array(next(numbers), dtype=np.int64) for name in names[2]}
    return Draft(symbol, kind, whole[0], whole[1], prices, quantities, plain)


def _side(levels: list[list[str]]) -> dict[float, float]:
    return {float(price): float(quantity) for price, quantity in levels if float(quantity)}


def _low_bits(update_id: int) -> int:
    """Return an id's low 32 bits as the record keeps them: a signed number."""
    low = update_id & 0xFFFF_FFFF
    return low - (1 << 32) if low >= 1 << 31 else low
