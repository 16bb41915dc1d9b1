"""How much of its size an entry gets: by what it may win, and by what was lost already.

        lots of the row's notional -> at most what Kelly allows -> less near a loss limit -> lots

An entry is never made larger than its row asks for, and never raised to what the venue takes at
least: what is left below that is not wanted at all. What made it smaller is in its decision record.

    Kelly     of a bet that wins b times what it loses with chance p, the share p - (1 - p) / b of
              all one has grows it fastest. Here p is the chance of the target before the stop that
              the row claims (`engine.domain.edge`), b compares both after costs, and what a lost
              bet costs is the stop. The row takes a fraction of it, and at most `risk_max`.
    losses    how much of a loss limit is used up, the day's or that of the fall from the peak,
              whichever is nearer. From `safe_from` on an entry shrinks, to `safe_least` at the
              limit, and asks for more edge; at the limit the gates stop all entries. What makes
              markets quotes and holds less, and further from fair (`engine.domain.making`).
"""

from __future__ import annotations

from engine.domain.kernel import Records, kernel
from engine.domain.market_state import EQUITY_E8, LOSS_USED_PPM, MarketState
from engine.domain.opportunity import TO_BPS
from engine.domain.size_reasons import BY_KELLY, BY_LOSSES

PPM = 1_000_000.0


@kernel
def kelly_share(chance: float, stop_bps: float, take_bps: float, cost_bps: float) -> float:
    """Return the share of all one has whose loss is worth risking, 0 to 1; 0: no bet at all.

    Args:
        chance: of the target before the stop, 0 to 1.
        stop_bps, take_bps: distances of both from the entry.
        cost_bps: of coming in and going out, paid either way.
    """
    won, lost = take_bps - cost_bps, stop_bps + cost_bps
    if not (won > 0.0 and lost > 0.0):
        return 0.0
    return max(chance - (1.0 - chance) * lost / won, 0.0)


@kernel
def claimed_chance(stop_bps: float, take_bps: float, conviction: float) -> float:
    """Return the chance of the target before the stop: the fair one, and what is claimed beyond.

    Args:
        stop_bps, take_bps: distances; the fair chance of a market without drift is their share.
        conviction: claim times confidence: share of what the fair chance leaves to certainty.
    """
    fair = stop_bps / (stop_bps + take_bps)
    return fair + conviction * (1.0 - fair)


@kernel
def loss_stress(used: float, safe_from: float) -> float:
    """Return how far losses are on their way from `safe_from` of a limit to all of it, 0 to 1."""
    if safe_from >= 1.0 or not used > safe_from:
        return 0.0
    return min((used - safe_from) / (1.0 - safe_from), 1.0)


@kernel
def stress_of(market: MarketState, s: int) -> float:
    """Return how near a loss limit is to a row, 0 to 1; 0 where the row does not ask."""
    used = market.progress[LOSS_USED_PPM] / PPM
    return loss_stress(used, market.strategies["safe_from"][s])


@kernel
def edge_asked_bps(market: MarketState, s: int) -> float:
    """Return the least edge an entry needs now, bps; below 0: it is not asked."""
    least_bps = market.strategies["edge_min_bps"][s]
    stress = stress_of(market, s)
    if stress == 0.0:
        return float(least_bps)
    return max(least_bps, 0.0) + stress * market.strategies["safe_edge_bps"][s]


@kernel
def lots_under_stress(market: MarketState, s: int, lots: int, stress: float) -> int:
    """Return what losses leave of a size that row `s` asks for, lots; stress 0 to 1."""
    return int(lots * (1.0 - stress * (1.0 - market.strategies["safe_least"][s])))


@kernel
def kelly_lots(
    market: MarketState, i: int, s: int, touch: int, conviction: float, cost_bps: float
) -> int:
    """Return the most lots that the row's fraction of Kelly allows; 0: none, or not known."""
    rows, memory = market.strategies, market.strategy_memory
    stop_bps = memory["stop_ticks"][i, s] / touch * TO_BPS
    take_bps = memory["take_ticks"][i, s] / touch * TO_BPS
    if not (stop_bps > 0.0 and take_bps > 0.0 and conviction > 0.0 and cost_bps >= 0.0):
        return 0
    chance = claimed_chance(stop_bps, take_bps, min(conviction, 1.0))
    share = rows["kelly"][s] * kelly_share(chance, stop_bps, take_bps, cost_bps)
    risked_e8 = min(share, rows["risk_max"][s]) * max(market.progress[EQUITY_E8], 0)
    lot_e8 = float(touch) * market.instruments["unit_e8"][i]
    return int(risked_e8 / ((stop_bps + cost_bps) / TO_BPS) / lot_e8)


@kernel
def size_entry(
    market: MarketState, opportunities: Records, k: int, confidence: float, cost_bps: float
) -> bool:
    """Make entry `k` as small as its row asks, in place; return whether anything is left of it.

    Rows that ask for neither (`kelly` 0, `safe_from` 1) are left as they are.
    """
    i, s = opportunities["instrument_index"][k], opportunities["strategy_index"][k]
    rows = market.strategies
    wanted = opportunities["qty_lots"][k]
    lots = wanted
    reasons = 0
    if rows["kelly"][s] > 0.0:
        side = opportunities["side"][k]
        touch = market.hot["ask_price_ticks"][i] if side > 0 else market.hot["bid_price_ticks"][i]
        most = kelly_lots(market, i, s, touch, rows["claim"][s] * confidence, cost_bps)
        if most < lots:
            lots = most
            reasons |= BY_KELLY
    stress = stress_of(market, s)
    if stress > 0.0:
        lots = lots_under_stress(market, s, lots, stress)
        reasons |= BY_LOSSES
    if reasons == 0:
        return True
    sizes = market.instruments
    step = max(sizes["market_step_lots"][i], 1)
    lots = lots // step * step
    opportunities["qty_lots"][k] = lots
    opportunities["wanted_lots"][k] = wanted
    opportunities["size_reasons"][k] = reasons
    return lots >= max(sizes["min_qty_lots"][i], sizes["market_min_qty_lots"][i], 1)
