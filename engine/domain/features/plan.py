"""What kernels of bar features are told: which row they compute, with which numbers, and where.

Each kernel is called in one loop over its own rows (a family loop):
`for k in range(first[KERNEL], first[KERNEL + 1])`. Kernels know their rows from the arrays below
alone; `engine.domain.features.catalogue` reads the catalogue and makes them.

    first[kernel]        first row of a kernel in the arrays below; length kernels + 1
    params[k, 4]         numbers of row k
    column[k]            where row k writes; its outputs follow each other
    cell[k]              where row k keeps its state, in a memory of `cell_count` numbers

    zone_from_s[zone, k], zone_offset_s[zone, k]    when clocks change, and what they then are ahead
    coarse_first[layer, kernel]   `first` of the rows over bars made of several (`coarse.py`), whose
                                  `column` counts from the layer's own first
    coarse_bars[layer]            of how many
    coarse_column[layer], coarse_width[layer]   first column of a layer's rows, and how many
    has_structure[0]     whether bars are taken into the structure: 0 where nobody reads it
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from engine.domain.kernel import Floats, Integers

PARAMS_MAX: Final = 4
HILBERT_CELLS: Final = 101  # rings of 64, 16 and 8 values, 13 words (cycle.py)
SMOOTHING_MAX: Final = 4  # bars a mean is over whose numbers stand in a ring, a power of two
PROFILE_BINS: Final = 24  # prices between a window's low and high are told apart so far


class Shape(NamedTuple):
    """What a kernel takes and keeps.

    Args:
        params: names; `bars...` is a window, `span...` an average without a window, `part` a day,
            week, month or session (engine.domain.structure_state.Part), `levels` of the book.
        cells: numbers of state per row.
        outputs: columns it writes, by name; none: one column, which has the row's name.
    """

    params: tuple[str, ...] = ()
    cells: int = 0
    outputs: tuple[str, ...] = ()


# Kernels of bar features; the position is the kernel's number.
SHAPES: Mapping[str, Shape] = MappingProxyType(
    {
        "returns.change": Shape(("bars",)),
        "returns.body": Shape(),
        "returns.close_place": Shape(),
        "returns.wicks": Shape(outputs=("upper", "lower")),
        "returns.gap": Shape(),
        "returns.deviation_of_return": Shape(("bars",)),
        "returns.run": Shape(cells=1),
        "averages.ema_distance": Shape(("span",), cells=1),
        "averages.ema_slope": Shape(("span",), cells=1),
        "averages.sma_distance": Shape(("bars",)),
        "averages.wma_distance": Shape(("bars",)),
        "averages.vwma_distance": Shape(("bars",)),
        "averages.dema_distance": Shape(("span",), cells=2),
        "averages.tema_distance": Shape(("span",), cells=3),
        "averages.kama_distance": Shape(("bars",), cells=1),
        "trend.macd": Shape(("span_short", "span_long", "span_signal"), 3, ("line", "histogram")),
        "trend.adx": Shape(("span",), 4, ("plus", "minus", "adx")),
        "trend.aroon": Shape(("bars",), 2, ("up", "down")),
        "trend.supertrend": Shape(("width_atr",), 3, ("side", "distance")),
        "trend.vortex": Shape(("bars",), outputs=("plus", "minus")),
        "trend.midpoint_distance": Shape(("bars", "shift")),
        "trend.fractals": Shape(("bars",), 2, ("high", "low")),
        "momentum.rsi": Shape(("span",), cells=2),
        "momentum.stochastic": Shape(("bars", "smooth", "signal"), 2 * SMOOTHING_MAX, ("k", "d")),
        "momentum.cci": Shape(("bars",)),
        "momentum.weighted_pressure": Shape(("bars_short", "bars_middle", "bars_long")),
        "momentum.tsi": Shape(("span_first", "span_second"), cells=4),
        "momentum.trix": Shape(("span",), cells=4),
        "momentum.fisher": Shape(("bars",), cells=2),
        "momentum.body_mean": Shape(("bars",)),
        "momentum.efficiency": Shape(("bars",)),
        "momentum.vhf": Shape(("bars",)),
        "momentum.awesome": Shape(("bars_short", "bars_long")),
        "volatility.atr_bps": Shape(),
        "volatility.range_atr": Shape(),
        "volatility.deviation_bps": Shape(("bars",)),
        "volatility.natr_bps": Shape(("span",), cells=1),
        "volatility.parkinson_bps": Shape(("bars",)),
        "volatility.garman_klass_bps": Shape(("bars",)),
        "volatility.rogers_satchell_bps": Shape(("bars",)),
        "volatility.decayed_bps": Shape(("span",), cells=1),
        "volatility.deviation_ratio": Shape(("bars_short", "bars_long")),
        "volatility.band_width": Shape(("bars",), outputs=("bps", "squeeze")),
        "volatility.channel": Shape(("bars",), outputs=("place", "width")),
        "volatility.ulcer_bps": Shape(("bars",)),
        "volatility.choppiness": Shape(("bars",)),
        "volume.relative": Shape(("bars",)),
        "volume.taker_balance": Shape(("bars",)),
        "volume.deviation_of_volume": Shape(("bars",)),
        "volume.direction": Shape(("bars",)),
        "volume.money_flow": Shape(("bars",)),
        "volume.money_flow_index": Shape(("bars",)),
        "volume.weighted_return_bps": Shape(("bars",)),
        "volume.force": Shape(("span",), cells=2),
        "volume.vwap_distance": Shape(("bars",), outputs=("atr", "deviations")),
        "volume.day_vwap_distance": Shape(cells=4),
        "volume.day_delta": Shape(cells=4),
        "profile.value_area": Shape(
            ("bars",), PROFILE_BINS + 2, ("control", "upper", "lower", "place")
        ),
        "cycle.hilbert": Shape(
            cells=HILBERT_CELLS, outputs=("period", "phase", "sine", "lead", "trend", "angle")
        ),
        "cycle.cyber": Shape(("weight",), cells=2),
        "cycle.roofing": Shape(("span_short", "span_long"), cells=7),
        "statistics.deviation": Shape(("bars",)),
        "statistics.moments": Shape(("bars",), outputs=("skew", "kurtosis")),
        "statistics.autocorrelation": Shape(("bars", "lag")),
        "statistics.variance_ratio": Shape(("bars", "step")),
        "statistics.line": Shape(("bars",), outputs=("slope", "fit", "residual")),
        "statistics.rank": Shape(("bars",)),
        "statistics.reversion": Shape(("bars",)),
        "impact.amihud_bps": Shape(("bars",)),
        "impact.kyle_bps": Shape(("bars",)),
        "impact.vpin": Shape(("bars",)),
        "impact.roll_bps": Shape(("bars",)),
        "impact.arrivals": Shape(("bars",)),
        "impact.trade_size": Shape(("bars",)),
        "candles.doji": Shape(),
        "candles.marubozu": Shape(),
        "candles.hammer": Shape(),
        "candles.shooting_star": Shape(),
        "candles.engulfing": Shape(),
        "candles.harami": Shape(),
        "candles.piercing": Shape(),
        "candles.dark_cloud": Shape(),
        "candles.star": Shape(),
        "candles.soldiers": Shape(),
        "calendar.day_circle": Shape(outputs=("sine", "cosine")),
        "calendar.week_circle": Shape(outputs=("sine", "cosine")),
        "calendar.before": Shape(("part",), outputs=("high", "low")),
        "calendar.running": Shape(("part",), outputs=("high", "low")),
        "sessions.open_count": Shape(),
        "sessions.passed": Shape(("part",)),
        "sessions.before": Shape(("part",), outputs=("high", "low")),
        "smart_money.trend": Shape(outputs=("side", "age")),
        "smart_money.swings": Shape(outputs=("high", "low")),
        "smart_money.live_levels": Shape(outputs=("high", "low")),
        "smart_money.leg": Shape(outputs=("place", "retracement", "depth", "ote")),
        "smart_money.gaps": Shape(outputs=("bullish", "bearish", "balance")),
        "smart_money.gap_return": Shape(outputs=("side", "age")),
        "smart_money.blocks": Shape(outputs=("bullish", "bearish")),
        "smart_money.breakers": Shape(outputs=("resistance", "support")),
        "smart_money.pools": Shape(outputs=("above", "below")),
        "smart_money.sweep": Shape(outputs=("side", "age")),
        "smart_money.confluence": Shape(("bars",), outputs=("bullish", "bearish")),
        "patterns.double": Shape(("near_atr", "deep_atr"), 7, ("side", "age")),
        "patterns.head_shoulders": Shape(("near_atr", "deep_atr"), 7, ("side", "age")),
        "patterns.triangle": Shape(("near_atr",), 7, ("side", "age")),
        "patterns.wedge": Shape(("near_atr",), 7, ("side", "age")),
        "patterns.flag": Shape(("pole_atr",), 7, ("side", "age")),
        "carry.funding_bps": Shape(),
        "carry.basis_bps": Shape(),
        "carry.funding_wait": Shape(),
        "carry.liquidations": Shape(("span",), cells=6, outputs=("balance", "share")),
        "crowd.funding_extreme": Shape(("span",), cells=3),
        "crowd.basis_extreme": Shape(("span",), cells=3),
        "crowd.liquidation_extreme": Shape(("span",), cells=5),
        "crowd.open_interest": Shape(("span",), 4, ("bps", "extreme")),
        "crowd.greed": Shape(("bars", "span"), cells=3),
        "crowd.news": Shape(),
        "depth.imbalance": Shape(("levels",)),
        "depth.slope": Shape(("levels",), outputs=("bid", "ask")),
        "depth.within": Shape(("reach_bps",)),
        "depth.cover": Shape(("reach_bps", "bars")),
        "depth.flow": Shape(("span",), 4, ("newest", "mean")),
        "cross.leader": Shape(
            ("span",), 9, ("beta", "correlation", "residual_bps", "lead", "follow")
        ),
        "cross.breadth": Shape(("span",), 2, ("newest", "mean")),
        "regime.trend": Shape(("bars", "enter", "leave"), 1, ("label", "confidence")),
        "regime.volatility": Shape(
            ("bars_short", "bars_long", "enter_log", "leave_log"), 1, ("label", "confidence")
        ),
    }
)
KERNELS: Final = tuple(SHAPES)


def kernel_number(name: str) -> int:
    """Return the number of a kernel: a constant of the file that asks for it."""
    return KERNELS.index(name)


def kernels_of(family: str) -> tuple[int, int]:
    """Return the number of a family's first kernel, and the one behind its last."""
    numbers = [k for k, name in enumerate(KERNELS) if name.partition(".")[0] == family]
    assert numbers == list(range(numbers[0], numbers[-1] + 1)), f"{family} lies apart"
    return numbers[0], numbers[-1] + 1


class FeaturePlan(NamedTuple):
    """The catalogue's bar rows as arrays, for kernels. See the module's picture."""

    first: Integers
    params: Floats
    column: Integers
    cell: Integers
    zone_from_s: Floats
    zone_offset_s: Floats
    coarse_first: Integers
    coarse_bars: Integers
    coarse_column: Integers
    coarse_width: Integers
    has_structure: Integers
