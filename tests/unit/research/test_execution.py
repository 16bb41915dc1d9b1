"""A parent order on a recorded market: the domain's algorithms on the paper account, and costs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.sides.paper_side import PaperSide, TwoVenues
from engine.domain.codes import RecordType
from engine.domain.execution.algorithms import Iceberg, Participation, Peg, Scheduled
from engine.domain.execution.asked import Asked, Least, Method
from engine.domain.execution.curve import even, shortfall
from engine.domain.execution.parent import PPM, Algorithm, Parent
from engine.domain.execution.router import Health
from engine.domain.execution.work import CHILDREN_MAX, Bounds, Plan
from engine.domain.instrument_row import Instrument
from engine.domain.records import MARKET_DTYPE
from engine.store.execution_costs import Costs
from engine.venues.paper.queue import QueueModel
from exchange.generator import Generator
from research import execution
from research.paper_work import MS_NS, Records, Terms, Working, worked
from research.tape_routes import TapeRoutes
from tests.tape_builders import WALL_NS, write_tape

S = 1_000_000_000
SPAN_NS = 40_000_000_000
LOTS = 2_000


def made(seed: int = 4) -> tuple[Records, list[Instrument]]:
    """Return a generated minute of two instruments as records with receive times."""
    source = Generator(2, seed, 300.0)
    instruments = TwoVenues(source, QueueModel.TRADES, 1).instruments
    side = PaperSide(instruments, QueueModel.TRADES)
    source.prepare()
    source.begin(0)
    received: list[int] = []
    while not received or received[-1] < 60_000_000_000:
        for event in source.next_batch():
            spec = source.specs[event[1]]
            before = len(side.rows)
            side.note(event, spec.tick, spec.step)
            received += [event[0]] * (len(side.rows) - before)
    records = np.array(side.rows, dtype=np.int64).view(MARKET_DTYPE).reshape(-1)
    records["receive_time_ns"] = received
    records["sequence"] = np.arange(len(records)) + 1
    return records, instruments


RECORDS, INSTRUMENTS = made()
ALGORITHMS: dict[str, Algorithm] = {
    "twap": Scheduled(even(0, SPAN_NS), 2_000_000_000),
    "shortfall": Scheduled(shortfall(0, SPAN_NS, 3.0, 20), 2_000_000_000),
    "pov": Participation(200_000),
    "iceberg": Iceberg(50, int(RECORDS["bid_price_ticks"][RECORDS["record_type"] == 1][0])),
    "peg": Peg(end_ns=SPAN_NS),
}


def plan_of(name: str, side: int = 1, lots: int = LOTS) -> Plan:
    """Return the plan of an algorithm that may go on as long as the records do."""
    bounds = Bounds(0, 3_600_000_000_000, CHILDREN_MAX)
    return Plan(Parent(side, lots), ALGORITHMS[name], bounds.checked())


def batches(size: int = 997) -> list[Records]:
    return [RECORDS[first : first + size] for first in range(0, len(RECORDS), size)]


@pytest.mark.parametrize("queue", list(QueueModel))
@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("name", ["twap", "shortfall", "peg"])
def test_what_has_an_end_is_done_by_it(name: str, side: int, queue: QueueModel) -> None:
    order, costs = worked(batches(), INSTRUMENTS, 0, plan_of(name, side), terms=Terms(queue=queue))
    assert costs.filled_lots == LOTS
    assert order.is_over
    assert costs.maker_lots > 0, "some of it rested and was filled"
    assert order.executions[-1].time_ns < SPAN_NS + 2_000_000_000
    assert costs.arrival_bps is not None
    assert abs(costs.arrival_bps) < 50
    assert all(value is not None for value in costs.markouts_bps.values() if value)


def test_a_schedule_is_followed_on_paper_as_it_stands() -> None:
    order, _ = worked(batches(), INSTRUMENTS, 0, plan_of("twap"))
    curve = even(0, SPAN_NS)
    filled = 0
    for one in order.executions:
        filled += one.qty_lots
        assert filled <= curve.due_lots(LOTS, one.time_ns) + 1, "never ahead of what is due"
        late = curve.due_lots(LOTS, one.time_ns - 3_000_000_000)
        assert filled >= late - LOTS // 10, "nor far behind what its patience allows"


def test_participation_on_paper_stays_below_its_rate() -> None:
    order, costs = worked(batches(), INSTRUMENTS, 0, plan_of("pov", lots=10**9))
    mine = RECORDS[
        (RECORDS["instrument_index"] == 0) & (RECORDS["record_type"] == RecordType.TRADE)
    ]
    market = int(mine["qty_lots"].sum()) + costs.filled_lots
    assert 0 < costs.filled_lots * PPM <= 200_000 * market
    assert costs.filled_lots > 0.1 * market
    assert order.executions


def test_an_iceberg_never_shows_more_than_its_display() -> None:
    order, costs = worked(batches(), INSTRUMENTS, 0, plan_of("iceberg"))
    assert costs.filled_lots > 50
    assert max(one.qty_lots for one in order.executions) <= 50


def test_how_records_are_cut_into_batches_changes_nothing() -> None:
    found = [worked(batches(size), INSTRUMENTS, 0, plan_of("twap"))[1] for size in (311, 5_000)]
    assert found[0] == found[1]


def test_a_longer_line_is_paid_for() -> None:
    order, _ = worked(
        batches(), INSTRUMENTS, 0, plan_of("twap"),
        terms=Terms(latency_ns=500 * MS_NS),
    )  # fmt: skip
    first = order.executions[0].time_ns
    assert first - order.began_ns >= 500 * MS_NS


def test_an_order_withdrawn_sends_nothing_more() -> None:
    order = Working(INSTRUMENTS, 0, plan_of("peg"), Terms())
    order.feed(RECORDS[:500])
    order.withdraw()
    filled = len(order.executions)
    order.withdraw()
    assert len(order.executions) == filled
    assert not order._children


# -- routed ----------------------------------------------------------------------------------------

# Of the minute on the venue's clock that closes within the recording something is known then.
ROUTED = RECORDS.copy()
ROUTED["venue_time_ns"] += WALL_NS
KNOWN_NS = (60 - WALL_NS // S % 60 + 5) * S
PATIENCE_NS = 4 * S


def routed(begin_ns: int, side: int = 1, lots: int = 300, size: int = 997) -> tuple[Working, Costs]:
    """Return an order that the router sends, begun at a time of the recording, and its costs."""
    asked = Asked(Method.BEST, side, lots, span_s=10, patience_s=4)
    cut = [ROUTED[first : first + size] for first in range(0, len(ROUTED), size)]
    return worked(cut, INSTRUMENTS, 0, asked.plan(Least(), begin_ns))


def known_at(time_ns: int) -> tuple[Records, TapeRoutes]:
    """Return the first instrument's records up to a time, and the table that knows all of them."""
    seen = ROUTED[ROUTED["receive_time_ns"] <= time_ns]
    routes = TapeRoutes(INSTRUMENTS, 200, 500, lambda: time_ns)
    routes.take(seen)
    return seen[seen["instrument_index"] == 0], routes


def test_the_table_is_what_the_recording_says_up_to_then() -> None:
    seen, routes = known_at(KNOWN_NS)
    table = routes.table(0, PATIENCE_NS)
    (row,) = table.rows
    quote = seen[seen["record_type"] == RecordType.QUOTE][-1]
    assert row.health is Health.READY
    assert (row.bid_e8, row.ask_e8) == (
        int(quote["bid_price_ticks"]) * table.tick_e8,
        int(quote["ask_price_ticks"]) * table.tick_e8,
    )
    assert (row.bid_lots, row.ask_lots) == (quote["bid_qty_lots"], quote["ask_qty_lots"])
    assert row.touch_age_ns == KNOWN_NS - quote["receive_time_ns"]
    assert (row.maker_ppm, row.taker_ppm, row.latency_ns) == (200, 500, 0)
    trades = seen[seen["record_type"] == RecordType.TRADE]
    minute = trades["venue_time_ns"] // (60 * S)
    closed = int(trades["qty_lots"][minute == minute[0]].sum())
    assert minute[-1] == minute[0] + 1
    assert row.traded_lots == round(closed * PATIENCE_NS / (60 * S))
    assert row.drift_ppm > 0


def test_nothing_of_later_is_known_before() -> None:
    (row,) = known_at(S)[1].table(0, PATIENCE_NS).rows
    assert (row.traded_lots, row.drift_ppm) == (0, 0)


@pytest.mark.parametrize("side", [1, -1])
def test_the_router_takes_until_it_knows_what_trades_and_then_rests(side: int) -> None:
    order, costs = routed(0, side)
    assert order.is_over
    assert (costs.filled_lots, costs.maker_lots) == (300, 0)
    order, costs = routed(KNOWN_NS, side)
    assert order.is_over
    assert costs.filled_lots == 300
    assert costs.maker_lots > 0
    assert min(one.time_ns for one in order.executions) >= order.began_ns >= KNOWN_NS


def test_routed_or_not_how_records_are_cut_changes_nothing() -> None:
    assert routed(KNOWN_NS, size=311)[1] == routed(KNOWN_NS, size=5_000)[1]


def test_an_order_that_begins_later_arrives_then_and_counts_what_trades_from_then() -> None:
    order, costs = worked(batches(), INSTRUMENTS, 0, begun_at(20 * S))
    assert order.began_ns >= 20 * S
    assert order.executions[0].time_ns > order.began_ns
    mine = RECORDS[RECORDS["instrument_index"] == 0]
    later = mine[mine["receive_time_ns"] >= 20 * S]
    market = int(later["qty_lots"][later["record_type"] == RecordType.TRADE].sum())
    assert 0 < costs.filled_lots * PPM <= 200_000 * (market + costs.filled_lots)


def begun_at(start_ns: int) -> Plan:
    """Return a participation that begins at a time of the recording."""
    bounds = Bounds(start_ns, start_ns + 3_600 * S, CHILDREN_MAX)
    return Plan(Parent(1, 10**9), ALGORITHMS["pov"], bounds.checked())


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    shifted = RECORDS.copy()
    shifted["venue_time_ns"] += WALL_NS
    return write_tape(tmp_path / "day.tape", shifted, instruments=tuple(INSTRUMENTS))


@pytest.mark.parametrize("algorithm", execution.ALGORITHMS)
def test_the_command_says_what_it_cost(
    algorithm: str, tape: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limit = str(int(RECORDS["ask_price_ticks"][RECORDS["record_type"] == 1][0]))
    words = [str(tape), "BTCUSDT", "--algorithm", algorithm, "--lots", "500", "--minutes", "0.5"]
    assert execution.main([*words, "--display", "50", "--limit", limit]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"BTCUSDT {algorithm}: ")
    assert "against arrival" in said
    assert "markouts 1 s" in said


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["ETHUSDX", "--lots", "5"], 3),
        (["BTCUSDT", "--lots", "0"], 2),
        (["BTCUSDT", "--lots", "5", "--algorithm", "shortfall", "--urgency", "-1"], 2),
        (["BTCUSDT", "--lots", "5", "--minutes", "0"], 2),
        (["BTCUSDT", "--lots", "5", "--after-minutes", "90"], 3),
        (["BTCUSDT", "--lots", "5", "--algorithm", "best", "--display", "9"], 2),
    ],
)
def test_what_cannot_be_worked_is_one_sentence(
    words: list[str], code: int, tape: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execution.main([str(tape), *words]) == code
    assert capsys.readouterr().err.count("\n") == 1
