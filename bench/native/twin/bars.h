// Bars from trades, and the features of a bar at its end.
#pragma once

#include "flow.h"
#include "zones.h"

using Series = double[SERIES_COLUMNS][2 * SERIES_BARS];

// Take over a closed bar: what it brings, and what is computed from it once for all windows.
inline void push_bar(Series &series, i64 number, const Bar &bar) {
    if (number > 0 && (number & (SERIES_BARS - 1)) == 0) {
        for (double (&column)[2 *SERIES_BARS] : series)
            std::memcpy(column, column + SERIES_BARS, SERIES_BARS * sizeof(double));
        for (i64 at = 0; at < SERIES_BARS; ++at)
            series[VOLUME_SUM][at] -= series[VOLUME_SUM][2 * SERIES_BARS - 1];
    }
    const i64 place = place_of(number);
    const double open = double(bar.open_ticks), close = double(bar.close_ticks);
    const double high = double(bar.high_ticks), low = double(bar.low_ticks);
    const double before = number > 0 ? series[CLOSE][place - 1] : close;
    series[OPEN][place] = open;
    series[HIGH][place] = high;
    series[LOW][place] = low;
    series[CLOSE][place] = close;
    series[VOLUME][place] = double(bar.volume_lots);
    series[BALANCE][place] = 2.0 * double(bar.buy_lots) - double(bar.volume_lots);
    series[TRADES][place] = double(bar.trade_count);
    series[START_S][place] = double(bar.start_ns) / 1e9;
    series[RETURN][place] = (close - before) / before;
    series[TRUE_RANGE][place] = std::max(high, before) - std::min(low, before);
    series[TYPICAL][place] = (high + low + close) / 3.0;
    series[VOLUME_SUM][place] = series[VOLUME_SUM][place - 1] + double(bar.volume_lots);
}

inline void update_atr(Timeframe &tf, i64 number, double range) {
    if (number < 1)
        return;
    if (number <= ATR_BARS) {
        tf.atr_seed += range;
        if (number == ATR_BARS)
            tf.atr_ticks = tf.atr_seed / ATR_BARS;
        return;
    }
    tf.atr_ticks = (tf.atr_ticks * (ATR_BARS - 1) + range) / ATR_BARS;
}

inline double window_sum(const double *newest, i64 span) {
    const double *at = newest - span + 1;
    double lanes[4] = {};
    i64 k = 0;
    for (; k + 4 <= span; k += 4)
        for (int lane = 0; lane < 4; ++lane)
            lanes[lane] += at[k + lane];
    for (; k < span; ++k)
        lanes[0] += at[k];
    return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

inline double update_ema(double &cell, i64 number, i64 span, double close) {
    if (number < span) {
        cell += close;
        if (number < span - 1)
            return UNKNOWN;
        cell /= double(span);
    } else {
        cell += (close - cell) * (2.0 / double(span + 1));
    }
    return cell;
}

inline double update_rsi(double *cells, i64 number, i64 span, double move) {
    const double gain = std::max(move, 0.0), loss = std::max(-move, 0.0);
    const double weight = 1.0 / double(span);
    if (number <= span) {
        cells[0] += gain * weight;
        cells[1] += loss * weight;
        if (number < span)
            return UNKNOWN;
    } else {
        cells[0] += (gain - cells[0]) * weight;
        cells[1] += (loss - cells[1]) * weight;
    }
    const double total = cells[0] + cells[1];
    return total == 0.0 ? UNKNOWN : (cells[0] - cells[1]) / total;
}

inline double deviation_bps(const double *returned, i64 number, i64 span) {
    if (number < span)
        return UNKNOWN;
    const double *at = returned - span + 1;
    double lanes[4] = {};
    i64 k = 0;
    for (; k + 4 <= span; k += 4)
        for (int lane = 0; lane < 4; ++lane)
            lanes[lane] += at[k + lane] * at[k + lane];
    for (; k < span; ++k)
        lanes[0] += at[k] * at[k];
    const double squares = lanes[0] + lanes[1] + lanes[2] + lanes[3];
    return std::sqrt(squares / double(span)) * 10'000.0;
}

inline double relative_volume(const double *volume, i64 number, i64 span) {
    if (number < span)
        return UNKNOWN;
    const double total = window_sum(volume - 1, span);
    return total == 0.0 ? UNKNOWN : *volume * double(span) / total;
}

inline double taker_balance(const double *balance, const double *volume, i64 number, i64 span) {
    if (number < span - 1)
        return UNKNOWN;
    const double total = window_sum(volume, span);
    return total == 0.0 ? UNKNOWN : window_sum(balance, span) / total;
}

inline double deviation(const double *close, i64 number, i64 span) {
    if (number < span - 1)
        return UNKNOWN;
    const double *at = close - span + 1;
    double total[4] = {}, squares[4] = {};
    const auto take = [&](i64 k, int lane) {
        const double difference = at[k] - *close;
        total[lane] += difference;
        squares[lane] += difference * difference;
    };
    i64 k = 0;
    for (; k + 4 <= span; k += 4)
        for (int lane = 0; lane < 4; ++lane)
            take(k + lane, lane);
    for (; k < span; ++k)
        take(k, 0);
    const double share = 1.0 / double(span);
    const double mean = (total[0] + total[1] + total[2] + total[3]) * share;
    const double variance =
        (squares[0] + squares[1] + squares[2] + squares[3]) * share - mean * mean;
    return variance > 0.0 ? -mean / std::sqrt(variance) : UNKNOWN;
}

inline double bar_feature(const Plan &plan, Timeframe &tf, int kernel, i64 k, i64 number) {
    const auto newest = [&](int column) { return tf.series[column] + place_of(number); };
    const double atr = tf.atr_ticks, close = *newest(CLOSE), high = *newest(HIGH);
    const double low = *newest(LOW), width = high - low;
    const double per_atr = atr > 0.0 ? 1.0 / atr : UNKNOWN;
    const i64 span = i64(plan.params[k][0]);
    double *cells = tf.memory + plan.cell[k];
    switch (kernel) {
    case FEATURE_CHANGE:
        if (number < span)
            return UNKNOWN;
        return (close - newest(CLOSE)[-span]) * per_atr;
    case FEATURE_BODY:
        return width == 0.0 ? UNKNOWN : (close - *newest(OPEN)) / width;
    case FEATURE_CLOSE_PLACE:
        return width == 0.0 ? UNKNOWN : (2.0 * close - high - low) / width;
    case FEATURE_EMA_DISTANCE:
        return (close - update_ema(cells[0], number, span, close)) * per_atr;
    case FEATURE_RSI:
        if (number == 0)
            return UNKNOWN;
        return update_rsi(cells, number, span, close - newest(CLOSE)[-1]);
    case FEATURE_ATR_BPS:
        return atr / close * 10'000.0;
    case FEATURE_RANGE_ATR:
        return width * per_atr;
    case FEATURE_DEVIATION_BPS:
        return deviation_bps(newest(RETURN), number, span);
    case FEATURE_RELATIVE:
        return relative_volume(newest(VOLUME), number, span);
    case FEATURE_TAKER_BALANCE:
        return taker_balance(newest(BALANCE), newest(VOLUME), number, span);
    default:
        return deviation(newest(CLOSE), number, span);
    }
}

inline void update_features(const Plan &plan, Timeframe &tf, const Bar &bar, i64 number) {
    push_bar(tf.series, number, bar);
    update_atr(tf, number, tf.series[TRUE_RANGE][place_of(number)]);
    for (int kernel = 0; kernel < FEATURE_KERNELS; ++kernel)
        for (i64 k = plan.first[kernel]; k < plan.first[kernel + 1]; ++k)
            tf.features[plan.column[k]] = bar_feature(plan, tf, kernel, k, number);
}

inline void note_direction(i64 *breadth, Timeframe &tf, const Bar &bar) {
    const i64 before = tf.direction, move = bar.close_ticks - bar.open_ticks;
    tf.direction = 2 + (move > 0) - (move < 0);
    breadth[0] += tf.direction - (before == 0 ? 2 : before);
    breadth[1] += before == 0;
}

inline i64 next_close(const Market &m, const Instrument &it) {
    i64 earliest_ns = NEVER_NS;
    for (int t = 0; t < TIMEFRAMES; ++t)
        if (it.forming[t].trade_count > 0)
            earliest_ns = std::min(earliest_ns, it.forming[t].start_ns + m.timeframes_ns[t]);
    return earliest_ns;
}

[[gnu::noinline]] inline unsigned close_due_bars(Market &m, Instrument &it, i64 until_ns) {
    unsigned closed = 0;
    for (int t = 0; t < TIMEFRAMES; ++t) {
        Bar &bar = it.forming[t];
        if (bar.trade_count == 0 || bar.start_ns + m.timeframes_ns[t] > until_ns)
            continue;
        Timeframe &tf = it.timeframes[t];
        const i64 number = tf.closed_count++;
        bar.is_final = 1;
        tf.closed[number & (BAR_RING_BARS - 1)] = bar;
        bar.is_final = 0;
        bar.trade_count = 0;
        bar.start_ns += m.timeframes_ns[t];
        note_direction(m.breadth[t], tf, bar_of(tf, number));
        update_features(m.plan, tf, bar_of(tf, number), number);
        update_structure(m.plan, tf, number);
        closed |= 1u << t;
    }
    it.hot.next_close_ns = next_close(m, it);
    return closed;
}

inline unsigned apply_quote(Market &m, Instrument &it, const Slot &r) {
    Hot &hot = it.hot;
    unsigned closed = 0;
    if (r.venue_time_ns - LATE_GRACE_NS >= hot.next_close_ns)
        closed = close_due_bars(m, it, r.venue_time_ns - LATE_GRACE_NS);
    advance_flow(it, r.venue_time_ns);
    if (hot.bid_price_ticks > 0) {
        const i64 moved = quote_change(hot, r);
        if (moved != 0)
            add_flow(it, 2, double(moved));
    }
    hot.bid_price_ticks = r.bid_price_ticks;
    hot.ask_price_ticks = r.ask_price_ticks;
    hot.bid_qty_lots = r.bid_qty_lots;
    hot.ask_qty_lots = r.ask_qty_lots;
    hot.quote_receive_time_ns = r.receive_time_ns;
    hot.quote_venue_time_ns = r.venue_time_ns;
    refresh_quote(it);
    return closed;
}

inline unsigned apply_trade(Market &m, Instrument &it, const Slot &r) {
    Hot &hot = it.hot;
    const bool is_buy = r.flags & TRADE_BUYER_AGGRESSOR;
    unsigned closed = 0;
    if (r.venue_time_ns >= hot.next_close_ns)
        closed = close_due_bars(m, it, r.venue_time_ns);
    advance_flow(it, r.venue_time_ns);
    add_trade_flow(it, is_buy ? r.qty_lots : -r.qty_lots);
    bool opened = false, late = false;
    for (int t = 0; t < TIMEFRAMES; ++t) {
        Bar &bar = it.forming[t];
        opened |= bar.trade_count == 0;
        if (r.venue_time_ns < bar.start_ns) {
            late = true;
            continue;
        }
        if (bar.trade_count == 0) {
            bar.start_ns = r.venue_time_ns - r.venue_time_ns % m.timeframes_ns[t];
            bar.open_ticks = bar.high_ticks = bar.low_ticks = r.price_ticks;
            bar.volume_lots = bar.buy_lots = 0;
        }
        bar.high_ticks = std::max(bar.high_ticks, r.price_ticks);
        bar.low_ticks = std::min(bar.low_ticks, r.price_ticks);
        bar.close_ticks = r.price_ticks;
        bar.volume_lots += r.qty_lots;
        if (is_buy)
            bar.buy_lots += r.qty_lots;
        ++bar.trade_count;
    }
    if (opened)
        hot.next_close_ns = next_close(m, it);
    if (late)
        ++hot.late_trade_count;
    ++hot.trade_count;
    hot.last_price_ticks = r.price_ticks;
    hot.trade_venue_time_ns = r.venue_time_ns;
    hot.trade_receive_time_ns = r.receive_time_ns;
    return closed;
}
