"""A brain that journals itself: the loop's protocol of events and marks, in Python, with a venue.

The venue accepts every order, fills it at the quote in two parts, and answers fetches with what the
brain holds. Batches are cut at random, so that every boundary of steps and marks occurs.
"""

import itertools
import random
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from engine.config import Config, LimitsConfig, shown
from engine.domain.codes import EventType, OrderStatus, TradingState
from engine.domain.decide import step
from engine.domain.desk import OUT_COMMANDS, OUT_EVENTS, create_out
from engine.domain.market_state import VECTORS_WAITING
from engine.domain.records import (
    EVENT_DTYPE,
    MARK_WORD_FIRST,
    MARKET_DTYPE,
    MARKS_PER_RECORD,
)
from engine.processes.brain_state import session_state
from engine.processes.kernel_cache import cache_key
from engine.store.journal import SOURCE_MARKS
from engine.store.session import SessionDocument, write_document
from tests.brain_digest import LAX_ROWS, VOLUME_ROW
from tests.builders import START_VENUE_NS, make_instrument
from tests.market_runs import synthetic_market
from tests.store_builders import (
    as_bytes,
    open_events,
    open_features,
    open_market,
    session_document,
)

MS = 1_000_000
WALLET_E8 = 10_000 * 100_000_000
CONFIG = Config(
    limits=LimitsConfig(
        max_order_size=1e6,
        max_position_exposure=1e6,
        max_order_notional=1e9,
        max_position_notional=1e9,
        max_total_notional=1e10,
        max_entries_per_day=1_000_000,
        max_daily_loss_ratio=1.0,
        max_drawdown_ratio=1.0,
        max_consecutive_failures=1_000_000,
        decision_latency_ms=60_000,
        price_age_ms=3_600_000,
        orders_per_10s=1_000_000,
        orders_per_10s_instrument=1_000_000,
    )
)


def replay_document(**changes: object) -> SessionDocument:
    """Return the document of a session of lax strategies on two instruments."""
    fields: dict[str, Any] = {
        "config": msgspec.to_builtins(shown(CONFIG)),
        "kernel_key": cache_key(),
        "instruments": tuple(make_instrument(f"T{k}USDT", instrument_index=k) for k in range(2)),
        "strategies": (*LAX_ROWS, VOLUME_ROW),
    }
    return session_document(**(fields | changes))


class JournaledBrain:
    """One brain's life, written as the kernel loop writes it."""

    def __init__(self, directory: Path, document: SessionDocument) -> None:
        self.state = session_state(document)
        self.out = create_out()
        self.events = open_events(directory)
        self.marks = open_events(directory, SOURCE_MARKS)
        self.features = open_features(directory)
        ends = (self.events.last_slot_sequence, self.marks.last_slot_sequence)
        self.ring_sequence = max(ends)
        self.now_ns = 1_000_000_000_000
        self.outer = 0
        self.taken = [-1, -1, -1]  # last market, report and control sequence
        self.decisions = 0
        self._rows: list[tuple[int, ...]] = []

    def step(
        self,
        market: np.ndarray,
        first: int = 0,
        count: int = 0,
        reports: tuple[dict[str, Any], ...] = (),
        controls: tuple[dict[str, Any], ...] = (),
    ) -> np.ndarray:
        """Run one step a millisecond later, journal it, and return its commands."""
        self.now_ns += MS
        given = [rows_of(controls), rows_of(reports)]
        consumed = step(
            self.state,
            given[0], 0, len(controls), len(given[0]) - 1,
            given[1], 0, len(reports), len(given[1]) - 1,
            market, first, count, len(market) - 1,
            self.now_ns, self.outer, self.out,
        )  # fmt: skip
        self.keep_vectors()
        events = self.out.events[: self.out.counts[OUT_EVENTS]].copy()
        if len(events):
            self.flush_marks()
            self.publish(events)
        self.taken = [
            self.taken[0] + consumed,
            self.taken[1] + len(reports),
            self.taken[2] + len(controls),
        ]
        self._rows.append(
            (self.now_ns, self.taken[0], self.taken[1], self.taken[2] * 8 + self.outer)
        )
        if len(self._rows) == MARKS_PER_RECORD:
            self.flush_marks()
        self.decisions += int((events["event_type"] == EventType.SIGNAL_GENERATED).sum())
        return self.out.commands[: self.out.counts[OUT_COMMANDS]].copy()

    def keep_vectors(self) -> None:
        """Append the feature vectors of the last step, and forget them as the loop does."""
        progress = self.state.market.progress
        vectors = self.state.market.vectors[: progress[VECTORS_WAITING]].copy()
        progress[VECTORS_WAITING] = 0
        first = self.features.next_sequence
        vectors["sequence"] = np.arange(first, first + len(vectors)) + 1
        if len(vectors):
            self.features.append(first, as_bytes(vectors))

    def flush_marks(self) -> None:
        """Write the rows held back as one DRAIN_MARK."""
        if not self._rows:
            return
        record = np.zeros(1, dtype=EVENT_DTYPE)
        words = record.view(np.int64)
        for row, numbers in enumerate(self._rows):
            for column, number in enumerate(numbers):
                words[MARK_WORD_FIRST + column * MARKS_PER_RECORD + row] = number
        record["event_type"] = EventType.DRAIN_MARK
        record["mark_count"] = len(self._rows)
        self._rows = []
        record["sequence"] = self.ring_sequence + 1
        self.ring_sequence += 1
        self.marks.append(self.marks.next_sequence, as_bytes(record))

    def publish(self, records: np.ndarray) -> None:
        """Append records as the ring numbers them, marks apart."""
        first = self.ring_sequence
        records["sequence"] = np.arange(first, first + len(records)) + 1
        if first > self.events.next_sequence:
            self.events.append_apart(first - self.events.next_sequence)
        self.events.append(first, as_bytes(records))
        self.ring_sequence += len(records)

    def close(self) -> None:
        """Flush and close."""
        self.flush_marks()
        self.events.close(is_end=False)
        self.marks.close(is_end=False)
        self.features.close(is_end=False)


class Venue:
    """Answers commands with reports."""

    def __init__(self, brain: JournaledBrain) -> None:
        self.brain = brain
        self.trade_id = 500

    def answer(self, commands: np.ndarray) -> list[dict[str, Any]]:
        """Return the reports that a step's commands cause."""
        reports: list[dict[str, Any]] = []
        for command in commands:
            kind = int(command["event_type"])
            if kind == EventType.COMMAND_NEW:
                reports += self.fill(command)
            elif kind == EventType.COMMAND_FETCH:
                reports += self.fetch(command)
        return reports

    def fill(self, command: np.void) -> list[dict[str, Any]]:
        """Accept an order and fill it at the quote, in two parts when it has two lots."""
        i, side, qty = (int(command[n]) for n in ("instrument_index", "side", "qty_lots"))
        hot = self.brain.state.market.hot
        price = int(hot["ask_price_ticks" if side > 0 else "bid_price_ticks"][i])
        names = ("instrument_index", "strategy_index", "side", "order_sequence", "epoch_low")
        about = {name: int(command[name]) for name in (*names, "cause_sequence", "qty_lots")}
        about["venue_order_id"] = 9_000 + about["order_sequence"]
        parts = [qty] if qty < 2 else [qty // 2, qty - qty // 2]
        reports = [
            about | {"event_type": EventType.ORDER_SENT},
            about | {"event_type": EventType.ORDER_UPDATE, "order_status": OrderStatus.NEW},
        ]
        done = 0
        for part in parts:
            self.trade_id += 1
            done += part
            status = OrderStatus.FILLED if done == qty else OrderStatus.PARTIALLY_FILLED
            reports.append(
                about
                | {
                    "event_type": EventType.FILL,
                    "order_status": status,
                    "cum_qty_lots": done,
                    "last_qty_lots": part,
                    "last_price_ticks": price,
                    "trade_id": self.trade_id,
                    "fee_e8": 1_000 * part,
                    "venue_time_ns": START_VENUE_NS + self.trade_id * MS,
                }
            )
        return reports

    def fetch(self, command: np.void) -> list[dict[str, Any]]:
        """Tell the brain what it holds already."""
        desk = self.brain.state.desk
        about = {"request_id": int(command["request_id"])}
        positions: list[dict[str, Any]] = [
            {
                "event_type": EventType.VENUE_POSITION,
                "instrument_index": i,
                "position_lots": int(desk.positions["lots"][i, -1]),
                "position_cost_e8": int(desk.positions["cost_e8"][i, -1]),
            }
            for i in range(len(desk.instruments))
        ]
        balance: dict[str, Any] = {"event_type": EventType.VENUE_BALANCE, "wallet_e8": WALLET_E8}
        begin: dict[str, Any] = {
            "event_type": EventType.FETCH_BEGIN,
            "venue_time_ns": START_VENUE_NS,
        }
        rows: list[dict[str, Any]] = [
            begin,
            *positions,
            balance,
            {"event_type": EventType.FETCH_END},
        ]
        return [row | about for row in rows]


def rows_of(rows: tuple[dict[str, Any], ...]) -> np.ndarray:
    """Return EVENT_DTYPE rows in an array whose length is a power of two."""
    length = 1
    while length < len(rows):
        length *= 2
    records = np.zeros(length, dtype=EVENT_DTYPE)
    for place, row in enumerate(rows):
        for name, entry in row.items():
            records[name][place] = entry
    return records


def write_replay_session(
    folder: Path, count: int, *, seed: int = 1, brains: int = 1, **changes: object
) -> tuple[Path, int]:
    """Run and journal a session over a synthetic market; return (directory, decisions).

    With more brains than one each takes its share of the market, as one restarted in place does.
    """
    document = replay_document(**changes)
    directory = folder / "state" / "practice-x-paper" / "journal" / document.session_id
    write_document(directory, document)
    records = numbered(synthetic_market(count, seed=seed)[:count])
    writer = open_market(directory, segment_bytes=16_384)
    for first in range(0, count, 97):
        writer.append(first, as_bytes(records[first : first + 97]))
    writer.close(is_end=False)
    decisions = 0
    shares = np.linspace(0, count, brains + 1).astype(int).tolist()
    for first, end in itertools.pairwise(shares):
        brain = JournaledBrain(directory, document)
        brain.taken[0] = first - 1
        decisions += play_session(brain, records, seed, first, end)
    return directory, decisions


def numbered(records: np.ndarray) -> np.ndarray:
    """Return the records in the ring's own type, numbered as its slots are."""
    slots = np.zeros(len(records), dtype=MARKET_DTYPE)
    for name in MARKET_DTYPE.names or ():
        slots[name] = records[name]  # fields that overlap hold the same bytes
    slots["sequence"] = np.arange(len(records)) + 1
    return slots


def play_session(
    brain: JournaledBrain, records: np.ndarray, seed: int, first: int, end: int
) -> int:
    """Feed a market in random batches, answer commands a step later; return the decisions."""
    length = 1 << (len(records) - 1).bit_length()
    market = np.zeros(length, dtype=records.dtype)
    market[: len(records)] = records
    venue, cuts = Venue(brain), random.Random(seed)
    brain.step(market)
    connected = ({"event_type": EventType.RESTORE_END}, {"event_type": EventType.VENUE_CONNECTED})
    waiting = venue.answer(brain.step(market, reports=connected))
    while first < end or waiting:
        size = min(cuts.choice([0, 1, 3, 17, 40, 256]), end - first)
        controls = control_at(cuts.randrange(60))
        brain.outer = cuts.choice([0, 0, 0, 0, 0, TradingState.PAUSED])
        commands = brain.step(market, first, size, tuple(waiting[:64]), controls)
        first += size
        waiting = [*waiting[64:], *venue.answer(commands)]
    brain.close()
    return brain.decisions


def control_at(number: int) -> tuple[dict[str, Any], ...]:
    """Return now and then an operator's word."""
    words = {0: EventType.CONTROL_PAUSE, 1: EventType.CONTROL_RECONCILE}
    resume = {"event_type": EventType.CONTROL_RESUME, "request_id": number, "text": b"go on"}
    if number in words:
        return ({"event_type": words[number], "request_id": number},)
    return (resume,) if number in {2, 3} else ()


def main(folder: str, count: str, seed: str, brains: str) -> None:
    """Write a session and print where it is and how many decisions it made."""
    directory, decisions = write_replay_session(
        Path(folder), int(count), seed=int(seed), brains=int(brains)
    )
    sys.stdout.write(f"{directory} {decisions}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
