"""Guards at the venue under anything that can happen on the way, against the practice exchange.

Requests and answers are lost, stream events come late or are lost with their connection, the market
jumps through stops and targets, rows come and go on both sides, the engine is killed. Whatever it
is, no position is ever closed twice, no row has two guards of a kind, and once the wire is whole
each position that one row holds alone has just its own guards, and a flat account has none. Of
four lives one has a stop that trails beside the other, and one in its place.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from engine.domain.adjust import AdjustmentKind
from engine.domain.codes import EventType
from engine.domain.risk_reasons import reasons_of
from engine.domain.strategy_table import StrategyReason
from engine.domain.words import Word
from tests.bracket_rig import TRAIL, BracketRig
from tests.desk_rig import of_type

T = EventType
WOULD_TRIGGER = -2021
WEIGHTS = {
    "enter": 6.0,
    "leave": 2.0,
    "move": 8.0,
    "jump": 1.5,
    "serve": 12.0,
    "lose_answer": 1.0,
    "lose_request": 1.0,
    "deliver": 14.0,
    "reconnect": 0.5,
    "wait": 6.0,
    "cancel_all": 0.1,
    "crash": 0.3,
}


class Life:
    """One seeded life of an account with two rows that guard their positions."""

    def __init__(self, seed: int) -> None:
        self.source = random.Random(seed)
        self.rig = BracketRig(
            level_lots=self.source.choice([1, 3, 1_000]),
            trail=TRAIL if seed % 4 >= 2 else 0,
            stops=seed % 4 != 3,
        )
        self.guards = 1 + int(self.rig.stop > 0) + int(self.rig.trail > 0)
        self.entered = [0, 0]  # side of each row's last entry

    def enter(self) -> None:
        s, side = self.source.randrange(2), self.source.choice([-1, 1])
        before = len(self.rig.commands)
        self.rig.enter(s, side, 5 + self.source.randrange(20))
        if len(self.rig.commands) > before:
            self.entered[s] = side

    def move(self) -> None:
        self.rig.trade_at(self.rig.bid + self.rig.scale * self.source.randrange(-25, 26))
        self.rig.quote()

    def jump(self) -> None:
        """The market jumps, and no quote of ours tells it yet."""
        self.rig.trade_at(self.rig.bid + self.rig.scale * self.source.randrange(-150, 151))

    def leave(self) -> None:
        self.rig.leave(self.source.randrange(2), StrategyReason.MAX_HOLD)

    def serve(self, **options: bool) -> None:
        if self.rig.commands:
            self.rig.serve(**options)

    def cancel_all(self) -> None:
        self.rig.rig.control(T.CONTROL_CANCEL_ALL)
        self.rig.collect()

    def happen(self) -> None:
        """Let one thing happen."""
        actions: dict[str, Callable[[], None]] = {
            "enter": self.enter,
            "leave": self.leave,
            "move": self.move,
            "jump": self.jump,
            "serve": self.serve,
            "lose_answer": lambda: self.serve(answered=False),
            "lose_request": lambda: self.serve(arrives=False),
            "deliver": lambda: self.rig.deliver(1 + self.source.randrange(3)),
            "reconnect": self.rig.reconnect,
            "wait": lambda: self.rig.wait(self.source.choice([0.001, 0.12, 0.6, 2.5])),
            "cancel_all": self.cancel_all,
            "crash": self.rig.crash,
        }
        actions[self.source.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]]()

    def check(self) -> None:
        """What holds at any time."""
        rig = self.rig
        for s in range(2):
            kinds = [kind for kind, _, _, _ in rig.guards_of(s)]
            assert len(set(kinds)) == len(kinds), f"two guards of a kind: {kinds}"
            assert rig.rig.lots(0, s) * self.entered[s] >= 0, "closed more than was held"
        assert all(order.reduce_only for order in rig.open_guards())
        assert len(set(rig.sent)) == len(rig.sent), "an order was sent twice"
        lots = rig.rig.desk.positions["lots"]
        assert lots[0, :-1].sum() == lots[0, -1]
        for name in ("stop_open", "take_open", "trail_open"):
            assert (rig.rig.desk.brackets[name] >= 0).all()

    def end(self) -> None:
        """Let the wire be whole, and look at what is left."""
        rig = self.rig
        rig.rig.control(T.CONTROL_RESUME)
        rig.collect()
        for _ in range(4):  # what is in doubt is looked up with growing pauses
            rig.settle()
            rig.wait(8.0)
        rig.rig.control(T.CONTROL_RECONCILE)
        rig.collect()
        rig.settle()
        desk = rig.rig
        assert desk.word(Word.SYNCED) == 1
        assert reasons_of(desk.word(Word.TRIPPED)) == ()
        held = rig.account.position(rig.market.spec).qty
        assert (desk.lots(), desk.word(Word.CASH_E8)) == (held, rig.account.wallet)
        assert desk.lots(0, -1) == 0, "all of it is ours"
        assert desk.word(Word.UNKNOWN_COUNT) == 0
        assert desk.word(Word.OPEN_COUNT) == len(rig.open_guards())
        adjusted = of_type(desk.all_events(), T.ADJUSTMENT)["reason"].tolist()
        # Fills that are heard in another order realise otherwise, at average cost.
        assert set(adjusted) <= {AdjustmentKind.OPENING_CASH, AdjustmentKind.CASH}
        for s in range(2):
            self.check_guards(s, held)

    def check_guards(self, s: int, held: int) -> None:
        lots = self.rig.rig.lots(0, s)
        found = self.rig.guards_of(s)
        if lots == 0 or lots != held:
            assert found == [], "nothing of one row's to guard"
            return
        sides = {(side, qty) for _, side, qty, _ in found}
        assert sides <= {(-1 if lots > 0 else 1, abs(lots))}
        desk = self.rig.rig
        watched = desk.desk.brackets[0, s]
        if not watched["refused"] and watched["again_ns"] <= desk.now_ns:
            assert len(found) == self.guards


def drive(seed: int, steps: int) -> Life:
    """Live one life."""
    life = Life(seed)
    for _ in range(steps):
        life.happen()
        life.check()
    life.end()
    life.check()
    return life


@pytest.mark.parametrize("seed", range(40))
def test_a_bad_life_ends_with_the_guards_that_fit(seed: int) -> None:
    drive(seed, 150)


def test_the_lives_above_saw_what_they_are_about() -> None:
    """Guards that filled, that were withdrawn, and that the venue refused: a model that meets none
    of them proves nothing."""
    seen = set()
    for seed in range(16):
        rig = drive(seed, 150).rig
        seen |= {(o.order_type, o.status) for o in rig.venue.algo_desk.of(rig.account)}
        seen |= {("", "REFUSED") for code in rig.refused if code == WOULD_TRIGGER}
    kinds = {"STOP_MARKET", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"}
    ended = {(kind, status) for kind in kinds for status in ("FINISHED", "CANCELED")}
    assert ended | {("", "REFUSED")} <= seen


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1_000, 2_000, 50))
def test_many_bad_lives_end_with_the_guards_that_fit(first: int) -> None:
    for seed in range(first, first + 50):
        drive(seed, 200)
