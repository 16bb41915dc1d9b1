// The book's top, order flow in sliding windows, and the features of quote and flow.
#pragma once

#include "types.h"

inline double ratio_to_noise(double total, double squares) {
    return squares > 0.0 ? total / std::sqrt(squares) : UNKNOWN;
}

inline void refresh_trade_flow(Instrument &it) {
    const double *sums = it.flow_sums;
    it.micro[TRADE_FLOW_SHORT] = ratio_to_noise(sums[0], sums[1]);
    it.micro[TRADE_FLOW_LONG] = ratio_to_noise(sums[4], sums[5]);
}

inline void refresh_quote_flow(Instrument &it) {
    const double *sums = it.flow_sums;
    it.micro[QUOTE_FLOW_SHORT] = ratio_to_noise(sums[2], sums[3]);
    it.micro[QUOTE_FLOW_LONG] = ratio_to_noise(sums[6], sums[7]);
}

[[gnu::noinline]] inline void forget_flow(Instrument &it) {
    std::memset(it.flow_buckets, 0, sizeof it.flow_buckets);
    std::memset(it.flow_sums, 0, sizeof it.flow_sums);
    refresh_trade_flow(it);
    refresh_quote_flow(it);
}

[[gnu::noinline]] inline void roll_buckets(Instrument &it, i64 bucket) {
    const i64 ahead = bucket - it.hot.flow_bucket;
    for (i64 step = 0; step < ahead && step < FLOW_BUCKETS; ++step)
        std::memset(it.flow_buckets[(bucket - step) & (FLOW_BUCKETS - 1)], 0, 32);
    it.hot.flow_bucket = bucket;
    double total[4] = {0.0, 0.0, 0.0, 0.0};
    for (i64 step = 0; step < FLOW_BUCKETS; ++step) {
        const double *row = it.flow_buckets[(bucket - step) & (FLOW_BUCKETS - 1)];
        for (int column = 0; column < 4; ++column)
            total[column] += row[column];
        if (step == SHORT_BUCKETS - 1)
            std::memcpy(it.flow_sums, total, sizeof total);
    }
    std::memcpy(it.flow_sums + 4, total, sizeof total);
    refresh_trade_flow(it);
    refresh_quote_flow(it);
}

inline void advance_flow(Instrument &it, i64 venue_time_ns) {
    const i64 bucket = venue_time_ns >> BUCKET_SHIFT;
    if (bucket > it.hot.flow_bucket)
        roll_buckets(it, bucket);
}

inline void add_flow(Instrument &it, int column, double amount) {
    double *row = it.flow_buckets[it.hot.flow_bucket & (FLOW_BUCKETS - 1)] + column;
    double *sums = it.flow_sums + column;
    const double square = amount * amount;
    row[0] += amount;
    row[1] += square;
    sums[0] += amount;
    sums[1] += square;
    sums[4] += amount;
    sums[5] += square;
}

inline void add_trade_flow(Instrument &it, i64 signed_lots) {
    const double root = std::sqrt(double(std::abs(signed_lots)));
    add_flow(it, 0, signed_lots > 0 ? root : -root);
    refresh_trade_flow(it);
}

inline i64 quote_change(const Hot &hot, const Slot &r) {
    i64 change = 0;
    if (r.bid_price_ticks >= hot.bid_price_ticks)
        change += r.bid_qty_lots;
    if (r.bid_price_ticks <= hot.bid_price_ticks)
        change -= hot.bid_qty_lots;
    if (r.ask_price_ticks <= hot.ask_price_ticks)
        change -= r.ask_qty_lots;
    if (r.ask_price_ticks >= hot.ask_price_ticks)
        change += hot.ask_qty_lots;
    return change;
}

inline void refresh_quote(Instrument &it) {
    const Hot &hot = it.hot;
    const double width = double(hot.ask_price_ticks - hot.bid_price_ticks);
    const double spread_bps = 20'000.0 * width / double(hot.ask_price_ticks + hot.bid_price_ticks);
    const i64 lots = hot.bid_qty_lots + hot.ask_qty_lots;
    const double imbalance =
        lots > 0 ? double(hot.bid_qty_lots - hot.ask_qty_lots) / double(lots) : UNKNOWN;
    it.micro[SPREAD_BPS] = spread_bps;
    it.micro[IMBALANCE] = imbalance;
    it.micro[MICROPRICE_BPS] = 0.5 * spread_bps * imbalance;
    refresh_quote_flow(it);
}

// ---- the book's best levels ----

inline void set_level(Book &book, int side, i64 price, i64 qty) {
    i64 *prices = book.prices[side], *quantities = book.quantities[side];
    const i64 count = book.counts[side];
    i64 k = 0;
    if (side == 1)
        while (k < count && prices[k] < price)
            ++k;
    else
        while (k < count && prices[k] > price)
            ++k;
    const bool found = k < count && prices[k] == price;
    if (qty == 0) {
        if (!found)
            return;
        std::memmove(prices + k, prices + k + 1, std::size_t(count - 1 - k) * 8);
        std::memmove(quantities + k, quantities + k + 1, std::size_t(count - 1 - k) * 8);
        book.counts[side] = count - 1;
        return;
    }
    if (!found) {
        if (k == BOOK_LEVELS)
            return;
        const i64 last = count < BOOK_LEVELS - 1 ? count : BOOK_LEVELS - 1;
        std::memmove(prices + k + 1, prices + k, std::size_t(last - k) * 8);
        std::memmove(quantities + k + 1, quantities + k, std::size_t(last - k) * 8);
        book.counts[side] = last + 1;
        prices[k] = price;
    }
    quantities[k] = qty;
}

inline double depth_imbalance(const Book &book) {
    i64 lots[2] = {0, 0};
    for (int side = 0; side < 2; ++side)
        for (i64 k = 0; k < book.counts[side] && k < IMBALANCE_LEVELS; ++k)
            lots[side] += book.quantities[side][k];
    if (lots[0] == 0 || lots[1] == 0)
        return UNKNOWN;
    return double(lots[0] - lots[1]) / double(lots[0] + lots[1]);
}

inline i64 apply_level(Book &book, const Slot &r) {
    if (r.flags & LEVEL_SNAPSHOT_FIRST) {
        book.counts[0] = book.counts[1] = 0;
        book.state = BOOK_FILLING;
    }
    if (book.state == BOOK_EMPTY)
        return BOOK_EMPTY;
    set_level(book, r.flags & LEVEL_BID ? 0 : 1, r.price_ticks, r.qty_lots);
    book.state = BOOK_FILLING;
    if (r.flags & LEVEL_LAST_OF_DIFF) {
        const bool both = book.counts[0] > 0 && book.counts[1] > 0;
        const bool crossed = both && book.prices[0][0] >= book.prices[1][0];
        book.state = crossed ? BOOK_CROSSED : BOOK_SETTLED;
    }
    return book.state;
}

inline void apply_book_level(Instrument &it, const Slot &r) {
    const Book &book = it.book;
    it.micro[DEPTH_IMBALANCE] = UNKNOWN;
    if (apply_level(it.book, r) != BOOK_SETTLED)
        return;
    const i64 update_id = r.trade_id; // the same word
    const bool is_known = update_id != 0 && book.counts[0] > 0 && book.counts[1] > 0;
    it.book_check.waits = is_known;
    if (is_known)
        it.book_check = {1,
                         it.book_check.run,
                         it.book_check.doubted,
                         update_id & 0xFFFFFFFF,
                         book.prices[0][0],
                         book.prices[1][0],
                         book.quantities[0][0],
                         book.quantities[1][0]};
    if (!it.book_check.doubted)
        it.micro[DEPTH_IMBALANCE] = depth_imbalance(book);
}
