"""The brain learns instruments that come: executor first, then the kernel's rows, then its word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from engine.config import Config
from engine.domain.codes import EventType as T
from engine.domain.codes import Mode, ModeScope
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
from engine.domain.records import EVENT_DTYPE
from engine.domain.strategy_table import select_rows
from engine.domain.words import Word
from engine.processes.brain_state import create_session_state
from engine.processes.intake import STAKES_S, Intake, at_stake
from engine.processes.mode_file import MODES_FILE, ModeRow, write_modes
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
        self.offered: list[bytes] = []

    def learn(self, instruments: Sequence[Instrument]) -> None:
        self.told += instruments

    def offer(self, record: bytes) -> None:
        self.offered.append(record)


class Rig:
    def __init__(self, home: Path) -> None:
        config = msgspec.structs.replace(CONFIG, home=str(home))
        self.modes = Path(config.state_dir) / MODES_FILE
        self.modes.parent.mkdir(parents=True)
        self.segment = Segment.anonymous("rows", segment_bytes(6), kind=KIND_INSTRUMENTS)
        self.publish(2)
        self.state = create_session_state(CONFIG, ROWS[:2], select_rows(["quote_imbalance"]), 1)
        self.executor = Executor(2)
        self.intake = Intake(self.segment, config, self.state, self.executor, ROWS[:2])

    def keep(self, mode: Mode, symbol: str = "T2USDT") -> None:
        """Write down what an operator gave an instrument before."""
        part = f"instrument:{symbol}"
        write_modes(self.modes, {part: ModeRow(part, mode, "me", "why", 0)})

    def come(self, count: int) -> None:
        """Let instruments come as far as the executor."""
        self.publish(count)
        self.executor.known_count = count
        self.intake.look()

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
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
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


def test_a_kept_mode_holds_in_the_kernel_before_the_feed_may_send_anything(rig: Rig) -> None:
    rig.keep(Mode.SHADOW)
    for _ in range(3):
        rig.come(4)
    (record,) = np.frombuffer(b"".join(rig.executor.offered), dtype=EVENT_DTYPE)
    assert (record["event_type"], record["order_type"]) == (T.RESTORE_MODE, ModeScope.INSTRUMENT)
    assert (record["cause_sequence"], record["time_in_force"]) == (2, Mode.SHADOW)
    assert rig.taken == 0, "the kernel has not heard of it"
    rig.state.desk.instrument_limits["mode"][2] = Mode.SHADOW
    rig.intake.look()
    assert rig.taken == 4


def test_an_operator_who_changes_his_mind_meanwhile_is_heard(rig: Rig) -> None:
    rig.keep(Mode.SHADOW)
    rig.come(3)
    rig.keep(Mode.OFF)
    rig.intake.look()
    assert [
        np.frombuffer(row, EVENT_DTYPE)["time_in_force"][0] for row in rig.executor.offered
    ] == [
        Mode.SHADOW,
        Mode.OFF,
    ]
    rig.keep(Mode.LIVE)
    rig.intake.look()
    assert rig.taken == 3


def test_what_comes_while_the_modes_cannot_be_read_is_shadow(rig: Rig) -> None:
    rig.modes.write_text("{", encoding="utf-8")
    rig.come(4)
    records = np.frombuffer(b"".join(rig.executor.offered), dtype=EVENT_DTYPE)
    assert records["cause_sequence"].tolist() == [2, 3]
    assert (records["time_in_force"] == Mode.SHADOW).all()
    assert rig.taken == 0


def test_modes_of_others_hold_nothing_up(rig: Rig) -> None:
    rig.keep(Mode.OFF, "T0USDT")
    rig.come(4)
    assert (rig.taken, rig.executor.offered) == (4, [])


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
