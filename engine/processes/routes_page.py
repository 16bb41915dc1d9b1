"""The router's table as main shows it: what the brain wrote on its page, in an instrument's units.

Standard library and ringbuffer only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from engine.domain.instrument_row import Instrument
from engine.processes.board import read_board
from ringbuffer.segment import Segment


def shown_routes(board: Segment, instruments: Sequence[Instrument]) -> list[dict[str, Any]]:
    """Return a row per instrument and venue, some seconds old at most; none: not written yet."""
    text = read_board(board)
    rows: list[dict[str, Any]] = json.loads(text) if text else []
    return [_shown(row, instruments[row["instrument_index"]]) for row in rows]


def _shown(row: dict[str, Any], instrument: Instrument) -> dict[str, Any]:
    return {
        "instrument": instrument.symbol,
        "venue": row["venue"],
        "health": row["health"],
        "why": row["why"],
        "bid": instrument.price_text(row["bid_ticks"]),
        "ask": instrument.price_text(row["ask_ticks"]),
        "touch_age_ms": row["touch_age_ms"],
        "latency_p99_ms": row["latency_p99_ms"],
        "maker_bps": row["maker_bps"],
        "taker_bps": row["taker_bps"],
        "drift_bps": row["drift_bps"],
        "traded": instrument.qty_text(row["traded_lots"]),
        "buy": row["buy"],
        "sell": row["sell"],
    }
