// Smart-money structure of closed bars: breaks, swings, patterns and fair value gaps.
#pragma once

#include <algorithm>

#include "types.h"

// Where bar `number` stands in the columns of the series.
inline i64 place_of(i64 number) { return SERIES_BARS + (number & (SERIES_BARS - 1)); }

inline const Bar &bar_of(const Timeframe &tf, i64 number) {
    return tf.closed[number & (BAR_RING_BARS - 1)];
}

inline int row_of(i64 side) { return side > 0 ? 0 : 1; }

inline i64 emit(Structure &s, int kind, i64 side, i64 bar, i64 number, double level,
                double far = 0.0, i64 broken_at = -1, i64 part = 0) {
    const i64 k = s.event_count++ & EVENT_MASK;
    s.event_kind[k] = kind;
    s.event_side[k] = side;
    s.event_part[k] = part;
    s.event_bar[k] = bar;
    s.event_known_at[k] = number;
    s.event_broken_at[k] = broken_at;
    s.event_level_ticks[k] = level;
    s.event_far_ticks[k] = far;
    s.event_is_cancelled[k] = 0;
    return k;
}

template <typename T> inline void remove_at(T *items, i64 place, i64 last) {
    std::memmove(items + place, items + place + 1, std::size_t(last - place) * sizeof(T));
}

// ---- fair value gaps ----

inline void mitigate(Structure &s, i64 side, double reach, double close, i64 number) {
    const int row = row_of(side);
    i64 count = s.gap_count[row];
    while (count > 0 && (reach - s.gap_near_ticks[row][count - 1]) * side <= 0) {
        --count;
        const double near = s.gap_near_ticks[row][count], far = s.gap_far_ticks[row][count];
        emit(s, KIND_GAP_MITIGATED, side, s.gap_known_at[row][count], number, near, far);
        if ((close - far) * side > 0) {
            s.return_side = side;
            s.return_at = number;
            s.return_near_ticks = near;
            s.return_far_ticks = far;
        }
    }
    s.gap_count[row] = count;
}

inline void push_gap(Structure &s, i64 side, double near, double far, i64 number) {
    const int row = row_of(side);
    i64 count = s.gap_count[row];
    if (count == GAPS_MAX) {
        remove_at(s.gap_near_ticks[row], 0, --count);
        remove_at(s.gap_far_ticks[row], 0, count);
        remove_at(s.gap_known_at[row], 0, count);
        ++s.dropped_gaps;
    }
    s.gap_near_ticks[row][count] = near;
    s.gap_far_ticks[row][count] = far;
    s.gap_known_at[row][count] = number;
    s.gap_count[row] = count + 1;
    emit(s, KIND_GAP, side, number - 1, number, near, far);
}

inline void update_gaps(Timeframe &tf, i64 number) {
    Structure &s = tf.structure;
    const Bar &bar = bar_of(tf, number);
    const double high = double(bar.high_ticks), low = double(bar.low_ticks);
    mitigate(s, 1, low, double(bar.close_ticks), number);
    mitigate(s, -1, high, double(bar.close_ticks), number);
    if (number < 2)
        return;
    const Bar &middle = bar_of(tf, number - 1), &first = bar_of(tf, number - 2);
    const i64 body = middle.close_ticks - middle.open_ticks;
    if (body > 0 && bar.low_ticks > first.high_ticks)
        push_gap(s, 1, low, double(first.high_ticks), number);
    else if (body < 0 && bar.high_ticks < first.low_ticks)
        push_gap(s, -1, high, double(first.low_ticks), number);
}

// ---- breaks ----

inline void drop_pending(Structure &s, i64 place) {
    const i64 last = --s.pending_count;
    remove_at(s.pending_bar, place, last);
    remove_at(s.pending_level_ticks, place, last);
    remove_at(s.pending_side, place, last);
    remove_at(s.pending_kind, place, last);
}

inline void cancel_earlier(Structure &s, i64 bar, i64 broken_at) {
    for (i64 place = 0; place < s.pending_count;) {
        if (s.pending_bar[place] >= bar)
            ++place;
        else
            drop_pending(s, place);
    }
    for (i64 number = std::max<i64>(0, s.event_count - EVENT_RING); number < s.event_count;
         ++number) {
        const i64 k = number & EVENT_MASK;
        const bool is_break = s.event_kind[k] == KIND_BOS || s.event_kind[k] == KIND_CHOCH;
        if (is_break && s.event_bar[k] < bar && s.event_broken_at[k] >= broken_at)
            s.event_is_cancelled[k] = 1;
    }
}

inline void emit_break(Structure &s, i64 kind, i64 side, i64 bar, double level, i64 broken_at,
                       i64 number) {
    cancel_earlier(s, bar, broken_at);
    emit(s, int(kind), side, bar, number, level, 0.0, broken_at);
    s.trend_side = side;
    s.trend_known_at = number;
}

inline void emit_live(Structure &s, i64 side, double level, i64 number) {
    emit(s, KIND_BOS_LIVE, side, number, number, level, 0.0, number);
    s.live_side = s.trend_side = side;
    s.live_level_ticks = level;
    s.trend_known_at = number;
}

inline void break_swings(Structure &s, double close, i64 number) {
    s.broken_bar[0] = s.broken_bar[1] = -1;
    for (i64 back = 1; back <= std::min<i64>(s.swing_count, SWING_RING); ++back) {
        const i64 k = (s.swing_count - back) & SWING_MASK;
        if ((close - s.swing_level_ticks[k]) * s.swing_side[k] > 0 && s.swing_broken_at[k] < 0) {
            s.swing_broken_at[k] = number;
            if (back <= 2)
                s.broken_bar[row_of(s.swing_side[k])] = s.swing_bar[k];
        }
    }
}

inline void break_levels(Structure &s, double close, i64 number) {
    const double high = s.high_level_ticks, low = s.low_level_ticks;
    if (high > 0 && close > high) {
        emit_live(s, 1, high, number);
        s.high_level_ticks = 0;
    } else if (low > 0 && close < low) {
        emit_live(s, -1, low, number);
        s.low_level_ticks = 0;
    }
    for (i64 k = 0; k < s.pending_count;) {
        const i64 side = s.pending_side[k], kind = s.pending_kind[k], bar = s.pending_bar[k];
        const double level = s.pending_level_ticks[k];
        if ((close - level) * side <= 0) {
            ++k;
            continue;
        }
        drop_pending(s, k);
        emit_break(s, kind, side, bar, level, number, number);
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

inline void place_swing(Structure &s, i64 k, i64 side, i64 bar, double level, i64 number) {
    s.swing_bar[k] = bar;
    s.swing_level_ticks[k] = level;
    s.swing_known_at[k] = number;
    s.swing_broken_at[k] = -1;
    s.swing_pattern_done[k] = 0;
    s.swing_side[k] = side;
}

inline void begin_leg(Structure &s, i64 number) {
    if (s.swing_count < 2)
        return;
    const i64 last = (s.swing_count - 1) & SWING_MASK;
    const double start = s.swing_level_ticks[(s.swing_count - 2) & SWING_MASK];
    const double end = s.swing_level_ticks[last];
    s.leg_side = (end - start) * s.swing_side[last] > 0 ? s.swing_side[last] : 0;
    s.leg_start_ticks = start;
    s.leg_end_ticks = end;
    s.leg_known_at = number;
    s.leg_depth = 0.0;
    s.leg_ote_at = -1;
}

inline bool apply_candidate(Structure &s, i64 side, i64 bar, double level, i64 number) {
    if (s.swing_count > 0) {
        const i64 last = (s.swing_count - 1) & SWING_MASK;
        const double before = s.swing_level_ticks[last];
        if (s.swing_side[last] == side) {
            if ((level - before) * side <= 0)
                return false;
            place_swing(s, last, side, bar, level, number);
            emit(s, KIND_SWING_REPLACED, side, bar, number, level);
            return true;
        }
        emit(s, KIND_SWING_LOCKED, s.swing_side[last], s.swing_bar[last], number, before);
        const double locked = s.swing_broken_at[last] >= 0 ? 0.0 : before;
        (s.swing_side[last] > 0 ? s.high_level_ticks : s.low_level_ticks) = locked;
        begin_leg(s, number);
    }
    place_swing(s, s.swing_count++ & SWING_MASK, side, bar, level, number);
    emit(s, KIND_SWING, side, bar, number, level);
    return true;
}

inline void look_for_pattern(Structure &s, i64 number) {
    if (s.swing_count < 4)
        return;
    i64 at[4];
    for (int k = 0; k < 4; ++k)
        at[k] = (s.swing_count - 4 + k) & SWING_MASK;
    const i64 side = s.swing_side[at[3]], broken = at[1];
    const double *levels = s.swing_level_ticks;
    const double a = levels[at[0]] * side, b = levels[at[1]] * side;
    const double c = levels[at[2]] * side, d = levels[at[3]] * side;
    const int kind = a < c && c < b && b < d ? KIND_BOS : d > b && b > a && a > c ? KIND_CHOCH : 0;
    if (kind == 0 || s.swing_pattern_done[broken])
        return;
    s.swing_pattern_done[broken] = 1;
    const i64 bar = s.swing_bar[broken], broken_at = s.swing_broken_at[broken];
    if (broken_at >= 0) {
        emit_break(s, kind, side, bar, levels[broken], broken_at, number);
        return;
    }
    if (s.pending_count == PENDING_MAX)
        drop_pending(s, 0);
    const i64 k = s.pending_count++;
    s.pending_bar[k] = bar;
    s.pending_level_ticks[k] = levels[broken];
    s.pending_side[k] = side;
    s.pending_kind[k] = kind;
}

inline void update_swings(Timeframe &tf, i64 number) {
    Structure &s = tf.structure;
    s.live_side = 0;
    const double close = double(bar_of(tf, number).close_ticks);
    break_swings(s, close, number);
    break_levels(s, close, number);
    const i64 bar = number - SWING_BARS;
    if (bar < 2 * SWING_BARS - 1)
        return;
    const int side = swing_candidate(tf, bar);
    if (side == 0)
        return;
    const Bar &at = bar_of(tf, bar);
    if (apply_candidate(s, side, bar, double(side > 0 ? at.high_ticks : at.low_ticks), number))
        look_for_pattern(s, number);
}
