"""A loop that stays awake asks for another turn in each turn, until it may rest."""

import asyncio
from collections.abc import Callable

import uvloop

from engine.processes.awake import stay_awake


def test_each_turn_asks_for_the_next_until_it_may_rest() -> None:
    turns: list[Callable[[], None]] = []
    rest = stay_awake(turns.append)
    for _ in range(5):
        (turn,) = turns
        turns.clear()
        turn()
    rest()
    (turn,) = turns
    turns.clear()
    turn()
    assert turns == []


def test_each_turn_looks_once_and_no_turn_looks_after_the_rest() -> None:
    turns: list[Callable[[], None]] = []
    looks: list[int] = []
    rest = stay_awake(turns.append, lambda: looks.append(len(turns)))
    for _ in range(3):
        turns.pop()()
    assert len(looks) == 3
    rest()
    turns.pop()()
    assert len(looks) == 3


def test_an_awake_loop_still_does_its_other_work() -> None:
    async def work() -> int:
        loop = asyncio.get_running_loop()
        rest = stay_awake(loop.call_soon)
        await asyncio.sleep(0.002)
        done = await loop.run_in_executor(None, lambda: 7)
        rest()
        return done

    assert uvloop.run(work()) == 7
