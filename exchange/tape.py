"""Recorded markets: raw captures of `<receive ns> <combined-stream frame>` lines, several at once.

Lines are read and parsed as they are needed, never all at once; files are merged by receive
stamp. Event and transaction times move by one constant so that the first event time is the start
of play; on a repeat, update ids and trade ids move too.
"""

from __future__ import annotations

import gzip
import heapq
import itertools
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import orjson

from exchange.book import BUY, SELL, Level
from exchange.clock import NS_PER_MS
from exchange.errors import ApiError, TapeError
from exchange.events import (
    DIFF,
    LIQUIDATION,
    MARK,
    QUOTE,
    SNAPSHOT,
    TRADE,
    Event,
    Fields,
    Liquidation,
    Mark,
)
from exchange.listing import Yesterday
from exchange.symbols import MONEY_DECIMALS, SymbolSpec, infer_spec, known_spec, nearest_units

BATCH_LINES = 64  # parsed per call: about half a millisecond
INSPECT_LINES = 400  # read at start to learn symbols and filters
STAMP_DIGITS = 19
LOOP_PAUSE_NS = 1_000_000_000  # venue time between the last event and the first of the next pass
MAX_BAD_LINES = 1_000  # a tape with more is refused in the middle
_WRAPPER = b'{"stream":"'
_DATA = b'","data":'
_SNAPSHOT_START = b'{"lastUpdateId"'
_KINDS: dict[str, tuple[int, tuple[str, ...]]] = {  # of the event, and what of it are ids
    "bookTicker": (QUOTE, ("u",)),
    "trade": (TRADE, ("t",)),
    "depthUpdate": (DIFF, ("U", "u", "pu")),
    "markPriceUpdate": (MARK, ()),
    "forceOrder": (LIQUIDATION, ()),
}

TaggedLine = tuple[bytes, str]


def find_tapes(paths: list[str]) -> list[Path]:
    """Return the capture files named by files and folders.

    A folder gives its `usdm_*` captures when it has any, else every capture in it.

    Raises:
        TapeError: when a path does not exist or a folder holds no capture.
    """
    found: list[Path] = []
    for text in paths:
        path = Path(text)
        if path.is_file():
            found.append(path)
        elif path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.is_file())
            captures = [p for p in inside if p.suffix in {".gz", ".txt", ".tape", ".log"}]
            chosen = [p for p in captures if p.name.startswith("usdm_")] or captures
            if not chosen:
                raise TapeError(f"{path}: no capture files in this folder")
            found.extend(chosen)
        else:
            raise TapeError(f"{path}: no such file or folder")
    return found


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as probe:
        packed = probe.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else path.open("rb")  # type: ignore[return-value]


class TapeFile:
    """One capture: its symbol and its lines."""

    def __init__(self, path: Path) -> None:
        """Read the first lines to learn what the file holds.

        Raises:
            TapeError: when the file is not a USD-M capture.
        """
        self.path = path
        with _open(path) as stream:
            try:
                self.head = list(itertools.islice(stream, INSPECT_LINES))
            except (OSError, EOFError, zlib.error) as fault:
                raise TapeError(f"{path}: cannot be read ({fault})") from fault
        samples = [frame for frame in map(_decoded, self.head) if frame]
        named = [frame for frame in samples if isinstance(frame.get("s"), str)]
        symbols = {str(frame["s"]) for frame in named}
        if len(symbols) != 1:
            names = ", ".join(sorted(symbols)) or "none"
            raise TapeError(f"{path}: expected frames of one symbol, found {names}")
        self.symbol = symbols.pop()
        if not self.symbol.endswith(("USDT", "USDC")) or not all("E" in frame for frame in named):
            raise TapeError(f"{path}: {self.symbol} is not a USD-M futures capture")
        try:
            self.spec = known_spec(self.symbol) or self._infer(samples)
            self.first_receive_ns = int(self.head[0][:STAMP_DIGITS])
        except (ApiError, ValueError) as fault:
            raise TapeError(f"{path}: not a capture ({fault})") from fault
        self.first_event_ms = int(str(named[0]["E"]))
        self.is_marked = any(frame.get("e") == "markPriceUpdate" for frame in named)

    def _infer(self, samples: list[dict[str, object]]) -> SymbolSpec:
        prices: list[str] = []
        quantities: list[str] = []
        for frame in samples:
            for name, paired in (("b", "B"), ("a", "A"), ("bids", ""), ("asks", ""), ("p", "q")):
                found = frame.get(name)
                if isinstance(found, list):
                    prices.extend(level[0] for level in found)
                    quantities.extend(level[1] for level in found)
                elif isinstance(found, str) and paired in frame:
                    prices.append(found)
                    quantities.append(str(frame[paired]))
        return infer_spec(self.symbol, prices, quantities)

    def lines(self) -> Iterator[TaggedLine]:
        """Yield every line with the file's symbol; a cut-off file ends where it is cut."""
        with _open(self.path) as stream:
            try:
                for line in stream:
                    yield line, self.symbol
            except (EOFError, zlib.error):
                return


def _decoded(line: bytes) -> dict[str, object] | None:
    try:
        frame = orjson.loads(line[STAMP_DIGITS + 1 :])
    except orjson.JSONDecodeError:
        return None
    inner = frame.get("data", frame) if isinstance(frame, dict) else None
    return inner if isinstance(inner, dict) else None


class Tape:
    """Several captures played as one market."""

    def __init__(self, paths: list[str]) -> None:
        """Inspect the captures; nothing is parsed beyond their first lines.

        Raises:
            TapeError: when a capture cannot be used.
        """
        self.files = [TapeFile(path) for path in find_tapes(paths)]
        first = min(self.files, key=lambda f: f.first_receive_ns)
        self._first_receive_ns = first.first_receive_ns
        self._first_event_ms = first.first_event_ms
        by_symbol = {file.symbol: file.spec for file in self.files}
        self.specs = list(by_symbol.values())
        self.yesterdays: list[Yesterday] = []  # a tape knows nothing of the day before
        self._index = {symbol: index for index, symbol in enumerate(by_symbol)}
        self.marked = frozenset(self._index[file.symbol] for file in self.files if file.is_marked)
        self.bad_lines = 0
        self._lines: Iterator[TaggedLine] = iter(())
        self._base_ns = 0
        self._shift_ms = 0
        self._id_shift = 0
        self._trade_shift = 0
        self._low_ids: dict[str, int] = {}
        self._high_ids: dict[str, int] = {}
        self._last_receive_ns = self._first_receive_ns

    def prepare(self) -> None:
        """Load nothing: a tape is read while it plays."""

    def begin(self, start_ns: int) -> None:
        """Go to the first event, which is due and stamped at `start_ns`."""
        self._base_ns = start_ns
        self._shift_ms = start_ns // NS_PER_MS - self._first_event_ms
        self._lines = heapq.merge(*(file.lines() for file in self.files))

    def begin_again(self, not_before_ns: int) -> int:
        """Start the next pass: times move by the span or more, ids by what they spanned.

        Returns:
            The venue time of the first event.
        """
        span_ns = self._last_receive_ns - self._first_receive_ns + LOOP_PAUSE_NS
        span_ns -= span_ns % NS_PER_MS
        for name in ("u", "t"):
            self._low_ids.setdefault(name, 0)
            self._high_ids.setdefault(name, 0)
        self._id_shift += self._high_ids["u"] - self._low_ids["u"] + 1
        self._trade_shift += self._high_ids["t"] - self._low_ids["t"] + 1
        start_ns = max(self._base_ns + span_ns, not_before_ns)
        self.begin(start_ns - start_ns % NS_PER_MS)
        return self._base_ns

    def next_batch(self) -> list[Event]:
        """Return the next events, or an empty list at the end.

        Raises:
            TapeError: when too many lines are unreadable.
        """
        batch: list[Event] = []
        while not batch:
            chunk = list(itertools.islice(self._lines, BATCH_LINES))
            if not chunk:
                return batch
            for line, symbol in chunk:
                event = self._event(line, symbol)
                if event is not None:
                    batch.append(event)
        return batch

    def body_of(self, event: Event) -> bytes:
        """Return the recorded payload; a tape's events always carry theirs."""
        body = event[4]
        assert body is not None, "a tape event without its payload"
        return body

    def _event(self, line: bytes, symbol: str) -> Event | None:
        try:
            receive_ns = int(line[:STAMP_DIGITS])
            frame = line[STAMP_DIGITS + 1 :].rstrip()
            due_ns = self._base_ns + receive_ns - self._first_receive_ns
            if frame.startswith(_WRAPPER):
                body = frame[frame.index(_DATA) + len(_DATA) : -1]
                event = self._market_event(due_ns, body)
            elif frame.startswith(_SNAPSHOT_START):
                event = self._snapshot_event(due_ns, frame, symbol)
            else:
                event = None
        except (ValueError, KeyError, IndexError, TypeError) as fault:
            event = None
            self._count_bad(fault)
        else:
            self._last_receive_ns = receive_ns
        return event

    def _count_bad(self, fault: Exception) -> None:
        self.bad_lines += 1
        if self.bad_lines > MAX_BAD_LINES:
            raise TapeError(f"more than {MAX_BAD_LINES} unreadable lines") from fault

    def _market_event(self, due_ns: int, body: bytes) -> Event | None:
        frame = orjson.loads(body)
        name = frame["e"]
        if name not in _KINDS:
            if isinstance(name, str):
                return None  # a stream that is not played
            raise ValueError(name)
        kind, ids = _KINDS[name]
        row = frame["o"] if kind == LIQUIDATION else frame
        index = self._index[row["s"]]
        times = (row["T"] + self._shift_ms, frame["E"] + self._shift_ms)
        body = _restamp(body, b'"E":', frame["E"], times[1])
        body = _restamp(body, b'"T":', row["T"], times[0])
        fields = self._fields(kind, row, self.specs[index], times)
        return (due_ns, index, kind, fields, self._shift_ids(body, frame, ids))

    def _fields(
        self, kind: int, row: dict[str, Any], spec: SymbolSpec, times: tuple[int, int]
    ) -> Fields:
        decimals, qty_decimals = spec.price_decimals, spec.qty_decimals
        if kind == QUOTE:
            self._note("u", row["u"])
            bid = (_units(row["b"], decimals), _units(row["B"], qty_decimals))
            ask = (_units(row["a"], decimals), _units(row["A"], qty_decimals))
            return (row["u"] + self._id_shift, *bid, *ask, *times)
        if kind == TRADE:
            self._note("t", row["t"])
            price, qty = _units(row["p"], decimals), _units(row["q"], qty_decimals)
            return (price, qty, row["m"], row["t"] + self._trade_shift, *times)
        if kind == DIFF:
            self._note("u", row["u"], low=row["pu"])
            ids = (row[name] + self._id_shift for name in ("U", "u", "pu"))
            sides = (_levels(row[name], decimals, qty_decimals) for name in ("b", "a"))
            return (*ids, *sides, *times)
        if kind == MARK:
            price, index, rate = (_units(row[name], MONEY_DECIMALS) for name in ("p", "i", "r"))
            return (Mark(price, index, rate, times[0]), times[1])
        assert kind == LIQUIDATION, kind
        price, average = (
            nearest_units(_units(row[name], MONEY_DECIMALS), decimals) for name in ("p", "ap")
        )
        side = BUY if row["S"] == "BUY" else SELL
        return Liquidation(side, price, _units(row["q"], qty_decimals), average, *times)

    def _snapshot_event(self, due_ns: int, frame: bytes, symbol: str) -> Event:
        index = self._index[symbol]
        spec = self.specs[index]
        snapshot = orjson.loads(frame)
        fields = (
            snapshot["lastUpdateId"] + self._id_shift,
            _levels(snapshot["bids"], spec.price_decimals, spec.qty_decimals),
            _levels(snapshot["asks"], spec.price_decimals, spec.qty_decimals),
            snapshot.get("T", 0) + self._shift_ms,
            snapshot.get("E", 0) + self._shift_ms,
        )
        return (due_ns, index, SNAPSHOT, fields, b"")

    def _note(self, name: str, value: int, low: int | None = None) -> None:
        if value > self._high_ids.get(name, -1):
            self._high_ids[name] = value
        bottom = value if low is None else low
        if bottom < self._low_ids.get(name, bottom + 1):
            self._low_ids[name] = bottom

    def _shift_ids(self, body: bytes, frame: dict[str, int], names: tuple[str, ...]) -> bytes:
        if not self._id_shift:
            return body
        for name in names:
            shift = self._trade_shift if name == "t" else self._id_shift
            old = b'"%s":%d' % (name.encode(), frame[name])
            body = body.replace(old, b'"%s":%d' % (name.encode(), frame[name] + shift), 1)
        return body


def _restamp(body: bytes, key: bytes, old_ms: int, new_ms: int) -> bytes:
    start = body.index(key) + len(key)
    return b"%b%d%b" % (body[:start], new_ms, body[start + len(str(old_ms)) :])


def _units(text: str, decimals: int) -> int:
    whole, _, fraction = text.partition(".")
    if len(fraction) != decimals:
        fraction = fraction.rstrip("0").ljust(decimals, "0")
        if len(fraction) != decimals:
            message = f"{text} has more than {decimals} decimals"
            raise ValueError(message)
    return int(whole + fraction)


def _levels(rows: list[list[str]], decimals: int, qty_decimals: int) -> list[Level]:
    return [(_units(row[0], decimals), _units(row[1], qty_decimals)) for row in rows]
