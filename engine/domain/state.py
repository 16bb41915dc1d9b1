"""The state of a brain: what the market side knows and what the order side knows, preallocated.

Nothing in it grows. `create_state` is the only place that allocates; two states made with the same
arguments and fed the same records hold the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.domain.arrays import aligned_zeros
from engine.domain.bounds import MODES_SIZE, pack_bounds
from engine.domain.desk import (
    BRACKET_DTYPE,
    DRAFT_DTYPE,
    HELD_COLUMNS,
    HELD_MAX,
    HOLDING_DTYPE,
    LEDGER_DTYPE,
    REFUSAL_DTYPE,
    VENUE_DTYPE,
    Desk,
)
from engine.domain.firewall_reasons import FIREWALL_REASON_COUNT
from engine.domain.key_index import create_index
from engine.domain.limits import (
    LOTS_MAX,
    RiskLimits,
    pack_instrument_limits,
    pack_limits,
    pack_rates,
)
from engine.domain.making import QUOTE_DTYPE
from engine.domain.market_state import MarketState, create_market_state
from engine.domain.opportunity import (
    EXPOSURE_DTYPE,
    OPPORTUNITIES_PER_RECORD_MAX,
    OPPORTUNITY_DTYPE,
)
from engine.domain.order_store import create_orders
from engine.domain.position import POSITION_DTYPE
from engine.domain.strategy_table import StrategyKind, StrategyRow
from engine.domain.trade_ids import INSTRUMENT_PLACES, PAYMENTS_MAX
from engine.domain.words import TALLIES_MAX, WORDS_MAX, Word

REQUESTS_MAX = 1024  # orders from outside remembered by their request
REQUEST_WORDS = 3  # request, order key, refusal mask
ORDERS_MAX = 4096  # open and recently settled orders together
TRADES_MAX = 16384  # trade ids remembered one by one
UNIT_E8_MAX = 10**9 * LOTS_MAX  # a lot's price step; keeps one lot's worth in an int64


class State(NamedTuple):
    """Both sides of a brain's state."""

    market: MarketState
    desk: Desk


def create_desk(
    instruments: NDArray[np.void],
    strategies: Sequence[StrategyRow],
    limits: RiskLimits,
    market: MarketState,
    epoch: int,
    orders_max: int = ORDERS_MAX,
    trades_max: int = TRADES_MAX,
) -> Desk:
    """Return the order side before its first record.

    Args:
        instruments: INSTRUMENT_DTYPE[n]; row i describes instrument_index i.
        strategies: rows by column: the market side's strategies, then those of orders from outside.
        epoch: fencing number of this session, above 0; the lease is held when the session starts.
    """
    n, s, deciding = len(instruments), len(strategies), market.strategy_memory.shape[1]
    assert deciding <= s, "whoever decides has a column"
    assert 0 < n <= INSTRUMENT_PLACES, f"instruments: {n}"
    assert epoch > 0, "a session without an epoch may not trade"
    units = instruments["unit_e8"]
    assert (units > 0).all(), "money is exact in e8"
    assert (units <= UNIT_E8_MAX).all(), "the worth of a lot fits an int64"
    makers = np.flatnonzero(market.strategies["kind"] == StrategyKind.MAKING)
    words = np.zeros(WORDS_MAX, dtype=np.int64)
    words[Word.EPOCH] = epoch
    words[Word.LEASE_EPOCH] = epoch
    words[Word.NEXT_ORDER_SEQUENCE] = 1
    return Desk(
        words=words,
        counts=np.zeros(TALLIES_MAX, dtype=np.int64),
        instruments=market.instruments,
        hot=market.hot,
        liveness=market.liveness,
        progress=market.progress,
        orders=create_orders(orders_max),
        order_blank=create_orders(1),
        order_index=create_index(orders_max),
        open_rows=np.zeros(orders_max, dtype=np.int64),
        trade_ring=np.zeros(trades_max, dtype=np.int64),
        trade_index=create_index(trades_max),
        payment_ring=np.zeros(PAYMENTS_MAX, dtype=np.int64),
        payment_index=create_index(PAYMENTS_MAX),
        positions=aligned_zeros((n, s + 2), POSITION_DTYPE),
        pending=aligned_zeros((n, s + 1, 2), np.int64),
        ledger=aligned_zeros((n,), LEDGER_DTYPE),
        exposure=aligned_zeros((n, deciding), EXPOSURE_DTYPE),
        held_rows=market.held_rows,
        trails=market.trails,
        limits=pack_limits(limits),
        instrument_limits=pack_instrument_limits(limits, instruments),
        bounds=pack_bounds(limits, strategies),
        modes=np.zeros(MODES_SIZE, dtype=np.int64),
        rates=pack_rates(limits, n),
        refusals=np.zeros((n, s + 1), dtype=REFUSAL_DTYPE),
        venue=np.zeros(n, dtype=VENUE_DTYPE),
        draft=aligned_zeros((1,), DRAFT_DTYPE),
        brackets=np.zeros((n, s + 1), dtype=BRACKET_DTYPE),
        held_drafts=np.zeros(HELD_MAX, dtype=DRAFT_DTYPE),
        held=np.zeros((HELD_MAX, HELD_COLUMNS), dtype=np.int64),
        opportunities=aligned_zeros(
            (min(deciding, OPPORTUNITIES_PER_RECORD_MAX),), OPPORTUNITY_DTYPE
        ),
        rejects=np.zeros((FIREWALL_REASON_COUNT, 2), dtype=np.int64),
        requests=np.zeros((REQUESTS_MAX, REQUEST_WORDS), dtype=np.int64),
        makers=np.stack([makers, market.strategies["expiry_ns"][makers]], axis=1),
        quotes=aligned_zeros((n, len(makers)), QUOTE_DTYPE),
        holdings=aligned_zeros((n, deciding), HOLDING_DTYPE),
    )


def create_state(
    instruments: NDArray[np.void],
    strategies: Sequence[StrategyRow],
    limits: RiskLimits,
    *,
    epoch: int,
    timeframes_s: Sequence[int] | None = None,
    vector_rows: int = 0,
) -> State:
    """Return the state before the first record; see `create_desk` and `create_market_state`.

    Args:
        instruments: INSTRUMENT_DTYPE[n].
        strategies: rows by strategy_index; those of kind OUTSIDE last.
        limits: the gates' bounds.
        epoch: fencing number of this session, above 0.
        timeframes_s: bar lengths; None: what the rows read.
        vector_rows: feature vectors that one step may leave.
    """
    deciding = [row for row in strategies if row.kind is not StrategyKind.OUTSIDE]
    assert deciding == list(strategies[: len(deciding)]), "orders from outside have the last rows"
    market = create_market_state(instruments, deciding, timeframes_s, vector_rows=vector_rows)
    return State(market, create_desk(instruments, strategies, limits, market, epoch))
