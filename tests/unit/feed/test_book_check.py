"""A book meets the quotes of its instrument at equal update ids; what contradicts is held back."""

from __future__ import annotations

import pytest

from engine.domain.codes import Channel, Liveness, RecordType
from engine.domain.firewall_reasons import FirewallReason
from engine.telemetry import CORE_COUNTERS
from tests.feed_rig import MS, FeedRig, Frame, Frames

R = FirewallReason
LIVE = 3
WORD = {counter.name: word for word, counter in enumerate(CORE_COUNTERS)}
BODY = {"bids": [["61800.00", "1.000"]], "asks": [["61801.00", "1.000"]]}


class Market:
    """A live book and quotes of the same counter of ids."""

    def __init__(self) -> None:
        self.rig, self.frames = FeedRig(), Frames()
        self.quotes = Frames()
        self.rig.decode(self.frames.depth(self.rig.venue_ms))
        self.load()
        self.rig.records()

    def load(self) -> None:
        assert self.rig.snapshot(0, {"lastUpdateId": self.frames.update_id} | BODY) == 0
        assert self.rig.core.book(0)[0] == LIVE

    def depth(self, bid_qty: str = "1.000", elapsed_ms: int = 100) -> int:
        self.rig.now_ns += elapsed_ms * MS
        return self.rig.decode(self.frames.depth(self.rig.venue_ms, [("61800.00", bid_qty)]))

    def quote(self, bid_qty: str = "1.000", ahead: int = 0, **changed: object) -> int:
        return self.rig.decode(self.quote_frame(bid_qty, ahead, **changed))

    def quote_frame(self, bid_qty: str, ahead: int = 0, **changed: object) -> Frame:
        best: dict[str, object] = {"b": "61800.00", "B": bid_qty, "a": "61801.00", "A": "1.000"}
        update_id = self.frames.update_id + ahead
        return self.quotes.book_ticker(self.rig.venue_ms, **(best | changed), u=update_id)

    def count(self, name: str) -> int:
        return self.rig.core.counters()[WORD[name]]

    def liveness(self) -> Liveness:
        return self.rig.liveness(0, Channel.BOOK)


def test_a_quote_behind_its_diff_is_compared_with_the_book() -> None:
    market = Market()
    assert market.depth("2.000") == 0
    assert market.quote("2.000") == 0
    assert (market.count("books_compared_total"), market.count("books_diverged_total")) == (1, 0)


def test_a_quote_ahead_of_its_diff_is_compared_when_the_diff_comes() -> None:
    market = Market()
    assert market.quote("2.000", ahead=100) == 0
    assert market.count("books_compared_total") == 0
    assert market.depth("2.000") == 0
    assert (market.count("books_compared_total"), market.count("books_diverged_total")) == (1, 0)


def test_quotes_of_other_ids_prove_nothing() -> None:
    market = Market()
    for ahead in (1, 50, 99):
        assert market.quote("7.000", ahead=ahead) == 0
    assert market.depth() == 0
    assert market.count("books_compared_total") == 0


def test_the_sixty_fourth_quote_before_a_diff_is_still_kept() -> None:
    market = Market()
    for ahead in range(100, 164):
        assert market.quote(f"{ahead}.000", ahead=ahead) == 0
    assert market.depth("100.000") == 0
    assert market.count("books_compared_total") == 1
    assert market.depth() == 0, "older ones are forgotten, not read"


@pytest.mark.parametrize(
    "changed",
    [{"b": "61799.90"}, {"a": "61800.90"}, {"B": "1.001"}, {"A": "0.999"}],
    ids=["bid", "ask", "bid quantity", "ask quantity"],
)
def test_one_contradiction_is_refused_and_forgotten_at_the_next_agreement(
    changed: dict[str, object],
) -> None:
    market = Market()
    assert market.depth() == 0
    market.rig.records()
    assert market.quote(**changed) == R.BOOK_DIVERGED  # type: ignore[arg-type]
    assert len(market.rig.records(RecordType.QUOTE)) == 0, "nobody knows which of them is right"
    assert market.depth() == 0
    assert market.quote() == 0
    assert market.liveness() is Liveness.LIVE
    assert market.rig.core.books_wanting() == []


def contradict(market: Market) -> list[int]:
    results = []
    for step in range(3):
        market.depth()
        results.append(market.quote(f"{step + 5}.000"))
    return results


def test_a_book_that_contradicts_its_quotes_is_fetched_again_and_readers_forget_it() -> None:
    market = Market()
    assert contradict(market) == [R.BOOK_DIVERGED] * 3
    assert market.liveness() is Liveness.INVALID
    gaps = market.rig.records(RecordType.GAP)
    assert [int(gap["aux"]) for gap in gaps] == [Channel.BOOK]
    assert market.depth() == 0, "a new chain"
    assert market.rig.core.books_wanting() == [0]
    market.load()
    assert market.liveness() is Liveness.LIVE
    assert market.count("book_resyncs_total") == 1


def test_quotes_that_stay_wrong_do_not_fetch_the_book_again_and_again() -> None:
    market = Market()
    contradict(market)
    market.depth()
    market.load()
    contradict(market)
    assert market.count("book_resyncs_total") == 1, "within the spacing it is not fetched"
    assert market.liveness() is Liveness.INVALID
    market.rig.records()
    assert market.depth("3.000") == R.BOOK_DIVERGED, "in doubt: held back"
    assert len(market.rig.records(RecordType.LEVEL)) == 0
    assert market.quote("3.000") == 0, "an agreement ends the doubt"
    assert market.depth("4.000") == 0
    assert market.liveness() is Liveness.LIVE
    assert len(market.rig.records(RecordType.LEVEL)) == 1


def test_a_doubt_that_lasts_is_fetched_when_the_spacing_is_over() -> None:
    market = Market()
    contradict(market)
    market.depth()
    market.load()
    contradict(market)
    results = [market.depth(f"{step + 2}.000", 1_000) for step in range(11)]
    assert set(results) <= {0, R.BOOK_DIVERGED}
    assert market.count("book_resyncs_total") == 2


def test_quotes_that_move_on_without_diffs_make_the_book_stale() -> None:
    market = Market()
    states = []
    for step in range(25):
        market.rig.now_ns += 100 * MS
        assert market.quote(f"{step + 2}.000", ahead=step + 1) == 0
        states.append(market.liveness())
    assert states[:20] == [Liveness.LIVE] * 20
    assert states[-1] is Liveness.STALE
    assert market.count("books_behind_total") == 1
    assert market.depth("26.000") == 0
    assert market.liveness() is Liveness.LIVE, "the next diff ends it"


def test_a_quiet_book_under_quotes_that_agree_is_not_behind() -> None:
    market = Market()
    for step in range(30):
        market.rig.now_ns += 200 * MS
        changed = "2.000" if step % 2 else "1.000"
        market.quote(changed, ahead=step + 1)
        market.depth(changed, elapsed_ms=0)
    assert market.count("books_behind_total") == 0


def test_a_crossed_book_is_forgotten_by_its_readers_too() -> None:
    market = Market()
    for _ in range(4):
        frame = market.frames.depth(market.rig.venue_ms, [("61802.00", "1.000")])
        assert market.rig.decode(frame) == R.BOOK_CROSSED
    records = market.rig.records(RecordType.GAP, RecordType.LIVENESS)
    assert [int(record["record_type"]) for record in records] == [
        RecordType.GAP,
        RecordType.LIVENESS,
    ]
    assert records[-1]["liveness"] == Liveness.INVALID


def stand_still(market: Market, diffs: int) -> None:
    """Move the quotes on, between diffs that say again what the book was."""
    for step in range(diffs):
        market.quote(f"{step + 2}.000", ahead=1)
        market.depth()
    market.quote("1.000", ahead=1)


def test_a_diff_stream_that_repeats_itself_is_found_out_between_equal_ids() -> None:
    market = Market()
    stand_still(market, 10)
    assert market.count("books_compared_total") == 0
    assert market.count("books_standing_diverged_total") == 10
    assert market.liveness() is Liveness.LIVE, "a venue may leave quotes out, and so may we"
    market = Market()
    stand_still(market, 17)
    assert market.count("book_resyncs_total") == 1
    assert Liveness.INVALID in market.rig.records(RecordType.LIVENESS)["liveness"].tolist()


def test_one_agreement_with_the_quote_that_stood_ends_a_run() -> None:
    market = Market()
    for _ in range(5):
        stand_still(market, 10)
        market.depth()
        market.quote("5.000", ahead=1)
    assert market.count("books_standing_total") > 50
    assert market.count("book_resyncs_total") == 0


def test_after_the_quotes_were_lost_none_of_the_old_ones_stands() -> None:
    market = Market()
    for _ in range(40):
        market.quote("9.000", ahead=1)
        market.depth()
        market.rig.core.disconnected(0, Channel.QUOTE, market.rig.now_ns)
    assert market.count("books_standing_total") == 0
