"""The router's table in the brain process: what is known of each venue, one row for each.

        touch and its age        the kernel thread's state, read while it works
        traded, drift            closed bars: what may trade, how far the price may move
        fees                     of the account, as entries are weighed with them
        latency                  p99 from decision to first byte, of the last minutes
        health                   trading state, order session, reconciliation, orders in doubt

Nothing here decides: `engine.domain.execution.router` does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from math import sqrt
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.domain.codes import TradingState
from engine.domain.execution.asked import NS_PER_S, least_of
from engine.domain.execution.parent import PPM
from engine.domain.execution.routed import reckoned, said
from engine.domain.execution.router import (
    NS_PER_MS,
    Choice,
    Health,
    Request,
    Route,
    Table,
    Terms,
    Way,
    route,
)
from engine.domain.instrument_row import E8
from engine.domain.market_state import INSTRUMENTS_KNOWN, MAKER_FEE_PPM, TAKER_FEE_PPM
from engine.domain.state import State
from engine.domain.words import Word
from engine.processes.parent_market import MINUTE_NS, expected_lots
from engine.telemetry import BRAIN_HISTOGRAMS
from ringbuffer.counters import HISTOGRAM_MAX, CounterPage, summarise

# A market of 50 % a year moves about 90 ppm in a second, against an order 1 ppm in a millisecond.
TERMS: Final = Terms(wait_ppm_per_ms=1)
# Of a walk the range of a bar is 1.6 deviations and what it moves against us, on average, 0.4.
DRIFT_PER_RANGE: Final = 0.25
LATENCY_WINDOW_NS: Final = 300_000_000_000  # percentiles are of the last one to two of these
SHOW_NS: Final = 2_000_000_000
SHOWN_MAX: Final = 64  # instruments that are shown
SHOWN_PATIENCE_NS: Final = 5_000_000_000  # the patience that is asked for where none is said
PPM_PER_BPS: Final = 100
WAYS: Final = frozenset({Way.TAKE, Way.REST})  # no venue here hides an order
_DECISION_TO_ORDER: Final = [row.name for row in BRAIN_HISTOGRAMS].index("decision_to_order_ns")


class Condition(NamedTuple):
    """A venue's health, and why it is no better."""

    health: Health
    why: str = ""


def condition_of(words: Sequence[int] | NDArray[np.int64]) -> Condition:
    """Return the health of the venue whose order side has these scalars, the gravest reason first.

    Args:
        words: by `Word`.
    """
    down = (
        (words[Word.EFFECTIVE_STATE] == TradingState.HALTED, "trading is halted"),
        (words[Word.STOPPING] != 0, "the engine stops"),
        (words[Word.CONNECTED] == 0, "no order session"),
        (words[Word.SYNCED] == 0, "books are not known to agree"),
    )
    degraded = (
        (words[Word.EFFECTIVE_STATE] != TradingState.ENABLED, "trading is held back"),
        (words[Word.UNKNOWN_COUNT] > 0, "orders are in doubt"),
        (words[Word.FAILURE_COUNT] > 0, "the last orders failed"),
        (words[Word.FETCH_FAILURES] > 0, "its account cannot be fetched"),
    )
    for health, reasons in ((Health.DOWN, down), (Health.DEGRADED, degraded)):
        for holds, why in reasons:
            if holds:
                return Condition(health, why)
    return Condition(Health.READY)


class RecentLatency:
    """The p99 of a histogram over its last minutes: what was slow once is forgotten."""

    def __init__(self, words: Callable[[], list[int]]) -> None:
        """Begin with what comes from now on."""
        self._words = words
        self._older = self._newer = words()
        self._turned_ns = 0

    def p99_ns(self, now_ns: int) -> int:
        """Return it; 0: nothing was measured."""
        words = self._words()
        if now_ns - self._turned_ns >= LATENCY_WINDOW_NS:
            self._older, self._newer, self._turned_ns = self._newer, words, now_ns
        since = [now - then for now, then in zip(words, self._older, strict=True)]
        since[HISTOGRAM_MAX] = words[HISTOGRAM_MAX]  # of the whole run: no percentile is above it
        return summarise(since).p99_ns


class Routes:
    """The table of one brain; its main thread only."""

    def __init__(
        self,
        venue: str,
        state: State,
        page: CounterPage,
        show: Callable[[bytes], object],
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Take what the brain knows.

        Args:
            venue: the name of the venue whose order side the state is.
            state: what the kernel thread works on; read while it does.
            page: the brain's counters.
            show: takes a JSON document for whoever looks.
            now_ns: the clock of the records.
        """
        self._venue = venue
        self._state = state
        self._latency = RecentLatency(lambda: page.histogram(_DECISION_TO_ORDER))
        self._show = show
        self._now_ns = now_ns
        self._latency_ns = 0
        self._round_ns = 0
        self._rows: list[dict[str, Any]] | None = None  # of the round that goes on
        self._next = 0  # instrument

    def look(self) -> None:
        """Measure and show, a round in SHOW_NS, of it one instrument at a time.

        The executor's thread waits for no more than that.
        """
        now_ns = self._now_ns()
        if self._rows is None:
            if now_ns - self._round_ns >= SHOW_NS:
                self._round_ns, self._rows, self._next = now_ns, [], 0
                self._latency_ns = self._latency.p99_ns(now_ns)
            return
        known = min(int(self._state.market.progress[INSTRUMENTS_KNOWN]), SHOWN_MAX)
        if self._next < known:
            self._rows += self._shown_rows(self._next)
            self._next += 1
            return
        self._show(msgspec.json.encode(self._rows))
        self._rows = None

    def table(self, index: int, patience_ns: int) -> Table:
        """Return what is known now, for orders that rest so long at most; prices in 1e-8.

        Args:
            index: of the instrument.
            patience_ns: how long an order rests before it is given up.
        """
        return Table((self._row(index, patience_ns),), self._tick_e8(index), TERMS)

    def _row(self, index: int, patience_ns: int) -> Route:
        market, fees = self._state.market, self._state.market.progress
        hot, tick_e8 = market.hot[index], self._tick_e8(index)
        bid, ask = int(hot["bid_price_ticks"]), int(hot["ask_price_ticks"])
        return Route(
            venue=self._venue,
            health=self._condition.health,
            ways=WAYS,
            bid_e8=bid * tick_e8,
            ask_e8=ask * tick_e8,
            bid_lots=int(hot["bid_qty_lots"]),
            ask_lots=int(hot["ask_qty_lots"]),
            touch_age_ns=max(self._now_ns() - int(hot["quote_receive_time_ns"]), 0),
            latency_ns=self._latency_ns,
            maker_ppm=int(fees[MAKER_FEE_PPM]),
            taker_ppm=int(fees[TAKER_FEE_PPM]),
            impact_ppm=(ask - bid) * PPM // bid if bid else 0,  # as an entry's slippage is weighed
            traded_lots=self._traded_lots(index, patience_ns),
            drift_ppm=self._drift_ppm(index, patience_ns, (bid + ask) / 2),
            least_lots=least_of(market.instruments[index], (bid + ask) / 2).lots,
        )

    @property
    def _condition(self) -> Condition:
        return condition_of(self._state.desk.words)

    def _tick_e8(self, index: int) -> int:
        row = self._state.market.instruments[index]
        exponent = int(row["price_exponent"])
        return max(int(row["tick_scaled"]) * E8 // int(10**exponent), 1)

    def _traded_lots(self, index: int, patience_ns: int) -> int:
        """Return what the market may trade while an order rests; 0: not known yet."""
        if MINUTE_NS not in self._state.market.timeframes_ns:
            return 0
        return expected_lots(self._state, index, patience_ns / NS_PER_S)

    def _drift_ppm(self, index: int, patience_ns: int, mid_ticks: float) -> int:
        """Return what the price may move against an order while it rests; 0: not known yet.

        By the longest bars that are no longer than that, else by the shortest there are.
        """
        market = self._state.market
        frames = market.timeframes_ns.tolist()
        warm = [t for t in range(len(frames)) if market.atr_ticks[index, t] > 0.0]
        if not warm or mid_ticks <= 0:
            return 0
        t = max((t for t in warm if frames[t] <= patience_ns), default=warm[0])
        moved = DRIFT_PER_RANGE * float(market.atr_ticks[index, t])
        return round(moved * sqrt(patience_ns / frames[t]) / mid_ticks * PPM)

    # -- showing -----------------------------------------------------------------------------------

    def _shown_rows(self, index: int) -> list[dict[str, Any]]:
        table = self.table(index, SHOWN_PATIENCE_NS)
        return [_shown(index, table, row, self._condition.why) for row in table.rows]


def _shown(index: int, table: Table, row: Route, why: str) -> dict[str, Any]:
    return {
        "venue": row.venue,
        "instrument_index": index,
        "health": row.health.name,
        "why": why,
        "bid_ticks": row.bid_e8 // table.tick_e8,
        "ask_ticks": row.ask_e8 // table.tick_e8,
        "touch_age_ms": round(row.touch_age_ns / NS_PER_MS, 1),
        "latency_p99_ms": round(row.latency_ns / NS_PER_MS, 3),
        "maker_bps": row.maker_ppm / PPM_PER_BPS,
        "taker_bps": row.taker_ppm / PPM_PER_BPS,
        "drift_bps": row.drift_ppm / PPM_PER_BPS,
        "traded_lots": row.traded_lots,
        "buy": _answer(table, row, 1),
        "sell": _answer(table, row, -1),
    }


def _answer(table: Table, row: Route, side: int) -> str:
    """Return what the router says of the least order at one venue."""
    answer = route((row,), Request(side, row.least_lots), table.terms)
    if not isinstance(answer, Choice):
        return said(answer)
    cost_bps = reckoned(table._replace(rows=(row,)), answer, side).cost_bps
    return f"{answer.way.name} {cost_bps:+.2f}"
