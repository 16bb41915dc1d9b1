// Score, strategies, and an order side that fills every order at once at the quote.
#pragma once

#include "edge.h"

inline int side_beyond(double number, double bound) {
    return number >= bound ? 1 : number <= -bound ? -1 : 0;
}

inline double linear_score(const Market &m, const Instrument &it) {
    double score = 0.0;
    for (const auto &row : m.score_weights) {
        double part = it.micro[int(row[0])] / row[1];
        if (part > 1.0)
            part = 1.0;
        else if (part < -1.0)
            part = -1.0;
        score += row[2] * part;
    }
    return score;
}

// ---- orders ----

inline i64 ceil_div(i64 a, i64 b) { return (a + b - 1) / b; }

inline i64 entry_qty_lots(const Sizes &sizes, i64 price_ticks, i64 notional_e8) {
    const i64 lot_e8 = price_ticks * sizes.unit_e8, step = std::max<i64>(sizes.market_step_lots, 1);
    i64 least = std::max(sizes.min_qty_lots, sizes.market_min_qty_lots);
    least = std::max(least, ceil_div(sizes.min_notional_e8, lot_e8));
    least = ceil_div(least, step) * step;
    const i64 most = std::min(sizes.max_qty_lots, sizes.market_max_qty_lots);
    const i64 wanted = notional_e8 / lot_e8 / step * step;
    const i64 qty = std::min(std::max(wanted, least), most / step * step);
    return qty >= least ? qty : 0;
}

inline i64 entry_notional_e8(const StrategyRow &row, double atr_ticks, i64 touch) {
    const double atr_bps = atr_ticks / double(touch) * 10'000.0;
    if (row.size_atr_bps > 0.0 && atr_bps > row.size_atr_bps)
        return i64(double(row.notional_e8) * (row.size_atr_bps / atr_bps));
    return row.notional_e8;
}

inline double regime_label(const Timeframe &tf, i64 column) {
    const double label = column >= 0 ? tf.features[column] : 0.0;
    return std::isnan(label) ? 0.0 : label;
}

inline void set_distances(const Market &m, const Timeframe &tf, const StrategyRow &row, int side,
                          StrategyMemory &memory) {
    const double half = 0.5 * row.regime_adapt;
    const double calm = 1.0 + half * regime_label(tf, m.volatility_column);
    const double way = 1.0 + half * side * regime_label(tf, m.trend_column);
    memory.stop_ticks = row.stop_atr * tf.atr_ticks * calm;
    memory.take_ticks = row.take_atr * tf.atr_ticks * calm * way;
}

inline int propose_entry(const Market &m, Instrument &it, i64 i, int s, int side, int reason,
                         Opportunity *out, int count) {
    const i64 touch = side > 0 ? it.hot.ask_price_ticks : it.hot.bid_price_ticks;
    if (touch <= 0)
        return count;
    const StrategyRow &row = m.strategies[s];
    const Timeframe &tf = it.timeframes[row.timeframe_index];
    const i64 notional_e8 = entry_notional_e8(row, tf.atr_ticks, touch);
    const i64 qty = entry_qty_lots(it.sizes, touch, notional_e8);
    if (qty <= 0)
        return count;
    out[count] = {i, s, side, 1, reason, qty, 0.0, {}, {}};
    set_distances(m, tf, row, side, it.strategy_memory[s]);
    return count + 1;
}

inline int propose_exit(i64 i, int s, i64 position, int reason, Opportunity *out, int count) {
    out[count] = {i, s, position > 0 ? -1 : 1, 0, reason, std::abs(position), 0.0, {}, {}};
    return count + 1;
}

inline void show_inputs(const Market &m, const Instrument &it, int s, double score,
                        Opportunity &out) {
    const double *micro = it.micro;
    const StrategyRow &row = m.strategies[s];
    if (row.kind == KIND_ORDERFLOW) {
        out.score = score;
        out.inputs[0] = micro[TRADE_FLOW_LONG];
        out.inputs[1] = micro[QUOTE_FLOW_LONG];
        out.inputs[2] = micro[IMBALANCE];
        out.inputs[3] = micro[SPREAD_BPS];
        return;
    }
    const Timeframe &tf = it.timeframes[row.timeframe_index];
    const bool is_return = out.reason == REASON_FVG_RETURN;
    out.score = out.inputs[2] = micro[TRADE_FLOW_LONG];
    out.inputs[0] = double(tf.structure.trend_side);
    out.inputs[1] = is_return ? tf.structure.return_near_ticks : tf.structure.live_level_ticks;
    out.inputs[3] = tf.atr_ticks;
}

inline bool may_enter(const Market &m, const Instrument &it, int s, i64 now_ns) {
    const StrategyRow &row = m.strategies[s];
    const i64 last_exit_ns = it.exposure[s].last_exit_time_ns;
    if (last_exit_ns != 0 && now_ns - last_exit_ns < row.cooldown_ns)
        return false;
    if (row.stop_atr == 0.0 && row.take_atr == 0.0 && row.size_atr_bps == 0.0)
        return true;
    return it.timeframes[row.timeframe_index].atr_ticks > 0.0;
}

inline bool is_fresh(const StrategyRow &row, i64 age_ns) {
    return row.expiry_ns == 0 || age_ns <= row.expiry_ns;
}

// Show what a proposal rests on; return the count with it, without an entry not worth its cost.
inline int finish(Market &m, const Instrument &it, int s, double score, Opportunity *out,
                  int before) {
    show_inputs(m, it, s, score, out[before]);
    return !out[before].is_entry || weigh_entry(m, it, s, score, out[before]) ? before + 1 : before;
}

// ---- at a quote ----

inline int protective_exit(const Market &m, Instrument &it, int s, i64 now_ns) {
    const StrategyRow &row = m.strategies[s];
    const Exposure &held = it.exposure[s];
    StrategyMemory &memory = it.strategy_memory[s];
    if (row.max_hold_ns > 0 && now_ns - held.entry_time_ns >= row.max_hold_ns)
        return REASON_MAX_HOLD;
    if (row.stop_atr == 0.0 && row.take_atr == 0.0)
        return 0;
    if (memory.stop_ticks == 0.0 && memory.take_ticks == 0.0) {
        const double atr = it.timeframes[row.timeframe_index].atr_ticks;
        if (!(atr > 0.0))
            return 0;
        memory = {row.stop_atr * atr, row.take_atr * atr};
    }
    const i64 move = held.position_lots > 0 ? it.hot.bid_price_ticks - held.entry_price_ticks
                                            : held.entry_price_ticks - it.hot.ask_price_ticks;
    if (memory.stop_ticks > 0.0 && double(move) <= -memory.stop_ticks)
        return REASON_STOP_LOSS;
    return memory.take_ticks > 0.0 && double(move) >= memory.take_ticks ? REASON_TAKE_PROFIT : 0;
}

inline int exit_on_quote(const Market &m, Instrument &it, int s, double score, i64 now_ns) {
    const int reason = protective_exit(m, it, s, now_ns);
    if (reason != 0)
        return reason;
    const Exposure &held = it.exposure[s];
    if (now_ns - held.entry_time_ns < m.strategies[s].min_hold_ns)
        return 0;
    if (m.strategies[s].kind != KIND_ORDERFLOW)
        return 0;
    const int side = side_beyond(score, m.parameters[s][EXIT_SCORE]);
    return side * held.position_lots < 0 ? REASON_FLOW_REVERSED : 0;
}

inline int run_on_quote(Market &m, Instrument &it, i64 i, i64 now_ns, Opportunity *out, int count) {
    const double score = linear_score(m, it);
    for (int s = 0; s < STRATEGIES; ++s) {
        bool skipped = it.exposure[s].in_flight != 0;
        for (int k = 0; k < count; ++k)
            skipped |= out[k].strategy_index == s;
        if (skipped)
            continue;
        const int before = count;
        const i64 position = it.exposure[s].position_lots;
        if (position == 0) {
            int side = 0;
            if (m.strategies[s].kind == KIND_ORDERFLOW)
                side = side_beyond(score, m.parameters[s][ENTER_SCORE]);
            const i64 age_ns = now_ns - it.hot.quote_receive_time_ns;
            if (side != 0 && may_enter(m, it, s, now_ns) && is_fresh(m.strategies[s], age_ns))
                count = propose_entry(m, it, i, s, side, REASON_FLOW_SCORE, out, count);
        } else {
            const int reason = exit_on_quote(m, it, s, score, now_ns);
            if (reason != 0)
                count = propose_exit(i, s, position, reason, out, count);
        }
        if (count > before)
            count = finish(m, it, s, score, out, before);
    }
    return count;
}

// ---- at the end of a bar ----

inline int smc_entry(const Market &m, const Instrument &it, int s) {
    const double *own = m.parameters[s];
    const Timeframe &tf = it.timeframes[m.strategies[s].timeframe_index];
    const Structure &st = tf.structure;
    const int side = side_beyond(it.micro[TRADE_FLOW_LONG], own[FLOW_MIN]);
    if (side == 0 || st.trend_side != side)
        return 0;
    if (!(it.micro[QUOTE_FLOW_LONG] * side >= own[QUOTE_FLOW_MIN]))
        return 0;
    if (st.live_side == side && own[TRADE_BREAKS] != 0.0)
        return side * REASON_BOS_LIVE;
    const i64 number = tf.closed_count - 1;
    if (st.return_side != side || double(number - st.return_at) > own[WAIT_BARS])
        return 0;
    const double beyond = (double(bar_of(tf, number).close_ticks) - st.return_far_ticks) * side;
    const double width = std::abs(st.return_near_ticks - st.return_far_ticks);
    if (beyond > 0 && width >= own[GAP_ATR_MIN] * tf.atr_ticks)
        return side * REASON_FVG_RETURN;
    return 0;
}

inline bool may_enter_on_bar(const Market &m, const Instrument &it, int s, i64 now_ns) {
    const StrategyRow &row = m.strategies[s];
    const Timeframe &tf = it.timeframes[row.timeframe_index];
    const i64 end_ns =
        bar_of(tf, tf.closed_count - 1).start_ns + m.timeframes_ns[row.timeframe_index];
    return is_fresh(row, m.venue_time_newest_ns - end_ns) && may_enter(m, it, s, now_ns);
}

[[gnu::noinline]] inline int run_on_bars(Market &m, Instrument &it, i64 i, unsigned closed,
                                         i64 now_ns, Opportunity *out) {
    int count = 0;
    for (int s = 0; s < STRATEGIES; ++s) {
        const StrategyRow &row = m.strategies[s];
        if (!((closed >> row.timeframe_index) & 1) || it.exposure[s].in_flight)
            continue;
        if (row.kind != KIND_SMC)
            continue;
        const int before = count;
        const i64 position = it.exposure[s].position_lots;
        if (position == 0) {
            const int answer = smc_entry(m, it, s);
            if (answer != 0 && may_enter_on_bar(m, it, s, now_ns))
                count =
                    propose_entry(m, it, i, s, answer > 0 ? 1 : -1, std::abs(answer), out, count);
        } else if (now_ns - it.exposure[s].entry_time_ns >= row.min_hold_ns) {
            const Timeframe &tf = it.timeframes[row.timeframe_index];
            const bool is_now = tf.structure.trend_known_at == tf.closed_count - 1;
            if (is_now && tf.structure.trend_side * position < 0)
                count = propose_exit(i, s, position, REASON_STRUCTURE_REVERSED, out, count);
        }
        if (count > before)
            count = finish(m, it, s, UNKNOWN, out, before);
    }
    return count;
}
