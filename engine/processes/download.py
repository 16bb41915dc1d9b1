"""`aegis download klines | agg-trades`: history in parts, what is there already left out."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from engine import exit_codes
from engine.config import Config
from engine.processes.progress import ProgressLine, bar
from engine.tapes import history
from engine.tapes.errors import MissingExtraError, TapeError, missing_extra
from engine.tapes.parquet import pyarrow
from engine.venues.venue import VenueError

HOUR_MS: Final = 3_600_000
INTERVAL_MS: Final = {
    "1m": 60_000,
    "3m": 180_000,
    "5m": 300_000,
    "15m": 900_000,
    "30m": 1_800_000,
    "1h": HOUR_MS,
    "2h": 2 * HOUR_MS,
    "4h": 4 * HOUR_MS,
    "6h": 6 * HOUR_MS,
    "8h": 8 * HOUR_MS,
    "12h": 12 * HOUR_MS,
    "1d": 24 * HOUR_MS,
}


def download_command(options: argparse.Namespace, config: Config) -> int:
    """Fetch what is missing of a span of history; return the exit code."""
    try:
        first_ms, last_ms = _day_ms(options.first), _day_ms(options.last)
    except ValueError as error:
        return exit_codes.fail(f"a day is written as 2024-01-31: {error}", exit_codes.USAGE)
    if options.interval not in INTERVAL_MS:
        known = ", ".join(INTERVAL_MS)
        return exit_codes.fail(f"--interval {options.interval}: one of {known}", exit_codes.USAGE)
    if last_ms <= first_ms:
        return exit_codes.fail("--to is the day after the last one: after --from", exit_codes.USAGE)
    return _fetch(options, config, (first_ms, last_ms))


def _fetch(options: argparse.Namespace, config: Config, span_ms: tuple[int, int]) -> int:
    line = ProgressLine()
    try:
        pyarrow()
        client = _client(options.url)
        root = Path(options.into or Path(config.home) / "history")
        download = Download(client, root, line, now_ms=time.time_ns() // 1_000_000)
        try:
            for symbol in options.symbols:
                if options.what == "klines":
                    download.klines(symbol, options.interval, *span_ms)
                else:
                    download.trades(symbol, *span_ms)
        finally:
            line.end()
            client.close()
    except MissingExtraError as error:
        return exit_codes.fail(str(error), exit_codes.USAGE)
    except (TapeError, VenueError) as error:
        return exit_codes.fail(f"{error}; run it again to go on", exit_codes.ENVIRONMENT)
    document = download.summary()
    text = (
        f"{document['rows']:,} rows in {document['written']} new parts in {root}; "
        f"{document['present']} were there, {document['unfinished']} are not over yet"
    )
    if document["holes"]:
        text += f"; {document['holes']} holes: {', '.join(download.holes[:3])}"
    print(json.dumps(document) if options.json else text)  # noqa: T201  the command's own output
    return exit_codes.DONE


class Download:
    """Parts of history, fetched in order, each written once."""

    def __init__(
        self,
        client: Any,  # noqa: ANN401  its module is loaded only when asked for
        root: Path,
        line: ProgressLine,
        now_ms: int,
    ) -> None:
        """Write nothing yet.

        Args:
            client: `HistoryClient`, or what answers like one.
            root: folder of the parts.
            line: shows progress.
            now_ms: the time; a part that is not over by then is left for later.
        """
        self._client = client
        self._root = root
        self._line = line
        self._now_ms = now_ms
        self.row_count = self.written = self.present = self.unfinished = 0
        self.holes: list[str] = []

    def klines(self, symbol: str, interval: str, first_ms: int, last_ms: int) -> None:
        """Fetch the days of bars that are missing, as many days in a request as it may hold.

        Raises:
            VenueError: the venue refuses; what was written stays.
            TapeError: the disk refuses.
        """
        step_ms = INTERVAL_MS[interval]
        wanted = self._missing(
            range(first_ms, last_ms, history.DAY_MS),
            history.DAY_MS,
            lambda day_ms: history.kline_part(self._root, interval, symbol, day_ms),
        )
        days_max = max(1, 1_500 * step_ms // history.DAY_MS)
        done = 0
        while done < len(wanted):
            days = _run_of_days(wanted[done:], days_max)
            rows = self._kline_rows(symbol, interval, days[0], days[-1] + history.DAY_MS - 1)
            for day_ms in days:
                mine = [row for row in rows if day_ms <= row[0] < day_ms + history.DAY_MS]
                expected = history.DAY_MS // step_ms
                if 0 < len(mine) < expected:
                    self._hole(f"{symbol} {history.day_text(day_ms)}: {len(mine)} of {expected}")
                part = history.kline_part(self._root, interval, symbol, day_ms)
                history.write_klines(part, symbol, mine)
                self._wrote(len(mine))
            done += len(days)
            self._line.show(
                f"{symbol} {interval} {bar(done / len(wanted))} {history.day_text(days[-1])}"
            )

    def _kline_rows(
        self, symbol: str, interval: str, start_ms: int, end_ms: int
    ) -> list[list[Any]]:
        rows: list[list[Any]] = []
        while start_ms <= end_ms:
            page = self._client.klines(symbol, interval, start_ms, end_ms)
            page = [row for row in page if row[0] >= start_ms]
            if not page:
                break
            rows += page
            start_ms = page[-1][0] + 1
            if len(page) < 1_500:
                break
        return rows

    def trades(self, symbol: str, first_ms: int, last_ms: int) -> None:
        """Fetch the hours of aggregated trades that are missing.

        Raises:
            VenueError, TapeError: as with `klines`.
        """
        wanted = self._missing(
            range(first_ms, last_ms, HOUR_MS),
            HOUR_MS,
            lambda hour_ms: history.trade_part(self._root, symbol, hour_ms),
        )
        for done, hour_ms in enumerate(wanted, start=1):
            rows = self._trade_rows(symbol, hour_ms, hour_ms + HOUR_MS - 1)
            history.write_trades(history.trade_part(self._root, symbol, hour_ms), symbol, rows)
            self._wrote(len(rows))
            hour = f"{history.day_text(hour_ms)} {hour_ms % history.DAY_MS // HOUR_MS:02d}h"
            self._line.show(f"{symbol} trades {bar(done / len(wanted))} {hour}")

    def _trade_rows(self, symbol: str, start_ms: int, end_ms: int) -> list[dict[str, Any]]:
        rows = self._client.trades_between(symbol, start_ms, end_ms)
        while rows:
            page = self._client.trades_from(symbol, rows[-1]["a"] + 1)
            inside = [row for row in page if row["T"] <= end_ms]
            rows += inside
            if len(inside) < len(page) or not page:
                break
            self._line.show(f"{symbol} trades {len(rows):,} of {history.day_text(start_ms)}")
        for before, after in pairwise(rows):
            if after["a"] != before["a"] + 1:
                self._hole(f"{symbol}: trades {before['a'] + 1} to {after['a'] - 1}")
        return list(rows)

    def _missing(self, starts: range, span_ms: int, part: Callable[[int], Path]) -> list[int]:
        wanted = []
        for start_ms in starts:
            if part(start_ms).exists():
                self.present += 1
            elif start_ms + span_ms > self._now_ms:
                self.unfinished += 1
            else:
                wanted.append(start_ms)
        return wanted

    def _wrote(self, rows: int) -> None:
        self.written += 1
        self.row_count += rows

    def _hole(self, text: str) -> None:
        self.holes.append(text)
        self._line.say(f"a hole in what the venue has: {text}")

    def summary(self) -> dict[str, Any]:
        """Return what was done."""
        return {
            "rows": self.row_count,
            "written": self.written,
            "present": self.present,
            "unfinished": self.unfinished,
            "requests": self._client.request_count,
            "holes": len(self.holes),
        }


def _run_of_days(days: list[int], most: int) -> list[int]:
    """Return the days from the first on that follow each other, so many at most."""
    count = 1
    while count < min(most, len(days)) and days[count] == days[count - 1] + history.DAY_MS:
        count += 1
    return days[:count]


def _client(url: str) -> Any:  # noqa: ANN401  its module is loaded only here
    from engine.venues.binance.history import HistoryClient

    try:
        return HistoryClient(url)
    except ImportError as error:
        raise missing_extra("python-binance", "history") from error


def _day_ms(text: str) -> int:
    day = date.fromisoformat(text)
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000
