"""Recorded data of every format becomes tapes that say what the files say."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from engine.domain.codes import LEVEL_SNAPSHOT_FIRST, RecordType
from engine.tapes.drafts import Steps
from engine.tapes.errors import ImportFormatError
from engine.tapes.importing import import_files
from engine.tapes.reader import Records, TapeReader, joined
from exchange.events import DIFF, QUOTE, TRADE
from exchange.recorded import RecordedMarket
from tests.captures import decode_capture

QUOTES, TRADES, LEVELS, BARS, MARKS = "QUOTE", "TRADE", "LEVEL", "BAR", "MARK"

# file, records by kind, first instrument, its tick and lot
ROWS = [
    ("tardis_samples/binance-futures_trades_2020-02-22_BTCUSDT_first10000.csv.gz",
     {TRADES: 9_999}, "BTCUSDT", 0.01, 0.001),
    ("tardis_samples/binance-futures_quotes_2020-02-22_BTCUSDT_first10000.csv.gz",
     {QUOTES: 9_999}, "BTCUSDT", 0.01, 0.001),
    ("tardis_samples/binance-futures_book_snapshot_25_BTCUSDT.csv.gz",
     {LEVELS: 53}, "BTCUSDT", 0.01, 0.001),
    ("tardis_samples/binance-futures_book_snapshot_5_BTCUSDT.csv.gz",
     {LEVELS: 25}, "BTCUSDT", 0.01, 0.001),
    ("cryptofeed/BINANCE_FUTURES.ws.1.0.gz",
     {QUOTES: 613, TRADES: 91, LEVELS: 4_507, BARS: 67}, "SUSHIUSDT", 0.001, 1),
    ("crypto_microstructure/trades_btc_fut_2026-02-16_04.parquet",
     {TRADES: 11_947}, "BTCUSDT", 0.1, 0.001),
    ("crypto_microstructure/lobdeep_btc_spot_2026-02-16_04.parquet",
     {LEVELS: 23_267}, "BTCUSDT", 0.01, 0.00001),
    ("orderflow_ltcusdt_spot/LTCUSDT_2025-06-21_06h_trades.csv.gz",
     {TRADES: 4_311}, "LTCUSDT", 0.01, 0.001),
    ("cmf_market_making/sample_lob.csv.gz", {LEVELS: 9_071}, "SAMPLE_LOB", 1e-7, 1),
    ("cmf_market_making/sample_trades.csv.gz", {TRADES: 2_891}, "SAMPLE_TRADES", 1e-7, 1),
    ("klines/binance_usdm_BTCUSDT-1m-2024-03-30.csv.gz", {BARS: 1_440}, "BTCUSDT", 0.1, 0.001),
    ("klines/muthebug_binance_usdm_1d_multi.parquet", {BARS: 56_596}, "BTCUSDT", 0.01, 0.001),
    ("klines/muthebug_binance_usdm_1h_multi_2024-06_2026-06.parquet",
     {BARS: 88_371}, "LTCUSDT", 0.01, 0.001),
    ("klines/muthebug_binance_spot_1h_btc_eth_2024-06_2026-05.parquet",
     {BARS: 34_672}, "BTCUSDT", 0.01, 0.000001),
    ("klines/lean_binance_usdm_adausdt_1m_trade_2022-12-13.parquet",
     {BARS: 1_440}, "ADAUSDT", 0.0001, 1),
    ("klines/lean_binance_usdm_adausdt_1m_quote_2022-12-13.parquet",
     {QUOTES: 1_100}, "ADAUSDT", 0.0001, 1),
    ("klines/lean_binance_coinm_btcusd_funding.csv", {MARKS: 12}, "BTCUSD", 1, 1),
    ("klines/freqtrade_XRP_USDT_USDT-5m-futures.parquet", {BARS: 1_999}, None, 0.0001, 0.1),
    ("klines/freqtrade_XRP_USDT_USDT-1h-mark.parquet", {MARKS: 100}, None, 1, 1),
    ("klines/freqtrade_XRP_USDT_USDT-8h-funding_rate.parquet", {MARKS: 91}, None, 1, 1),
    ("klines/nautilus_btc-perp_ftx_1m_2021-12-31_2022-02-01.parquet",
     {BARS: 45_031}, None, 0.001, 0.00001),
    ("cme/databento_esu4_mbp1_2024-07-01_4min.parquet",
     {QUOTES: 2_288, TRADES: 120}, "ESU4", 0.25, 1),
    ("cme/nautilus_6EH4_1m_2024-01.csv.gz", {BARS: 29_996}, "6EH4", 0.00005, 1),
    ("cme/ninjatrader_nq_1m_volumetric_2026-02-05_16.parquet", {BARS: 9_128}, "NQ", 0.25, 1),
    ("fx/lean_oanda_nzdusd_ticks_2014-05-06_08.parquet",
     {QUOTES: 141_632}, "NZDUSD", 0.00001, 1),
    ("fx/nautilus_fxcm_gbpusd_1m_bidask_2012-02.parquet", {QUOTES: 30_117}, "GBPUSD", 1e-5, 1),
    ("fx/nautilus_truefx_audusd_ticks_2020-01-30_31.parquet",
     {QUOTES: 100_000}, "AUDUSD", 1e-5, 1),
    ("deriv/R_75_ticks_2025-06-12.csv", {MARKS: 141}, "R_75", 1, 1),
    ("ibkr/nautilus/bid_ask_ticks.json.gz", {QUOTES: 1_003}, "BID_ASK_TICKS", 0.01, 1),
    ("ibkr/nautilus/trade_ticks.json.gz", {TRADES: 6}, "TRADE_TICKS", 0.01, 1),
    ("ibkr/nautilus/bars.json.gz", {BARS: 405}, "BARS", 0.01, 1),
    ("portfolio/arch_sp500_daily.csv.gz", {BARS: 5_031}, "ARCH_SP500_DAILY", 1e-6, 1),
    ("portfolio/arch_vix_daily.csv.gz", {BARS: 1_259}, "VIX", 0.01, 1),
    ("portfolio/skfolio_factors_dataset.csv.gz", {BARS: 11_320}, "MTUM", 0.001, 1),
]  # fmt: skip


def imported(tmp_path: Path, *paths: Path) -> tuple[Records, TapeReader]:
    target = tmp_path / "x.tape"
    import_files(list(paths), target, Steps())
    tape = TapeReader(target)
    assert tape.verify() == []
    return joined([tape.records(block) for block in tape.record_blocks]), tape


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].rpartition("/")[2])
def test_every_row_of_a_file_is_on_its_tape(
    row: tuple[str, dict[str, int], str | None, float, float], shared_data: Path, tmp_path: Path
) -> None:
    name, wanted, symbol, tick, lot = row
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    if not (shared_data / name).exists():
        pytest.skip(f"{name} is absent")
    records, tape = imported(tmp_path, shared_data / name)
    kinds, counts = np.unique(records["record_type"], return_counts=True)
    found = {
        RecordType(kind).name: count
        for kind, count in zip(kinds.tolist(), counts.tolist(), strict=True)
    }
    assert found == wanted
    first = tape.instruments[0]
    assert symbol in {None, first.symbol}
    assert (first.tick_size, first.lot_size) == (tick, lot)
    assert (np.diff(records["receive_time_ns"]) >= 0).all()
    assert records["sequence"].tolist() == list(range(1, len(records) + 1))
    assert first.price_exponent + first.qty_exponent <= 8


@pytest.mark.parametrize("name", ["btcusdt", "ethusdt"])
def test_a_capture_means_what_another_decoder_reads(
    name: str, captures: list[Path], tmp_path: Path
) -> None:
    path = next(path for path in captures if name in path.name)
    short = tmp_path / "short.gz"
    with gzip.open(path) as lines, gzip.open(short, "wb") as out:
        out.writelines(line for line, _ in zip(lines, range(8_000), strict=False))
    records, tape = imported(tmp_path, short)
    ours = tape.instruments[0]
    wanted = decode_capture(short, 0, ours.price_exponent, ours.qty_exponent)
    for kind in (RecordType.QUOTE, RecordType.TRADE):
        mine = records[records["record_type"] == kind]
        theirs = wanted[wanted["record_type"] == kind]
        assert len(mine) == len(theirs) > 1_000
        for field in ("receive_time_ns", "venue_time_ns", "bid_price_ticks", "ask_price_ticks"):
            assert (mine[field] == theirs[field]).all(), field
    assert book_of(records) == book_of(wanted)


def book_of(records: Records) -> dict[tuple[int, int], int]:
    """Return the best levels that a reader of the LEVEL records ends with."""
    book: dict[tuple[int, int], int] = {}
    for record in records[records["record_type"] == RecordType.LEVEL]:
        if record["flags"] & LEVEL_SNAPSHOT_FIRST:
            book.clear()
        key = int(record["flags"] & 1), int(record["price_ticks"])
        if record["qty_lots"]:
            book[key] = int(record["qty_lots"])
        else:
            del book[key]
    assert len(book) == 40
    return book


@pytest.mark.parametrize("product", ["cm_btcusd_perp", "spot_ethusdt"])
def test_a_book_goes_on_from_one_file_to_the_next(
    product: str, shared_data: Path, tmp_path: Path
) -> None:
    pair = sorted(shared_data.glob(f"hftbacktest/{product}_*.gz"))
    if len(pair) != 2:
        pytest.skip(f"no captures of {product}")
    records, tape = imported(tmp_path, *pair)
    levels = records[records["record_type"] == RecordType.LEVEL]
    snapshots = (levels["flags"] & LEVEL_SNAPSHOT_FIRST) != 0
    assert int(snapshots.sum()) == 1
    days = (levels["receive_time_ns"] // 86_400_000_000_000).tolist()
    assert len(set(days)) == 2
    assert len(tape.instruments) == 1
    book_of(records)


def test_orders_by_id_make_a_book_that_crosses_before_the_open_alone(
    shared_data: Path, tmp_path: Path
) -> None:
    path = shared_data / "cme/databento_esh4_mbo_2023-12-24_25.parquet"
    if not path.exists():
        pytest.skip("no orders by id")
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    records, tape = imported(tmp_path, path)
    assert tape.instruments[0].tick_size == 0.25
    bids: dict[int, int] = {}
    asks: dict[int, int] = {}
    crossed: list[int] = []
    settled = 0
    for record in records[records["record_type"] == RecordType.LEVEL]:
        side = bids if record["flags"] & 1 else asks
        if record["qty_lots"]:
            side[int(record["price_ticks"])] = int(record["qty_lots"])
        else:
            del side[int(record["price_ticks"])]
        if record["flags"] & 2 and bids and asks:
            settled += 1
            if max(bids) >= min(asks):
                crossed.append(int(record["venue_time_ns"]))
    assert settled > 10_000
    opened = np.datetime64("2023-12-25T23:00:00", "ns").astype(np.int64)
    assert opened - 1_800_000_000_000 < min(crossed) <= max(crossed) < opened


def test_an_imported_capture_plays(captures: list[Path], tmp_path: Path) -> None:
    path = next(path for path in captures if "btcusdt" in path.name)
    short = tmp_path / "short.gz"
    with gzip.open(path) as lines, gzip.open(short, "wb") as out:
        out.writelines(line for line, _ in zip(lines, range(5_000), strict=False))
    records, tape = imported(tmp_path, short)
    source = RecordedMarket([tape.path])
    source.begin(1_800_000_000_000_000_000)
    kinds: dict[int, int] = {}
    while batch := source.next_batch():
        for event in batch:
            kinds[event[2]] = kinds.get(event[2], 0) + 1
    assert kinds[QUOTE] == int((records["record_type"] == RecordType.QUOTE).sum())
    assert kinds[TRADE] == int((records["record_type"] == RecordType.TRADE).sum())
    assert kinds[DIFF] > 100


@pytest.mark.parametrize(
    "name",
    [
        "deriv/published_messages.jsonl",
        "ibkr/nautilus/account_values.json",
        "ibkr/tws_wire_log_2017-08-12_AAPL_market_order.txt",
        "cryptofeed/BINANCE_FUTURES.0.gz",
        "binance_payloads/unicorn_fy/usdm_ws_messages.jsonl",
    ],
)
def test_what_is_no_market_data_is_refused(name: str, shared_data: Path, tmp_path: Path) -> None:
    if not (shared_data / name).exists():
        pytest.skip(f"{name} is absent")
    with pytest.raises(ImportFormatError, match=name.rpartition("/")[2]):
        import_files([shared_data / name], tmp_path / "x.tape", Steps())
    assert not list(tmp_path.iterdir())
