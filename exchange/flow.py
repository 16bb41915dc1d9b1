"""The order-flow model behind the generated market, computed in chunks for all instruments.

A latent price diffuses in ticks around an anchor. Its whole part is the best bid, its fraction
decides how the touch leans: close to the next tick the bid is thick and the ask thin, so the
imbalance foretells the next move and falls back after it. Activity comes in bursts: intensity
jumps, decays, and pushes the price one way meanwhile; inside a burst events cluster around
parents. A trade is a touch that lost quantity, so trades and quotes never contradict each other.
UNITS: prices in ticks, quantities in steps, times in nanoseconds since the start of play.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NS_PER_S = 1_000_000_000
BURST_RATE = 0.25  # bursts per second and instrument
BURST_SIZE = 4.0  # mean jump of the intensity, in multiples of the calm one
BURST_DECAY_S = 0.5
MEAN_INTENSITY = 1.0 + BURST_RATE * BURST_SIZE * BURST_DECAY_S
PARENT_SHARE = 0.4  # events that start a cluster; the others follow one
CLUSTER_NS = 2_000_000  # mean delay of a follower
STEP_TICKS = 0.12  # diffusion per event
BURST_DRIFT_TICKS = 0.05  # push per event while a burst lasts
REVERSION_PER_S = 0.02  # pull towards the anchor
RANGE_TICKS = 3_000  # the price stays within this distance of its anchor
TRADE_SHARE = 0.5  # of the events that thin the touch
SWEEP_TRADE_SHARE = 0.9  # of the events that empty it
MAX_ID_STEP = 24  # update ids grow by 2 to this plus 1 per quote
TOUCH_NOISE = 0.3  # spread of the touch quantity, in logarithms

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(slots=True)
class FlowState:
    """Where each instrument is; one entry per instrument in every array."""

    price: Floats
    anchor: Floats
    intensity: Floats  # 1 is calm
    direction: Floats
    spread: Ints
    base_qty: Floats
    grain: Ints  # touch quantities are multiples of this: traders like round numbers
    bid_qty: Ints
    ask_qty: Ints
    update_id: Ints
    weight: Floats  # share of the messages


@dataclass(frozen=True, slots=True)
class FlowChunk:
    """Events of one chunk in order of time; trade_qty 0 means no trade before the quote."""

    time_ns: Ints
    instrument: Ints
    bid: Ints
    bid_qty: Ints
    ask: Ints
    ask_qty: Ints
    update_id: Ints
    trade_qty: Ints
    trade_price: Ints
    buyer_is_maker: NDArray[np.bool_]


def initial_state(anchor: Ints, base_qty: Floats, spread: Ints) -> FlowState:
    """Return the calm start of a market."""
    count = len(anchor)
    weight = 1.0 / np.sqrt(np.arange(count) + 3.0)
    grain = grain_of(base_qty)
    quantity = np.maximum(1, base_qty // grain).astype(np.int64) * grain
    return FlowState(
        price=anchor.astype(np.float64) + 0.5,
        anchor=anchor.astype(np.float64),
        intensity=np.ones(count),
        direction=np.zeros(count),
        spread=spread,
        base_qty=base_qty,
        grain=grain,
        bid_qty=quantity,
        ask_qty=quantity.copy(),
        update_id=np.full(count, 1_000_000_000_000, dtype=np.int64),
        weight=weight / weight.sum(),
    )


def grain_of(base_qty: Floats) -> Ints:
    """Return the power of ten that leaves a typical quantity two or three digits."""
    exponent = np.maximum(0, np.floor(np.log10(base_qty)).astype(np.int64) - 2)
    return 10**exponent


def advance(
    state: FlowState, random: np.random.Generator, start_ns: int, span_ns: int, rate: float
) -> FlowChunk:
    """Return the events of one chunk and move the state to its end, in place.

    Args:
        state: where the market is.
        random: the seeded source of everything random here.
        start_ns: when the chunk starts.
        span_ns: how long it lasts.
        rate: quote events per second over all instruments, on average.
    """
    span_s = span_ns / NS_PER_S
    _advance_bursts(state, random, span_s)
    expected = state.weight * state.intensity * (rate * span_s / MEAN_INTENSITY)
    counts = random.poisson(expected)
    instrument, time_ns = _times(random, counts, start_ns, span_ns)
    count = len(state.price)
    # One event before the first of each instrument carries the state of the chunk before.
    instrument = np.concatenate((np.arange(count), instrument))
    time_ns = np.concatenate((np.full(count, start_ns - 1), time_ns))
    order = np.lexsort((time_ns, instrument))
    instrument, time_ns = instrument[order], time_ns[order]
    first = np.concatenate(([True], instrument[1:] != instrument[:-1]))
    price = _path(state, random, instrument, first, counts, span_s)
    bid = np.floor(price).astype(np.int64)
    ask = bid + state.spread[instrument]
    bid_qty, ask_qty = _touch(state, random, instrument, first, price, bid)
    trade_qty, trade_price, maker = _trades(random, first, bid, bid_qty, ask, ask_qty)
    steps = random.integers(2, MAX_ID_STEP, len(instrument))
    steps[first] = 0
    grown = _running_sum(steps.astype(np.float64), first).astype(np.int64)
    update_id = state.update_id[instrument] + grown
    last = np.concatenate((instrument[1:] != instrument[:-1], [True]))
    state.price = price[last]
    state.bid_qty, state.ask_qty = bid_qty[last], ask_qty[last]
    state.update_id = update_id[last]
    kept = np.flatnonzero(~first)
    kept = kept[np.argsort(time_ns[kept], kind="stable")]
    return FlowChunk(
        time_ns[kept],
        instrument[kept],
        bid[kept],
        bid_qty[kept],
        ask[kept],
        ask_qty[kept],
        update_id[kept],
        trade_qty[kept],
        trade_price[kept],
        maker[kept],
    )


def _advance_bursts(state: FlowState, random: np.random.Generator, span_s: float) -> None:
    count = len(state.price)
    decay = np.exp(-span_s / BURST_DECAY_S)
    state.intensity = 1.0 + (state.intensity - 1.0) * decay
    starts = random.random(count) < BURST_RATE * span_s
    jumps = random.exponential(BURST_SIZE, count)
    signs = np.where(random.random(count) < 0.5, -1.0, 1.0)
    state.intensity = np.where(starts, state.intensity + jumps, state.intensity)
    state.direction = np.where(starts, signs, state.direction)


def _times(
    random: np.random.Generator, counts: Ints, start_ns: int, span_ns: int
) -> tuple[Ints, Ints]:
    """Return instrument and time of every event: parents anywhere, followers after them."""
    total = int(counts.sum())
    instrument = np.repeat(np.arange(len(counts)), counts)
    first_of = np.repeat(np.cumsum(counts) - counts, counts)
    offset = random.integers(0, span_ns, total)
    parents = np.maximum(1, (counts * PARENT_SHARE).astype(np.int64))[instrument]
    place = np.arange(total) - first_of
    parent = first_of + (random.random(total) * parents).astype(np.int64)
    delay = random.exponential(CLUSTER_NS, total).astype(np.int64)
    follower = place >= parents
    offset = np.where(follower, offset[parent] + delay if total else offset, offset)
    return instrument, start_ns + np.minimum(offset, span_ns - 1)


def _running_sum(steps: Floats, first: NDArray[np.bool_]) -> Floats:
    """Return sums that start again at each instrument; the first step of each must be 0."""
    total: Floats = np.cumsum(steps)
    base = total[first]
    running: Floats = total - base[np.cumsum(first) - 1]
    return running


def _path(
    state: FlowState,
    random: np.random.Generator,
    instrument: Ints,
    first: NDArray[np.bool_],
    counts: Ints,
    span_s: float,
) -> Floats:
    push = np.where(state.intensity > 2.0, state.direction * BURST_DRIFT_TICKS, 0.0)
    pull = (state.anchor - state.price) * (REVERSION_PER_S * span_s) / np.maximum(counts, 1)
    steps = random.normal(0.0, STEP_TICKS, len(instrument)) + (push + pull)[instrument]
    steps[first] = 0.0
    price = state.price[instrument] + _running_sum(steps, first)
    anchor = state.anchor[instrument]
    bounded: Floats = np.clip(price, anchor - RANGE_TICKS, anchor + RANGE_TICKS)
    return bounded


def _touch(
    state: FlowState,
    random: np.random.Generator,
    instrument: Ints,
    first: NDArray[np.bool_],
    price: Floats,
    bid: Ints,
) -> tuple[Ints, Ints]:
    """Return touch quantities; only one side changes unless the price moves."""
    total = len(price)
    lean = price - bid
    grain = state.grain[instrument]
    base = state.base_qty[instrument] / grain
    noise = np.exp(random.normal(0.0, TOUCH_NOISE, total))
    bid_wish = np.ceil(base * (0.1 + 2.0 * lean) * noise).astype(np.int64) * grain
    ask_wish = np.ceil(base * (2.1 - 2.0 * lean) * noise).astype(np.int64) * grain
    bid_wish[first], ask_wish[first] = state.bid_qty, state.ask_qty
    moved = np.concatenate(([True], bid[1:] != bid[:-1])) | first
    chooses_bid = random.random(total) < 0.5
    places = np.arange(total)
    from_bid = np.maximum.accumulate(np.where(moved | chooses_bid, places, 0))
    from_ask = np.maximum.accumulate(np.where(moved | ~chooses_bid, places, 0))
    return bid_wish[from_bid], ask_wish[from_ask]


def _trades(
    random: np.random.Generator,
    first: NDArray[np.bool_],
    bid: Ints,
    bid_qty: Ints,
    ask: Ints,
    ask_qty: Ints,
) -> tuple[Ints, Ints, NDArray[np.bool_]]:
    """Return the trades that explain part of the lost touch quantity."""
    was_bid, was_ask = np.roll(bid, 1), np.roll(ask, 1)
    was_bid_qty, was_ask_qty = np.roll(bid_qty, 1), np.roll(ask_qty, 1)
    swept_ask, swept_bid = ask > was_ask, bid < was_bid
    lost_ask = np.where(swept_ask, was_ask_qty, np.where(ask == was_ask, was_ask_qty - ask_qty, 0))
    lost_bid = np.where(swept_bid, was_bid_qty, np.where(bid == was_bid, was_bid_qty - bid_qty, 0))
    chance = random.random(len(bid))
    limit = np.where(swept_ask | swept_bid, SWEEP_TRADE_SHARE, TRADE_SHARE)
    maker = lost_bid > 0  # a seller hit the bid: the buyer was the maker
    lost = np.where(maker, lost_bid, lost_ask)
    traded = (lost > 0) & (chance < limit) & ~first
    return np.where(traded, lost, 0), np.where(maker, was_bid, was_ask), maker
