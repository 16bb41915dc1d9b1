"""The router's table as a running engine would have it at a place of a recording.

        records -> the brain's own kernels (firewall, quotes, bars) -> what `Routes` reads -> table

A market state has a strategy; what it wants is never done. The account on paper is always there and
in order, and nothing here measures how long this machine takes to send: its latency is 0, as that
of an engine that has sent nothing yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.domain.execution.router import Table
from engine.domain.instrument import instrument_rows
from engine.domain.instrument_row import Instrument
from engine.domain.limits import RiskLimits
from engine.domain.market_state import (
    MAKER_FEE_PPM,
    NEVER_NS,
    TAKER_FEE_PPM,
    create_market_state,
)
from engine.domain.shadow import create_shadow, shadow_market
from engine.domain.state import State, create_desk
from engine.domain.strategy_table import STRATEGY_TABLE
from engine.domain.words import Word
from engine.processes.routes import Routes
from ringbuffer.counters import PAGE_WORDS, CounterPage

VENUE: Final = "paper"
WATCHER: Final = STRATEGY_TABLE[:1]
Records = NDArray[np.void]


class TapeRoutes:
    """The table of one recording; the records are told in their order."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        maker_fee_ppm: int,
        taker_fee_ppm: int,
        now_ns: Callable[[], int],
    ) -> None:
        """Begin before the first record.

        Args:
            instruments: by instrument index.
            maker_fee_ppm: of the account, parts of a million of the notional.
            taker_fee_ppm: likewise.
            now_ns: the recording's clock, on which its records were received.
        """
        rows = instrument_rows(instruments)
        self._market = create_market_state(rows, WATCHER)
        self._market.progress[MAKER_FEE_PPM] = maker_fee_ppm
        self._market.progress[TAKER_FEE_PPM] = taker_fee_ppm
        self._shadow = create_shadow(len(instruments), len(WATCHER), since_ns=NEVER_NS)
        desk = create_desk(rows, WATCHER, RiskLimits(), self._market, epoch=1)
        desk.words[[Word.CONNECTED, Word.SYNCED]] = 1
        page = CounterPage(memoryview(bytearray(8 * PAGE_WORDS)).cast("q"))
        self._routes = Routes(VENUE, State(self._market, desk), page, lambda _: None, now_ns)

    def take(self, records: Records) -> None:
        """Take MARKET_DTYPE[n], the next ones of the recording."""
        # A copy: kernels are compiled for records that may be written, those of a tape may not be.
        shadow_market(self._market, self._shadow, records.copy(), 0)

    def table(self, index: int, patience_ns: int) -> Table:
        """Return what is known now, for orders that rest so long at most; prices in 1e-8."""
        return self._routes.table(index, patience_ns)
