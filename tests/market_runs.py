"""Whole markets through the market side of the brain, with the simplest possible order side.

`run_paper` fills every opportunity at once, at the quote, so that strategies see positions come and
go. `synthetic_market` makes a small seeded market of every record type, with bursts of one-sided
flow and some poison in it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from engine.domain.codes import (
    LEVEL_BID,
    LEVEL_LAST_OF_DIFF,
    LEVEL_SNAPSHOT_FIRST,
    TRADE_BUYER_AGGRESSOR,
    Channel,
    Liveness,
    RecordType,
)
from engine.domain.kernel import entry, kernel
from engine.domain.market_state import MarketState, create_market_state
from engine.domain.row_bits import mark_row, pack_bits
from engine.domain.strategy import (
    EXPOSURE_DTYPE,
    OPPORTUNITIES_PER_RECORD_MAX,
    OPPORTUNITY_DTYPE,
    StrategyReason,
    apply_market,
)
from engine.domain.strategy_table import StrategyRow
from tests.builders import MS, START_RECEIVE_NS, START_VENUE_NS, S, joined
from tests.captures import from_rows

LOG_DTYPE = np.dtype(
    [
        ("record", "<i8"),
        ("instrument_index", "<i8"),
        ("strategy_index", "<i8"),
        ("side", "<i8"),
        ("is_entry", "<i8"),
        ("reason", "<i8"),
        ("qty_lots", "<i8"),
        ("price_ticks", "<i8"),
        ("score", "<f8"),
        ("input_1", "<f8"),
        ("input_2", "<f8"),
        ("input_3", "<f8"),
        ("input_4", "<f8"),
        ("expected_move_bps", "<f8"),  # of an entry, like the next
        ("confidence", "<f8"),
        ("cost_bps", "<f8"),
        ("edge_bps", "<f8"),
    ]
)
LOG_MAX = 100_000


@kernel
def fill_at_quote(
    market: MarketState,
    exposure: np.ndarray,
    opportunities: np.ndarray,
    k: int,
    now_ns: int,
) -> int:
    """Fill one opportunity at the quote, in place; return the price."""
    i = opportunities["instrument_index"][k]
    s = opportunities["strategy_index"][k]
    side = opportunities["side"][k]
    price = market.hot["ask_price_ticks"][i] if side > 0 else market.hot["bid_price_ticks"][i]
    exposure["position_lots"][i, s] += side * opportunities["qty_lots"][k]
    mark_row(market.held_rows[i], s, exposure["position_lots"][i, s] != 0)
    if opportunities["is_entry"][k] != 0:
        exposure["entry_price_ticks"][i, s] = price
        exposure["entry_time_ns"][i, s] = now_ns
    else:
        exposure["entry_price_ticks"][i, s] = 0
        exposure["last_exit_time_ns"][i, s] = now_ns
    return price


@entry
def run_paper(
    market: MarketState,
    exposure: np.ndarray,
    slots: np.ndarray,
    opportunities: np.ndarray,
    log: np.ndarray,
) -> int:
    """Apply every record, fill what strategies want at once; return the length of the log."""
    length = 0
    for record in range(slots.shape[0]):
        now_ns = slots["receive_time_ns"][record]
        count = apply_market(market, exposure, slots, record, now_ns, opportunities)
        for k in range(count):
            price = fill_at_quote(market, exposure, opportunities, k, now_ns)
            log["record"][length] = record
            log["instrument_index"][length] = opportunities["instrument_index"][k]
            log["strategy_index"][length] = opportunities["strategy_index"][k]
            log["side"][length] = opportunities["side"][k]
            log["is_entry"][length] = opportunities["is_entry"][k]
            log["reason"][length] = opportunities["reason"][k]
            log["qty_lots"][length] = opportunities["qty_lots"][k]
            log["price_ticks"][length] = price
            log["score"][length] = opportunities["score"][k]
            log["input_1"][length] = opportunities["input_1"][k]
            log["input_2"][length] = opportunities["input_2"][k]
            log["input_3"][length] = opportunities["input_3"][k]
            log["input_4"][length] = opportunities["input_4"][k]
            if opportunities["is_entry"][k] != 0:
                log["expected_move_bps"][length] = opportunities["expected_move_bps"][k]
                log["confidence"][length] = opportunities["confidence"][k]
                log["cost_bps"][length] = opportunities["cost_bps"][k]
                log["edge_bps"][length] = opportunities["edge_bps"][k]
            length += 1
    return length


class PaperRun(NamedTuple):
    """What a run left behind."""

    market: MarketState
    exposure: np.ndarray
    log: np.ndarray

    def entries(self, strategy: int) -> np.ndarray:
        """Return the log rows of one strategy's entries."""
        chosen = (self.log["strategy_index"] == strategy) & (self.log["is_entry"] == 1)
        return self.log[chosen]

    def exits(self, strategy: int) -> np.ndarray:
        """Return the log rows of one strategy's exits: each ends a round trip."""
        chosen = (self.log["strategy_index"] == strategy) & (self.log["is_entry"] == 0)
        return self.log[chosen]

    def reasons(self, strategy: int) -> dict[str, int]:
        """Return how often a strategy acted for each reason."""
        rows = self.log[self.log["strategy_index"] == strategy]
        numbers, counts = np.unique(rows["reason"], return_counts=True)
        return {
            StrategyReason(int(number)).name: int(count)
            for number, count in zip(numbers, counts, strict=True)
        }


def play(
    records: np.ndarray,
    instruments: np.ndarray,
    strategies: Sequence[StrategyRow],
    timeframes_s: Sequence[int] | None = None,
    *,
    asks_all: bool = False,
) -> PaperRun:
    """Run a market from the start through a fresh state.

    `asks_all`: every strategy is asked about every quote, as if each were of a kind for quotes.
    """
    market = create_market_state(instruments, strategies, timeframes_s)
    if asks_all:
        market.quote_rows[:] = pack_bits([True] * len(strategies))
    exposure = np.zeros((len(instruments), len(strategies)), dtype=EXPOSURE_DTYPE)
    opportunities = np.zeros(OPPORTUNITIES_PER_RECORD_MAX, dtype=OPPORTUNITY_DTYPE)
    log = np.zeros(LOG_MAX, dtype=LOG_DTYPE)
    length = run_paper(market, exposure, records, opportunities, log)
    return PaperRun(market, exposure, log[:length])


def arrays_of(state: NamedTuple, prefix: str = "") -> dict[str, np.ndarray]:
    """Return every array of a state, by dotted name; rows that hold arrays field by field."""
    found: dict[str, np.ndarray] = {}
    for name, part in state._asdict().items():
        if not isinstance(part, np.ndarray):
            found |= arrays_of(part, f"{prefix}{name}.")
        elif any(part.dtype[k].shape for k in range(len(part.dtype))):
            found |= {f"{prefix}{name}.{field}": part[field] for field in part.dtype.names}
        else:
            found[prefix + name] = part
    return found


class SyntheticMarket:
    """A seeded random walk of one quote per instrument, with everything else around it."""

    def __init__(self, seed: int, instruments: int) -> None:
        """Start every instrument at its own price."""
        self.random = np.random.default_rng(seed)
        self.mid = [600_000 + 1_000 * i for i in range(instruments)]
        self.trade_id = [100] * instruments
        self.update_id = [1_000] * instruments
        self.burst = [0] * instruments  # side of a burst of one-sided flow
        self.receive_ns = START_RECEIVE_NS
        self.venue_ns = START_VENUE_NS
        self.rows: list[list[int]] = []

    def add(self, record_type: int, i: int, flags: int, aux: int, *payload: int) -> None:
        """Append one record at the present time."""
        header = [self.receive_ns, self.venue_ns, i, int(record_type), flags, aux]
        self.rows.append([*header, *payload, *([0] * (4 - len(payload)))])

    def add_quote(self, i: int) -> None:
        """Append a quote around the instrument's mid, heavier on the side of a burst."""
        self.update_id[i] += int(self.random.integers(1, 9))
        heavy, light = int(self.random.integers(500, 900)), int(self.random.integers(1, 400))
        bid_lots, ask_lots = (heavy, light) if self.burst[i] >= 0 else (light, heavy)
        spread = int(self.random.integers(1, 4))
        self.add(
            RecordType.QUOTE,
            i,
            0,
            self.update_id[i],
            self.mid[i],
            self.mid[i] + spread,
            bid_lots,
            ask_lots,
        )

    def add_trade(self, i: int) -> None:
        """Append a trade; in a burst all takers are on one side and the price follows."""
        self.trade_id[i] += 1
        side = self.burst[i] or int(self.random.choice([-1, 1]))
        self.mid[i] += side * int(self.random.integers(0, 8))
        flags = TRADE_BUYER_AGGRESSOR if side > 0 else 0
        qty = int(self.random.integers(1, 200))
        self.add(RecordType.TRADE, i, flags, 0, self.mid[i], qty, self.trade_id[i], 1)

    def add_levels(self, i: int) -> None:
        """Append a small book diff, now and then a snapshot."""
        snapshot = LEVEL_SNAPSHOT_FIRST if self.random.random() < 0.2 else 0
        for k in range(6):
            side = LEVEL_BID if k < 3 else 0
            last = LEVEL_LAST_OF_DIFF if k == 5 else 0
            offset = int(self.random.integers(0, 30))
            price = self.mid[i] - offset if side else self.mid[i] + 1 + offset
            qty = int(self.random.integers(0, 4)) * 100
            self.add(RecordType.LEVEL, i, side | last | (snapshot if k == 0 else 0), 0, price, qty)

    def add_rare(self, i: int) -> None:
        """Append a record of a slow channel, or poison."""
        kind = int(self.random.integers(0, 8))
        if kind == 0:
            price = self.mid[i] * 10**7
            self.add(RecordType.MARK, i, 0, 0, price, price, 10_000, self.venue_ns + 3600 * S)
        elif kind == 1:
            self.add(RecordType.LIQUIDATION, i, 1, 0, self.mid[i], 5, self.mid[i])
        elif kind == 2:
            self.add(RecordType.LIVENESS, i, 0, int(Channel.BOOK), int(Liveness.LIVE))
        elif kind == 3 and self.random.random() < 0.2:
            self.add(RecordType.GAP, i, 0, int(self.random.integers(0, 6)), 3, 1, 3, 1)
        elif kind == 4:
            self.add(RecordType.QUOTE, i, 0, 0, self.mid[i] + 5, self.mid[i], 10, 10)
        elif kind == 5:
            self.add(RecordType.TRADE, i, 0, 0, self.mid[i] * 3, 10, 0, 1)
        elif kind == 6:
            self.add(RecordType.QUOTE, 4_000, 0, 0, 10, 11, 1, 1)
        else:
            late_ns, self.venue_ns = self.venue_ns, self.venue_ns - 5 * S
            self.add_trade(i)
            self.venue_ns = late_ns

    def step(self) -> None:
        """Append one record or one diff and let time pass."""
        i = int(self.random.integers(0, len(self.mid)))
        if self.random.random() < 0.004:
            self.burst[i] = int(self.random.choice([-1, 0, 1]))
        kind = self.random.random()
        if kind < 0.55:
            self.add_quote(i)
        elif kind < 0.93:
            self.add_trade(i)
        elif kind < 0.98:
            self.add_levels(i)
        else:
            self.add_rare(i)
        elapsed_ns = int(self.random.integers(1, 40)) * MS
        self.receive_ns += elapsed_ns
        self.venue_ns += elapsed_ns


def synthetic_market(count: int, *, seed: int = 1, instruments: int = 2) -> np.ndarray:
    """Return about `count` records of a seeded market, numbered from 0."""
    market = SyntheticMarket(seed, instruments)
    while len(market.rows) < count:
        market.step()
    return joined([from_rows(np.array(market.rows, dtype=np.int64))])
