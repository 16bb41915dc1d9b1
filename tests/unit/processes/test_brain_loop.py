"""The kernel thread's loop: order of publication, marks, halts, waiting, stopping."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest

from engine.domain.codes import EventType, TradingState
from engine.domain.records import EVENT_DTYPE, MARK_WORD_FIRST, MARKS_PER_RECORD
from engine.domain.words import Word
from engine.processes.brain_ports import counter_index, histogram_index
from engine.processes.brain_words import STEP_RECORDS_MAX, LoopWord, SliceEnd
from engine.venues.order_records import read_command
from ringbuffer.counters import HISTOGRAM_COUNT
from ringbuffer.idle import IdleKind
from tests.loop_rig import SHOWN_BEAT, SHOWN_OUTER, SHOWN_OWN, SHOWN_SYNCED, LoopRig, marks

ENTRY = {"bid_lots": 99_000, "ask_lots": 1_000}
EXIT = {"bid_lots": 1_000, "ask_lots": 99_000}


@pytest.fixture
def rig() -> Iterator[LoopRig]:
    made = LoopRig()
    yield made
    made.stop()
    made.close()


@pytest.fixture
def synced(rig: LoopRig) -> LoopRig:
    rig.run()
    rig.sync()
    rig.drain_events()
    rig.drain_commands()
    return rig


def kinds(events: np.ndarray) -> list[int]:
    return [int(kind) for kind in events["event_type"]]


def test_first_step_takes_no_record_and_marks_where_the_rings_stood(rig: LoopRig) -> None:
    rig.publish_market(rig.quote())
    rig.run_until_taken()
    rig.stop()
    rig.run()
    rows = marks(rig.drain_events())
    assert rows[0][1:3] == (-1, -1)
    assert rows[1][1] == 0
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)


def test_every_record_is_taken_once_in_batches_of_at_most_the_bound(rig: LoopRig) -> None:
    count = 2 * STEP_RECORDS_MAX + 10
    rig.publish_market(*(rig.quote() for _ in range(count)))
    rig.run_until_taken()
    rig.stop()
    rig.run()
    taken = [row[1] for row in marks(rig.drain_events())]
    assert taken[-1] == count - 1
    assert max(np.diff(taken)) <= STEP_RECORDS_MAX
    assert rig.word(LoopWord.RECORD_COUNT) == count


def test_intent_is_in_the_event_ring_before_its_command_and_the_doorbell_rings(
    synced: LoopRig,
) -> None:
    assert synced.rings.commands_read.arm()
    synced.publish_market(synced.quote(**ENTRY))
    synced.run()
    events, commands = synced.drain_events(), synced.drain_commands()
    assert EventType.ORDER_REQUEST in kinds(events)
    assert kinds(commands) == [EventType.COMMAND_NEW]
    assert synced.doorbell_rang()
    request = events[events["event_type"] == EventType.ORDER_REQUEST][0]
    command = read_command(commands[0].tobytes()[8:])
    assert command.order_sequence == request["order_sequence"]
    assert command.qty_lots == request["qty_lots"] > 0
    assert command.cause_sequence == request["cause_sequence"]
    assert command.cause_receive_time_ns > 0
    assert command.decision_time_ns >= command.cause_receive_time_ns


def test_marks_of_earlier_steps_come_before_a_later_steps_events(synced: LoopRig) -> None:
    synced.publish_market(synced.quote())
    synced.run()
    synced.publish_market(synced.quote(**ENTRY))
    synced.run()
    synced.stop()
    synced.run()
    events = synced.drain_events()
    request = int(np.flatnonzero(events["event_type"] == EventType.ORDER_REQUEST)[0])
    market_of_request = int(events["cause_sequence"][request])
    before, after = marks(events[:request]), marks(events[request:])
    assert all(row[1] < market_of_request - 1 for row in before)
    assert after[0][1] >= market_of_request - 1


def test_published_slots_carry_their_own_sequence(synced: LoopRig) -> None:
    synced.publish_market(synced.quote(**ENTRY))
    synced.run()
    slots = synced.ports.event_slots
    published = synced.rings.events.ring.published()
    assert published > 0
    assert [int(s) for s in slots["sequence"][:published]] == list(range(1, published + 1))


def test_reports_are_echoed_and_consumed(synced: LoopRig) -> None:
    synced.publish_market(synced.quote(**ENTRY))
    synced.run()
    command = synced.drain_commands()
    synced.drain_events()
    report = command.copy()
    report["event_type"] = EventType.ORDER_SENT
    synced.report(report)
    synced.run()
    assert EventType.ORDER_SENT in kinds(synced.drain_events())
    assert synced.rings.reports_read.lag() == 0


@pytest.mark.parametrize("who", ["market", "report", "control"])
def test_a_sleeping_loop_wakes_for_every_ring(synced: LoopRig, who: str) -> None:
    synced.run_behind()
    slept = synced.word(LoopWord.SLEEP_COUNT)
    synced.wait_for(lambda: synced.word(LoopWord.SLEEP_COUNT) > slept, "the loop sleeps")
    steps = synced.word(LoopWord.RECORD_COUNT)
    if who == "market":
        synced.publish_market(synced.quote())
        synced.wait_for(lambda: synced.word(LoopWord.RECORD_COUNT) > steps, "not taken")
    elif who == "report":
        synced.report(np.zeros(1, synced.out.events.dtype))
        synced.wait_for(lambda: synced.rings.reports_read.lag() == 0, "not taken")
    else:
        synced.command_main(EventType.CONTROL_PAUSE)
        synced.wait_for(
            lambda: synced.desk.words[Word.EFFECTIVE_STATE] == TradingState.PAUSED, "not applied"
        )


def test_a_yielding_loop_never_sleeps_and_takes_every_ring() -> None:
    rig = LoopRig(idle=IdleKind.YIELD)
    rig.run()
    rig.sync()
    rig.run_behind()
    for taken in range(20):
        rig.publish_market(rig.quote())
        rig.wait_for(lambda: rig.rings.market.lag() == 0, f"quote {taken} is not taken")
    rig.command_main(EventType.CONTROL_PAUSE)
    rig.wait_for(lambda: rig.desk.words[Word.EFFECTIVE_STATE] == TradingState.PAUSED, "not applied")
    rig.stop()
    assert rig.word(LoopWord.SLEEP_COUNT) == 0
    rig.close()


def test_stop_word_ends_a_long_slice_and_flushes_marks(synced: LoopRig) -> None:
    synced.run_behind()
    synced.publish_market(synced.quote())
    synced.wait_for(lambda: synced.rings.market.lag() == 0, "the quote is taken")
    synced.stop()
    assert synced.word(LoopWord.MARK_ROWS) == 0
    assert marks(synced.drain_events())[-1][1] == synced.rings.market_ring.published() - 1


def test_heartbeat_progresses_while_idle_and_while_halted(synced: LoopRig) -> None:
    before = int(synced.shown[SHOWN_BEAT])
    synced.run()
    between = int(synced.shown[SHOWN_BEAT])
    synced.run()
    assert before < between < int(synced.shown[SHOWN_BEAT])


def test_outer_state_is_the_most_severe_word_and_goes_into_the_mark(synced: LoopRig) -> None:
    synced.shown[SHOWN_OUTER] = TradingState.HALTED
    synced.publish_market(synced.quote(**ENTRY))
    synced.run()
    synced.stop()
    synced.run()
    events = synced.drain_events()
    assert EventType.COMMAND_NEW not in kinds(synced.drain_commands())
    assert EventType.TRADING_STATE_CHANGED in kinds(events)
    assert marks(events)[-1][3] % 8 == TradingState.HALTED
    assert synced.desk.words[Word.EFFECTIVE_STATE] == TradingState.HALTED


def test_an_executor_that_is_behind_is_waited_for_and_halts_nothing(synced: LoopRig) -> None:
    """A thousand cancels after a restart filled the command ring: that halted as OUTER."""
    command = bytes(EVENT_DTYPE.itemsize - 8)
    while synced.rings.commands.try_publish(command) >= 0:
        pass
    synced.publish_market(synced.quote(**ENTRY))
    synced.run(10.0)
    assert synced.rings.market.lag() == 1, "no step without room for what it may command"
    assert synced.word(LoopWord.EVENTS_FULL) == 0
    assert synced.shown[SHOWN_OWN] == TradingState.ENABLED
    synced.drain_commands()
    synced.run_until_taken()
    assert kinds(synced.drain_commands()) == [EventType.COMMAND_NEW]


def test_full_event_ring_halts_until_an_operator_resumes() -> None:
    rig = LoopRig(event_slots=8_192)
    rig.run()
    rig.sync()
    rig.drain_commands()
    filler = np.zeros(1, rig.out.events.dtype).tobytes()[8:]
    for _ in range(5_000):
        assert rig.rings.events.try_publish(filler) >= 0
    rig.publish_market(rig.quote())
    rig.run()
    assert rig.word(LoopWord.EVENTS_FULL) == 1
    assert rig.shown[SHOWN_OWN] == TradingState.HALTED
    steps = rig.word(LoopWord.STEP_COUNT)
    rig.publish_market(rig.quote(**ENTRY))
    rig.run()
    assert rig.word(LoopWord.STEP_COUNT) == steps, "no step without room for its events"
    rig.drain_events()
    rig.run()
    assert rig.word(LoopWord.STEP_COUNT) > steps
    assert kinds(rig.drain_commands()) == [], "halted: the entry was refused"
    rig.command_main(EventType.CONTROL_RESUME)
    rig.run()
    assert rig.word(LoopWord.EVENTS_FULL) == 0
    assert rig.shown[SHOWN_OWN] == TradingState.ENABLED
    rig.stop()
    rig.close()


def test_durability_disk_holds_commands_until_their_events_are_synced() -> None:
    rig = LoopRig(disk=True)
    rig.shown[SHOWN_SYNCED] = 1 << 40
    rig.run()
    rig.sync()
    rig.drain_commands()
    rig.shown[SHOWN_SYNCED] = 0
    rig.run_behind()
    rig.publish_market(rig.quote(**ENTRY))
    rig.wait_for(lambda: EventType.ORDER_REQUEST in kinds(rig.ports.event_slots[:200]), "no intent")
    beat = int(rig.shown[SHOWN_BEAT])
    rig.wait_for(lambda: int(rig.shown[SHOWN_BEAT]) > beat, "it beats while it waits")
    assert kinds(rig.drain_commands()) == []
    rig.shown[SHOWN_SYNCED] = rig.rings.events.ring.published()
    rig.wait_for(lambda: rig.rings.command_ring.published() > 1, "the command follows the sync")
    assert kinds(rig.drain_commands()) == [EventType.COMMAND_NEW]
    rig.stop()
    rig.close()


def test_evicted_reader_ends_the_loop(rig: LoopRig) -> None:
    rig.run()
    rig.rings.market_ring.evict(0)
    rig.publish_market(rig.quote())
    assert rig.run() == SliceEnd.EVICTED


def test_lag_counts_what_arrives_while_the_loop_runs_and_nothing_before(rig: LoopRig) -> None:
    rig.publish_market(*(rig.quote() for _ in range(5)))
    rig.run()
    lag = rig.page.histogram_words(histogram_index("lag_ns"))
    assert lag[HISTOGRAM_COUNT] == 0
    rig.publish_market(*(rig.quote() for _ in range(7)))
    rig.run()
    assert lag[HISTOGRAM_COUNT] == 7


def test_counters_show_the_state(synced: LoopRig) -> None:
    synced.publish_market(*(synced.quote() for _ in range(3)))
    synced.publish_market(synced.quote(**ENTRY))
    synced.run()
    page = synced.page
    assert page.counter(counter_index("records_total")) == 4
    assert page.counter(counter_index("orders_total")) == 1
    assert page.counter(counter_index("equity_e8")) == synced.desk.words[Word.EQUITY_E8]


def test_refused_and_rejected_records_are_counted_by_reason(synced: LoopRig) -> None:
    crossed = synced.quote()
    crossed["bid_price_ticks"] = crossed["ask_price_ticks"] + 5
    synced.publish_market(crossed)
    synced.command_main(EventType.CONTROL_HALT)
    synced.run()
    synced.publish_market(synced.quote(**ENTRY))
    synced.run()
    page = synced.page
    assert page.counter(counter_index("rejected_quote_crossed_total")) == 1
    assert page.counter(counter_index("refused_trading_state_total")) >= 1


def test_a_slice_ends_by_itself(rig: LoopRig) -> None:
    start = time.monotonic()
    assert rig.run(5.0) == SliceEnd.OVER
    assert time.monotonic() - start >= 0.005


def test_a_mark_has_nothing_behind_its_rows(synced: LoopRig) -> None:
    """Marks of few rows follow marks of many, and the other way round."""
    for quiet in (5, 1, 3, 0, 2):
        for _ in range(quiet):
            synced.publish_market(synced.quote())
            synced.run_until_taken()
        synced.publish_market(synced.quote(**ENTRY))
        synced.run_until_taken()
    events = synced.drain_events()
    found = events[events["event_type"] == EventType.DRAIN_MARK]
    counts = found["mark_count"].tolist()
    assert len(set(counts)) > 1, "marks of different lengths"
    for record, count in zip(found, counts, strict=True):
        words = np.frombuffer(record.tobytes(), np.int64)[MARK_WORD_FIRST:]
        rows = words[: 4 * MARKS_PER_RECORD].reshape(4, MARKS_PER_RECORD)
        assert (rows[0, :count] > 0).all()
        assert (rows[:, count:] == 0).all()
        assert (words[4 * MARKS_PER_RECORD :] == 0).all()
        assert record["time_ns"] == rows[0, count - 1]
