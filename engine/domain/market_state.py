"""What the brain knows of the market: one tuple of preallocated arrays, one writer, no objects.

Everything is indexed by instrument first. What quotes and trades touch is one row of `hot`, whole
cache lines side by side; the rest is touched by book diffs or at a bar's end.

    hot[i]               quote, last trade, times, counts, marks, and in the same row:
      anchors[lane, column]     the firewall's (engine.domain.firewall_lanes)
      micro[column]             features of quote and flow (engine.domain.features.micro)
      flow_sums[8], flow_buckets[bucket, 4]     what they are made of
      moves[lane, column], book_check, bar      the firewall's memory
    books[i]             levels, best first (engine.domain.book)
    forming[i, t], closed[i, t, k & mask]                 bars
    bar_features[i, t, column], feature_memory[i, t, cell]  of the newest closed bar; their state
    structure[i, t]                                       smart-money structure of closed bars
    strategy_memory[i, s], trails[i, s]                   what a strategy remembers of its entry
    quote_rows[word], held_rows[i, word]                  bits: strategies asked at every quote, and
                                                          those that hold a position
    vectors[k]                      feature vectors of bars that ended since they were last taken
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.domain.arrays import CACHE_LINE_BYTES, aligned_copy, aligned_zeros
from engine.domain.bar_sizes import bar_size
from engine.domain.bars import BAR_DTYPE, BAR_RING_BARS
from engine.domain.book import BOOK_DTYPE
from engine.domain.codes import Channel
from engine.domain.features.catalogue import (
    Catalogue,
    catalogue_text,
    compile_plan,
    plan_hash,
    plan_word,
)
from engine.domain.features.coarse import create_coarse
from engine.domain.features.micro import FLOW_BUCKETS, FLOW_SUMS, LONG, MICRO_COLUMNS
from engine.domain.features.plan import FeaturePlan
from engine.domain.features.series import (
    BAR_INPUTS,
    CONTEXT_WORDS,
    SERIES_BARS,
    SERIES_COLUMNS,
)
from engine.domain.firewall_lanes import ANCHOR_COLUMNS, LANES, MOVE_COLUMNS
from engine.domain.firewall_memory import BAR_WORDS, BOOK_WORDS
from engine.domain.firewall_reasons import FIREWALL_REASON_COUNT
from engine.domain.kernel import Bytes, Floats, Integers, Records
from engine.domain.records import VECTOR_DTYPE, VECTOR_VALUES_MAX
from engine.domain.row_bits import pack_bits, words_for
from engine.domain.score import ORDERFLOW_WEIGHTS
from engine.domain.strategy_rows import (
    PLAIN_NUMBERS,
    STRATEGY_DTYPE,
    STRATEGY_MEMORY_DTYPE,
    TRAIL_DTYPE,
)
from engine.domain.strategy_table import (
    COMMON_PARAMETERS,
    PARAMETERS_MAX,
    STRATEGIES_MAX,
    Rule,
    StrategyError,
    StrategyKind,
    StrategyRow,
    bars_of,
    check_row,
    numbers_of,
    parameters_of,
    rule_of,
)
from engine.domain.structure import create_structure

DEFAULT_TIMEFRAMES_S = (1, 5, 60)
TIMEFRAMES_MAX = 8
NEVER_NS = np.iinfo(np.int64).max  # no bar is open
S_TO_NS = 1_000_000_000
E8 = 100_000_000

HOT_DTYPE = np.dtype(
    [
        ("bid_price_ticks", "<i8"),  # 0: no quote yet
        ("ask_price_ticks", "<i8"),
        ("bid_qty_lots", "<i8"),
        ("ask_qty_lots", "<i8"),
        ("quote_receive_time_ns", "<i8"),
        ("receive_time_ns", "<i8"),  # of the last accepted record of any channel
        ("next_close_ns", "<i8"),  # end of the first open bar; NEVER_NS: none
        ("flow_bucket", "<i8"),
        # second line
        ("last_price_ticks", "<i8"),  # of the last trade; 0: none yet
        ("quote_venue_time_ns", "<i8"),
        ("trade_venue_time_ns", "<i8"),
        ("trade_receive_time_ns", "<i8"),
        ("trade_count", "<i8"),
        ("late_trade_count", "<i8"),
        ("gap_count", "<i8"),
        ("conflated_count", "<i8"),
        # third line
        ("mark_price_e8", "<i8"),
        ("index_price_e8", "<i8"),
        ("funding_rate_e8", "<i8"),
        ("next_funding_time_ns", "<i8"),
        ("mark_receive_time_ns", "<i8"),
        ("liquidation_buy_lots", "<i8"),  # totals since start
        ("liquidation_sell_lots", "<i8"),
        ("unused", "<i8"),
        # WHY: arrays of a row have their shape in its type, so that an index costs no
        # multiplication; arrays of the state have it in memory.
        ("anchors", "<i8", (LANES, ANCHOR_COLUMNS)),  # a line per lane
        ("micro", "<f8", (MICRO_COLUMNS,)),
        ("flow_sums", "<f8", (FLOW_SUMS,)),
        ("flow_buckets", "<f8", (FLOW_BUCKETS, LONG)),
        ("moves", "<i8", (LANES, MOVE_COLUMNS)),
        ("book_check", "<i8", (BOOK_WORDS,)),
        ("bar", "<i8", (BAR_WORDS,)),
    ]
)
assert HOT_DTYPE.itemsize == 18 * CACHE_LINE_BYTES, "the hot row fills whole cache lines"

# Where a row of kind RULES keeps its rules in its parameters, behind KIND_PARAMETERS: rule, column.
RULE_CELLS = {"entry": (3, 4), "exit": (5, 6), "filter": (7, 8)}
MICRO_BASE = 10_000  # columns from here on are of quotes and trades

# Kinds that may enter at a quote; those of others are asked at a quote while they hold a position.
QUOTE_KINDS = (StrategyKind.ORDERFLOW, StrategyKind.QUOTE_IMBALANCE)

TREND_LABEL = "regime.trend_30.label"
VOLATILITY_LABEL = "regime.volatility_10_60.label"

# Words of `progress`.
SEQUENCE_LAST = 0
VENUE_TIME_NEWEST_NS = 1
CLOCK_VALID = 2
CLOCK_OFFSET_NS = 3
CLOCK_RATE_PPB = 4
CLOCK_ANCHOR_NS = 5
USES_SCORE = 6
INSTRUMENTS_KNOWN = 7  # rows that stand for one; those behind wait for instruments to come
LEADER = 8  # instrument that others are compared with; -1: none
VECTORS_WAITING = 9  # rows of `vectors` that hold one; who takes them sets 0
VECTORS_LOST = 10  # that found no room since the start
PLAN_WORD = 11  # what names the plan in each vector
TAKER_FEE_PPM = 12  # what an entry is thought to pay a fill, parts of a million
TREND_COLUMN = 13  # of the regime's label among the columns of bars; -1: it is not computed
VOLATILITY_COLUMN = 14
ENTRIES_WITHOUT_EDGE = 15  # wanted since the start, and not worth their cost
USES_BRACKETS = 16  # 1: stop and target of some row rest at the venue
MAKER_FEE_PPM = 17  # what a fill of a quote is thought to pay, parts of a million
EQUITY_E8 = 18  # of the account, as the order side last knew it; 0: not known
LOSS_USED_PPM = 19  # of the nearer loss limit, parts of a million
ENTRIES_WITHOUT_SIZE = 20  # wanted since the start, and too small for the venue once sized
SCORER_FAULT_NS = 21  # monotonic, of the newest answer that was none; 0: the scorer is sound
TRAILS_DUE = 22  # 1: a stop trailed far enough for a record of it
PROGRESS_WORDS = 23


class MarketState(NamedTuple):
    """Every array the market side of a step reads and writes. See the module's picture."""

    instruments: Records  # INSTRUMENT_DTYPE[n]; FILTER records change bounds in it
    strategies: Records  # STRATEGY_DTYPE[s], read only
    parameters: Floats  # float64[s, PARAMETERS_MAX], the kinds' own parameters, read only
    timeframes_ns: Integers  # int64[clocks], ascending, of the bars that end by the clock
    bar_kinds: Integers  # int64[t], BarKind: CLOCK for those, then what ends the others; read only
    thresholds: Integers  # int64[n, t], where those others end, in their kind's unit
    measures: Integers  # int64[n, t], how far the open ones of them are
    score_weights: Floats  # float64[inputs, 3]
    progress: Integers  # int64[PROGRESS_WORDS]
    reject_counts: Integers  # int64[FIREWALL_REASON_COUNT]
    liveness: Bytes  # uint8[n, channels], Liveness
    hot: Records  # HOT_DTYPE[n]
    books: Records  # BOOK_DTYPE[n]
    forming: Records  # BAR_DTYPE[n, t]
    closed: Records  # BAR_DTYPE[n, t, BAR_RING_BARS]
    closed_count: Integers  # int64[n, t]
    atr_ticks: Floats  # float64[n, t], NaN until warm
    atr_seed: Floats  # float64[n, t], sum of the true ranges that seed it
    series: Floats  # float64[n, t, SERIES_COLUMNS, 2 * SERIES_BARS], closed bars for windows
    coarse: Floats  # float64[n, t, layers, COARSE_ROWS, 2 * COARSE_BARS], bars of several
    directions: Integers  # int64[n, t], newest bar: 1 fell, 2 neither, 3 rose; 0: none yet
    breadth: Integers  # int64[t, 2], instruments that rose minus those that fell, and all
    series_count: Integers  # int64[n, t]
    bar_inputs: Floats  # float64[BAR_INPUTS], the bar being closed
    bar_context: Floats  # float64[CONTEXT_WORDS], what is known beside it
    plan: FeaturePlan  # which kernel computes which column, read only
    bar_features: Floats  # float64[n, t, columns], NaN until warm
    feature_memory: Floats  # float64[n, t, cells]
    structure: Records  # STRUCTURE_DTYPE[n, t], smart-money structure of closed bars
    strategy_memory: Records  # STRATEGY_MEMORY_DTYPE[n, s]
    trails: Records  # TRAIL_DTYPE[n, s], by engine.domain.trailing
    quote_rows: Integers  # int64[words], by engine.domain.row_bits; read only
    held_rows: Integers  # int64[n, words]; written by the order side
    vectors: Records  # VECTOR_DTYPE[k], for whoever keeps them; none: no row


def timeframes_of(rows: Sequence[StrategyRow]) -> tuple[int, ...]:
    """Return the bar lengths to build, s, ascending: the default ones and those rows read."""
    own = (row.timeframe_s for row in rows if not row.bars)
    timeframes = tuple(sorted({*DEFAULT_TIMEFRAMES_S, *own}))
    assert len(timeframes) <= TIMEFRAMES_MAX, f"too many timeframes: {timeframes}"
    return timeframes


def pack_thresholds(instruments: Records, kinds: Sequence[str], clocks: int) -> Integers:
    """Return int64[n, clocks + kinds]: where bars of each kind end; 0 for those by the clock.

    Args:
        instruments: INSTRUMENT_DTYPE[n].
        kinds: words for bars, as `bars_of` returns them.
        clocks: how many bars that end by the clock stand before them.
    """
    found = np.zeros((len(instruments), clocks + len(kinds)), dtype=np.int64)
    for i, row in enumerate(instruments):
        symbol = bytes(row["symbol"]).rstrip(b"\0").decode()
        for k, words in enumerate(kinds):
            size = bar_size(words)
            found[i, clocks + k] = size.threshold(
                symbol, float(row["lot_size"]), int(row["unit_e8"])
            )
    return found


def pack_strategies(
    rows: Sequence[StrategyRow],
    timeframes_s: Sequence[int],
    columns: Mapping[str, int] = MappingProxyType({}),
) -> tuple[Records, Floats]:
    """Return STRATEGY_DTYPE[rows] and float64[rows, PARAMETERS_MAX], the kinds' own parameters.

    Parameters that a row does not set take their default.

    Args:
        rows: to run.
        timeframes_s: bar lengths, ascending; bars that do not end by the clock stand behind them.
        columns: where features stand that rules may name, as `feature_columns` says.

    Raises:
        StrategyError: a row is wrong, or names a feature that is not computed.
    """
    assert 0 < len(rows) <= STRATEGIES_MAX, f"strategy rows: {len(rows)}"
    packed = np.zeros(len(rows), dtype=STRATEGY_DTYPE)
    own_parameters = np.zeros((len(rows), PARAMETERS_MAX))
    series = [*timeframes_s, *bars_of(rows)]
    for s, row in enumerate(rows):
        check_row(row)
        numbers = numbers_of(row)
        packed["kind"][s] = int(row.kind)
        packed["timeframe_index"][s] = series.index(row.bars or row.timeframe_s)
        packed["notional_e8"][s] = round(row.notional * E8)
        for name in PLAIN_NUMBERS:
            packed[name][s] = numbers[name]
        for name in ("max_hold", "min_hold", "cooldown", "expiry"):
            packed[f"{name}_ns"][s] = round(numbers[f"{name}_s"] * S_TO_NS)
        packed["limit_slip_ticks"][s] = round(numbers["limit_slip_ticks"])
        for name in ("venue_bracket", "stand_in"):
            packed[name][s] = numbers[name] != 0.0
        own = parameters_of(row.kind)[len(COMMON_PARAMETERS) :]
        for k, parameter in enumerate(own):
            own_parameters[s, k] = numbers[parameter.name]
        for place, (rule, column) in RULE_CELLS.items():
            if place in row.rules:
                own_parameters[s, rule] = rule_of(row, place)
                own_parameters[s, column] = column_of(row, place, columns)
    return packed, own_parameters


def feature_columns(catalogue: Catalogue) -> dict[str, int]:
    """Return where rules find each feature: a column of bars, or MICRO_BASE and one of quotes."""
    found = {name: column for column, name in enumerate(catalogue.bar_columns)}
    return found | {row.name: MICRO_BASE + k for k, row in enumerate(catalogue.micro_rows)}


def column_or_none(catalogue: Catalogue, name: str) -> int:
    """Return where a column of bars stands; -1: it is not computed."""
    return catalogue.bar_columns.index(name) if name in catalogue.bar_columns else -1


def column_of(row: StrategyRow, place: str, columns: Mapping[str, int]) -> int:
    """Return where the feature of one of a row's rules stands.

    Raises:
        StrategyError: it is not computed, or an event's age does not follow it.
    """
    name = row.rules[f"{place}_feature"]
    if name not in columns:
        raise StrategyError(f"strategy {row.name}: no feature is named {name}")
    is_event = rule_of(row, place) in {Rule.EVENT, Rule.EVENT_AGAINST}
    age = f"{name.rpartition('.')[0]}.age"
    if is_event and columns.get(age) != columns[name] + 1:
        raise StrategyError(f"strategy {row.name}: {name} has no age")
    return columns[name]


def create_market_state(
    instrument_rows: NDArray[np.void],
    strategy_rows: Sequence[StrategyRow],
    timeframes_s: Sequence[int] | None = None,
    catalogue: Catalogue | None = None,
    *,
    vector_rows: int = 0,
) -> MarketState:
    """Return the state before the first record, every array at its full size.

    Args:
        instrument_rows: INSTRUMENT_DTYPE[n]; row i describes instrument_index i. Copied.
        strategy_rows: rows to run; strategy_index is the position in this sequence.
        timeframes_s: bar lengths, ascending, with every row's own among them; None: timeframes_of.
        catalogue: which features to compute; None: those that are shipped.
        vector_rows: room for feature vectors; 0: none are kept.
    """
    timeframes = tuple(timeframes_s or timeframes_of(strategy_rows))
    kinds = bars_of(strategy_rows)
    thresholds = pack_thresholds(instrument_rows, kinds, len(timeframes))
    (n, t), s = thresholds.shape, len(strategy_rows)
    assert n > 0, "at least one instrument"
    assert t <= TIMEFRAMES_MAX, f"too many timeframes: {timeframes}, {kinds}"
    asked = catalogue or compile_plan(catalogue_text())
    strategies, parameters = pack_strategies(strategy_rows, timeframes, feature_columns(asked))
    state = MarketState(
        instruments=aligned_copy(instrument_rows),
        strategies=strategies,
        parameters=parameters,
        timeframes_ns=np.array(timeframes, dtype=np.int64) * S_TO_NS,
        bar_kinds=np.array([0] * len(timeframes) + [bar_size(it).kind for it in kinds]),
        thresholds=thresholds,
        measures=np.zeros((n, t), dtype=np.int64),
        score_weights=ORDERFLOW_WEIGHTS.copy(),
        progress=np.zeros(PROGRESS_WORDS, dtype=np.int64),
        reject_counts=np.zeros(FIREWALL_REASON_COUNT, dtype=np.int64),
        liveness=np.zeros((n, len(Channel)), dtype=np.uint8),
        hot=aligned_zeros((n,), HOT_DTYPE),
        books=aligned_zeros((n,), BOOK_DTYPE),
        forming=aligned_zeros((n, t), BAR_DTYPE),
        closed=aligned_zeros((n, t, BAR_RING_BARS), BAR_DTYPE),
        closed_count=np.zeros((n, t), dtype=np.int64),
        atr_ticks=np.full((n, t), np.nan),
        atr_seed=np.zeros((n, t)),
        series=aligned_zeros((n, t, SERIES_COLUMNS, 2 * SERIES_BARS), np.float64),
        coarse=create_coarse(asked.plan, n, t),
        directions=np.zeros((n, t), dtype=np.int64),
        breadth=np.zeros((t, 2), dtype=np.int64),
        series_count=np.zeros((n, t), dtype=np.int64),
        bar_inputs=np.zeros(BAR_INPUTS),
        bar_context=np.zeros(CONTEXT_WORDS),
        plan=asked.plan,
        bar_features=np.full((n, t, len(asked.bar_columns)), np.nan),
        feature_memory=aligned_zeros((n, t, asked.cell_count), np.float64),
        structure=create_structure(n, t),
        strategy_memory=aligned_zeros((n, s), STRATEGY_MEMORY_DTYPE),
        trails=aligned_zeros((n, s), TRAIL_DTYPE),
        quote_rows=pack_bits([row.kind in QUOTE_KINDS for row in strategy_rows]),
        held_rows=np.zeros((n, words_for(s)), dtype=np.int64),
        vectors=aligned_zeros((vector_rows,), VECTOR_DTYPE),
    )
    state.progress[SEQUENCE_LAST] = -1
    state.progress[INSTRUMENTS_KNOWN] = n
    state.progress[LEADER] = -1
    state.progress[TREND_COLUMN] = column_or_none(asked, TREND_LABEL)
    state.progress[VOLATILITY_COLUMN] = column_or_none(asked, VOLATILITY_LABEL)
    state.progress[USES_SCORE] = any(row.kind == StrategyKind.ORDERFLOW for row in strategy_rows)
    state.progress[USES_BRACKETS] = bool(strategies["venue_bracket"].any())
    assert len(asked.vector_names) <= VECTOR_VALUES_MAX, "a slot has room for every column"
    state.progress[PLAN_WORD] = plan_word(plan_hash()) if vector_rows else 0
    state.hot["next_close_ns"][:] = NEVER_NS
    state.hot["micro"][:] = np.nan
    return state
