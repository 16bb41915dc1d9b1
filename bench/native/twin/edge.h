// What an entry may gain, how sure it is, and what it costs.
#pragma once

#include "bars.h"

inline double confidence_of(const Market &m, const Instrument &it, int s, double score) {
    if (m.strategies[s].kind == KIND_ORDERFLOW)
        return std::abs(score);
    const double flow = it.micro[TRADE_FLOW_LONG], bound = m.parameters[s][FLOW_MIN];
    if (!(bound > 0.0))
        return std::isnan(flow) ? UNKNOWN : 1.0;
    return std::min(std::abs(flow) / (SURE_AT * bound), 1.0);
}

inline double expected_move_ticks(const Market &m, const Instrument &it, int s) {
    const double take_ticks = it.strategy_memory[s].take_ticks;
    return take_ticks > 0.0 ? take_ticks : it.timeframes[m.strategies[s].timeframe_index].atr_ticks;
}

inline double entry_cost_bps(const Market &m, const Hot &hot, i64 side, i64 qty_lots) {
    const i64 bid = hot.bid_price_ticks, ask = hot.ask_price_ticks;
    if (bid <= 0 || ask <= 0)
        return UNKNOWN;
    const double spread_bps = double(ask - bid) / (double(ask + bid) * 0.5) * 10'000.0;
    const i64 offered = std::max<i64>(side > 0 ? hot.ask_qty_lots : hot.bid_qty_lots, 1);
    const double beyond = std::max(double(qty_lots) / double(offered) - 1.0, 0.0);
    const double fees_bps = 2.0 * double(m.taker_fee_ppm) / PPM_PER_BPS;
    return fees_bps + spread_bps * (1.0 + std::min(beyond, SLIPPAGE_SPREADS_MAX));
}

// Write what an entry may bring; return whether it is worth it.
inline bool weigh_entry(Market &m, const Instrument &it, int s, double score, Opportunity &entry) {
    const StrategyRow &row = m.strategies[s];
    const i64 touch = entry.side > 0 ? it.hot.ask_price_ticks : it.hot.bid_price_ticks;
    const double move_bps = expected_move_ticks(m, it, s) / double(touch) * 10'000.0;
    const double confidence = confidence_of(m, it, s, score);
    const double cost_bps = entry_cost_bps(m, it.hot, entry.side, entry.qty_lots);
    const double edge_bps = row.claim * confidence * move_bps - cost_bps;
    entry.edge = {move_bps, confidence, cost_bps, edge_bps};
    if (row.edge_min_bps < 0.0 || edge_bps >= row.edge_min_bps)
        return true;
    ++m.entries_without_edge;
    return false;
}
