"""Every recorded market of the data folder as the venue's frames, one tape per file or instrument.

Captures of the wire are taken as they are. What was recorded as a table (trades, quotes, bars) is
written as the frame the venue would have sent: the same numbers, at the same times. Where a table
has no ids they count up, where it has no quantity it is one lot.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from engine.domain.instrument_row import Instrument, InstrumentFlag, step_parts

MS = 1_000_000
QTY_DIGITS = 3  # to which the volume of a bar is rounded
CAPTURE_STEPS = {
    "usdm_btcusdt": ("BTCUSDT", "0.1", "0.001"),
    "usdm_ethusdt": ("ETHUSDT", "0.01", "0.001"),
    "cm_btcusd_perp": ("BTCUSD_PERP", "0.1", "1"),
    "cm_ethusd_perp": ("ETHUSD_PERP", "0.01", "1"),
    # Spot rests ten orders off its own lot of today (docs/firewall.md), none finer than this.
    "spot_btcusdt": ("BTCUSDT", "0.01", "0.000001"),
    "spot_ethusdt": ("ETHUSDT", "0.01", "0.000001"),
}


class Line(NamedTuple):
    """One thing that arrived: a frame, or the answer of the depth endpoint."""

    receive_ns: int
    venue_ms: int
    text: bytes
    is_snapshot: bool = False


class Tape(NamedTuple):
    """One instrument's recording."""

    name: str
    instrument: Instrument
    lines: Callable[[], Iterator[Line]]


def instrument(symbol: str, tick: str, lot: str) -> Instrument:
    """Return an instrument of any product; its money is nobody's here."""
    tick_scaled, price_exponent = step_parts(tick)
    lot_scaled, qty_exponent = step_parts(lot)
    flags = InstrumentFlag.TRADING | InstrumentFlag.PERPETUAL | InstrumentFlag.BOOK
    return Instrument(
        symbol=symbol,
        flags=int(flags),
        price_exponent=price_exponent,
        qty_exponent=qty_exponent,
        tick_scaled=tick_scaled,
        lot_scaled=lot_scaled,
        unit_e8=1,
    )


# Captures of the wire.


def as_futures(text: bytes, receive_ns: int) -> bytes:
    """Return a spot frame with the members that futures have: its rules say the same otherwise."""
    document = json.loads(text)
    data = document["data"]
    data.setdefault("e", "bookTicker")
    data.setdefault("E", receive_ns // MS)
    data.setdefault("T", data["E"])
    if data["e"] == "depthUpdate":
        data["pu"] = data["U"] - 1  # spot's own rule of the chain
    return json.dumps(document, separators=(",", ":")).encode()


def capture_lines(paths: Iterable[Path], *, is_spot: bool) -> Iterator[Line]:
    """Yield the lines of captures that follow each other."""
    for path in paths:
        with gzip.open(path) as file:
            for row in file:
                stamp, _, text = row.rstrip(b"\n").partition(b" ")
                receive_ns = int(stamp)
                is_snapshot = text.startswith(b'{"lastUpdateId"')
                if is_spot and not is_snapshot:
                    text = as_futures(text, receive_ns)
                yield Line(receive_ns, receive_ns // MS, text, is_snapshot)


def capture(data: Path, name: str, steps: tuple[str, str, str] | None = None) -> Tape:
    """Return one of the six instruments of the raw captures; skip where it is absent."""
    paths = sorted((data / "hftbacktest").glob(f"{name}_2*.gz"))
    if not paths:
        pytest.skip(f"no recorded market: ../shared/data/hftbacktest holds no {name}_2*.gz")

    def lines() -> Iterator[Line]:
        return capture_lines(paths, is_spot=name.startswith("spot"))

    return Tape(name, instrument(*(steps or CAPTURE_STEPS[name])), lines)


# Tables.


class Written:
    """Writes the frames of one table, with ids that count up where it has none."""

    def __init__(self, symbol: str) -> None:
        """Start the ids."""
        self.symbol = symbol
        self.last_id = 0

    def line(self, stream: str, time_ns: int, data: dict[str, Any]) -> Line:
        """Return a frame of a stream at a time."""
        ms = time_ns // MS
        document = {
            "stream": f"{self.symbol.lower()}@{stream}",
            "data": {"s": self.symbol, "E": ms} | data,
        }
        return Line(time_ns, ms, json.dumps(document, separators=(",", ":")).encode())

    def quote(self, time_ns: int, sides: tuple[str, str, str, str], update_id: int = 0) -> Line:
        """Return a bookTicker of (bid, bid quantity, ask, ask quantity)."""
        self.last_id = update_id or self.last_id + 1
        members = dict(zip(("b", "B", "a", "A"), sides, strict=True))
        return self.line(
            "bookTicker",
            time_ns,
            {"e": "bookTicker", "u": self.last_id, "T": time_ns // MS} | members,
        )

    def trade(
        self, time_ns: int, price: str, quantity: str, *, buy: bool, trade_id: int = 0
    ) -> Line:
        """Return a trade whose taker bought or sold."""
        self.last_id = trade_id or self.last_id + 1
        data = {"e": "trade", "t": self.last_id, "p": price, "q": quantity, "T": time_ns // MS}
        return self.line("trade", time_ns, data | {"m": not buy})

    def bar(self, start_ms: int, seconds: int, prices: list[str], volume: str, trades: int) -> Line:
        """Return the final update of a bar."""
        units = {60: "1m", 300: "5m", 3_600: "1h", 28_800: "8h", 86_400: "1d"}
        interval = units[seconds]
        members = dict(zip("ohlc", prices, strict=True))
        end_ms = start_ms + seconds * 1_000 - 1
        k = {"t": start_ms, "T": end_ms, "i": interval, "v": volume, "n": trades, "x": True}
        data = {"e": "kline", "k": k | members | {"s": self.symbol}}
        return self.line(f"kline_{interval}", (end_ms + 1) * MS, data)


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a table, CSV or Parquet."""
    if path.suffix == ".parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
        return rows
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return list(csv.DictReader(io.StringIO(text.decode())))


def digits_of(numbers: Iterable[float]) -> int:
    """Return how many decimal places prices of a table have."""
    texts = (f"{number:.8f}".rstrip("0") for number in numbers)
    return max(len(text.partition(".")[2]) for text in texts)


def time_ns_of(moment: object) -> int:
    """Return a table's time in ns: a datetime, text of one, or an integer of ms, us or ns."""
    if isinstance(moment, datetime):
        return round(moment.timestamp() * 1e6) * 1_000
    text = str(moment)
    if not text.isdigit():
        return round(datetime.fromisoformat(text).timestamp()) * 1_000_000_000
    number = int(text)
    while number < 10**18:
        number *= 1_000
    return number


def step_text(digits: int) -> str:
    """Return the step with so many decimal places."""
    return f"{10**-digits:.{digits}f}"


def quote_tape(name: str, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> Tape:
    """Return a tape of quotes; columns: time, bid, ask, and quantities and id where it has them."""
    time, bid, ask, *more = columns
    bids, asks = [float(row[bid]) for row in rows], [float(row[ask]) for row in rows]
    digits = digits_of(bids + asks)
    places = digits_of([1.0, *(float(row[column]) for row in rows for column in more[:2])])

    def lines() -> Iterator[Line]:
        written = Written("RECORDED")
        for row, b, a in zip(rows, bids, asks, strict=True):
            sizes = [f"{float(row[column]):.{places}f}" for column in more[:2]] or ["1", "1"]
            sides = (f"{b:.{digits}f}", sizes[0], f"{a:.{digits}f}", sizes[1])
            known_id = int(row[more[2]]) if len(more) > 2 else 0
            yield written.quote(time_ns_of(row[time]), sides, known_id)

    steps = step_text(digits), step_text(places)
    return Tape(name, instrument("RECORDED", *steps), lines)


def trade_tape(name: str, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> Tape:
    """Return a tape of trades; columns: time, price, quantity, side, and id where it has one."""
    time, price, quantity, side, *more = columns
    prices = [float(row[price]) for row in rows]
    digits, places = digits_of(prices), digits_of(float(row[quantity]) for row in rows)

    def lines() -> Iterator[Line]:
        written = Written("RECORDED")
        for row, number in zip(rows, prices, strict=True):
            yield written.trade(
                time_ns_of(row[time]),
                f"{number:.{digits}f}",
                f"{float(row[quantity]):.{places}f}",
                buy=str(row[side]).lower() in {"buy", "b"},
                trade_id=int(row[more[0]]) if more else 0,
            )

    return Tape(name, instrument("RECORDED", step_text(digits), step_text(places)), lines)


def bar_tape(name: str, rows: list[dict[str, Any]], columns: tuple[str, ...], seconds: int) -> Tape:
    """Return a tape of final bars; columns: start, o, h, l, c, and volume and count where given."""
    start, *names = columns
    digits = digits_of(float(row[column]) for row in rows for column in names[:4])

    def lines() -> Iterator[Line]:
        written = Written("RECORDED")
        for row in rows:
            volume = float(row[names[4]] or 0) if len(names) > 4 else 0.0
            text = f"{volume:.{QTY_DIGITS}f}"
            trades = int(row[names[5]]) if len(names) > 5 else int(float(text) > 0)
            prices = [f"{float(row[column]):.{digits}f}" for column in names[:4]]
            start_ms = time_ns_of(row[start]) // MS
            yield written.bar(start_ms, seconds, prices, text, trades)

    steps = step_text(digits), step_text(QTY_DIGITS)
    return Tape(name, instrument("RECORDED", *steps), lines)
