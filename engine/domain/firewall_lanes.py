"""Laws that compare a quote or trade with what its lane said before: ids and price jumps.

A lane is the quotes or the trades of one instrument. Its anchors are the last accepted ids and
price; a refused record moves none of them. `RUN_TO_ACCEPT` refusals in a row that agree with each
other, and are not older than what was accepted, mean that the anchor was wrong: then the last of
them is accepted. An anchor older than `REFERENCE_AGE_NS` judges no jump, for prices may move while
a market is quiet; a gap record forgets the anchors of its channel.

    row["anchors"][lane, column]   price, length of the run, its last price and id, four last ids
    row["moves"][lane, column]     64 times the mean move, ticks; how many moves it is made of

Trades have one id per (aggregated, aggressor): trades that waited under back-pressure are merged by
side, so ids follow each other within a side only. A quote carries the low 32 bits of its id, and
needs one id only: two columns of its lane say how long the quote has stood still.
"""

from __future__ import annotations

from engine.domain.firewall_reasons import FirewallReason
from engine.domain.kernel import Record, fused, kernel

LANE_QUOTE, LANE_TRADE = 0, 1
LANES = 2
PRICE, RUN_COUNT, RUN_PRICE, RUN_ID, IDS = 0, 1, 2, 3, 4
STILL_COUNT, STILL_SINCE_NS = 5, 6  # of the quote's lane
ANCHOR_COLUMNS = 8
MOVE_SUM, MOVE_COUNT = 0, 1
MOVE_COLUMNS = 2

RUN_TO_ACCEPT = 8
REFERENCE_AGE_NS = 60_000_000_000
PRICE_JUMP_DIVISOR = 10  # from one record to the next a price moves at most a tenth
STEPS_ALLOWED = 2  # so near is never far, however coarse the tick is
MOVES_SHIFT = 6  # the mean move follows the market over 64 of them
MOVES_WARM = 64  # moves before a price can be a spike
SPIKE_SHIFT = 1  # a spike is further than 2 * 64 mean moves, a hundred standard deviations, ...
SPIKE_FLOOR_DIVISOR = 100  # ... and than a hundredth; both twice what the feed's own layer allows
TRADE_ID_JUMP_MAX = 1_000_000  # trade ids count per instrument
FROZEN_QUOTES = 64  # equal quotes over FROZEN_NS; twice what the feed's own layer allows
FROZEN_NS = 4_000_000_000

_ID_DUPLICATE = int(FirewallReason.ID_DUPLICATE)
_ID_OUT_OF_ORDER = int(FirewallReason.ID_OUT_OF_ORDER)
_ID_JUMP = int(FirewallReason.ID_JUMP)
_PRICE_JUMP = int(FirewallReason.PRICE_JUMP)
_PRICE_SPIKE = int(FirewallReason.PRICE_SPIKE)


@fused
def is_far(price_ticks: int, anchor_ticks: int) -> bool:
    """Return whether a price is a jump away from its anchor; False without an anchor."""
    distance = abs(price_ticks - anchor_ticks)
    if anchor_ticks <= 0 or distance <= STEPS_ALLOWED:
        return False
    return distance * PRICE_JUMP_DIVISOR > anchor_ticks


@fused
def ids_ahead(lane: int, record_id: int, before_id: int) -> int:
    """Return how far an id is ahead of the one before it; 1 when either is unknown (0)."""
    if record_id == 0 or before_id == 0:
        return 1
    if lane == LANE_QUOTE:
        # Low 32 bits: the signed difference is right for ids less than 2**31 apart.
        return (record_id - before_id + (1 << 31)) % (1 << 32) - (1 << 31)
    return record_id - before_id


@fused
def continuity(
    lane: int, record_id: int, price: int, before_id: int, anchor_ticks: int, is_fresh: bool
) -> int:
    """Return what is wrong with (id, price) after (before_id, anchor), or 0."""
    if lane == LANE_TRADE or is_fresh:
        ahead = ids_ahead(lane, record_id, before_id)
        if ahead == 0:
            return _ID_DUPLICATE
        if ahead < 0:
            return _ID_OUT_OF_ORDER
        if is_fresh and lane == LANE_TRADE and ahead > TRADE_ID_JUMP_MAX:
            return _ID_JUMP
    if is_fresh and is_far(price, anchor_ticks):
        return _PRICE_JUMP
    return 0


@fused
def judge_move(row: Record, lane: int, price: int, anchor_ticks: int) -> int:
    """Return PRICE_SPIKE for a move no recent one of its lane is like, or 0; notes it otherwise.

    A refused spike widens the bound by a quarter, so a tenth of the price is reached by twelve.
    """
    moves = row["moves"]
    distance = abs(price - anchor_ticks)
    if (
        distance * SPIKE_FLOOR_DIVISOR > anchor_ticks
        and distance > STEPS_ALLOWED
        and moves[lane, MOVE_COUNT] >= MOVES_WARM
    ):
        bound = max(moves[lane, MOVE_SUM] << SPIKE_SHIFT, anchor_ticks // SPIKE_FLOOR_DIVISOR)
        if distance > bound:
            moves[lane, MOVE_SUM] = (bound + (bound >> 2) + 1) >> SPIKE_SHIFT
            return _PRICE_SPIKE
    moves[lane, MOVE_SUM] += distance - (moves[lane, MOVE_SUM] >> MOVES_SHIFT)
    moves[lane, MOVE_COUNT] += 1
    return 0


@fused
def judge_lane(
    row: Record,
    lane: int,
    id_column: int,
    record_id: int,
    price: int,
    is_fresh: bool,
) -> int:
    """Return what is wrong with a record after those its lane accepted, or 0; moves the anchors."""
    anchors = row["anchors"]
    before_id = anchors[lane, id_column]
    anchor_ticks = anchors[lane, PRICE]
    reason = continuity(lane, record_id, price, before_id, anchor_ticks, is_fresh)
    if reason == 0 and is_fresh and anchor_ticks > 0:
        reason = judge_move(row, lane, price, anchor_ticks)
    if reason == 0:
        anchors[lane, PRICE] = price
        anchors[lane, RUN_COUNT] = 0
        anchors[lane, id_column] = record_id
    return reason


@fused
def is_frozen(row: Record, slot: Record) -> bool:
    """Return whether a quote only repeats the last one, and has for too long; counts it."""
    anchors = row["anchors"]
    if (
        slot["bid_qty_lots"] != row["bid_qty_lots"]
        or slot["ask_qty_lots"] != row["ask_qty_lots"]
        or slot["bid_price_ticks"] != row["bid_price_ticks"]
        or slot["ask_price_ticks"] != row["ask_price_ticks"]
    ):
        anchors[LANE_QUOTE, STILL_COUNT] = 0
        return False
    count = anchors[LANE_QUOTE, STILL_COUNT] + 1
    anchors[LANE_QUOTE, STILL_COUNT] = count
    if count == 1:
        anchors[LANE_QUOTE, STILL_SINCE_NS] = slot["receive_time_ns"]
        return False
    still_ns = slot["receive_time_ns"] - anchors[LANE_QUOTE, STILL_SINCE_NS]
    return bool(count >= FROZEN_QUOTES and still_ns >= FROZEN_NS)


@kernel
def extend_run(row: Record, lane: int, record_id: int, price: int, is_newer: bool) -> bool:
    """Note a refused record; return whether it completes a run, so that anchors must yield."""
    anchors = row["anchors"]
    agrees = anchors[lane, RUN_COUNT] > 0 and is_newer
    if agrees:
        run_id = anchors[lane, RUN_ID]
        run_price = anchors[lane, RUN_PRICE]
        agrees = continuity(lane, record_id, price, run_id, run_price, True) == 0
    anchors[lane, RUN_COUNT] = anchors[lane, RUN_COUNT] + 1 if agrees else 1
    anchors[lane, RUN_PRICE] = price
    anchors[lane, RUN_ID] = record_id
    return bool(anchors[lane, RUN_COUNT] >= RUN_TO_ACCEPT)


@kernel
def forget_lane(row: Record, lane: int) -> None:
    """Forget what a lane accepted, in place: the next record is judged on its own."""
    for column in range(ANCHOR_COLUMNS):
        row["anchors"][lane, column] = 0
