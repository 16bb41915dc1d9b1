// Records and state of the brain's twin: what a C++ programmer would write for the same work.
//
// One struct per instrument, everything of it in one place, what every quote touches first. The
// numbers of record types, flags, reasons and strategies come from `codes.h`, which the bench
// writes from the engine's tables when it builds this, and so do the rows of `rows.h`.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "codes.h"

using i64 = std::int64_t;
using i32 = std::int32_t;
using u8 = std::uint8_t;

constexpr double UNKNOWN = std::numeric_limits<double>::quiet_NaN();
constexpr int TIMEFRAMES = 3;
constexpr int STRATEGIES = 2;

// ---- what comes in ----

struct Slot {
    i64 sequence, receive_time_ns, venue_time_ns;
    std::uint16_t instrument_index;
    u8 record_type, flags;
    i32 aux;
    union {
        struct {
            i64 bid_price_ticks, ask_price_ticks, bid_qty_lots, ask_qty_lots;
        };
        struct {
            i64 price_ticks, qty_lots, trade_id, trade_count;
        };
        struct {
            i64 open_ticks;
            i32 high_offset_ticks, low_offset_ticks, close_offset_ticks, bar_trade_count;
            i64 volume_lots;
        };
        struct {
            i64 mark_price_e8, index_price_e8, funding_rate_e8, next_funding_time_ns;
        };
        i64 liveness;
    };
};
static_assert(sizeof(Slot) == 64);

// Order sizes of an instrument, as the venue says.
struct Sizes {
    i64 unit_e8, market_step_lots, min_qty_lots, market_min_qty_lots, min_notional_e8;
    i64 max_qty_lots, market_max_qty_lots;
};

// ---- what is kept per instrument ----

struct Lane {
    i64 price, run_count, run_price, run_id, ids[4];
    i64 move_sum, move_count;
};

// The best levels after the last diff, until the quotes go on beyond its id.
struct BookCheck {
    i64 waits, run, doubted, id, bid, ask, bid_lots, ask_lots;
};

// The venue's bar as it was last said.
struct KeptBar {
    i64 start_ns, interval_s, open, high, low, close, volume, trades, is_final, refused_run;
    i64 unused[2];
};

struct Hot {
    i64 bid_price_ticks, ask_price_ticks, bid_qty_lots, ask_qty_lots, quote_receive_time_ns;
    i64 receive_time_ns, next_close_ns, flow_bucket;
    i64 last_price_ticks, quote_venue_time_ns, trade_venue_time_ns, trade_receive_time_ns;
    i64 trade_count, late_trade_count, gap_count, conflated_count;
    i64 mark_price_e8, index_price_e8, funding_rate_e8, next_funding_time_ns;
    i64 mark_receive_time_ns, liquidation_buy_lots, liquidation_sell_lots, unused;
};

struct Book {
    i64 prices[2][BOOK_LEVELS], quantities[2][BOOK_LEVELS];
    i64 counts[2], state;
};

struct Bar {
    i64 start_ns, open_ticks, high_ticks, low_ticks, close_ticks, volume_lots, buy_lots;
    i32 trade_count;
    u8 is_final;
};
static_assert(sizeof(Bar) == 64);

#include "rows.h"

struct Exposure {
    i64 position_lots, entry_price_ticks, entry_time_ns, last_exit_time_ns;
    u8 in_flight;
};

struct StrategyMemory {
    double stop_ticks, take_ticks;
};

struct Timeframe {
    i64 closed_count, direction; // of the newest bar: 1 fell, 2 neither, 3 rose; 0: none yet
    double atr_ticks, atr_seed;
    double features[BAR_FEATURES], memory[MEMORY_CELLS];
    double series[SERIES_COLUMNS][2 * SERIES_BARS]; // two laps of closed bars, for windows
    Structure structure;
    Bar closed[BAR_RING_BARS];
};

struct alignas(64) Instrument {
    Hot hot;
    Lane lanes[2];
    BookCheck book_check;
    KeptBar kept_bar;
    double micro[MICRO_COLUMNS];
    double flow_sums[8];
    Exposure exposure[STRATEGIES];
    double flow_buckets[FLOW_BUCKETS][4];
    Bar forming[TIMEFRAMES];
    Book book;
    Sizes sizes;
    StrategyMemory strategy_memory[STRATEGIES];
    u8 liveness[CHANNELS];
    Timeframe timeframes[TIMEFRAMES];
};

// ---- what all instruments share ----

struct Plan {
    const i64 *first;
    const double (*params)[4];
    const i64 *column, *cell;
    const double *zone_from_s, *zone_offset_s;
};

// What an entry may bring, see edge.h.
struct Edge {
    double expected_move_bps, confidence, cost_bps, edge_bps;
};

struct Opportunity {
    i64 instrument_index, strategy_index, side, is_entry, reason, qty_lots;
    double score, inputs[4];
    Edge edge;
};

struct Market {
    Instrument *instruments;
    i64 instrument_count;
    i64 timeframes_ns[TIMEFRAMES];
    StrategyRow strategies[STRATEGIES];
    double parameters[STRATEGIES][PARAMETERS_MAX];
    double score_weights[SCORE_INPUTS][3];
    Plan plan;
    i64 sequence_last, venue_time_newest_ns;
    i64 clock_valid, clock_offset_ns, clock_rate_ppb, clock_anchor_ns;
    i64 taker_fee_ppm, trend_column, volatility_column, entries_without_edge;
    i64 breadth[TIMEFRAMES][2]; // instruments that rose minus those that fell, and all
    i64 reject_counts[FIREWALL_REASONS];
};
