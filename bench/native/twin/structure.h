// Smart-money structure of closed bars: breaks, swings, patterns and fair value gaps.
#pragma once

#include <algorithm>

#include "types.h"

inline const Bar &bar_of(const Timeframe &tf, i64 number) {
    return tf.closed[number & (BAR_RING_BARS - 1)];
}

inline void emit(Timeframe &tf, int kind, i64 side, i64 bar, i64 known_at, i64 level, i64 far,
                 i64 broken_at) {
    tf.events[tf.structure.event_count++ & (EVENT_RING - 1)] = {i32(kind), i32(side), bar, known_at,
                                                                broken_at, level,     far, 0};
}

// ---- fair value gaps ----

inline void mitigate(Timeframe &tf, i64 side, i64 reach, i64 close, i64 number) {
    const int row = side > 0 ? 0 : 1;
    Structure &s = tf.structure;
    i64 count = s.open_gaps[row];
    while (count > 0 && (reach - tf.gaps[row][count - 1].near_ticks) * side <= 0) {
        const Gap gap = tf.gaps[row][--count];
        emit(tf, KIND_GAP_MITIGATED, side, gap.known_at, number, gap.near_ticks, gap.far_ticks, -1);
        if ((close - gap.far_ticks) * side > 0) {
            s.return_side = side;
            s.return_at = number;
            s.return_near_ticks = gap.near_ticks;
            s.return_far_ticks = gap.far_ticks;
        }
    }
    s.open_gaps[row] = count;
}

inline void push_gap(Timeframe &tf, i64 side, i64 near, i64 far, i64 number) {
    const int row = side > 0 ? 0 : 1;
    i64 count = tf.structure.open_gaps[row];
    if (count == GAPS_MAX) {
        std::memmove(tf.gaps[row], tf.gaps[row] + 1, (GAPS_MAX - 1) * sizeof(Gap));
        --count;
        ++tf.structure.dropped_gaps;
    }
    tf.gaps[row][count] = {near, far, number};
    tf.structure.open_gaps[row] = count + 1;
    emit(tf, KIND_GAP, side, number - 1, number, near, far, -1);
}

inline void update_gaps(Timeframe &tf, i64 number) {
    const Bar &bar = bar_of(tf, number);
    mitigate(tf, 1, bar.low_ticks, bar.close_ticks, number);
    mitigate(tf, -1, bar.high_ticks, bar.close_ticks, number);
    if (number < 2)
        return;
    const Bar &middle = bar_of(tf, number - 1), &first = bar_of(tf, number - 2);
    const i64 body = middle.close_ticks - middle.open_ticks;
    if (body > 0 && bar.low_ticks > first.high_ticks)
        push_gap(tf, 1, bar.low_ticks, first.high_ticks, number);
    else if (body < 0 && bar.high_ticks < first.low_ticks)
        push_gap(tf, -1, bar.high_ticks, first.low_ticks, number);
}

// ---- breaks ----

inline void cancel_earlier(Timeframe &tf, i64 bar, i64 broken_at) {
    i64 kept = 0;
    for (i64 k = 0; k < tf.structure.pending_count; ++k)
        if (tf.pending[k].bar >= bar)
            tf.pending[kept++] = tf.pending[k];
    tf.structure.pending_count = kept;
    const i64 count = tf.structure.event_count;
    for (i64 number = std::max<i64>(0, count - EVENT_RING); number < count; ++number) {
        Event &event = tf.events[number & (EVENT_RING - 1)];
        const bool is_break = event.kind == KIND_BOS || event.kind == KIND_CHOCH;
        if (is_break && event.bar < bar && event.broken_at >= broken_at)
            event.is_cancelled = 1;
    }
}

inline void emit_break(Timeframe &tf, int kind, i64 side, i64 bar, i64 level, i64 broken_at,
                       i64 number) {
    cancel_earlier(tf, bar, broken_at);
    emit(tf, kind, side, bar, number, level, 0, broken_at);
    tf.structure.trend_side = side;
    tf.structure.trend_known_at = number;
}

inline void emit_live(Timeframe &tf, i64 side, i64 level, i64 number) {
    emit(tf, KIND_BOS_LIVE, side, number, number, level, 0, number);
    tf.structure.live_side = side;
    tf.structure.live_level_ticks = level;
    tf.structure.trend_side = side;
    tf.structure.trend_known_at = number;
}

inline void break_levels(Timeframe &tf, i64 close, i64 number) {
    Structure &s = tf.structure;
    for (i64 back = 1; back <= std::min<i64>(s.swing_count, SWING_RING); ++back) {
        Swing &swing = tf.swings[(s.swing_count - back) & (SWING_RING - 1)];
        if ((close - swing.level_ticks) * swing.side > 0 && swing.broken_at < 0)
            swing.broken_at = number;
    }
    const i64 high = s.high_level_ticks, low = s.low_level_ticks;
    if (high > 0 && close > high) {
        emit_live(tf, 1, high, number);
        s.high_level_ticks = 0;
    } else if (low > 0 && close < low) {
        emit_live(tf, -1, low, number);
        s.low_level_ticks = 0;
    }
    for (i64 k = 0; k < s.pending_count;) {
        const Pending p = tf.pending[k];
        if ((close - p.level_ticks) * p.side <= 0) {
            ++k;
            continue;
        }
        --s.pending_count;
        std::memmove(tf.pending + k, tf.pending + k + 1,
                     std::size_t(s.pending_count - k) * sizeof(Pending));
        emit_break(tf, p.kind, p.side, p.bar, p.level_ticks, number, number);
        k = 0;
    }
}

// ---- swings ----

inline int swing_candidate(const Timeframe &tf, i64 bar) {
    const Bar &it = bar_of(tf, bar);
    bool is_high = true, is_low = true;
    for (i64 other = bar - SWING_BARS + 1; other <= bar + SWING_BARS; ++other) {
        is_high &= bar_of(tf, other).high_ticks <= it.high_ticks;
        is_low &= bar_of(tf, other).low_ticks >= it.low_ticks;
    }
    return is_high ? 1 : is_low ? -1 : 0;
}

inline bool apply_candidate(Timeframe &tf, int side, i64 bar, i64 level, i64 number) {
    Structure &s = tf.structure;
    const Swing made = {bar, level, number, -1, 0, side};
    if (s.swing_count > 0) {
        Swing &last = tf.swings[(s.swing_count - 1) & (SWING_RING - 1)];
        if (last.side == side) {
            if ((level - last.level_ticks) * side <= 0)
                return false;
            last = made;
            emit(tf, KIND_SWING_REPLACED, side, bar, number, level, 0, -1);
            return true;
        }
        const i64 locked = last.broken_at >= 0 ? 0 : last.level_ticks;
        (last.side > 0 ? s.high_level_ticks : s.low_level_ticks) = locked;
    }
    tf.swings[s.swing_count++ & (SWING_RING - 1)] = made;
    emit(tf, KIND_SWING, side, bar, number, level, 0, -1);
    return true;
}

inline void look_for_pattern(Timeframe &tf, i64 number) {
    Structure &s = tf.structure;
    if (s.swing_count < 4)
        return;
    Swing *four[4];
    for (int k = 0; k < 4; ++k)
        four[k] = &tf.swings[(s.swing_count - 4 + k) & (SWING_RING - 1)];
    const i64 side = four[3]->side;
    const i64 a = four[0]->level_ticks * side, b = four[1]->level_ticks * side;
    const i64 c = four[2]->level_ticks * side, d = four[3]->level_ticks * side;
    const int kind = a < c && c < b && b < d ? KIND_BOS : d > b && b > a && a > c ? KIND_CHOCH : 0;
    Swing &broken = *four[1];
    if (kind == 0 || broken.pattern_done)
        return;
    broken.pattern_done = 1;
    if (broken.broken_at >= 0) {
        emit_break(tf, kind, side, broken.bar, broken.level_ticks, broken.broken_at, number);
        return;
    }
    if (s.pending_count == PENDING_MAX) {
        std::memmove(tf.pending, tf.pending + 1, (PENDING_MAX - 1) * sizeof(Pending));
        --s.pending_count;
    }
    tf.pending[s.pending_count++] = {broken.bar, broken.level_ticks, i32(side), kind};
}

inline void update_swings(Timeframe &tf, i64 number) {
    tf.structure.live_side = 0;
    break_levels(tf, bar_of(tf, number).close_ticks, number);
    const i64 bar = number - SWING_BARS;
    if (bar < 2 * SWING_BARS - 1)
        return;
    const int side = swing_candidate(tf, bar);
    if (side == 0)
        return;
    const Bar &at = bar_of(tf, bar);
    if (apply_candidate(tf, side, bar, side > 0 ? at.high_ticks : at.low_ticks, number))
        look_for_pattern(tf, number);
}
