"""Whole sessions through `decide.step`: a synthetic market, a venue that answers, batches kept.

A session is a list of batches and what each wrote. `rerun` feeds batches to a fresh state;
`recovered` makes them again from the events alone, as a replay does.
"""

import hashlib
import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from engine.domain.codes import EVENT_POST_ONLY, EventType, OrderStatus, OrderType
from engine.domain.decide import State, create_out, create_state, step
from engine.domain.derived import inputs_of
from engine.domain.desk import (
    OUT_COMMANDS,
    OUT_CONTROLS_CONSUMED,
    OUT_EVENTS,
    OUT_REPORTS_CONSUMED,
)
from engine.domain.limits import RiskLimits
from engine.domain.records import EVENT_DTYPE, MARKET_DTYPE
from engine.domain.strategy_table import StrategyKind, StrategyRow, select_rows
from engine.store.reader import join_records
from tests.brain_digest import LAX_ROWS, TRAIL_ROW
from tests.builders import make_instruments
from tests.desk_rig import E8, GENEROUS, make_event
from tests.market_runs import arrays_of, synthetic_market
from tests.venue_model import Venue

T = EventType
HEADER = ("sequence", "receive_time_ns", "venue_time_ns", "instrument_index", "record_type")
PAYLOAD = ("bid_price_ticks", "ask_price_ticks", "bid_qty_lots", "ask_qty_lots")
BATCH_MAX = 64
# One row of each kind that sends orders, and one whose stop trails; the maker's quotes rest until
# they are hit or withdrawn.
ROWS = (
    *LAX_ROWS,
    StrategyRow(
        name="making_lax",
        kind=StrategyKind.MAKING,
        timeframe_s=1,
        parameters={"width_atr": 0.2, "requote_s": 0.1, "requote_share": 0.1, "max_hold_s": 4.0},
    ),
    TRAIL_ROW,
)
LIMITS = GENEROUS._replace(
    channels_needed=0, order_notional_max=50_000.0, position_notional_max=200_000.0
)


class Batch(NamedTuple):
    """What one step was given."""

    controls: np.ndarray
    reports: np.ndarray
    market_first: int
    market_count: int
    now_ns: int
    outer: int


class Written(NamedTuple):
    """What one step wrote."""

    events: np.ndarray
    commands: np.ndarray
    consumed: tuple[int, int, int]  # controls, reports, market records


class Session(NamedTuple):
    """A whole run."""

    state: State
    market: np.ndarray
    batches: list[Batch]
    written: list[Written]

    def events(self) -> np.ndarray:
        """Return every event, in order."""
        return join_records([w.events for w in self.written], EVENT_DTYPE)


def market_records(count: int, seed: int) -> np.ndarray:
    """Return a synthetic market as MARKET_DTYPE in a power of two of slots."""
    found = synthetic_market(count, seed=seed)
    records = np.zeros(1 << (len(found) - 1).bit_length(), dtype=MARKET_DTYPE)
    for name in (*HEADER, "flags", "aux", *PAYLOAD):  # the payload's four words, whatever they hold
        records[name][: len(found)] = found[name]
    return records[: len(found)] if len(records) == len(found) else records


def fresh_state(limits: RiskLimits = LIMITS) -> State:
    """Return the state every session here begins with."""
    rows = select_rows((row.name for row in ROWS), ROWS)
    return create_state(make_instruments(2), rows, limits, epoch=3)


def take_step(state: State, market: np.ndarray, batch: Batch, out_events: int = 4096) -> Written:
    """Run one step; return what it wrote."""
    out = create_out(events=out_events)
    controls, reports = padded(batch.controls), padded(batch.reports)
    consumed = step(
        state,
        controls, 0, len(batch.controls), len(controls) - 1,
        reports, 0, len(batch.reports), len(reports) - 1,
        market, batch.market_first, batch.market_count, len(market) - 1,
        batch.now_ns,
        batch.outer,
        out,
    )  # fmt: skip
    return Written(
        out.events[: out.counts[OUT_EVENTS]].copy(),
        out.commands[: out.counts[OUT_COMMANDS]].copy(),
        (int(out.counts[OUT_CONTROLS_CONSUMED]), int(out.counts[OUT_REPORTS_CONSUMED]), consumed),
    )


def padded(records: np.ndarray) -> np.ndarray:
    """Return records in a power of two of slots."""
    size = 1 << max(len(records) - 1, 0).bit_length()
    padding = np.zeros(size - len(records), dtype=EVENT_DTYPE)
    return join_records([records, padding], EVENT_DTYPE)


class Answers:
    """A venue that fills, delays, repeats and rejects by a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.venue = Venue(10_000 * E8)
        self.due: list[np.ndarray] = [make_event(T.RESTORE_END), make_event(T.VENUE_CONNECTED)]

    def take(self) -> np.ndarray:
        """Return the reports of the next batch."""
        count = self.random.randrange(len(self.due) + 1)
        batch, self.due = self.due[:count], self.due[count:]
        batch += [record for record in batch if self.random.random() < 0.05]
        return join_records(batch, EVENT_DTYPE)

    def answer(self, command: np.void, hot: np.ndarray) -> None:
        """Let the venue act on a command."""
        kind = command["event_type"]
        if kind == T.COMMAND_NEW:
            self.trade(command, hot)
        elif kind == T.COMMAND_CANCEL:
            self.due.append(self.venue.answer_cancel(command))
        elif command["order_sequence"] > 0:
            self.due.append(self.venue.answer_query(command))
        else:
            self.due += self.venue.answer_fetch(command)

    def trade(self, command: np.void, hot: np.ndarray) -> None:
        """Fill an order at the quote, in one or two parts; now and then reject or ignore it.

        A post-only order rests; half of them are hit at once, in part or whole.
        """
        if self.random.random() < 0.08:
            return  # lost on the way
        self.venue.receive(command)
        order = self.venue.orders[int(command["order_sequence"])]
        if self.random.random() < 0.05:
            self.due.append(self.venue.close(order, OrderStatus.REJECTED))
            return
        self.due.append(self.venue.told(order))
        if command["flags"] & EVENT_POST_ONLY:
            if self.random.random() < 0.5:
                qty = self.random.randint(1, order.qty)
                self.due.append(self.venue.fill(order, qty, order.price))
            return
        side = "ask_price_ticks" if order.side > 0 else "bid_price_ticks"
        first = self.random.randint(1, order.qty)
        for qty in (first, order.qty - first):
            if qty:
                self.due.append(self.venue.fill(order, qty, int(hot[side][order.i])))
        if command["order_type"] == OrderType.LIMIT and order.is_open:
            self.due.append(self.venue.close(order, OrderStatus.EXPIRED))


def play_session(count: int = 3_000, seed: int = 1, out_events: int = 4096) -> Session:
    """Run a whole session: batches of random length, answers of random delay, some controls."""
    source, answers = random.Random(seed), Answers(seed)
    market = market_records(count, seed)
    state = fresh_state()
    session = Session(state, market, [], [])
    first = 0
    while first < count:
        length = min(source.randint(0, BATCH_MAX), count - first)
        last = market["receive_time_ns"][max(first + length - 1, 0)]
        controls = np.zeros(0, dtype=EVENT_DTYPE)
        if source.random() < 0.02:
            kinds = [T.CONTROL_PAUSE, T.CONTROL_RESUME, T.CONTROL_CANCEL_ALL, T.CONTROL_FLATTEN]
            controls = make_event(source.choice(kinds))
        outer = 3 if source.random() < 0.01 else 0
        batch = Batch(controls, answers.take(), first, length, int(last) + 1_000, outer)
        first += take_batch(session, answers, batch, out_events)
    return session


def take_batch(session: Session, answers: Answers, batch: Batch, out_events: int) -> int:
    """Run one batch until its reports are consumed; return market records consumed."""
    while True:
        written = take_step(session.state, session.market, batch, out_events)
        session.batches.append(batch)
        session.written.append(written)
        for command in written.commands:
            answers.answer(command, session.state.desk.hot)
        controls, reports, records = written.consumed
        if controls == len(batch.controls) and reports == len(batch.reports):
            return records
        batch = batch._replace(controls=batch.controls[controls:], reports=batch.reports[reports:])


def rerun(session: Session, batches: Sequence[Batch], out_events: int = 4096) -> Session:
    """Feed batches to a fresh state."""
    state = fresh_state()
    written = [take_step(state, session.market, batch, out_events) for batch in batches]
    return Session(state, session.market, list(batches), written)


def recovered(session: Session) -> list[Batch]:
    """Return the batches made again from the events alone: echoes cleared of what was derived."""
    batches = []
    for batch, written in zip(session.batches, session.written, strict=True):
        controls, reports = inputs_of(written.events)
        assert (len(controls), len(reports)) == written.consumed[:2]
        batches.append(batch._replace(controls=controls, reports=reports))
    return batches


def digest(session: Session) -> str:
    """Return SHA-256 over everything written and the whole state; NaNs are alike."""
    total = hashlib.sha256()
    for written in session.written:
        total.update(written.events.tobytes() + written.commands.tobytes())
    for name, part in sorted(arrays_of(session.state).items()):
        for field in part.dtype.names or ("",):
            numbers = part[field] if field else part
            if numbers.dtype.kind == "f":
                numbers = np.where(np.isnan(numbers), np.nan, numbers)
            total.update(name.encode() + field.encode() + np.ascontiguousarray(numbers).tobytes())
    return total.hexdigest()


if __name__ == "__main__":
    import sys

    sys.stdout.write(digest(play_session(int(sys.argv[1]))) + "\n")
