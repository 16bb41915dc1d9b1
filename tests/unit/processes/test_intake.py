"""The brain learns instruments that come: executor first, then the kernel's rows, then its word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
import pytest

from engine.config import Config
from engine.domain.instrument_row import (
    INSTRUMENT_BYTES,
    SEGMENT_COUNT_OFFSET,
    SEGMENT_ROWS_OFFSET,
    SEGMENT_TAKEN_OFFSET,
    STAKE_OFFSET,
    Instrument,
    Stake,
    pack_row,
    segment_bytes,
)
from engine.domain.market_state import INSTRUMENTS_KNOWN
from engine.domain.strategy_table import select_rows
from engine.domain.words import Word
from engine.processes.brain_state import create_session_state
from engine.processes.intake import STAKES_S, Intake, at_stake
from engine.store.instrument_segment import KIND_INSTRUMENTS
from native_ext import _native
from ringbuffer.segment import Segment
from tests.builders import make_instrument

CONFIG = msgspec.structs.replace(Config(), instruments_max=6)
ROWS = [make_instrument(f"T{k}USDT", instrument_index=k) for k in range(5)]


class Executor:
    """Knows what it is told when the test lets it."""

    def __init__(self, known: int) -> None:
        self.known_count = known
        self.told: list[Instrument] = []

    def learn(self, instruments: Sequence[Instrument]) -> None:
        self.told += instruments


class Rig:
    def __init__(self) -> None:
        self.segment = Segment.anonymous("rows", segment_bytes(6), kind=KIND_INSTRUMENTS)
        self.publish(2)
        self.state = create_session_state(CONFIG, ROWS[:2], select_rows(["quote_imbalance"]), 1)
        self.executor = Executor(2)
        self.intake = Intake(self.segment, CONFIG, self.state, self.executor, ROWS[:2])

    def publish(self, count: int) -> None:
        for row in range(count):
            pack_row(ROWS[row], self.segment.buffer, row)
        _native.store_release(self.segment.address + SEGMENT_COUNT_OFFSET, count)

    @property
    def taken(self) -> int:
        return _native.load_acquire(self.segment.address + SEGMENT_TAKEN_OFFSET)

    def stakes(self) -> list[Stake]:
        self.intake._told_s -= 2 * STAKES_S
        self.intake.look()
        places = [
            SEGMENT_ROWS_OFFSET + row * INSTRUMENT_BYTES + STAKE_OFFSET
            for row in range(len(self.intake.instruments))
        ]
        return [Stake(self.segment.buffer[place]) for place in places]


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.segment.close()


def test_what_was_there_at_the_start_is_taken_at_the_first_look(rig: Rig) -> None:
    rig.intake.look()
    assert rig.taken == 2
    assert rig.executor.told == []


def test_a_row_is_taken_when_both_threads_have_it_and_not_before(rig: Rig) -> None:
    rig.publish(4)
    for _ in range(3):
        rig.intake.look()
    assert rig.executor.told == ROWS[2:4], "told once"
    assert rig.taken == 0
    assert rig.state.market.progress[INSTRUMENTS_KNOWN] == 2
    rig.executor.known_count = 4
    rig.intake.look()
    assert rig.taken == 4
    assert rig.state.market.progress[INSTRUMENTS_KNOWN] == 4
    assert rig.state.market.instruments["symbol"][3] == b"T3USDT"
    assert rig.intake.instruments == ROWS[:4]
    rig.publish(5)
    rig.intake.look()
    assert rig.executor.told == ROWS[2:5]


def test_an_executor_that_has_not_begun_is_told_nothing(rig: Rig) -> None:
    rig.executor.known_count = 0
    rig.publish(3)
    rig.intake.look()
    assert rig.executor.told == []
    rig.executor.known_count = 3  # it read the segment later than the main thread did
    rig.intake.look()
    assert (rig.taken, rig.executor.told) == (3, [])


def test_a_position_or_an_order_is_a_stake(rig: Rig) -> None:
    assert rig.stakes() == [Stake.NONE, Stake.NONE]
    desk = rig.state.desk
    desk.positions["lots"][1, 0] = -3
    assert rig.stakes() == [Stake.NONE, Stake.HELD]
    desk.positions["lots"][1, 0] = 0
    assert rig.stakes() == [Stake.NONE, Stake.NONE]
    desk.orders["instrument_index"][7] = 0
    desk.open_rows[0] = 7
    desk.words[Word.OPEN_COUNT] = 1
    assert rig.stakes() == [Stake.HELD, Stake.NONE]


@pytest.mark.parametrize("name", ["foreign_buy_lots", "foreign_sell_lots", "unknown_count"])
def test_orders_of_others_and_those_in_doubt_are_a_stake_too(rig: Rig, name: str) -> None:
    rig.state.desk.ledger[name][1] = 1
    np.testing.assert_array_equal(at_stake(rig.state)[:2], [False, True])
    rig.state.desk.ledger[name][1] = 0
    rig.state.desk.pending[0, 0, 1] = 5
    np.testing.assert_array_equal(at_stake(rig.state)[:2], [True, False])
