// Smart-money structure of closed bars: order blocks, pools, spans of time, the last locked leg.
#pragma once

#include "structure.h"

// ---- order blocks ----

inline void drop_block(Structure &s, int row, i64 place) {
    const i64 last = --s.block_count[row];
    remove_at(s.block_near_ticks[row], place, last);
    remove_at(s.block_far_ticks[row], place, last);
    remove_at(s.block_bar[row], place, last);
    remove_at(s.block_state[row], place, last);
}

inline i64 next_state(i64 state, i64 side, double near, double far, double reach, double close) {
    if (state == BLOCK_BREAKER)
        return (close - near) * side > 0 ? 0 : BLOCK_BREAKER;
    if ((close - far) * side < 0)
        return BLOCK_BREAKER;
    return (reach - near) * side <= 0 ? BLOCK_MITIGATED : state;
}

inline void age_blocks(Structure &s, i64 side, double reach, double close, i64 number) {
    const int row = row_of(side);
    for (i64 k = 0; k < s.block_count[row];) {
        const double near = s.block_near_ticks[row][k], far = s.block_far_ticks[row][k];
        const i64 bar = s.block_bar[row][k], before = s.block_state[row][k];
        const i64 after = next_state(before, side, near, far, reach, close);
        if (before == BLOCK_ACTIVE && after != BLOCK_ACTIVE)
            emit(s, KIND_BLOCK_MITIGATED, side, bar, number, near, far);
        if (before != BLOCK_BREAKER && after == BLOCK_BREAKER)
            emit(s, KIND_BLOCK_BREAKER, side, bar, number, near, far);
        if (after == BLOCK_MITIGATED && (reach - near) * side <= 0) {
            s.touch_side = side;
            s.touch_at = number;
            s.touch_far_ticks = far;
        }
        s.block_state[row][k] = after;
        if (after == 0) {
            emit(s, KIND_BLOCK_INVALID, side, bar, number, near, far);
            drop_block(s, row, k);
        } else {
            ++k;
        }
    }
}

inline void push_block(Timeframe &tf, i64 side, i64 number) {
    Structure &s = tf.structure;
    const int row = row_of(side);
    const i64 bars = std::min<i64>(number - 1 - s.broken_bar[row], WINDOW_MAX);
    const i64 place = place_of(number);
    const auto high = [&](i64 back) { return tf.series[HIGH][place - back]; };
    const auto low = [&](i64 back) { return tf.series[LOW][place - back]; };
    i64 found = 1;
    for (i64 back = 2; back <= bars; ++back)
        if (side > 0 ? low(back) < low(found) : high(back) > high(found))
            found = back;
    const double near = side > 0 ? high(found) : low(found);
    const double far = side > 0 ? low(found) : high(found);
    if (s.block_count[row] == BLOCKS_MAX) {
        drop_block(s, row, 0);
        ++s.dropped_blocks;
    }
    const i64 k = s.block_count[row]++;
    s.block_near_ticks[row][k] = near;
    s.block_far_ticks[row][k] = far;
    s.block_bar[row][k] = number - found;
    s.block_state[row][k] = BLOCK_ACTIVE;
    emit(s, KIND_BLOCK, side, number - found, number, near, far);
}

inline void update_blocks(Timeframe &tf, i64 number) {
    Structure &s = tf.structure;
    const Bar &bar = bar_of(tf, number);
    age_blocks(s, 1, double(bar.low_ticks), double(bar.close_ticks), number);
    age_blocks(s, -1, double(bar.high_ticks), double(bar.close_ticks), number);
    for (const i64 side : {1, -1})
        if (s.broken_bar[row_of(side)] >= 0)
            push_block(tf, side, number);
}

// ---- pools ----

inline void drop_pool(Structure &s, int row, i64 place) {
    const i64 last = --s.pool_count[row];
    remove_at(s.pool_level_ticks[row], place, last);
    remove_at(s.pool_width_ticks[row], place, last);
    remove_at(s.pool_touches[row], place, last);
}

inline void sweep_pools(Structure &s, i64 side, double reach, double close, i64 number) {
    const int row = row_of(side);
    for (i64 k = 0; k < s.pool_count[row];) {
        const double level = s.pool_level_ticks[row][k];
        if ((reach - level) * side <= s.pool_width_ticks[row][k]) {
            ++k;
            continue;
        }
        if (s.pool_touches[row][k] > 1) {
            const bool is_reclaimed = (close - level) * side <= 0;
            emit(s, KIND_POOL_SWEPT, side, number, number, level, 0.0, is_reclaimed ? -1 : number);
            s.sweep_side = side;
            s.sweep_at = number;
            s.sweep_is_reclaimed = is_reclaimed;
        }
        drop_pool(s, row, k);
    }
}

inline void add_level(Structure &s, i64 side, i64 bar, double level, double width, i64 number) {
    const int row = row_of(side);
    double *levels = s.pool_level_ticks[row];
    i64 found = -1;
    for (i64 k = 0; k < s.pool_count[row]; ++k) {
        const double distance = std::abs(levels[k] - level);
        if (distance <= s.pool_width_ticks[row][k] &&
            (found < 0 || distance <= std::abs(levels[found] - level)))
            found = k;
    }
    if (found >= 0) {
        if ((levels[found] - level) * side > 0)
            level = levels[found];
        levels[found] = level;
        if (++s.pool_touches[row][found] == 2)
            emit(s, KIND_POOL, side, bar, number, level);
        return;
    }
    if (s.pool_count[row] == POOLS_MAX) {
        drop_pool(s, row, 0);
        ++s.dropped_pools;
    }
    const i64 k = s.pool_count[row]++;
    levels[k] = level;
    s.pool_width_ticks[row][k] = width;
    s.pool_touches[row][k] = 1;
}

inline void update_pools(Timeframe &tf, i64 number) {
    Structure &s = tf.structure;
    const Bar &bar = bar_of(tf, number);
    sweep_pools(s, 1, double(bar.high_ticks), double(bar.close_ticks), number);
    sweep_pools(s, -1, double(bar.low_ticks), double(bar.close_ticks), number);
    const i64 last = (s.swing_count - 1) & SWING_MASK;
    if (s.swing_count > 0 && s.swing_known_at[last] == number) {
        const double width = tf.atr_ticks > 0 ? POOL_ATR * tf.atr_ticks : 0.0;
        add_level(s, s.swing_side[last], s.swing_bar[last], s.swing_level_ticks[last], width,
                  number);
    }
}

// ---- spans ----

inline i64 floor_of(i64 part, i64 whole) { return part / whole - (part % whole < 0); }

inline i64 month_of(i64 day) {
    const i64 since = day + 719'468, era = floor_of(since, 146'097), in_era = since - era * 146'097;
    const i64 year = (in_era - in_era / 1'460 + in_era / 36'524 - in_era / 146'096) / 365;
    const i64 in_year = in_era - (365 * year + year / 4 - year / 100);
    return 12 * (400 * era + year) + (5 * in_year + 2) / 153 + 2;
}

inline i64 session_of(const Plan &plan, Structure &s, int zone, double start_s) {
    constexpr double OPENS[] = {SESSION_OPENS_S_0, SESSION_OPENS_S_1, SESSION_OPENS_S_2};
    constexpr double CLOSES[] = {SESSION_CLOSES_S_0, SESSION_CLOSES_S_1, SESSION_CLOSES_S_2};
    const double *from_s = plan.zone_from_s + zone * CHANGES_MAX;
    i64 &k = s.zone_index[zone];
    while (k + 1 < CHANGES_MAX && from_s[k + 1] <= start_s)
        ++k;
    const double local_s = start_s + plan.zone_offset_s[zone * CHANGES_MAX + k];
    const double day = std::floor(local_s / DAY_S), within = local_s - day * DAY_S;
    double &share = s.session_share[PART_ASIA - 1 + zone];
    share = UNKNOWN;
    const i64 weekday = (i64(day) + 3) % 7;
    if (weekday >= 5 || within < OPENS[zone] || within >= CLOSES[zone])
        return -1;
    share = (within - OPENS[zone]) / (CLOSES[zone] - OPENS[zone]);
    return i64(day);
}

inline void apply_span(Structure &s, int part, i64 span, double high, double low, double close,
                       i64 number) {
    const int k = part - 1;
    if (number == 0 || span != s.span_id[k]) {
        if (number > 0 && s.span_id[k] >= 0 && s.span_is_whole[k]) {
            s.before_high_ticks[k] = s.span_high_ticks[k];
            s.before_low_ticks[k] = s.span_low_ticks[k];
            s.is_high_taken[k] = s.is_low_taken[k] = 0;
            emit(s, KIND_SPAN_ENDED, 0, number, number, s.span_high_ticks[k], s.span_low_ticks[k],
                 -1, part);
        }
        s.span_id[k] = span;
        s.span_is_whole[k] = number > 0;
        s.span_high_ticks[k] = high;
        s.span_low_ticks[k] = low;
    }
    s.span_high_ticks[k] = std::max(s.span_high_ticks[k], high);
    s.span_low_ticks[k] = std::min(s.span_low_ticks[k], low);
    const double above = s.before_high_ticks[k], below = s.before_low_ticks[k];
    if (above > 0 && high > above && !s.is_high_taken[k]) {
        s.is_high_taken[k] = 1;
        emit(s, KIND_SPAN_TAKEN, 1, number, number, above, 0.0, close > above ? number : -1, part);
    }
    if (below > 0 && low < below && !s.is_low_taken[k]) {
        s.is_low_taken[k] = 1;
        emit(s, KIND_SPAN_TAKEN, -1, number, number, below, 0.0, close < below ? number : -1, part);
    }
}

inline void update_spans(const Plan &plan, Timeframe &tf, i64 number) {
    Structure &s = tf.structure;
    const Bar &bar = bar_of(tf, number);
    const double start_s = double(bar.start_ns) / 1e9;
    const double high = double(bar.high_ticks), low = double(bar.low_ticks);
    const double close = double(bar.close_ticks);
    const i64 day = i64(std::floor(start_s / DAY_S));
    apply_span(s, PART_DAY, day, high, low, close, number);
    apply_span(s, PART_WEEK, floor_of(day + 3, 7), high, low, close, number);
    apply_span(s, PART_MONTH, month_of(day), high, low, close, number);
    for (int zone = 0; zone < ZONES; ++zone)
        apply_span(s, PART_ASIA + zone, session_of(plan, s, zone, start_s), high, low, close,
                   number);
}

// ---- the last locked leg ----

inline void update_leg(Timeframe &tf, i64 number) {
    Structure &s = tf.structure;
    if (s.leg_side == 0)
        return;
    const Bar &bar = bar_of(tf, number);
    const double end = s.leg_end_ticks, length = end - s.leg_start_ticks;
    const auto back = [&](i64 price) { return (end - double(price)) / length; };
    const double depth = back(s.leg_side > 0 ? bar.low_ticks : bar.high_ticks);
    s.leg_depth = std::max(s.leg_depth, depth);
    const double least = back(s.leg_side > 0 ? bar.high_ticks : bar.low_ticks);
    if (s.leg_ote_at < 0 && depth >= OTE_NEAR && least <= OTE_FAR) {
        s.leg_ote_at = number;
        emit(s, KIND_OTE, s.leg_side, number, number, end - OTE_NEAR * length,
             end - OTE_FAR * length);
    }
}

inline void update_structure(const Plan &plan, Timeframe &tf, i64 number) {
    update_swings(tf, number);
    update_gaps(tf, number);
    update_blocks(tf, number);
    update_pools(tf, number);
    update_spans(plan, tf, number);
    update_leg(tf, number);
}
