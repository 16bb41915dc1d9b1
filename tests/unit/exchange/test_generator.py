"""The generated market: the same each time, coherent with itself, and alive."""

import json
import subprocess
import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from exchange.book import BUY, SELL, Book
from exchange.clock import NS_PER_MS
from exchange.events import DIFF, QUOTE, SNAPSHOT, TRADE, Event
from exchange.flow import FlowChunk, advance, grain_of, initial_state
from exchange.flow_events import DIFF_PERIODS_MS, MESSAGES_PER_EVENT
from exchange.generator import Generator
from exchange.instruments import NumberText, generated_specs
from exchange.symbols import MONEY_DECIMALS

ROOT = Path(__file__).resolve().parents[3]
START_NS = 1_800_000_000_000_000_000


def events_of(generator: Generator, count: int) -> list[Event]:
    generator.begin(START_NS)
    events: list[Event] = []
    while len(events) < count:
        events.extend(generator.next_batch())
    return events


def frames_of(count: int, seed: int, *, events: int = 3_000) -> list[bytes]:
    generator = Generator(count, seed, 2_000)
    return [
        generator.body_of(event) for event in events_of(generator, events) if event[2] != SNAPSHOT
    ]


def test_same_seed_same_bytes() -> None:
    assert frames_of(3, 7) == frames_of(3, 7)


def test_other_seed_other_market() -> None:
    assert frames_of(3, 7) != frames_of(3, 8)


@pytest.mark.parametrize("count", [1, 2, 7, 300])
def test_events_are_in_order_of_time_and_start_with_snapshots(count: int) -> None:
    events = events_of(Generator(count, 1, 20_000), 5_000)
    assert [event[2] for event in events[:count]] == [SNAPSHOT] * count
    assert all(earlier[0] <= later[0] for earlier, later in pairwise(events))
    assert events[0][0] == START_NS


def test_specs_are_unique_and_keep_money_exact() -> None:
    specs, prices = generated_specs(500)
    assert [spec.symbol for spec in specs[:3]] == ["BTCUSDT", "ETHUSDT", "GEN003USDT"]
    assert len({spec.symbol for spec in specs}) == 500
    assert all(s.price_decimals + s.qty_decimals <= MONEY_DECIMALS for s in specs)
    assert all(price > 0 for price in prices)


def by_instrument(events: Iterable[Event], index: int) -> list[Event]:
    return [event for event in events if event[1] == index]


@pytest.mark.parametrize("index", [0, 1, 4])
def test_diffs_chain_and_never_cross_the_book(index: int) -> None:
    events = by_instrument(events_of(Generator(5, 3, 3_000), 20_000), index)
    book = Book()
    last_id = 0
    for event in events:
        fields = event[3]
        if event[2] == SNAPSHOT:
            book.apply_snapshot(*fields[:3])
            last_id = fields[0]
        elif event[2] == DIFF:
            assert fields[2] == last_id
            assert fields[0] == last_id + 1
            assert fields[0] <= fields[1]
            book.apply_diff(fields[:5])
            last_id = fields[1]
            bids, asks = book.levels(BUY), book.levels(SELL)
            assert bids[0][0] < asks[0][0]
            assert len(bids) == len(asks) == 100
    assert book.gap_count == 0


@pytest.mark.parametrize("index", [0, 3])
def test_quotes_share_the_id_space_of_diffs_and_agree_with_them(index: int) -> None:
    events = by_instrument(events_of(Generator(4, 5, 3_000), 20_000), index)
    book = Book()
    ids: list[int] = []
    quote: tuple[int, ...] = ()
    for event in events:
        fields = event[3]
        if event[2] == SNAPSHOT:
            book.apply_snapshot(*fields[:3])
        elif event[2] == QUOTE:
            ids.append(fields[0])
            quote = fields
            assert fields[1] < fields[3]
            assert fields[2] > 0
            assert fields[4] > 0
        elif event[2] == DIFF:
            ids.append(fields[1])
            book.apply_diff(fields[:5])
            assert book.levels(BUY)[0] == (quote[1], quote[2])
            assert book.levels(SELL)[0] == (quote[3], quote[4])
    assert all(earlier < later for earlier, later in pairwise(ids))


@pytest.mark.parametrize(("count", "rate"), [(4, 3_000), (300, 2_100)])
def test_every_quote_is_followed_by_a_diff_within_the_longest_period(count: int, rate: int) -> None:
    """However seldom an instrument has an event: the venue's books move with its quotes."""
    events = events_of(Generator(count, 5, rate), 12_000)
    longest_ns = DIFF_PERIODS_MS[-1] * NS_PER_MS
    end_ns = events[-1][0]
    waiting: dict[int, int] = {}
    quotes = 0
    for due_ns, index, kind, _, _ in events:
        if kind == QUOTE:
            quotes += 1
            waiting.setdefault(index, due_ns)
        elif kind == DIFF:
            since_ns = waiting.pop(index)
            # The first diffs are spread over a period of their own.
            assert due_ns - since_ns <= longest_ns or due_ns <= START_NS + 2 * longest_ns
    assert quotes > 5_000
    assert all(end_ns - since_ns <= longest_ns for since_ns in waiting.values())


def test_trades_happen_at_the_touch_and_take_what_it_had() -> None:
    events = by_instrument(events_of(Generator(2, 9, 3_000), 20_000), 0)
    quote: tuple[int, ...] | None = None
    trades = 0
    for event in events:
        fields = event[3]
        if event[2] == QUOTE:
            quote = fields
        elif event[2] == TRADE and quote is not None:
            price, qty, maker = fields[:3]
            touch = (quote[1], quote[2]) if maker else (quote[3], quote[4])
            assert price == touch[0]
            assert 0 < qty <= touch[1]
            trades += 1
    assert trades > 500


def test_trade_ids_count_up() -> None:
    events = by_instrument(events_of(Generator(2, 9, 3_000), 5_000), 1)
    ids = [event[3][3] for event in events if event[2] == TRADE]
    assert ids == list(range(ids[0], ids[0] + len(ids)))


def test_prices_and_quantities_are_on_their_grids() -> None:
    generator = Generator(8, 2, 5_000)
    for event in events_of(generator, 10_000):
        spec, fields = generator.specs[event[1]], event[3]
        if event[2] == QUOTE:
            assert fields[1] % spec.tick == 0
            assert fields[3] % spec.tick == 0
            assert fields[2] % spec.step == 0


def test_payloads_say_what_the_fields_say() -> None:
    generator = Generator(3, 4, 2_000)
    for event in events_of(generator, 2_000):
        kind, fields, spec = event[2], event[3], generator.specs[event[1]]
        if kind == SNAPSHOT:
            continue
        frame = json.loads(generator.body_of(event))
        assert frame["s"] == spec.symbol
        assert frame["E"] == frame["T"] == event[0] // NS_PER_MS
        if kind == QUOTE:
            assert frame["e"] == "bookTicker"
            assert (frame["u"], frame["b"]) == (fields[0], spec.price_text(fields[1]))
            assert frame["A"] == spec.qty_text(fields[4])
        elif kind == TRADE:
            assert (frame["t"], frame["m"]) == (fields[3], fields[2])
            assert (frame["p"], frame["q"]) == (
                spec.price_text(fields[0]),
                spec.qty_text(fields[1]),
            )
        else:
            assert [frame["U"], frame["u"], frame["pu"]] == list(fields[:3])
            assert frame["b"] == [[spec.price_text(p), spec.qty_text(q)] for p, q in fields[3]]


@pytest.mark.parametrize(("count", "rate"), [(2, 300.0), (50, 5_000.0), (300, 100_000.0)])
def test_rate_is_what_was_asked_for(count: int, rate: float) -> None:
    # Bursts last about half a second and come every four: the mean needs some of them.
    seconds = 40 if count < 100 else 4
    generator = Generator(count, 1, rate)
    events = events_of(generator, int(rate * seconds))
    lasted_s = (events[-1][0] - START_NS) / 1e9
    assert len(events) / lasted_s == pytest.approx(rate, rel=0.25)


def chunk_of(seed: int, *, seconds: int = 60) -> FlowChunk:
    state = initial_state(np.array([60_000]), np.array([500.0]), np.array([1]))
    random = np.random.default_rng(seed)
    return advance(state, random, 0, seconds * 10**9, 300.0)


def test_a_quarter_of_events_or_so_brings_a_trade() -> None:
    chunk = chunk_of(1)
    share = float(np.mean(chunk.trade_qty > 0))
    assert 1.0 + share == pytest.approx(MESSAGES_PER_EVENT, abs=0.12)


def test_imbalance_foretells_the_next_move_and_falls_back() -> None:
    chunk = chunk_of(2)
    lean = (chunk.bid_qty - chunk.ask_qty) / (chunk.bid_qty + chunk.ask_qty)
    moves = np.flatnonzero(np.diff(chunk.bid))
    direction = np.sign(np.diff(chunk.bid)[moves])
    before, after = lean[moves], lean[moves + 1]
    assert np.mean(before * direction) > 0.2
    assert np.mean(after * direction) < np.mean(before * direction)


def test_activity_comes_in_bursts() -> None:
    state = initial_state(np.array([60_000]), np.array([500.0]), np.array([1]))
    random = np.random.default_rng(3)
    counts = [
        len(advance(state, random, k * 100_000_000, 100_000_000, 300.0).time_ns) for k in range(600)
    ]
    # A steady stream of independent events would have a ratio of one.
    assert np.var(counts) / np.mean(counts) > 3


def test_price_stays_in_the_range_of_its_anchor() -> None:
    state = initial_state(np.array([60_000]), np.array([500.0]), np.array([1]))
    random = np.random.default_rng(4)
    for k in range(300):
        chunk = advance(state, random, k * 10**9, 10**9, 1_000.0)
        assert np.all(np.abs(chunk.bid - 60_000) <= 3_000)


def test_state_carries_over_between_chunks() -> None:
    state = initial_state(np.array([60_000, 500]), np.array([500.0, 9.0]), np.array([1, 2]))
    random = np.random.default_rng(5)
    last: dict[int, int] = {}
    for k in range(50):
        chunk = advance(state, random, k * 10**8, 10**8, 500.0)
        for index in (0, 1):
            ids = chunk.update_id[chunk.instrument == index]
            if len(ids):
                assert ids[0] > last.get(index, 0)
                assert np.all(np.diff(ids) > 1)
                last[index] = int(ids[-1])


def test_silent_chunk_is_no_fault() -> None:
    state = initial_state(np.array([60_000]), np.array([500.0]), np.array([1]))
    chunk = advance(state, np.random.default_rng(6), 0, 1_000, 0.001)
    assert len(chunk.time_ns) == 0
    assert state.price[0] == 60_000.5


def test_grain_leaves_two_or_three_digits() -> None:
    grains = grain_of(np.array([3.0, 99.0, 999.0, 1_000.0, 123_456.0]))
    assert grains.tolist() == [1, 1, 1, 10, 1_000]


def test_number_texts_are_remembered_within_bounds() -> None:
    texts = NumberText(2, capacity=10)
    for units in range(100):
        assert texts[units] == b"%d.%02d" % divmod(units, 100)
    assert len(texts) <= 10


def test_generated_market_cannot_begin_again() -> None:
    with pytest.raises(AssertionError):
        Generator(1, 1).begin_again(0)


def test_slow_market_has_fewer_diffs() -> None:
    slow = events_of(Generator(50, 1, 500), 5_000)
    assert sum(event[2] == DIFF for event in slow) < 0.55 * len(slow)


def test_numerical_part_is_loaded_by_prepare_only() -> None:
    program = (
        "import sys; from exchange.generator import Generator; g = Generator(2, 1);"
        "assert 'numpy' not in sys.modules; g.prepare(); assert 'numpy' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
