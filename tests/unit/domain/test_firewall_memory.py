"""The brain's laws that need memory: price spikes, bars against bars, books against quotes."""

import numpy as np
import pytest

from engine.domain.book import depth_imbalance
from engine.domain.codes import CONFLATED, Channel
from engine.domain.features.micro import DEPTH_IMBALANCE
from engine.domain.firewall_lanes import MOVES_WARM, RUN_TO_ACCEPT, SPIKE_FLOOR_DIVISOR
from engine.domain.firewall_memory import BOOK_DOUBTED, DIVERGED_RUN
from engine.domain.firewall_reasons import FirewallReason as R
from engine.domain.market_state import MarketState, create_market_state
from engine.domain.strategy_table import select_rows
from tests.builders import (
    START_VENUE_NS,
    S,
    make_bar,
    make_book,
    make_gap,
    make_instruments,
    make_level,
    make_quote,
    make_trade,
)
from tests.unit.domain.test_firewall_lanes import feed

PRICE = 1_000_000
MINUTE = 60 * S
CALM = MOVES_WARM + 8


@pytest.fixture
def market() -> MarketState:
    return create_market_state(make_instruments(2), select_rows(["quote_imbalance"]))


class Stream:
    """One lane of one instrument whose ids go on by themselves."""

    def __init__(self, market: MarketState, *, is_quote: bool) -> None:
        self.market = market
        self.is_quote = is_quote
        self.next_id = 1

    def say(self, price: int) -> R:
        self.next_id += 1
        record = make_trade(price, trade_id=self.next_id)
        if self.is_quote:
            record = make_quote(price, price + 1, bid_qty=self.next_id, aux=self.next_id)
        return feed(self.market, record)[0]

    def calm(self, price: int = PRICE, step: int = 3) -> None:
        assert {self.say(price + step * (k % 2)) for k in range(CALM)} == {R.NONE}


@pytest.fixture(params=[True, False], ids=["quotes", "trades"])
def stream(request: pytest.FixtureRequest, market: MarketState) -> Stream:
    return Stream(market, is_quote=request.param)


def test_a_move_no_recent_one_is_like_is_a_spike(stream: Stream) -> None:
    stream.calm()
    assert stream.say(PRICE + PRICE // SPIKE_FLOOR_DIVISOR + 10) is R.PRICE_SPIKE
    assert stream.say(PRICE - 2 * PRICE // SPIKE_FLOOR_DIVISOR) is R.PRICE_SPIKE
    assert stream.say(PRICE) is R.NONE
    assert stream.market.reject_counts[R.PRICE_SPIKE] == 2


def test_a_move_below_the_floor_never_is_one(stream: Stream) -> None:
    stream.calm(step=0)
    assert stream.say(PRICE + PRICE // SPIKE_FLOOR_DIVISOR) is R.NONE


def test_a_market_that_moves_so_is_not_stopped(stream: Stream) -> None:
    wide = PRICE // SPIKE_FLOOR_DIVISOR // 2
    stream.calm(step=wide)
    assert stream.say(PRICE + 2 * wide + PRICE // 50) is R.NONE


def test_before_it_is_warm_nothing_is_a_spike(stream: Stream) -> None:
    for k in range(MOVES_WARM // 2):
        assert stream.say(PRICE + k % 2) is R.NONE
    assert stream.say(PRICE + PRICE // 20) is R.NONE


def test_refused_spikes_widen_the_bound_until_one_passes(stream: Stream) -> None:
    stream.calm()
    far = PRICE // 11  # just below what is a jump whatever came before
    refused = 0
    while stream.say(PRICE + far * (1 if refused % 2 else -1)) is R.PRICE_SPIKE:
        refused += 1
        assert refused <= 12, "blind for ever"
    assert refused > 3


def test_spikes_that_agree_are_the_market(stream: Stream) -> None:
    stream.calm()
    far = PRICE + PRICE // 11
    answers = [stream.say(far + k % 2) for k in range(RUN_TO_ACCEPT + 3)]
    assert answers[0] is R.PRICE_SPIKE
    assert answers[-3:] == [R.NONE] * 3
    assert answers.count(R.PRICE_SPIKE) <= RUN_TO_ACCEPT - 1


def test_a_lane_spikes_by_its_own_moves_only(market: MarketState) -> None:
    quotes, trades = Stream(market, is_quote=True), Stream(market, is_quote=False)
    quotes.calm()
    trades.calm(step=PRICE // 40)
    assert quotes.say(PRICE + PRICE // 30) is R.PRICE_SPIKE
    assert trades.say(PRICE + PRICE // 30) is R.NONE


# ---- bars


def bar(minute: int = 0, *, final: bool = False, **changes: int) -> np.ndarray:
    fields = {"open_ticks": 1_000, "high": 5, "low": -5, "close": 2, "volume": 100, "trades": 10}
    start_ns = START_VENUE_NS + minute * MINUTE
    return make_bar(**(fields | changes), final=final, venue_time_ns=start_ns)


@pytest.mark.parametrize(
    "contradiction",
    [
        bar(open_ticks=1_001, high=4, low=-6),
        bar(high=4),
        bar(low=-4),
        bar(volume=99),
        bar(trades=9),
        bar(-1),
    ],
    ids=["open", "high", "low", "volume", "trades", "earlier"],
)
def test_a_bar_that_contradicts_itself_is_refused(
    market: MarketState, contradiction: np.ndarray
) -> None:
    assert feed(market, bar(), contradiction, bar(volume=120, trades=11)) == [
        R.NONE,
        R.BAR_HISTORY,
        R.NONE,
    ]


def test_a_final_bar_is_over(market: MarketState) -> None:
    end = bar(final=True, volume=200, trades=20)
    more = bar(volume=300, trades=30)
    other = bar(final=True, volume=300, trades=30)
    answers = feed(market, bar(), end, end.copy(), more, other, bar(1))
    assert answers == [R.NONE, R.NONE, R.NONE, R.BAR_HISTORY, R.BAR_HISTORY, R.NONE]


def test_the_late_end_of_the_bar_before_is_taken_and_changes_nothing(market: MarketState) -> None:
    late = bar(0, final=True, volume=900, trades=90)
    assert feed(market, bar(0), bar(1), late, bar(1, volume=50, trades=5)) == [
        R.NONE,
        R.NONE,
        R.NONE,
        R.BAR_HISTORY,
    ]


def test_an_empty_bar_may_begin_anywhere(market: MarketState) -> None:
    empty = bar(high=0, low=0, close=0, volume=0, trades=0)
    assert feed(market, empty, bar(open_ticks=1_010)) == [R.NONE, R.NONE]


def test_a_run_of_contradictions_replaces_what_is_kept(market: MarketState) -> None:
    poison = bar(open_ticks=2_000, volume=10**9, trades=10**6)
    answers = feed(market, poison, *(bar(volume=100 + k) for k in range(RUN_TO_ACCEPT + 1)))
    assert answers == [R.NONE, *[R.BAR_HISTORY] * (RUN_TO_ACCEPT - 1), R.NONE, R.NONE]


def test_a_gap_of_bars_forgets_the_one_that_was_kept(market: MarketState) -> None:
    assert feed(market, bar(), make_gap(Channel.BAR), bar(volume=1, trades=1)) == [R.NONE] * 3


# ---- books against quotes


class Desk:
    """Quotes and diffs of one instrument with update ids that go on by themselves."""

    def __init__(self, market: MarketState) -> None:
        self.market = market
        self.next_id = 100
        self.diff([(1_000, 10), (999, 5)], [(1_001, 20), (1_002, 5)])

    def diff(
        self, bids: list[tuple[int, int]], asks: list[tuple[int, int]], update_id: int = 0
    ) -> None:
        self.next_id += 1
        book = make_book(bids, asks, update_id=update_id or self.next_id)
        for k in range(len(book)):
            assert feed(self.market, book[k : k + 1]) == [R.NONE]

    def touch(self) -> None:
        """A diff far from the best: the best levels stay."""
        self.next_id += 1
        level = make_level(990, self.next_id, bid=True, update_id=self.next_id)
        assert feed(self.market, level) == [R.NONE]

    def quote(self, bid_qty: int = 10, flags: int = 0, ask: int = 1_001) -> None:
        self.next_id += 1
        record = make_quote(1_000, ask, bid_qty, 20, aux=self.next_id, flags=flags)
        assert feed(self.market, record) == [R.NONE]

    def is_doubted(self) -> bool:
        return bool(self.market.hot["book_check"][0, BOOK_DOUBTED])

    @property
    def imbalance(self) -> float:
        return float(self.market.hot["micro"][0, DEPTH_IMBALANCE])


def deny(desk: Desk, times: int) -> None:
    """Quotes that stood at a diff's id and showed another quantity."""
    for k in range(times):
        desk.quote(bid_qty=11 + k % 2)
        desk.touch()
        desk.quote(bid_qty=13)


def test_a_book_that_its_quotes_deny_is_not_looked_at(market: MarketState) -> None:
    desk = Desk(market)
    desk.quote()
    deny(desk, DIVERGED_RUN - 1)
    assert not desk.is_doubted()
    assert desk.imbalance == depth_imbalance(market.books[0])
    deny(desk, 1)
    assert desk.is_doubted()
    assert np.isnan(desk.imbalance)
    assert market.reject_counts[R.BOOK_DIVERGED] == 1
    desk.touch()
    assert np.isnan(desk.imbalance), "not after its next diff either"


def test_one_quote_that_agrees_ends_the_doubt(market: MarketState) -> None:
    desk = Desk(market)
    deny(desk, DIVERGED_RUN)
    assert desk.is_doubted()
    desk.quote()
    desk.touch()
    desk.quote(bid_qty=12)  # goes on beyond the diff: the one before stood, and agreed
    assert not desk.is_doubted()
    desk.touch()
    assert desk.imbalance == depth_imbalance(market.books[0])


def test_one_that_agrees_begins_the_count_again(market: MarketState) -> None:
    desk = Desk(market)
    for _ in range(3):
        deny(desk, DIVERGED_RUN - 1)
        desk.quote()
        desk.touch()
        desk.quote()
    assert not desk.is_doubted()


def test_quotes_that_are_already_beyond_the_diff_deny_nothing(market: MarketState) -> None:
    desk = Desk(market)
    for k in range(3 * DIVERGED_RUN):
        desk.quote(bid_qty=11 + k % 2)
        desk.quote(bid_qty=13)
        desk.diff([(1_000, 10)], [(1_001, 20)], update_id=desk.next_id - 1)
        desk.quote(bid_qty=15)
    assert not desk.is_doubted()
    assert market.reject_counts.sum() == 0


def test_merged_quotes_deny_nothing(market: MarketState) -> None:
    desk = Desk(market)
    for k in range(3 * DIVERGED_RUN):
        desk.quote(bid_qty=11 + k % 2)
        desk.touch()
        desk.quote(bid_qty=13, flags=CONFLATED)
    assert not desk.is_doubted()


def test_a_quote_of_the_diffs_own_id_is_compared_itself(market: MarketState) -> None:
    desk = Desk(market)
    for k in range(DIVERGED_RUN):
        desk.touch()
        desk.next_id -= 1
        desk.quote(bid_qty=11 + k % 2)
    assert desk.is_doubted()
    desk.touch()
    desk.next_id -= 1
    desk.quote()
    assert not desk.is_doubted()


def test_an_admitted_gap_forgets_what_was_said_against_the_book(market: MarketState) -> None:
    desk = Desk(market)
    deny(desk, DIVERGED_RUN)
    assert feed(market, make_gap(Channel.BOOK)) == [R.NONE]
    assert not desk.is_doubted()
