"""The portfolio against a plain twin: who enters, who is closed for whom, and never one too many.

Entries of any strength come, prices wander, exits are filled at once, late, or refused. At each
entry what was asked for is exactly what the twin says; after each step no more places are taken
than there are; and with prices that stand still no sequence of the same entries rotates for ever.
"""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.codes import EventType, OrderStatus
from engine.domain.desk import HELD_NUMBER
from engine.domain.strategy_table import StrategyReason
from engine.domain.words import Tally, Word
from tests.desk_rig import MS, S, of_type
from tests.rotation_rig import (
    ASK,
    BETTER_BPS,
    BID,
    CLAIM,
    FEE_BPS,
    HOLD_S,
    PLACES,
    Holding,
    Place,
    PlainPortfolio,
    RotationRig,
    Signal,
    requested,
)

T = EventType
INSTRUMENTS, STRATEGIES = 4, 2


class Life:
    """A rig, its twin, and a venue with moods."""

    def __init__(self, seed: int) -> None:
        self.moods = random.Random(seed)
        self.rig = RotationRig(instruments=INSTRUMENTS)
        self.twin = PlainPortfolio()
        self.signals: dict[Place, Signal] = {}
        self.open: dict[int, Place] = {}  # orders without an answer
        self.rotations = 0

    def signal(self) -> Signal | None:
        """Return an entry of a strategy that is flat, as strategies are asked."""
        taken = self.rig.places()
        places = [(i, s) for i in range(INSTRUMENTS) for s in range(STRATEGIES)]
        free = [place for place in places if place not in taken]
        if not free:
            return None
        i, s = self.moods.choice(free)
        move, sure = self.moods.uniform(5.0, 120.0), self.moods.random()
        edge = CLAIM * move * sure - 2 * FEE_BPS
        return Signal(i, s, self.moods.choice((1, -1)), move, sure, edge)

    def enter(self) -> None:
        """Hand an entry over and hold the answer against the twin's."""
        signal = self.signal()
        if signal is None:
            return
        rig, twin = self.rig, self.twin
        is_full = len(rig.places()) >= PLACES
        idle = rig.word(Word.ROTATING) == 0 and not self.is_waiting((signal.i, signal.s))
        ready = PlainPortfolio({p: h for p, h in twin.held.items() if p not in self.open.values()})
        victim = ready.victim(rig, signal) if is_full and idle else None
        events = rig.want(signal)
        orders = of_type(events, T.ORDER_REQUEST)
        if not is_full:
            assert len(orders) == 1
            self.signals[signal.i, signal.s] = signal
        elif victim is None:
            assert len(orders) == 0
        else:
            assert orders["reason"].tolist() == [StrategyReason.ROTATED]
            assert (int(orders["instrument_index"][0]), int(orders["strategy_index"][0])) == victim
            self.signals[signal.i, signal.s] = signal
            self.rotations += 1
        self.note(events)

    def is_waiting(self, place: Place) -> bool:
        """Return whether an entry of a strategy and instrument is held."""
        drafts = self.rig.desk.held_drafts[self.rig.desk.held[:, HELD_NUMBER] != 0]
        return place in {(int(d["instrument_index"]), int(d["column"])) for d in drafts}

    def note(self, events: object) -> None:
        """Remember which orders are open."""
        for order in requested(events):  # type: ignore[arg-type]  # an array of events
            row = self.rig.row(order)
            self.open[order] = (int(row["instrument_index"]), int(row["column"]))

    def answer(self) -> None:
        """Let the venue fill an order, or refuse it."""
        if not self.open:
            return
        order = self.moods.choice(sorted(self.open))
        place = self.open.pop(order)
        if self.moods.random() < 0.15:
            self.note(self.rig.update(order, OrderStatus.REJECTED))
            return
        events = self.rig.settle(order)
        if place in self.twin.held:
            del self.twin.held[place]
        else:
            price = int(of_type(events, T.FILL)["last_price_ticks"][0])
            self.twin.held[place] = Holding(self.signals[place], price, self.rig.now_ns)
        self.note(events)

    def move(self) -> None:
        """Let prices and time go on."""
        self.note(self.rig.step(after_ns=self.moods.choice((MS, 100 * MS, S, 5 * S))))
        i = self.moods.randrange(INSTRUMENTS)
        away = int(self.moods.gauss(0.0, 2_000.0))
        self.rig.show(i, BID + away, ASK + away)

    def restart(self) -> None:
        """Let the venue answer whatever is open, and a new session go on from the journal."""
        while self.open:
            self.answer()
        self.rotations -= self.rig.tally(Tally.ROTATIONS)
        self.rig = RotationRig(instruments=INSTRUMENTS, earlier=self.rig)
        for held in self.twin.held.values():
            held.since_ns = self.rig.now_ns

    def go(self, turns: int) -> None:
        """Live so many turns; hold the bound after each."""
        for _ in range(turns):
            self.moods.choice((self.enter, self.enter, self.answer, self.answer, self.move))()
            places = self.rig.places()
            assert len(places) <= PLACES
            assert self.rig.word(Word.PLACES_TAKEN) == len(places)
            assert set(self.twin.held) <= places
        assert self.rotations == self.rig.tally(Tally.ROTATIONS)


@pytest.mark.parametrize("seed", range(4))
def test_a_random_life_is_the_twins(seed: int) -> None:
    life = Life(seed)
    life.go(400)
    assert life.rotations > 3, "rotations happened"


@pytest.mark.parametrize("seed", [5, 6])
def test_a_life_over_restarts_is_the_twins(seed: int) -> None:
    life = Life(seed)
    rotations = 0
    for _ in range(5):
        life.go(100)
        rotations += life.rotations
        life.restart()
        assert set(life.twin.held) == life.rig.places()
    assert rotations > 3, "rotations happened"


@settings(max_examples=15)
@given(st.lists(st.floats(1.0, 200.0), min_size=4, max_size=8), st.randoms(use_true_random=False))
def test_where_prices_stand_still_no_entries_rotate_for_ever(
    moves: list[float], order: random.Random
) -> None:
    rig = RotationRig(instruments=4)
    places = [(i, s) for i in range(4) for s in range(2)]
    cost = 2 * FEE_BPS + (ASK - BID) / ((ASK + BID) / 2) * 10_000
    signals = [
        Signal(i, s, 1, move, 1.0, CLAIM * move - cost)
        for (i, s), move in zip(places, moves, strict=False)
    ]
    asked: list[float] = []  # what each rotation's entry claims in all
    for _ in range(len(signals) ** 2):
        rig.wait(HOLD_S + 1)
        for i in range(4):
            rig.show(i)
        held = rig.places()
        wanting = [signal for signal in signals if (signal.i, signal.s) not in held]
        if not wanting:
            break
        signal = order.choice(wanting)
        before = rig.tally(Tally.ROTATIONS)
        claimed = [CLAIM * s.move_bps for s in signals if (s.i, s.s) in held]
        for number in requested(rig.want(signal)):
            for following in requested(rig.settle(number)):
                rig.settle(following)
        if rig.tally(Tally.ROTATIONS) > before:
            asked.append(CLAIM * signal.move_bps)
            # What is held claims more in all than before, by the margin and the costs at least.
            now = [CLAIM * s.move_bps for s in signals if (s.i, s.s) in rig.places()]
            spent = (ASK - BID) / ASK * 10_000  # the part of a move that entering has cost
            assert sum(now) >= sum(claimed) + BETTER_BPS + FEE_BPS - spent
    assert len(asked) <= PLACES * len(signals), "each raises what is held: it ends"
