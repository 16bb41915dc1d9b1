"""The router's table from the brain's page, in each instrument's own decimals."""

from __future__ import annotations

import msgspec

from engine.domain.instrument_row import Instrument
from engine.processes.board import BOARD_BYTES, write_board
from engine.processes.routes_page import shown_routes
from engine.processes.segments import KIND_BOARD
from ringbuffer.segment import Segment

BTC = Instrument(
    symbol="BTCUSDT", instrument_index=0, price_exponent=1, qty_exponent=3, tick_scaled=5,
    lot_scaled=2, unit_e8=1,
)  # fmt: skip
ROW = {
    "venue": "binance", "instrument_index": 0, "health": "DEGRADED", "why": "orders are in doubt",
    "bid_ticks": 3, "ask_ticks": 4, "touch_age_ms": 1.5, "latency_p99_ms": 0.2, "maker_bps": 2.0,
    "taker_bps": 5.0, "drift_bps": 0.4, "traded_lots": 7, "buy": "TAKE +5.10",
    "sell": "binance: STALE",
}  # fmt: skip


def test_a_page_that_nobody_wrote_has_no_rows_and_a_row_has_decimals() -> None:
    board = Segment.anonymous("routes", BOARD_BYTES, kind=KIND_BOARD)
    assert shown_routes(board, [BTC]) == []
    assert write_board(board, msgspec.json.encode([ROW]))
    (row,) = shown_routes(board, [BTC])
    assert (row["instrument"], row["bid"], row["ask"], row["traded"]) == (
        "BTCUSDT", "1.5", "2.0", "0.014",
    )  # fmt: skip
    same = ("venue", "health", "why", "touch_age_ms", "buy", "sell")
    assert [row[name] for name in same] == [ROW[name] for name in same]


def test_the_largest_table_fits_its_page() -> None:
    from engine.processes.routes import SHOWN_MAX

    text = msgspec.json.encode([ROW | {"bid_ticks": 2**62, "ask_ticks": 2**62}] * SHOWN_MAX)
    assert write_board(Segment.anonymous("routes", BOARD_BYTES, kind=KIND_BOARD), text)
