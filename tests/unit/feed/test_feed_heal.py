"""Trades wait for those before them: filled they leave in order, given up they leave a gap."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine.domain.codes import Channel, GapReason, Liveness, RecordType
from engine.domain.firewall_reasons import FirewallReason
from engine.telemetry import CORE_COUNTERS
from tests.feed_rig import MS, FeedRig, Frame, Frames, S

R = FirewallReason
COUNTERS = {row.name: word for word, row in enumerate(CORE_COUNTERS)}
DEADLINE_NS = 2 * S
HELD_MAX = 1024
HOLE_MAX = 20_000


def healing() -> tuple[FeedRig, Frames, int]:
    """Return a rig that waits for holes, its frames, and the id of the one trade it has."""
    rig, frames = FeedRig(), Frames()
    rig.core.set_healing(DEADLINE_NS)
    rig.core.subscribed(0, Channel.TRADE, rig.now_ns)
    assert rig.decode(frames.agg_trade(rig.venue_ms)) == 0
    rig.records()
    return rig, frames, frames.trade_id


def trade(rig: FeedRig, frames: Frames, trade_id: int, **changed: object) -> Frame:
    return frames.agg_trade(rig.venue_ms, a=trade_id, **changed)


def counter(rig: FeedRig, name: str) -> int:
    return rig.core.counters()[COUNTERS[name]]


def ids(rig: FeedRig) -> list[int]:
    return rig.records(RecordType.TRADE)["trade_id"].tolist()


def test_what_follows_a_hole_waits_and_its_channel_is_not_live() -> None:
    rig, frames, last = healing()
    for step in (3, 4, 5):
        assert rig.decode(trade(rig, frames, last + step)) == 0
    assert ids(rig) == []
    assert rig.liveness(0, Channel.TRADE) is Liveness.SYNCING
    assert rig.core.holes() == [(0, last + 1, last + 4, rig.now_ns)]


def test_a_filled_hole_leaves_every_trade_once_and_in_order() -> None:
    rig, frames, last = healing()
    for step in (3, 4, 2, 1):
        assert rig.decode(trade(rig, frames, last + step)) == 0
    assert ids(rig) == [last + 1, last + 2, last + 3, last + 4]
    assert rig.liveness(0, Channel.TRADE) is Liveness.LIVE
    assert rig.core.holes() == []
    assert counter(rig, "trades_healed_total") == 2
    assert counter(rig, "gaps_total") == 0
    assert rig.decode(trade(rig, frames, last + 5)) == 0
    assert ids(rig) == [last + 5]


def test_a_trade_that_waits_is_not_taken_twice() -> None:
    rig, frames, last = healing()
    assert rig.decode(trade(rig, frames, last + 2)) == 0
    assert rig.decode(trade(rig, frames, last + 2)) == R.ID_DUPLICATE
    assert rig.decode(trade(rig, frames, last)) == R.ID_OUT_OF_ORDER
    assert rig.decode(trade(rig, frames, last + 1)) == 0
    assert ids(rig) == [last + 1, last + 2]


def test_a_hole_past_its_deadline_is_a_gap_record_and_what_waited_leaves() -> None:
    rig, frames, last = healing()
    assert rig.decode(trade(rig, frames, last + 4)) == 0
    assert rig.decode(trade(rig, frames, last + 7)) == 0
    rig.core.check_liveness(rig.now_ns + DEADLINE_NS)
    assert ids(rig) == []
    rig.core.check_liveness(rig.now_ns + DEADLINE_NS + 1)
    records = rig.records(RecordType.GAP, RecordType.TRADE)
    assert records["record_type"].tolist() == [8, 2, 8, 2]
    gaps = records[records["record_type"] == RecordType.GAP]
    assert gaps["first_id"].tolist() == [last + 1, last + 5]
    assert gaps["last_id"].tolist() == [last + 3, last + 6]
    assert gaps["lost_count"].tolist() == [3, 2]
    assert set(gaps["gap_reason"].tolist()) == {GapReason.SEQUENCE}
    assert counter(rig, "trades_lost_total") == 5
    assert rig.liveness(0, Channel.TRADE) is Liveness.LIVE


def test_a_hole_that_a_lost_connection_tore_says_so_when_given_up() -> None:
    rig, frames, last = healing()
    rig.core.disconnected(0, Channel.TRADE, rig.now_ns)
    rig.core.subscribed(0, Channel.TRADE, rig.now_ns)
    rig.records()
    assert rig.decode(trade(rig, frames, last + 10)) == 0
    assert rig.records(RecordType.GAP, RecordType.TRADE).size == 0
    rig.core.give_up(0, rig.now_ns)
    (gap,) = rig.records(RecordType.GAP)
    assert (gap["lost_count"], gap["gap_reason"]) == (9, GapReason.RECONNECT)


def test_a_connection_lost_behind_a_hole_stays_lost_when_the_hole_is_filled() -> None:
    rig, frames, last = healing()
    assert rig.decode(trade(rig, frames, last + 2)) == 0
    rig.core.disconnected(0, Channel.TRADE, rig.now_ns)
    assert rig.decode(trade(rig, frames, last + 1)) == 0
    assert ids(rig) == [last + 1, last + 2]
    assert rig.liveness(0, Channel.TRADE) is Liveness.CONNECTING


def test_a_longer_hole_than_is_waited_for_is_said_at_once() -> None:
    rig, frames, last = healing()
    assert rig.decode(trade(rig, frames, last + HOLE_MAX + 2)) == 0
    (gap,) = rig.records(RecordType.GAP)
    assert gap["lost_count"] == HOLE_MAX + 1


def test_no_more_wait_than_there_is_room_for() -> None:
    rig, frames, last = healing()
    for step in range(HELD_MAX):
        assert rig.decode(trade(rig, frames, last + 2 + step)) == 0
    assert ids(rig) == list(range(last + 2, last + 2 + HELD_MAX))
    assert counter(rig, "trades_lost_total") == 1


def test_a_filling_with_a_price_from_nowhere_is_refused() -> None:
    rig, frames, last = healing()
    assert rig.decode(trade(rig, frames, last + 2)) == 0
    assert rig.decode(trade(rig, frames, last + 1, p="6180.00")) == R.PRICE_JUMP
    assert ids(rig) == []
    assert rig.decode(trade(rig, frames, last + 1)) == 0


def test_a_poisoned_id_costs_no_real_trade() -> None:
    rig, frames, last = healing()
    assert rig.decode(trade(rig, frames, last + 5_000)) == 0
    for step in range(1, 20):
        rig.now_ns += MS
        assert rig.decode(trade(rig, frames, last + step)) == 0
    assert ids(rig) == list(range(last + 1, last + 20))


def test_without_healing_a_hole_is_a_gap_record_at_once() -> None:
    rig, frames, last = healing()
    rig.core.set_healing(0)
    assert rig.decode(trade(rig, frames, last + 2)) == 0
    assert len(rig.records(RecordType.GAP)) == 1
    assert rig.core.holes() == []


def test_only_an_instrument_has_a_hole() -> None:
    rig, _, _ = healing()
    with pytest.raises(IndexError):
        rig.core.give_up(9, rig.now_ns)
    rig.core.give_up(0, rig.now_ns)
    assert rig.records().size == 0


@settings(max_examples=120, deadline=None)
@given(st.lists(st.integers(0, 40), max_size=120), st.lists(st.integers(0, 120), max_size=6))
def test_any_order_of_arrivals_gives_rising_ids_and_gap_records_for_the_rest(
    order: list[int], give_ups: list[int]
) -> None:
    rig, frames, last = healing()
    accepted = set()
    for turn, step in enumerate(order):
        if rig.decode(trade(rig, frames, last + 1 + step)) == 0:
            assert step not in accepted, "taken once"
            accepted.add(step)
        if turn in give_ups:
            rig.core.give_up(0, rig.now_ns)
    rig.core.give_up(0, rig.now_ns)
    assume(counter(rig, "resyncs_total") == 0)  # a run of old ids that agree is another law
    expected = last + 1
    for record in rig.records(RecordType.GAP, RecordType.TRADE):
        if record["record_type"] == RecordType.GAP:
            assert record["first_id"] == expected
            expected = int(record["last_id"]) + 1
        else:
            assert record["trade_id"] == expected
            expected += 1
