"""Everything ever recorded passes both layers of the firewall, and books meet their quotes.

What is refused of it is listed here and explained in docs/firewall.md.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import orjson
import pytest

from engine.domain.firewall_reasons import FirewallReason
from engine.domain.instrument import instrument_rows
from engine.domain.market_state import (
    CLOCK_ANCHOR_NS,
    CLOCK_OFFSET_NS,
    CLOCK_VALID,
    create_market_state,
)
from engine.domain.strategy import (
    EXPOSURE_DTYPE,
    OPPORTUNITIES_PER_RECORD_MAX,
    OPPORTUNITY_DTYPE,
)
from engine.domain.strategy_table import select_rows
from engine.telemetry import CORE_COUNTERS
from tests.feed_rig import MS, FeedRig, S
from tests.market_runs import LOG_DTYPE, LOG_MAX, run_paper
from tests.recorded_markets import CAPTURE_STEPS, Line, Tape, capture
from tests.recorded_tables import tables

R = FirewallReason
BATCH = 1_000
ALL_LEVELS = 1_000_000  # a capture has one snapshot: beyond it the book knows what diffs say
CLOCK_ERROR_NS = 5 * S
WORD = {counter.name: word for word, counter in enumerate(CORE_COUNTERS)}

# Update ids that quotes and diffs of a live book have in common, over the whole capture.
EQUAL_IDS = {
    "usdm_btcusdt": 629,
    "usdm_ethusdt": 551,
    "cm_btcusd_perp": 1_885,
    "cm_ethusd_perp": 2_278,
    "spot_btcusdt": 1_072,
    "spot_ethusdt": 1_056,
}
# Diffs that end between two quotes: the first of them stood then. (compared, different)
STANDING = {
    "usdm_btcusdt": (5_118, 0),
    "usdm_ethusdt": (5_096, 0),
    "cm_btcusd_perp": (12_682, 0),
    "cm_ethusd_perp": (9_977, 0),
    "spot_btcusdt": (4_780, 2),  # spot left two changes of its best bid out of its quotes
    "spot_ethusdt": (4_473, 0),
}
# Real records that the laws refuse, by file; docs/firewall.md says why each is right to be.
REFUSED = {
    "lobdeep_btc_fut_2026-02-16_04": {R.ID_DUPLICATE: 2},
    "lobdeep_btc_spot_2026-02-16_04": {R.ID_DUPLICATE: 2},
    "nautilus_truefx_audusd_ticks_2020-01-30_31": {R.QUOTE_LOCKED: 3_498},
    "nautilus_fxcm_gbpusd_1m_bidask_2012-02": {R.QUOTE_LOCKED: 306, R.QUOTE_CROSSED: 347},
}
ROWS_MIN = 1_800_000


class BothLayers:
    """One tape through the feed's core and, from its ring, through the brain's market side."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.rig = FeedRig([tape.instrument], capacity=32_768)
        rows = instrument_rows([msgspec.structs.replace(tape.instrument, unit_e8=1)])
        strategies = select_rows(["quote_imbalance"])
        self.market = create_market_state(rows, strategies)
        self.exposure = np.zeros((1, 1), dtype=EXPOSURE_DTYPE)
        self.opportunities = np.zeros(OPPORTUNITIES_PER_RECORD_MAX, dtype=OPPORTUNITY_DTYPE)
        self.log = np.zeros(LOG_MAX, dtype=LOG_DTYPE)
        self.line_count = self.record_count = 0

    def play(self) -> None:
        first: Line | None = None
        base_ns = self.rig.now_ns
        for line in self.tape.lines():
            if first is None:
                first = line
                self._set_clock(line)
            self.rig.now_ns = base_ns + line.receive_ns - first.receive_ns
            if line.is_snapshot:
                assert self.rig.snapshot(0, line.text, ALL_LEVELS) == 0
            else:
                self.rig.decode(line.text)
            self.line_count += 1
            if self.line_count % BATCH == 0:
                self._decide()
        self._decide()

    def refused_by_brain(self) -> dict[R, int]:
        return {R(k): int(n) for k, n in enumerate(self.market.reject_counts) if n}

    def count(self, name: str) -> int:
        return self.rig.core.counters()[WORD[name]]

    def _set_clock(self, line: Line) -> None:
        venue_ns = line.venue_ms * MS
        self.rig.core.set_clock(self.rig.now_ns, venue_ns, 0, CLOCK_ERROR_NS)
        progress = self.market.progress
        progress[CLOCK_VALID] = 1
        progress[CLOCK_ANCHOR_NS] = self.rig.now_ns
        progress[CLOCK_OFFSET_NS] = venue_ns - self.rig.now_ns

    def _decide(self) -> None:
        records = self.rig.records()
        self.record_count += len(records)
        run_paper(self.market, self.exposure, records, self.opportunities, self.log)


@pytest.mark.parametrize("name", CAPTURE_STEPS)
def test_best_bid_and_ask_equal_the_quote_at_every_equal_update_id(
    shared_data: Path, name: str
) -> None:
    tape = capture(shared_data, name)
    layers = BothLayers(tape)
    layers.play()
    assert (layers.rig.rejects(), layers.refused_by_brain()) == ({}, {})
    assert layers.count("books_compared_total") == EQUAL_IDS[name]
    assert layers.count("books_diverged_total") == layers.count("books_behind_total") == 0
    standing = layers.count("books_standing_total"), layers.count("books_standing_diverged_total")
    assert standing == STANDING[name]
    assert layers.record_count > layers.line_count // 2
    layers.rig.close()


@pytest.mark.parametrize("name", CAPTURE_STEPS)
def test_the_equal_ids_are_counted_by_hand_too(shared_data: Path, name: str) -> None:
    # WHY: the count above is the core's own; these sets know nothing of books.
    quotes: set[int] = set()
    diffs: set[int] = set()
    snapshot_id = 0
    for line in capture(shared_data, name).lines():
        if line.is_snapshot:
            snapshot_id = orjson.loads(line.text)["lastUpdateId"]
            continue
        data = orjson.loads(line.text)["data"]
        if data["e"] == "bookTicker":
            quotes.add(data["u"])
        elif data["e"] == "depthUpdate":
            diffs.add(data["u"])
    live = {update_id for update_id in quotes & diffs if update_id >= snapshot_id > 0}
    assert len(live) == EQUAL_IDS[name]


@pytest.mark.parametrize(("name", "lot", "off"), [("btc", "0.00001", 7), ("eth", "0.0001", 3)])
def test_ten_resting_orders_of_the_spot_captures_are_off_todays_lot(
    shared_data: Path, name: str, lot: str, off: int
) -> None:
    symbol, tick, _ = CAPTURE_STEPS[f"spot_{name}usdt"]
    tape = capture(shared_data, f"spot_{name}usdt", (symbol, tick, lot))
    layers = BothLayers(tape)
    layers.play()
    # Each refused diff is a hole in the chain, which the next one shows.
    assert layers.rig.rejects() == {R.OFF_LOT: off, R.DEPTH_GAP: off}
    layers.rig.close()


@pytest.mark.slow
def test_every_table_passes_both_layers_but_for_the_records_that_are_listed(
    shared_data: Path,
) -> None:
    refused: dict[str, dict[R, int]] = {}
    row_count = 0
    for tape in tables(shared_data):
        layers = BothLayers(tape)
        layers.play()
        row_count += layers.line_count
        if layers.rig.rejects():
            name = tape.name.partition("/")[2].split()[0]
            refused[name] = {R(reason): n for reason, n in layers.rig.rejects().items()}
        assert layers.refused_by_brain() == {}, tape.name
        taken = layers.line_count - sum(layers.rig.rejects().values())
        assert layers.record_count >= taken, tape.name
        layers.rig.close()
    assert refused == REFUSED
    captured = sum(1 for name in CAPTURE_STEPS for _ in capture(shared_data, name).lines())
    assert row_count + captured >= ROWS_MIN
