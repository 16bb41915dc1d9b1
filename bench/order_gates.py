"""What does the order side cost per decision: all gates, a refusal, an order with its fill?

`python -m bench.order_gates [--json FILE] [--passes N]`

One process, one core, compiled kernels in a loop, no I/O. `every gate` evaluates all gates of an
entry that passes them. `refused` is a whole opportunity that one gate refuses (draft, gates,
counters, flood bound). `order and fill` is an entry taken to its command, the venue's fill merged,
position, money and marks updated, the order settled and its row free again.
"""

from __future__ import annotations

import time
from typing import Final

import numpy as np

from bench import harness
from engine.domain.codes import EventType, Liveness, OrderStatus, OrderType
from engine.domain.decide import create_out, create_state
from engine.domain.desk import OUT_COMMANDS, OUT_EVENTS, Desk, Out
from engine.domain.emit import echo
from engine.domain.fill_reports import apply_order_report
from engine.domain.instrument import Instrument, instrument_rows
from engine.domain.intent import book_order, decide_opportunity
from engine.domain.kernel import Records, entry
from engine.domain.limits import RiskLimits
from engine.domain.records import EVENT_DTYPE, MARKET_DTYPE
from engine.domain.risk import evaluate
from engine.domain.strategy_table import STRATEGY_TABLE
from engine.domain.words import Tally, Word

TURNS: Final = 200_000
INSTRUMENTS: Final = 300
PRICE_TICKS: Final = 618_000
WIDE: Final = RiskLimits(
    order_notional_max=1e9,
    position_notional_max=1e9,
    total_notional_max=1e10,
    entries_per_day_max=10**9,
    orders_per_10s=10**9,
    orders_per_minute=10**9,
    orders_per_10s_instrument=10**9,
    daily_loss_ratio_max=1.0,
    drawdown_ratio_max=1.0,
)
BENCH: Final = harness.Bench(
    name="order_gates",
    question="How long does a decision take from opportunity to refusal or order?",
    load=f"{INSTRUMENTS} instruments, {len(STRATEGY_TABLE)} strategies, {TURNS} turns a pass",
    worry="1,000 ns or more for all gates",
    units={"per_turn": "ns"},
)


@entry
def turn_gates(desk: Desk, turns: int) -> int:
    """Evaluate every gate `turns` times over a draft that changes."""
    total = 0
    for turn in range(turns):
        desk.draft["qty_lots"][0] = 1 + (turn & 7)
        desk.draft["instrument_index"][0] = turn % INSTRUMENTS
        total += evaluate(desk)
    return total


@entry
def turn_opportunities(desk: Desk, out: Out, slots: Records, turns: int) -> None:
    """Take one opportunity to risk `turns` times."""
    for _ in range(turns):
        out.counts[OUT_EVENTS] = 0
        out.counts[OUT_COMMANDS] = 0
        decide_opportunity(desk, out, 0, slots, 0)
        book_order(desk)


@entry
def turn_orders(desk: Desk, out: Out, slots: Records, reports: Records, turns: int) -> None:
    """Take an entry to its command and its fill back to the position, `turns` times."""
    for turn in range(turns):
        out.counts[OUT_EVENTS] = 0
        out.counts[OUT_COMMANDS] = 0
        desk.opportunities["side"][0] = 1 if turn & 1 == 0 else -1
        decide_opportunity(desk, out, 0, slots, 0)
        book_order(desk)
        reports["order_sequence"][0] = desk.words[Word.NEXT_ORDER_SEQUENCE] - 1
        reports["trade_id"][0] += 1
        apply_order_report(desk, out, echo(out, reports, 0), desk.words[Word.NOW_NS])


class Subject:
    """A reconciled order side with quotes everywhere and one opportunity ready."""

    def __init__(self) -> None:
        """Build it with an entry that passes every gate."""
        like = Instrument(
            symbol="T",
            price_exponent=1,
            qty_exponent=3,
            tick_scaled=1,
            lot_scaled=1,
            unit_e8=10_000,
        )
        rows = instrument_rows([like] * INSTRUMENTS)
        state = create_state(rows, STRATEGY_TABLE, WIDE, epoch=1)
        self.desk, self.out = state.desk, create_out()
        self.slots = np.zeros(1, dtype=MARKET_DTYPE)
        self.reports = np.zeros(1, dtype=EVENT_DTYPE)
        desk = self.desk
        for word in (Word.CONNECTED, Word.SYNCED, Word.RESTORED, Word.CASH_KNOWN):
            desk.words[word] = 1
        desk.words[Word.NOW_NS] = 1_000_000_000
        desk.words[Word.CASH_E8] = 10**15
        desk.hot["bid_price_ticks"] = PRICE_TICKS
        desk.hot["ask_price_ticks"] = PRICE_TICKS + 1
        desk.hot["quote_receive_time_ns"] = 1_000_000_000
        desk.liveness[:] = Liveness.LIVE
        self.slots["receive_time_ns"] = 1_000_000_000
        desk.opportunities["is_entry"][0] = 1
        desk.opportunities["side"][0] = 1
        desk.opportunities["order_type"][0] = OrderType.MARKET
        desk.opportunities["qty_lots"][0] = 10
        self.reports["event_type"] = EventType.FILL
        self.reports["epoch_low"] = 1
        self.reports["last_qty_lots"] = 10
        self.reports["last_price_ticks"] = PRICE_TICKS
        self.reports["order_status"] = OrderStatus.FILLED
        turn_opportunities(desk, self.out, self.slots, 1)  # fills in the draft
        assert desk.counts[Tally.ORDERS] == 1, "the entry passes every gate"


def timed(start_ns: int) -> harness.Pass:
    """Return what one turn took since a start."""
    return {"per_turn": (time.perf_counter_ns() - start_ns) / TURNS}


def gates() -> harness.Pass:
    """Evaluate every gate of an entry that passes."""
    subject = Subject()
    start_ns = time.perf_counter_ns()
    refused = turn_gates(subject.desk, TURNS)
    found = timed(start_ns)
    assert refused == 0, "every evaluation passed"
    return found


def refused() -> harness.Pass:
    """Refuse an opportunity by one gate."""
    subject = Subject()
    subject.desk.instrument_limits["order_lots_max"] = 0
    start_ns = time.perf_counter_ns()
    turn_opportunities(subject.desk, subject.out, subject.slots, TURNS)
    found = timed(start_ns)
    assert subject.desk.counts[Tally.REFUSALS] == TURNS
    return found


def ordered() -> harness.Pass:
    """Take entries to orders and fills."""
    subject = Subject()
    before = int(subject.desk.counts[Tally.ORDERS])
    start_ns = time.perf_counter_ns()
    turn_orders(subject.desk, subject.out, subject.slots, subject.reports, TURNS)
    found = timed(start_ns)
    assert subject.desk.counts[Tally.ORDERS] == before + TURNS
    assert subject.desk.counts[Tally.FILLS] == TURNS
    return found


def main() -> None:
    """Measure, print the table, write the JSON."""
    options = harness.arguments(__doc__ or "")
    about = harness.machine()
    cases = {
        "every gate": gates,
        "refused": refused,
        "order and fill": ordered,
    }
    harness.finish(BENCH, harness.measure(cases, options), about, options.json)


if __name__ == "__main__":
    main()
