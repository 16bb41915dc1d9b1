// The second layer of the data firewall: laws over the record, and against its lane.
#pragma once

#include <algorithm>
#include <cstdlib>

#include "flow.h"

inline int check_quote(const Slot &r) {
    if (r.bid_price_ticks <= 0 || r.ask_price_ticks <= 0)
        return REASON_PRICE_NOT_POSITIVE;
    if (r.bid_qty_lots < 0 || r.ask_qty_lots < 0)
        return REASON_QTY_NEGATIVE;
    if (r.bid_qty_lots == 0 || r.ask_qty_lots == 0)
        return REASON_QTY_ZERO;
    if (std::max(r.bid_price_ticks, r.ask_price_ticks) > PRICE_TICKS_MAX)
        return REASON_NUMBER_RANGE;
    if (std::max(r.bid_qty_lots, r.ask_qty_lots) > QTY_LOTS_MAX)
        return REASON_NUMBER_RANGE;
    if (r.bid_price_ticks >= r.ask_price_ticks)
        return r.bid_price_ticks == r.ask_price_ticks ? REASON_QUOTE_LOCKED : REASON_QUOTE_CROSSED;
    const i64 spread = r.ask_price_ticks - r.bid_price_ticks;
    if (spread > STEPS_ALLOWED && spread * SPREAD_DIVISOR > r.bid_price_ticks)
        return REASON_SPREAD_WIDE;
    return 0;
}

inline int check_price_and_qty(const Slot &r, i64 qty_min) {
    if (r.price_ticks <= 0)
        return REASON_PRICE_NOT_POSITIVE;
    if (r.qty_lots < 0)
        return REASON_QTY_NEGATIVE;
    if (r.qty_lots < qty_min)
        return REASON_QTY_ZERO;
    if (r.price_ticks > PRICE_TICKS_MAX || r.qty_lots > QTY_LOTS_MAX)
        return REASON_NUMBER_RANGE;
    return 0;
}

inline int check_bar(const Slot &r) {
    const i64 interval_ns = i64(r.aux) * 1'000'000'000;
    if (r.open_ticks <= 0 || r.open_ticks + r.low_offset_ticks <= 0)
        return REASON_PRICE_NOT_POSITIVE;
    if (r.high_offset_ticks < r.low_offset_ticks)
        return REASON_BAR_RANGE;
    if (r.high_offset_ticks < 0 || r.low_offset_ticks > 0)
        return REASON_BAR_OPEN_CLOSE;
    if (r.close_offset_ticks > r.high_offset_ticks || r.close_offset_ticks < r.low_offset_ticks)
        return REASON_BAR_OPEN_CLOSE;
    if (r.volume_lots < 0)
        return REASON_QTY_NEGATIVE;
    if (r.open_ticks > PRICE_TICKS_MAX || r.volume_lots > QTY_LOTS_MAX)
        return REASON_NUMBER_RANGE;
    if (r.bar_trade_count < 0 || (r.bar_trade_count == 0) != (r.volume_lots == 0))
        return REASON_BAR_VOLUME;
    if (interval_ns <= 0 || r.venue_time_ns % interval_ns != 0)
        return REASON_BAR_TIME;
    return 0;
}

inline int check_mark(const Slot &r) {
    if (r.mark_price_e8 <= 0 || r.index_price_e8 < 0)
        return REASON_PRICE_NOT_POSITIVE;
    if (r.mark_price_e8 > MARK_PRICE_MAX_E8 || r.index_price_e8 > MARK_PRICE_MAX_E8)
        return REASON_NUMBER_RANGE;
    const bool is_far = r.funding_rate_e8 > FUNDING_MAX_E8 || r.funding_rate_e8 < -FUNDING_MAX_E8;
    return is_far ? REASON_FUNDING_RANGE : 0;
}

inline int check_content(const Slot &r) {
    switch (r.record_type) {
    case RECORD_QUOTE:
        return check_quote(r);
    case RECORD_TRADE:
        return check_price_and_qty(r, 1);
    case RECORD_LEVEL:
        return check_price_and_qty(r, 0);
    case RECORD_BAR:
        return check_bar(r);
    case RECORD_MARK:
        return check_mark(r);
    case RECORD_LIQUIDATION:
        return check_price_and_qty(r, 1);
    default:
        if (r.aux < 0 || r.aux >= CHANNELS)
            return REASON_NUMBER_RANGE;
        if (r.record_type == RECORD_LIVENESS && (r.liveness < 0 || r.liveness > LIVENESS_MAX))
            return REASON_NUMBER_RANGE;
        return 0;
    }
}

inline int check_time(const Market &m, const Slot &r) {
    i64 future_ns, past_ns;
    if (m.clock_valid) {
        i64 clock_ns = r.receive_time_ns + m.clock_offset_ns;
        future_ns = clock_ns + TIME_FUTURE_NS;
        past_ns = clock_ns - TIME_PAST_NS;
        if (m.clock_rate_ppb != 0) {
            const double rate = double(m.clock_rate_ppb) * 1e-9;
            clock_ns += i64(double(r.receive_time_ns - m.clock_anchor_ns) * rate);
            const double wider = std::max(1.0, 1.0 + rate);
            future_ns = clock_ns + i64(double(TIME_FUTURE_NS) * wider);
            past_ns = clock_ns - i64(double(TIME_PAST_NS) * wider);
        }
    } else {
        if (m.venue_time_newest_ns == 0)
            return 0;
        future_ns = m.venue_time_newest_ns + TIME_LEAP_NS;
        past_ns = m.venue_time_newest_ns - TIME_LEAP_NS;
    }
    if (r.venue_time_ns > future_ns)
        return REASON_TIME_FUTURE;
    return r.record_type != RECORD_BAR && r.venue_time_ns < past_ns ? REASON_TIME_PAST : 0;
}

// ---- against the lane ----

inline bool is_far(i64 price, i64 anchor) {
    const i64 distance = std::abs(price - anchor);
    if (anchor <= 0 || distance <= STEPS_ALLOWED)
        return false;
    return distance * PRICE_JUMP_DIVISOR > anchor;
}

template <bool QUOTE> inline i64 ids_ahead(i64 id, i64 before) {
    if (id == 0 || before == 0)
        return 1;
    return QUOTE ? i64(i32(std::uint32_t(id - before))) : id - before;
}

template <bool QUOTE>
inline int continuity(i64 id, i64 price, i64 before, i64 anchor, bool is_fresh) {
    if (!QUOTE || is_fresh) {
        const i64 ahead = ids_ahead<QUOTE>(id, before);
        if (ahead == 0)
            return REASON_ID_DUPLICATE;
        if (ahead < 0)
            return REASON_ID_OUT_OF_ORDER;
        if (is_fresh && !QUOTE && ahead > TRADE_ID_JUMP_MAX)
            return REASON_ID_JUMP;
    }
    return is_fresh && is_far(price, anchor) ? REASON_PRICE_JUMP : 0;
}

inline int judge_move(Lane &lane, i64 price) {
    const i64 distance = std::abs(price - lane.price);
    if (distance * SPIKE_FLOOR_DIVISOR > lane.price && distance > STEPS_ALLOWED &&
        lane.move_count >= MOVES_WARM) {
        const i64 bound = std::max(lane.move_sum << SPIKE_SHIFT, lane.price / SPIKE_FLOOR_DIVISOR);
        if (distance > bound) {
            lane.move_sum = (bound + (bound >> 2) + 1) >> SPIKE_SHIFT;
            return REASON_PRICE_SPIKE;
        }
    }
    lane.move_sum += distance - (lane.move_sum >> MOVES_SHIFT);
    ++lane.move_count;
    return 0;
}

template <bool QUOTE> inline int judge(Lane &lane, int column, i64 id, i64 price, bool is_fresh) {
    int reason = continuity<QUOTE>(id, price, lane.ids[column], lane.price, is_fresh);
    if (reason == 0 && is_fresh && lane.price > 0)
        reason = judge_move(lane, price);
    if (reason == 0) {
        lane.price = price;
        lane.run_count = 0;
        lane.ids[column] = id;
    }
    return reason;
}

template <bool QUOTE> inline bool extend_run(Lane &lane, i64 id, i64 price, bool is_newer) {
    bool agrees = lane.run_count > 0 && is_newer;
    if (agrees)
        agrees = continuity<QUOTE>(id, price, lane.run_id, lane.run_price, true) == 0;
    lane.run_count = agrees ? lane.run_count + 1 : 1;
    lane.run_price = price;
    lane.run_id = id;
    return lane.run_count >= RUN_TO_ACCEPT;
}

inline void forget_lane(Lane &lane) {
    lane = {0, 0, 0, 0, {0, 0, 0, 0}, lane.move_sum, lane.move_count};
}

[[gnu::noinline]] inline void resync(Instrument &it) {
    forget_lane(it.lanes[0]);
    forget_lane(it.lanes[1]);
    it.book_check = BookCheck{};
    it.hot.bid_price_ticks = it.hot.ask_price_ticks = it.hot.flow_bucket = 0;
    it.hot.next_close_ns = NEVER_NS;
    for (Bar &bar : it.forming) {
        bar.start_ns = 0;
        bar.trade_count = 0;
    }
    forget_flow(it);
}

// A quote needs one id: two places of its lane count how long it stands still.
inline bool is_frozen(Instrument &it, const Slot &r) {
    i64 *ids = it.lanes[0].ids;
    if (r.bid_qty_lots != it.hot.bid_qty_lots || r.ask_qty_lots != it.hot.ask_qty_lots ||
        r.bid_price_ticks != it.hot.bid_price_ticks ||
        r.ask_price_ticks != it.hot.ask_price_ticks) {
        ids[STILL_COUNT - IDS] = 0;
        return false;
    }
    if (++ids[STILL_COUNT - IDS] == 1) {
        ids[STILL_SINCE_NS - IDS] = r.receive_time_ns;
        return false;
    }
    return ids[STILL_COUNT - IDS] >= FROZEN_QUOTES &&
           r.receive_time_ns - ids[STILL_SINCE_NS - IDS] >= FROZEN_NS;
}

// ---- against what else the instrument said ----

template <class Quote> inline bool agrees_with(const BookCheck &c, const Quote &q) {
    return q.bid_price_ticks == c.bid && q.ask_price_ticks == c.ask &&
           q.bid_qty_lots == c.bid_lots && q.ask_qty_lots == c.ask_lots;
}

[[gnu::noinline]] inline bool judge_book(Instrument &it, const Slot &r, i64 before) {
    BookCheck &c = it.book_check;
    if (r.flags & CONFLATED) {
        c.waits = 0;
        return false;
    }
    const i64 ahead = ids_ahead<true>(r.aux, c.id);
    if (ahead < 0)
        return false;
    c.waits = 0;
    if (ahead > 0 && (before == 0 || ids_ahead<true>(c.id, before) < 0))
        return false;
    if (ahead == 0 ? agrees_with(c, r) : agrees_with(c, it.hot)) {
        c.run = c.doubted = 0;
        return false;
    }
    if (++c.run < DIVERGED_RUN)
        return false;
    c.doubted = 1;
    it.micro[DEPTH_IMBALANCE] = UNKNOWN;
    return true;
}

inline bool follows_bar(const KeptBar &kept, const Slot &r, bool is_final) {
    if (r.aux != kept.interval_s || r.venue_time_ns > kept.start_ns)
        return true;
    if (r.venue_time_ns < kept.start_ns)
        return false;
    const bool grows = r.open_ticks == kept.open &&
                       r.open_ticks + r.high_offset_ticks >= kept.high &&
                       r.open_ticks + r.low_offset_ticks <= kept.low &&
                       r.volume_lots >= kept.volume && r.bar_trade_count >= kept.trades;
    const bool changed =
        r.open_ticks + r.close_offset_ticks != kept.close || r.volume_lots != kept.volume;
    return (grows || kept.trades == 0) && !(kept.is_final && (!is_final || changed));
}

inline int judge_bar(KeptBar &kept, const Slot &r) {
    const bool is_final = r.flags & BAR_FINAL;
    const i64 before_ns = kept.start_ns - i64(r.aux) * 1'000'000'000;
    if (is_final && r.aux == kept.interval_s && r.venue_time_ns == before_ns)
        return 0;
    if (!follows_bar(kept, r, is_final) && ++kept.refused_run < RUN_TO_ACCEPT)
        return REASON_BAR_HISTORY;
    kept = {r.venue_time_ns,
            r.aux,
            r.open_ticks,
            r.open_ticks + r.high_offset_ticks,
            r.open_ticks + r.low_offset_ticks,
            r.open_ticks + r.close_offset_ticks,
            r.volume_lots,
            r.bar_trade_count,
            is_final,
            0,
            {}};
    return 0;
}

template <bool QUOTE> inline int check_lane(Market &m, Instrument &it, const Slot &r) {
    if (QUOTE && is_frozen(it, r))
        return REASON_QUOTE_FROZEN;
    Lane &lane = it.lanes[QUOTE ? 0 : 1];
    const i64 id = QUOTE ? i64(r.aux) : r.trade_id;
    const int column = QUOTE ? 0 : r.flags & 3;
    const i64 price =
        QUOTE ? r.bid_price_ticks + (r.ask_price_ticks - r.bid_price_ticks) / 2 : r.price_ticks;
    const i64 received = QUOTE ? it.hot.quote_receive_time_ns : it.hot.trade_receive_time_ns;
    const bool is_fresh = r.receive_time_ns - received <= REFERENCE_AGE_NS;
    const i64 before = lane.ids[0];
    const int reason = judge<QUOTE>(lane, column, id, price, is_fresh);
    if (QUOTE && reason == 0 && it.book_check.waits && judge_book(it, r, before))
        m.reject_counts[REASON_BOOK_DIVERGED]++;
    if (reason == 0)
        return 0;
    const i64 newest = QUOTE ? it.hot.quote_venue_time_ns : it.hot.trade_venue_time_ns;
    if (!extend_run<QUOTE>(lane, id, price, r.venue_time_ns >= newest))
        return reason;
    resync(it);
    return judge<QUOTE>(lane, column, id, price, false);
}

inline int check_laws(Market &m, const Slot &r) {
    if (r.record_type < RECORD_QUOTE || r.record_type > RECORD_GAP)
        return REASON_RECORD_TYPE_UNKNOWN;
    if (r.instrument_index >= m.instrument_count)
        return REASON_INSTRUMENT_UNKNOWN;
    int reason = check_content(r);
    if (reason != 0 || r.record_type >= RECORD_LIVENESS)
        return reason;
    reason = check_time(m, r);
    if (reason != 0)
        return reason;
    Instrument &it = m.instruments[r.instrument_index];
    if (r.record_type == RECORD_QUOTE)
        return check_lane<true>(m, it, r);
    if (r.record_type == RECORD_TRADE)
        return check_lane<false>(m, it, r);
    return r.record_type == RECORD_BAR ? judge_bar(it.kept_bar, r) : 0;
}

inline int check_record(Market &m, const Slot &r) {
    const i64 expected = m.sequence_last + 1;
    m.sequence_last = r.sequence;
    const bool follows = expected == r.sequence || expected == 0;
    const int reason = follows ? check_laws(m, r) : REASON_SEQUENCE_BROKEN;
    if (reason != 0) {
        m.reject_counts[reason]++;
        return reason;
    }
    if (r.record_type < RECORD_BAR)
        m.venue_time_newest_ns = std::max(m.venue_time_newest_ns, r.venue_time_ns);
    return 0;
}
