"""History comes in parts, each once; the venue's limits are kept; python-binance is the client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine import cli
from engine.processes.download import Download
from engine.processes.progress import ProgressLine, bar, bytes_text
from engine.tapes import history
from engine.tapes.drafts import Steps
from engine.tapes.importing import import_files
from engine.tapes.reader import TapeReader
from engine.venues.venue import VenueError, VenueUnreachableError
from exchange.clock import UNLIMITED
from exchange.recorded import open_source
from exchange.server import Exchange, Options
from tests.tape_builders import market, write_tape

pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
DAY_MS = history.DAY_MS
DAY = 19_723 * DAY_MS  # 2024-01-01
MINUTE_MS = 60_000
HOUR_MS = 3_600_000


class FakeVenue:
    """Bars of every minute and a trade every ten seconds; counts what it is asked."""

    def __init__(self, *, fails_at: int = 0) -> None:
        self.request_count = 0
        self.fails_at = fails_at
        self.asked: list[tuple[Any, ...]] = []

    def _count(self, *asked: object) -> None:
        self.request_count += 1
        self.asked.append(asked)
        if self.request_count == self.fails_at:
            raise VenueUnreachableError("gone")

    def klines(self, symbol: str, interval: str, start_ms: int, end_ms: int) -> list[list[Any]]:
        self._count("klines", symbol, interval, start_ms, end_ms)
        opened = range(start_ms, end_ms + 1, MINUTE_MS)[:1_500]
        return [
            [at, "1.0", "2.0", "0.5", "1.5", "10", at + MINUTE_MS - 1, "15", 3, "4", "6", "0"]
            for at in opened
        ]

    def trades_between(self, symbol: str, start_ms: int, end_ms: int) -> list[dict[str, Any]]:
        self._count("between", symbol, start_ms, end_ms)
        return self._trades(start_ms // 10_000, end_ms)[:100]

    def trades_from(self, symbol: str, first_id: int) -> list[dict[str, Any]]:
        self._count("from", symbol, first_id)
        return self._trades(first_id, first_id * 10_000 + 20 * HOUR_MS)[:100]

    def _trades(self, first_id: int, end_ms: int) -> list[dict[str, Any]]:
        return [
            {"a": n, "p": "1.5", "q": "2", "f": n, "l": n, "T": n * 10_000, "m": n % 2 == 0}
            for n in range(first_id, end_ms // 10_000 + 1)
        ]


def download(venue: FakeVenue, root: Path, now_ms: int = DAY + 90 * DAY_MS) -> Download:
    return Download(venue, root, ProgressLine(), now_ms)


def parts(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*.parquet"))


def test_days_of_bars_are_parts_of_their_own(tmp_path: Path) -> None:
    venue = FakeVenue()
    made = download(venue, tmp_path)
    made.klines("BTCUSDT", "1m", DAY, DAY + 3 * DAY_MS)
    assert parts(tmp_path) == [
        f"klines_1m/day=2024-01-0{day}/instrument=BTCUSDT/klines.parquet" for day in (1, 2, 3)
    ]
    assert (made.row_count, made.written, venue.request_count) == (4_320, 3, 3)
    table = pq.ParquetFile(tmp_path / parts(tmp_path)[1]).read()
    assert table.column("open_time")[0].as_py() == DAY + DAY_MS
    assert table.column("symbol")[0].as_py() == "BTCUSDT"


def test_an_hour_of_trades_is_fetched_to_its_end_by_id(tmp_path: Path) -> None:
    venue = FakeVenue()
    made = download(venue, tmp_path)
    made.trades("BTCUSDT", DAY, DAY + 2 * HOUR_MS)
    found = parts(tmp_path)
    assert found == [
        f"agg_trades/day=2024-01-01/instrument=BTCUSDT/0{hour}.parquet" for hour in (0, 1)
    ]
    table = pq.ParquetFile(tmp_path / found[0]).read()
    times = table.column("transact_time").to_pylist()
    assert times == list(range(DAY, DAY + HOUR_MS, 10_000))
    assert made.holes == []
    assert venue.request_count == 8  # 100 of 360 a page, two hours


def test_an_interrupted_download_goes_on_where_it_was(tmp_path: Path) -> None:
    venue = FakeVenue(fails_at=6)
    with pytest.raises(VenueUnreachableError):
        download(venue, tmp_path).trades("BTCUSDT", DAY, DAY + 3 * HOUR_MS)
    assert len(parts(tmp_path)) == 1
    first = (tmp_path / parts(tmp_path)[0]).stat().st_mtime_ns
    again = FakeVenue()
    made = download(again, tmp_path)
    made.trades("BTCUSDT", DAY, DAY + 3 * HOUR_MS)
    assert len(parts(tmp_path)) == 3
    assert (made.present, made.written) == (1, 2)
    assert (tmp_path / parts(tmp_path)[0]).stat().st_mtime_ns == first
    assert again.asked[0] == ("between", "BTCUSDT", DAY + HOUR_MS, DAY + 2 * HOUR_MS - 1)
    assert not list(tmp_path.rglob("*.partial"))


def test_a_second_run_asks_for_nothing(tmp_path: Path) -> None:
    download(FakeVenue(), tmp_path).klines("BTCUSDT", "1m", DAY, DAY + 2 * DAY_MS)
    venue = FakeVenue()
    made = download(venue, tmp_path)
    made.klines("BTCUSDT", "1m", DAY, DAY + 2 * DAY_MS)
    assert (venue.request_count, made.present) == (0, 2)


def test_a_day_that_is_not_over_is_left_for_later(tmp_path: Path) -> None:
    made = download(FakeVenue(), tmp_path, now_ms=DAY + DAY_MS + 5)
    made.klines("BTCUSDT", "1m", DAY, DAY + 3 * DAY_MS)
    assert (made.written, made.unfinished) == (1, 2)


def test_longer_bars_share_a_request(tmp_path: Path) -> None:
    class Hours(FakeVenue):
        def klines(self, symbol: str, interval: str, start_ms: int, end_ms: int) -> list[list[Any]]:
            rows = super().klines(symbol, interval, start_ms, end_ms)
            hours = range(start_ms, end_ms + 1, HOUR_MS)
            return [[at, *rows[0][1:]] for at in hours][:1_500]

    venue = Hours()
    made = download(venue, tmp_path)
    made.klines("BTCUSDT", "1h", DAY, DAY + 30 * DAY_MS)
    assert (venue.request_count, made.written, made.row_count) == (1, 30, 720)


def test_holes_are_told_and_nothing_is_invented(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Holes(FakeVenue):
        def _trades(self, first_id: int, end_ms: int) -> list[dict[str, Any]]:
            return [row for row in super()._trades(first_id, end_ms) if row["a"] % 50 != 7]

    made = download(Holes(), tmp_path)
    made.trades("BTCUSDT", DAY, DAY + HOUR_MS)
    assert len(made.holes) == 7
    assert made.row_count == 353
    assert "a hole in what the venue has" in capsys.readouterr().err


def test_what_was_downloaded_becomes_a_tape(tmp_path: Path) -> None:
    made = download(FakeVenue(), tmp_path / "history")
    made.trades("BTCUSDT", DAY, DAY + HOUR_MS)
    made.klines("BTCUSDT", "1m", DAY, DAY + DAY_MS)
    files = sorted((tmp_path / "history").rglob("*.parquet"))
    import_files(files, tmp_path / "x.tape", Steps())
    with TapeReader(tmp_path / "x.tape") as tape:
        assert tape.record_count == 360 + 1_440
        assert [instrument.symbol for instrument in tape.instruments] == ["BTCUSDT"]


def test_progress_is_a_bar_and_sizes_have_units() -> None:
    assert bar(0.5) == f"[{'#' * 12}{'.' * 12}]  50%"
    assert bar(7) == f"[{'#' * 24}] 100%"
    assert [bytes_text(n) for n in (5, 1_500, 2.5e9)] == ["5 B", "1.5 kB", "2.5 GB"]


# python-binance against the practice exchange -----------------------------------------------

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@contextlib.contextmanager
def exchange_of(tape: Path, start_ms: int) -> Iterator[str]:
    """Run an exchange in a thread; yield its address."""
    ready = threading.Event()
    found: list[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        options = Options(autostart=True, speed=UNLIMITED, start_ms=start_ms)
        exchange = Exchange(open_source([str(tape)]), options)
        stop = asyncio.Event()
        try:
            port = await exchange.listen("127.0.0.1", 0)
            found.append((port, asyncio.get_running_loop(), stop))
            ready.set()
            await stop.wait()
        finally:
            await exchange.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(30)
    port, loop, stop = found[0]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)


@pytest.fixture
def day_tape(tmp_path: Path) -> Path:
    """Return a tape whose trades are half a minute apart for two hours."""
    records = market(1_200)
    records["record_type"][4:] = 2
    records = records[4:]
    records["receive_time_ns"] = 5_000_000_000 + (records["sequence"] - 5) * 6_000_000_000
    records["venue_time_ns"] = DAY * 1_000_000 + (records["sequence"] - 5) * 6_000_000_000
    records["price_ticks"], records["qty_lots"] = 618_000, 5
    records["trade_id"], records["trade_count"] = records["sequence"], 1
    return write_tape(tmp_path / "day.tape", records)


def wait_played(url: str) -> None:
    import urllib.request

    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s:
        with urllib.request.urlopen(f"{url}/practice/state") as answer:
            if json.load(answer)["tape_ended"]:
                return
        time.sleep(0.05)
    raise AssertionError("the tape did not end")


def test_the_library_fetches_from_the_practice_exchange(
    day_tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("binance", reason="python-binance is not installed")
    with exchange_of(day_tape, DAY) as url:
        wait_played(url)
        words = ["BTCUSDT", "--from", "2024-01-01", "--to", "2024-01-02", "--url", url]
        into = ["--into", str(tmp_path / "history"), "--json"]
        capsys.readouterr()
        assert cli.main(["download", "agg-trades", *words, *into]) == 0
        trades = json.loads(capsys.readouterr().out)
        assert cli.main(["download", "klines", *words, *into]) == 0
        bars = json.loads(capsys.readouterr().out)
        assert cli.main(["download", "klines", *words, *into]) == 0
        again = json.loads(capsys.readouterr().out)
    assert (trades["written"], trades["holes"]) == (24, 0)
    assert trades["rows"] > 100
    assert (bars["written"], again["written"], again["present"]) == (1, 0, 1)
    assert bars["rows"] > 100
    tables = [
        pq.ParquetFile(path).read() for path in sorted(tmp_path.rglob("agg_trades/**/*.parq*"))
    ]
    ids = [number for table in tables for number in table.column("agg_trade_id").to_pylist()]
    assert ids == list(range(ids[0], ids[0] + len(ids)))


def test_an_unknown_symbol_is_exit_3(
    day_tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("binance", reason="python-binance is not installed")
    with exchange_of(day_tape, DAY) as url:
        words = ["NONEUSDT", "--from", "2024-01-01", "--to", "2024-01-02", "--url", url]
        assert cli.main(["download", "klines", *words, "--into", str(tmp_path)]) == 3
    assert "run it again to go on" in capsys.readouterr().err


class Answers:
    """A client of the library that answers from a list."""

    def __init__(self, *answers: object) -> None:
        self.answers: list[Any] = list(answers)
        self.response = SimpleNamespace(headers={})

    def ask(self, **_: object) -> list[list[int]]:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        self.response.headers = {"x-mbx-used-weight-1m": str(answer[0])}
        return list(answer[1])


def client_with(*answers: object) -> tuple[Any, list[float]]:
    pytest.importorskip("binance", reason="python-binance is not installed")
    from engine.venues.binance.history import HistoryClient

    pauses: list[float] = []
    client = HistoryClient("http://127.0.0.1:9", pause=pauses.append)
    client._client = answering = Answers(*answers)
    client._weight_max = 2_400
    client._client.futures_klines = answering.ask
    return client, pauses


def refusal(status: int, retry_after: str = "") -> Exception:
    from binance.exceptions import BinanceAPIException

    response = SimpleNamespace(text="{}", headers={"retry-after": retry_after})
    return BinanceAPIException(response, status, '{"code": -1003, "msg": "too many"}')


def test_the_weight_of_a_minute_is_not_used_up() -> None:
    client, pauses = client_with((1_900, [[1]]), (1_930, [[2]]))
    client.klines("BTCUSDT", "1m", 0, 1)
    assert pauses == []
    client.klines("BTCUSDT", "1m", 0, 1)
    assert len(pauses) == 1
    assert 0 < pauses[0] <= 60.5


def test_a_refusal_for_the_rate_waits_as_long_as_it_says() -> None:
    pytest.importorskip("binance", reason="python-binance is not installed")
    client, pauses = client_with(refusal(429, "7"), (1, [[1]]))
    assert client.klines("BTCUSDT", "1m", 0, 1) == [[1]]
    assert pauses == [7.0]


def test_a_ban_ends_it_at_once() -> None:
    pytest.importorskip("binance", reason="python-binance is not installed")
    client, pauses = client_with(refusal(418))
    with pytest.raises(VenueError, match="banned"):
        client.klines("BTCUSDT", "1m", 0, 1)
    assert pauses == []


@pytest.mark.parametrize("error", [ConnectionResetError("reset"), TimeoutError("slow")])
def test_a_broken_line_is_tried_a_bounded_number_of_times(error: Exception) -> None:
    client, pauses = client_with(*[error] * 6)
    with pytest.raises(VenueUnreachableError, match="after 6 tries"):
        client.klines("BTCUSDT", "1m", 0, 1)
    assert len(pauses) == 6
    assert pauses[-1] > pauses[0]
