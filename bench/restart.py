"""How long is an engine blind after it was killed?

Question: from exec to the first reconciliation, with 1,000 open orders of ours at the venue and
10,000 fills of the day in the journal, how long does a restart take? Load: an engine trades against
a practice exchange until it has its fills and is killed with -9, all of it. While it is away 1,000
limit orders come to rest under names of its session that its journal does not know, so that each
has to be found, adopted and withdrawn. Then the next engine starts.

    reconciled   seconds until the engine found itself equal to the venue
    settled      seconds until the last of the orders was withdrawn
    fills        in the journal, as the killed engine counted them
    withdrawn    cancels that were asked for them
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Final

from bench import harness
from bench.chaos.lives import OPEN_ORDERS, Life
from bench.harness import Bench, Pass
from bench.order_rate import COLD_S, INSTRUMENTS, counters, rigged
from engine.domain.codes import EventType, OrderStatus, Side
from engine.domain.instrument_row import Instrument
from tests.engine_process import wait_for
from tests.order_side import Exchange, OrderSide, open_order_side

ORDERS: Final = 1_000
FILLS: Final = 10_000
FILLS_S: Final = 120.0

RECONCILED_S: Final = 60.0
AT_ONCE: Final = 4  # an order side keeps so many connections
FIRST_SEQUENCE: Final = 1_000_000_000  # beyond any order of the killed engine
BELOW: Final = 0.97  # of the bid: orders that rest there are not reached
SPARE: Final = 1.1  # an order is worth so many times the venue's least
STATE: Final = "state/practice-practice-paper"
SET_CHILD_SUBREAPER: Final = 36  # of Linux' prctl
CANCELS: Final = re.compile(r'^aegis_cancels_total\{role="brain"\} (\d+)', re.MULTILINE)
BENCH: Final = Bench(
    name="restart",
    question="How long from exec to reconciled, after kill -9 amid open orders and many fills?",
    load=f"{ORDERS:,} open orders, {FILLS:,} fills of the day, {INSTRUMENTS} instruments",
    worry="reconciled above 10 s",
    units={
        **dict.fromkeys(("reconciled", "settled"), "s"),
        **dict.fromkeys(("fills", "withdrawn"), "count"),
    },
)


def trade_until(life: Life, fills: int) -> int:
    """Let an engine trade until it has its fills; kill it, and return how many it counted."""
    assert life.wait_ready(COLD_S), life.said()
    wait_for(
        f"{fills:,} fills",
        lambda: life.ended or counters(life.metrics())["fills"] >= fills,
        FILLS_S,
    )
    assert not life.ended, life.said()
    found = counters(life.metrics())["fills"]
    life.kill_all()
    life.wait_end()
    reap(life.pids.values())
    return found


def adopt() -> None:
    """Become the parent of processes whose own is killed: the time they took is ours."""
    if ctypes.CDLL(None, use_errno=True).prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def reap(pids: Iterable[int]) -> None:
    """Take the time of dead children: what nobody took would count as another program's."""
    for pid in pids:
        with suppress(ChildProcessError):  # main itself: its end was waited for
            os.waitpid(pid, 0)


async def rest_orders(venue: Exchange, epoch: int, orders: int) -> None:
    """Let orders rest far below the market, under names of a session that has ended."""
    async with open_order_side(venue, epoch=epoch) as side:
        budget = side.orders.context.rest.budget
        await side.wait_until(lambda: budget.has_room(orders), "the lifted limits")
        side.order_sequence = FIRST_SEQUENCE
        terms = [_terms(venue, row) for row in side.instruments]
        for number in range(orders):
            if number % AT_ONCE == 0:
                await _until_resting(side, number)
            index = number % len(terms)
            lots, ticks = terms[index]
            side.new_order(Side.BUY, lots, ticks, instrument_index=index)
        await _until_resting(side, orders)


def _terms(venue: Exchange, instrument: Instrument) -> tuple[int, int]:
    """Return lots and price in ticks of an order that the venue takes and nobody fills."""
    listed = venue.call("GET", "/fapi/v1/exchangeInfo")["symbols"]
    filters = next(row["filters"] for row in listed if row["symbol"] == instrument.symbol)
    least = next(float(row["notional"]) for row in filters if row["filterType"] == "MIN_NOTIONAL")
    price = float(venue.wait_for_quotes(instrument.symbol)[0]) * BELOW
    lots = int(least * SPARE / price / float(instrument.lot_size)) + 1
    return lots, int(price / float(instrument.tick_size))


async def _until_resting(side: OrderSide, count: int) -> None:
    def resting() -> bool:
        told = side.of_type(EventType.ORDER_UPDATE)
        ours = {r.order_sequence for r in told if r.order_status == OrderStatus.NEW}
        refused = [r.reason for r in told if r.order_status == OrderStatus.REJECTED]
        assert not refused, f"the venue refused an order: {refused[0]}"
        return len(ours) >= count

    await side.wait_until(resting, f"{count} orders that rest")


def restart(orders: int, fills: int) -> Pass:
    """Trade, kill, let orders rest, start again; return what that took."""
    with rigged(lifted=True) as rig:
        counted = trade_until(rig.start(), fills)
        epoch = int((rig.home / STATE / "epoch").read_text("ascii"))
        asyncio.run(rest_orders(rig.venue, epoch, orders))
        began = time.monotonic()
        found = _awaited(rig.start(), began)
    with suppress(ChildProcessError):  # the rig has killed it too: no child of ours is alive
        while True:
            os.waitpid(-1, 0)
    return {**found, "fills": float(counted)}


def _awaited(life: Life, began: float) -> Pass:
    wait_for("the first reconciliation", lambda: life.ended or life.looks() > 0, RECONCILED_S)
    reconciled_s = time.monotonic() - began
    life.settle()
    settled_s = time.monotonic() - began
    page = life.metrics()
    assert OPEN_ORDERS.search(page), life.said()
    cancels = CANCELS.search(page)
    return {
        "reconciled": reconciled_s,
        "settled": settled_s,
        "withdrawn": float(cancels[1]) if cancels else 0.0,
    }


def main() -> None:
    """Run the bench."""
    asked = harness.arguments(__doc__.split("\n")[0])
    about = harness.machine()
    adopt()
    patience = harness.Patience(asked.patience)
    run = partial(restart, ORDERS, FILLS)
    found = [harness.quiet_pass(run, patience) for _ in range(asked.passes)]
    results = {
        "killed amid trading": [{**made, "foreign cores": foreign} for made, foreign in found]
    }
    harness.finish(BENCH, results, about, asked.json)


if __name__ == "__main__":
    main()
