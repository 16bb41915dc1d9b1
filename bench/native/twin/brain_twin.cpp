// The twin of the brain's market side: the same work for the same records, written in C++.
//
// `bench/brain_twin.py` builds it, runs it beside the engine's kernel, and compares every decision
// and every member of the state with the kernel's.

#include <cstddef>

#include "firewall.h"
#include "strategy.h"

namespace {

struct Logged {
    i64 record, instrument_index, strategy_index, side, is_entry, reason, qty_lots, price_ticks;
    double score, inputs[4];
    Edge edge;
};

[[gnu::noinline]] void apply_rare(Instrument &it, const Slot &r) {
    Hot &hot = it.hot;
    switch (r.record_type) {
    case RECORD_MARK:
        hot.mark_price_e8 = r.mark_price_e8;
        hot.index_price_e8 = r.index_price_e8;
        hot.funding_rate_e8 = r.funding_rate_e8;
        hot.next_funding_time_ns = r.next_funding_time_ns;
        hot.mark_receive_time_ns = r.receive_time_ns;
        break;
    case RECORD_LIQUIDATION:
        (r.flags & LIQUIDATION_BUY ? hot.liquidation_buy_lots : hot.liquidation_sell_lots) +=
            r.qty_lots;
        break;
    case RECORD_LIVENESS:
        it.liveness[r.aux] = u8(r.liveness);
        break;
    case RECORD_GAP:
        ++hot.gap_count;
        if (r.aux == CHANNEL_BOOK) {
            it.book.state = BOOK_EMPTY;
            it.micro[DEPTH_IMBALANCE] = UNKNOWN;
            it.book_check = BookCheck{};
        } else if (r.aux == CHANNEL_BAR) {
            it.kept_bar.interval_s = 0;
        } else if (r.aux == CHANNEL_TRADE || r.aux == CHANNEL_QUOTE) {
            forget_lane(it.lanes[r.aux == CHANNEL_QUOTE ? 0 : 1]);
            forget_flow(it);
        }
        break;
    }
}

inline int apply_market(Market &m, const Slot &r, i64 now_ns, Opportunity *out) {
    const int refused = check_record(m, r);
    if (refused != 0)
        return -refused;
    const i64 i = r.instrument_index;
    Instrument &it = m.instruments[i];
    if (r.flags & CONFLATED)
        ++it.hot.conflated_count;
    if (r.record_type < RECORD_LIVENESS)
        it.hot.receive_time_ns = r.receive_time_ns;
    unsigned closed = 0;
    if (r.record_type == RECORD_QUOTE)
        closed = apply_quote(m, it, r);
    else if (r.record_type == RECORD_TRADE)
        closed = apply_trade(m, it, r);
    else if (r.record_type == RECORD_LEVEL)
        apply_book_level(it, r);
    else
        apply_rare(it, r);
    int count = closed ? run_on_bars(m, it, i, closed, now_ns, out) : 0;
    if (r.record_type == RECORD_QUOTE)
        count = run_on_quote(m, it, i, now_ns, out, count);
    return count;
}

void fill_at_quote(Market &m, const Opportunity &wanted, i64 record, i64 now_ns, Logged &log) {
    Instrument &it = m.instruments[wanted.instrument_index];
    Exposure &held = it.exposure[wanted.strategy_index];
    const i64 price = wanted.side > 0 ? it.hot.ask_price_ticks : it.hot.bid_price_ticks;
    held.position_lots += wanted.side * wanted.qty_lots;
    held.entry_price_ticks = wanted.is_entry ? price : 0;
    (wanted.is_entry ? held.entry_time_ns : held.last_exit_time_ns) = now_ns;
    log = {record,
           wanted.instrument_index,
           wanted.strategy_index,
           wanted.side,
           wanted.is_entry,
           wanted.reason,
           wanted.qty_lots,
           price,
           wanted.score,
           {wanted.inputs[0], wanted.inputs[1], wanted.inputs[2], wanted.inputs[3]},
           wanted.edge};
}

struct Member {
    const char *name;
    i64 offset, size, stride, count, is_shared;
};

#define PER_INSTRUMENT(name, member)                                                               \
    {name, offsetof(Instrument, member), sizeof(Instrument::member), 0, 1, 0}
#define PER_TIMEFRAME(name, member)                                                                \
    {name,                                                                                         \
     offsetof(Instrument, timeframes) + offsetof(Timeframe, member),                               \
     sizeof(Timeframe::member),                                                                    \
     sizeof(Timeframe),                                                                            \
     TIMEFRAMES,                                                                                   \
     0}
#define SHARED(name, member) {name, offsetof(Market, member), sizeof(Market::member), 0, 1, 1}

const Member MEMBERS[] = {
    PER_INSTRUMENT("hot", hot),
    PER_INSTRUMENT("anchors", lanes),
    PER_INSTRUMENT("book_check", book_check),
    PER_INSTRUMENT("bar", kept_bar),
    PER_INSTRUMENT("liveness", liveness),
    PER_INSTRUMENT("micro", micro),
    PER_INSTRUMENT("flow_sums", flow_sums),
    PER_INSTRUMENT("flow_buckets", flow_buckets),
    PER_INSTRUMENT("exposure", exposure),
    PER_INSTRUMENT("forming", forming),
    PER_INSTRUMENT("books.price_ticks", book.prices),
    PER_INSTRUMENT("books.qty_lots", book.quantities),
    PER_INSTRUMENT("books.count", book.counts),
    PER_INSTRUMENT("books.state", book.state),
    PER_INSTRUMENT("strategy_memory", strategy_memory),
    PER_TIMEFRAME("closed_count", closed_count),
    PER_TIMEFRAME("series_count", closed_count),
    PER_TIMEFRAME("directions", direction),
    PER_TIMEFRAME("atr_ticks", atr_ticks),
    PER_TIMEFRAME("atr_seed", atr_seed),
    PER_TIMEFRAME("bar_features", features),
    PER_TIMEFRAME("feature_memory", memory),
    PER_TIMEFRAME("series", series),
    PER_TIMEFRAME("structure", structure),
    PER_TIMEFRAME("closed", closed),
    SHARED("breadth", breadth),
    SHARED("reject_counts", reject_counts),
    SHARED("SEQUENCE_LAST", sequence_last),
    SHARED("VENUE_TIME_NEWEST_NS", venue_time_newest_ns),
    SHARED("ENTRIES_WITHOUT_EDGE", entries_without_edge),
};

} // namespace

extern "C" {

i64 twin_instrument_bytes() { return sizeof(Instrument); }
i64 twin_market_bytes() { return sizeof(Market); }
const Member *twin_member(i64 k) {
    return k < i64(sizeof MEMBERS / sizeof *MEMBERS) ? &MEMBERS[k] : nullptr;
}

// Start from nothing. `market` and `instruments` are zeroed memory on cache lines.
void twin_start(Market *market, Instrument *instruments, i64 count, const Sizes *sizes,
                const i64 *timeframes_ns, const StrategyRow *rows, const double *parameters,
                const double *weights, const i64 *progress, const Plan *plan) {
    Market &m = *market;
    m.instruments = instruments;
    m.instrument_count = count;
    std::memcpy(m.timeframes_ns, timeframes_ns, sizeof m.timeframes_ns);
    std::memcpy(m.strategies, rows, sizeof m.strategies);
    std::memcpy(m.parameters, parameters, sizeof m.parameters);
    std::memcpy(m.score_weights, weights, sizeof m.score_weights);
    m.plan = *plan;
    m.sequence_last = -1;
    m.clock_valid = progress[CLOCK_VALID];
    m.clock_offset_ns = progress[CLOCK_OFFSET_NS];
    m.clock_rate_ppb = progress[CLOCK_RATE_PPB];
    m.clock_anchor_ns = progress[CLOCK_ANCHOR_NS];
    m.taker_fee_ppm = progress[TAKER_FEE_PPM];
    m.trend_column = progress[TREND_COLUMN];
    m.volatility_column = progress[VOLATILITY_COLUMN];
    for (i64 i = 0; i < count; ++i) {
        Instrument &it = instruments[i];
        it.sizes = sizes[i];
        it.hot.next_close_ns = NEVER_NS;
        for (double &value : it.micro)
            value = UNKNOWN;
        for (Timeframe &tf : it.timeframes) {
            tf.atr_ticks = UNKNOWN;
            for (double &value : tf.features)
                value = UNKNOWN;
        }
    }
}

// Apply every record, fill what strategies want at once; return the length of the log.
i64 twin_run(Market *market, const Slot *slots, i64 count, Logged *log) {
    Market &m = *market;
    Opportunity out[2 * STRATEGIES];
    i64 length = 0;
    for (i64 record = 0; record < count; ++record) {
        const Slot &r = slots[record];
        const int found = apply_market(m, r, r.receive_time_ns, out);
        for (int k = 0; k < found; ++k)
            fill_at_quote(m, out[k], record, r.receive_time_ns, log[length++]);
    }
    return length;
}
}
