"""Stops that trail: they follow the best price of a position at a distance, and never go back.

    entry wanted    its distance is set, in whole ticks              (`opportunity.set_distances`)
    a quote         best = the better of best and touch; stop = best - distance, of a long
    STOP_TRAILED    best and stop, at the first quote and whenever the best price went another
                    1 / TOLD_PARTS of the distance on: what a restart goes on with
    RESTORE_POSITION    brings both back

The touch is where an exit would fill: the bid of a long, the ask of a short. Best begins as the
entry's price. A position whose distance is not known takes the one of now.
"""

from __future__ import annotations

import math

import numpy as np

from engine.domain.codes import EventType
from engine.domain.desk import Desk, Out
from engine.domain.emit import begin_event, event_room
from engine.domain.kernel import Records, fused, kernel
from engine.domain.market_state import INSTRUMENTS_KNOWN, TRAILS_DUE, MarketState
from engine.domain.row_bits import next_row
from engine.domain.strategy_table import StrategyReason

TOLD_PARTS = 10  # a restart loses at most this part of the distance

_STOP_TRAILED = int(EventType.STOP_TRAILED)
_TRAILING_STOP = int(StrategyReason.TRAILING_STOP)


@fused
def whole_ticks(distance_ticks: float) -> int:
    """Return a distance in whole ticks, rounded up; 0: none, or not known."""
    return math.ceil(distance_ticks) if distance_ticks > 0.0 else 0


@kernel
def is_due(trails: Records, exposure: Records, i: int, s: int) -> bool:
    """Return whether a position's stop is known, and has gone far enough since it was told."""
    distance = trails["distance_ticks"][i, s]
    if distance == 0 or trails["since_ns"][i, s] != exposure["entry_time_ns"][i, s]:
        return False
    told = trails["told_ticks"][i, s]
    gone = abs(trails["best_ticks"][i, s] - told)
    return bool(told == 0 or (gone > 0 and gone * TOLD_PARTS >= distance))


@kernel
def trailed_move(market: MarketState, exposure: Records, i: int, s: int, touch: int) -> float:
    """Let a position's best price follow the touch, in place.

    Returns:
        Where its stop stands now, ticks from the entry's price, below 0 where it would lose; -inf:
        the distance is not known.
    """
    held, trails = exposure[i, s], market.trails
    side = 1 if held["position_lots"] > 0 else -1
    entry_ticks = held["entry_price_ticks"]
    if trails["since_ns"][i, s] != held["entry_time_ns"]:
        trails["since_ns"][i, s] = held["entry_time_ns"]
        trails["best_ticks"][i, s] = entry_ticks
        trails["told_ticks"][i, s] = 0
    if trails["distance_ticks"][i, s] == 0:
        row = market.strategies[s]
        atr_ticks = market.atr_ticks[i, row["timeframe_index"]]
        trails["distance_ticks"][i, s] = whole_ticks(row["trail_atr"] * atr_ticks)
    distance = trails["distance_ticks"][i, s]
    best = trails["best_ticks"][i, s]
    if (touch - best) * side > 0:
        best = touch
        trails["best_ticks"][i, s] = best
    if distance == 0:
        return -np.inf
    if is_due(trails, exposure, i, s):
        market.progress[TRAILS_DUE] = 1
    return float((best - entry_ticks) * side - distance)


@kernel
def tell_trails(market: MarketState, desk: Desk, out: Out, reserve: int) -> None:
    """Write STOP_TRAILED of every stop that went on far enough, leaving room for `reserve` events.

    What finds no room waits for the next step.
    """
    if market.progress[TRAILS_DUE] == 0:
        return
    trails = market.trails
    for i in range(market.progress[INSTRUMENTS_KNOWN]):
        rows = market.held_rows[i]
        s = next_row(rows, rows, 0)
        while s >= 0:
            if is_due(trails, desk.exposure, i, s):
                if event_room(out) <= reserve:
                    return
                tell_trail(desk, out, i, s)
            s = next_row(rows, rows, s + 1)
    market.progress[TRAILS_DUE] = 0


@kernel
def tell_trail(desk: Desk, out: Out, i: int, s: int) -> None:
    """Write STOP_TRAILED of one position."""
    trails = desk.trails
    best = trails["best_ticks"][i, s]
    side = 1 if desk.exposure["position_lots"][i, s] > 0 else -1
    n = begin_event(desk, out, _STOP_TRAILED)
    out.events["instrument_index"][n] = i
    out.events["strategy_index"][n] = s
    out.events["side"][n] = -side
    out.events["reason"][n] = _TRAILING_STOP
    out.events["last_price_ticks"][n] = best
    out.events["price_ticks"][n] = best - side * trails["distance_ticks"][i, s]
    trails["told_ticks"][i, s] = best


@kernel
def restore_trail(desk: Desk, events: Records, n: int, i: int, s: int, now_ns: int) -> None:
    """Go on with the best price and the distance that RESTORE_POSITION says, in place."""
    best = events["last_price_ticks"][n]
    if best <= 0:
        return
    desk.trails["distance_ticks"][i, s] = abs(best - events["price_ticks"][n])
    desk.trails["since_ns"][i, s] = now_ns
    desk.trails["best_ticks"][i, s] = best
    desk.trails["told_ticks"][i, s] = best
