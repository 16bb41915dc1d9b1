/* records.h: written by `python -m engine.domain.records_header`; a test compares. Do not edit.
 *
 * Record tables and numbers as engine/domain has them. A market record is the whole ring slot,
 * its sequence included; the ring owns the sequence, the decoder fills the rest.
 */
/* clang-format off */
#ifndef AEGIS_RECORDS_H
#define AEGIS_RECORDS_H

#include <stddef.h>
#include <stdint.h>

enum aegis_record {
    AEGIS_RECORD_QUOTE = 1,
    AEGIS_RECORD_TRADE = 2,
    AEGIS_RECORD_LEVEL = 3,
    AEGIS_RECORD_BAR = 4,
    AEGIS_RECORD_MARK = 5,
    AEGIS_RECORD_LIQUIDATION = 6,
    AEGIS_RECORD_LIVENESS = 7,
    AEGIS_RECORD_GAP = 8,
    AEGIS_RECORD_FILTER = 9,
};

enum aegis_channel {
    AEGIS_CHANNEL_QUOTE = 0,
    AEGIS_CHANNEL_TRADE = 1,
    AEGIS_CHANNEL_BOOK = 2,
    AEGIS_CHANNEL_BAR = 3,
    AEGIS_CHANNEL_MARK = 4,
    AEGIS_CHANNEL_LIQUIDATION = 5,
};

enum aegis_liveness {
    AEGIS_LIVENESS_UNSUPPORTED = 0,
    AEGIS_LIVENESS_CONNECTING = 1,
    AEGIS_LIVENESS_SYNCING = 2,
    AEGIS_LIVENESS_LIVE = 3,
    AEGIS_LIVENESS_SILENT = 4,
    AEGIS_LIVENESS_STALE = 5,
    AEGIS_LIVENESS_INVALID = 6,
};

enum aegis_gap {
    AEGIS_GAP_SEQUENCE = 1,
    AEGIS_GAP_CONFLATED = 2,
    AEGIS_GAP_RECONNECT = 3,
    AEGIS_GAP_LAPPED = 4,
};

enum aegis_reject {
    AEGIS_REJECT_NONE = 0,
    AEGIS_REJECT_MALFORMED = 1,
    AEGIS_REJECT_FRAME_OVERSIZE = 2,
    AEGIS_REJECT_FRAME_KIND = 3,
    AEGIS_REJECT_EVENT_UNKNOWN = 4,
    AEGIS_REJECT_FIELD_MISSING = 5,
    AEGIS_REJECT_NOT_FINITE = 6,
    AEGIS_REJECT_NUMBER_RANGE = 7,
    AEGIS_REJECT_PRICE_NOT_POSITIVE = 8,
    AEGIS_REJECT_QTY_NEGATIVE = 9,
    AEGIS_REJECT_QTY_ZERO = 10,
    AEGIS_REJECT_OFF_TICK = 11,
    AEGIS_REJECT_OFF_LOT = 12,
    AEGIS_REJECT_SYMBOL_UNKNOWN = 13,
    AEGIS_REJECT_SYMBOL_MISMATCH = 14,
    AEGIS_REJECT_PRODUCT_OTHER = 15,
    AEGIS_REJECT_QUOTE_CROSSED = 16,
    AEGIS_REJECT_QUOTE_LOCKED = 17,
    AEGIS_REJECT_SPREAD_WIDE = 18,
    AEGIS_REJECT_TIME_FUTURE = 19,
    AEGIS_REJECT_TIME_PAST = 20,
    AEGIS_REJECT_ID_DUPLICATE = 21,
    AEGIS_REJECT_ID_OUT_OF_ORDER = 22,
    AEGIS_REJECT_ID_JUMP = 23,
    AEGIS_REJECT_PRICE_JUMP = 24,
    AEGIS_REJECT_BAR_RANGE = 25,
    AEGIS_REJECT_BAR_OPEN_CLOSE = 26,
    AEGIS_REJECT_BAR_TIME = 27,
    AEGIS_REJECT_BAR_VOLUME = 28,
    AEGIS_REJECT_DEPTH_GAP = 29,
    AEGIS_REJECT_DEPTH_RANGE = 30,
    AEGIS_REJECT_BOOK_CROSSED = 31,
    AEGIS_REJECT_LEVEL_COUNT = 32,
    AEGIS_REJECT_SIDE_UNKNOWN = 33,
    AEGIS_REJECT_FUNDING_RANGE = 34,
    AEGIS_REJECT_RECORD_TYPE_UNKNOWN = 35,
    AEGIS_REJECT_INSTRUMENT_UNKNOWN = 36,
    AEGIS_REJECT_SEQUENCE_BROKEN = 37,
    AEGIS_REJECT_QUOTE_FROZEN = 38,
    AEGIS_REJECT_PRICE_SPIKE = 39,
    AEGIS_REJECT_BAR_HISTORY = 40,
    AEGIS_REJECT_BOOK_DIVERGED = 41,
};

#define AEGIS_CHANNEL_COUNT 6
#define AEGIS_REJECT_COUNT 42
#define AEGIS_TRADE_BUYER_AGGRESSOR 1
#define AEGIS_TRADE_AGGREGATED 2
#define AEGIS_LEVEL_BID 1
#define AEGIS_LEVEL_LAST_OF_DIFF 2
#define AEGIS_LEVEL_SNAPSHOT_FIRST 4
#define AEGIS_BAR_FINAL 1
#define AEGIS_LIQUIDATION_BUY 1
#define AEGIS_CONFLATED 128
#define AEGIS_INSTRUMENT_TRADING 1
#define AEGIS_INSTRUMENT_PERPETUAL 2
#define AEGIS_INSTRUMENT_BOOK 4

#define AEGIS_PRICE_TICKS_MAX INT64_C(1099511627776)
#define AEGIS_QTY_LOTS_MAX INT64_C(1125899906842624)

union aegis_market_record {
    int64_t words[8];
    struct { int64_t sequence; };
    struct { uint8_t before_receive_time_ns[8]; int64_t receive_time_ns; };
    struct { uint8_t before_venue_time_ns[16]; int64_t venue_time_ns; };
    struct { uint8_t before_instrument_index[24]; uint16_t instrument_index; };
    struct { uint8_t before_record_type[26]; uint8_t record_type; };
    struct { uint8_t before_flags[27]; uint8_t flags; };
    struct { uint8_t before_aux[28]; int32_t aux; };
    struct { uint8_t before_bid_price_ticks[32]; int64_t bid_price_ticks; };
    struct { uint8_t before_ask_price_ticks[40]; int64_t ask_price_ticks; };
    struct { uint8_t before_bid_qty_lots[48]; int64_t bid_qty_lots; };
    struct { uint8_t before_ask_qty_lots[56]; int64_t ask_qty_lots; };
    struct { uint8_t before_price_ticks[32]; int64_t price_ticks; };
    struct { uint8_t before_qty_lots[40]; int64_t qty_lots; };
    struct { uint8_t before_trade_id[48]; int64_t trade_id; };
    struct { uint8_t before_trade_count[56]; int64_t trade_count; };
    struct { uint8_t before_update_id[48]; int64_t update_id; };
    struct { uint8_t before_average_price_ticks[48]; int64_t average_price_ticks; };
    struct { uint8_t before_open_ticks[32]; int64_t open_ticks; };
    struct { uint8_t before_high_offset_ticks[40]; int32_t high_offset_ticks; };
    struct { uint8_t before_low_offset_ticks[44]; int32_t low_offset_ticks; };
    struct { uint8_t before_close_offset_ticks[48]; int32_t close_offset_ticks; };
    struct { uint8_t before_bar_trade_count[52]; int32_t bar_trade_count; };
    struct { uint8_t before_volume_lots[56]; int64_t volume_lots; };
    struct { uint8_t before_mark_price_e8[32]; int64_t mark_price_e8; };
    struct { uint8_t before_index_price_e8[40]; int64_t index_price_e8; };
    struct { uint8_t before_funding_rate_e8[48]; int64_t funding_rate_e8; };
    struct { uint8_t before_next_funding_time_ns[56]; int64_t next_funding_time_ns; };
    struct { uint8_t before_liveness[32]; int64_t liveness; };
    struct { uint8_t before_liveness_before[40]; int64_t liveness_before; };
    struct { uint8_t before_since_ns[48]; int64_t since_ns; };
    struct { uint8_t before_lost_count[32]; int64_t lost_count; };
    struct { uint8_t before_first_id[40]; int64_t first_id; };
    struct { uint8_t before_last_id[48]; int64_t last_id; };
    struct { uint8_t before_gap_reason[56]; int64_t gap_reason; };
    struct { uint8_t before_filter_number[32]; int64_t filter_number; };
    struct { uint8_t before_filter_before[40]; int64_t filter_before; };
};

_Static_assert(sizeof(union aegis_market_record) == 64, "aegis_market_record");
_Static_assert(offsetof(union aegis_market_record, sequence) == 0, "offset");
_Static_assert(offsetof(union aegis_market_record, receive_time_ns) == 8, "offset");
_Static_assert(offsetof(union aegis_market_record, venue_time_ns) == 16, "offset");
_Static_assert(offsetof(union aegis_market_record, instrument_index) == 24, "offset");
_Static_assert(offsetof(union aegis_market_record, record_type) == 26, "offset");
_Static_assert(offsetof(union aegis_market_record, flags) == 27, "offset");
_Static_assert(offsetof(union aegis_market_record, aux) == 28, "offset");
_Static_assert(offsetof(union aegis_market_record, bid_price_ticks) == 32, "offset");
_Static_assert(offsetof(union aegis_market_record, ask_price_ticks) == 40, "offset");
_Static_assert(offsetof(union aegis_market_record, bid_qty_lots) == 48, "offset");
_Static_assert(offsetof(union aegis_market_record, ask_qty_lots) == 56, "offset");
_Static_assert(offsetof(union aegis_market_record, price_ticks) == 32, "offset");
_Static_assert(offsetof(union aegis_market_record, qty_lots) == 40, "offset");
_Static_assert(offsetof(union aegis_market_record, trade_id) == 48, "offset");
_Static_assert(offsetof(union aegis_market_record, trade_count) == 56, "offset");
_Static_assert(offsetof(union aegis_market_record, update_id) == 48, "offset");
_Static_assert(offsetof(union aegis_market_record, average_price_ticks) == 48, "offset");
_Static_assert(offsetof(union aegis_market_record, open_ticks) == 32, "offset");
_Static_assert(offsetof(union aegis_market_record, high_offset_ticks) == 40, "offset");
_Static_assert(offsetof(union aegis_market_record, low_offset_ticks) == 44, "offset");
_Static_assert(offsetof(union aegis_market_record, close_offset_ticks) == 48, "offset");
_Static_assert(offsetof(union aegis_market_record, bar_trade_count) == 52, "offset");
_Static_assert(offsetof(union aegis_market_record, volume_lots) == 56, "offset");
_Static_assert(offsetof(union aegis_market_record, mark_price_e8) == 32, "offset");
_Static_assert(offsetof(union aegis_market_record, index_price_e8) == 40, "offset");
_Static_assert(offsetof(union aegis_market_record, funding_rate_e8) == 48, "offset");
_Static_assert(offsetof(union aegis_market_record, next_funding_time_ns) == 56, "offset");
_Static_assert(offsetof(union aegis_market_record, liveness) == 32, "offset");
_Static_assert(offsetof(union aegis_market_record, liveness_before) == 40, "offset");
_Static_assert(offsetof(union aegis_market_record, since_ns) == 48, "offset");
_Static_assert(offsetof(union aegis_market_record, lost_count) == 32, "offset");
_Static_assert(offsetof(union aegis_market_record, first_id) == 40, "offset");
_Static_assert(offsetof(union aegis_market_record, last_id) == 48, "offset");
_Static_assert(offsetof(union aegis_market_record, gap_reason) == 56, "offset");
_Static_assert(offsetof(union aegis_market_record, filter_number) == 32, "offset");
_Static_assert(offsetof(union aegis_market_record, filter_before) == 40, "offset");

union aegis_instrument_row {
    int64_t words[32];
    struct { char symbol[24]; };
    struct { uint8_t before_base[24]; char base[16]; };
    struct { uint8_t before_quote[40]; char quote[8]; };
    struct { uint8_t before_margin[48]; char margin[8]; };
    struct { uint8_t before_instrument_index[56]; int32_t instrument_index; };
    struct { uint8_t before_flags[60]; uint32_t flags; };
    struct { uint8_t before_price_exponent[64]; int32_t price_exponent; };
    struct { uint8_t before_qty_exponent[68]; int32_t qty_exponent; };
    struct { uint8_t before_tick_scaled[72]; int64_t tick_scaled; };
    struct { uint8_t before_lot_scaled[80]; int64_t lot_scaled; };
    struct { uint8_t before_min_price_ticks[88]; int64_t min_price_ticks; };
    struct { uint8_t before_max_price_ticks[96]; int64_t max_price_ticks; };
    struct { uint8_t before_min_qty_lots[104]; int64_t min_qty_lots; };
    struct { uint8_t before_max_qty_lots[112]; int64_t max_qty_lots; };
    struct { uint8_t before_market_min_qty_lots[120]; int64_t market_min_qty_lots; };
    struct { uint8_t before_market_max_qty_lots[128]; int64_t market_max_qty_lots; };
    struct { uint8_t before_market_step_lots[136]; int64_t market_step_lots; };
    struct { uint8_t before_min_notional_e8[144]; int64_t min_notional_e8; };
    struct { uint8_t before_multiplier_up_e8[152]; int64_t multiplier_up_e8; };
    struct { uint8_t before_multiplier_down_e8[160]; int64_t multiplier_down_e8; };
    struct { uint8_t before_unit_e8[168]; int64_t unit_e8; };
    struct { uint8_t before_contract_multiplier[176]; int64_t contract_multiplier; };
    struct { uint8_t before_contract_type[184]; int32_t contract_type; };
    struct { uint8_t before_max_open_orders[188]; int32_t max_open_orders; };
    struct { uint8_t before_onboard_time_ns[192]; int64_t onboard_time_ns; };
    struct { uint8_t before_delivery_time_ns[200]; int64_t delivery_time_ns; };
    struct { uint8_t before_tick_size[208]; double tick_size; };
    struct { uint8_t before_lot_size[216]; double lot_size; };
    struct { uint8_t before_open_interest_lots[240]; int64_t open_interest_lots; };
    struct { uint8_t before_news[248]; int64_t news; };
};

_Static_assert(sizeof(union aegis_instrument_row) == 256, "aegis_instrument_row");
_Static_assert(offsetof(union aegis_instrument_row, symbol) == 0, "offset");
_Static_assert(offsetof(union aegis_instrument_row, base) == 24, "offset");
_Static_assert(offsetof(union aegis_instrument_row, quote) == 40, "offset");
_Static_assert(offsetof(union aegis_instrument_row, margin) == 48, "offset");
_Static_assert(offsetof(union aegis_instrument_row, instrument_index) == 56, "offset");
_Static_assert(offsetof(union aegis_instrument_row, flags) == 60, "offset");
_Static_assert(offsetof(union aegis_instrument_row, price_exponent) == 64, "offset");
_Static_assert(offsetof(union aegis_instrument_row, qty_exponent) == 68, "offset");
_Static_assert(offsetof(union aegis_instrument_row, tick_scaled) == 72, "offset");
_Static_assert(offsetof(union aegis_instrument_row, lot_scaled) == 80, "offset");
_Static_assert(offsetof(union aegis_instrument_row, min_price_ticks) == 88, "offset");
_Static_assert(offsetof(union aegis_instrument_row, max_price_ticks) == 96, "offset");
_Static_assert(offsetof(union aegis_instrument_row, min_qty_lots) == 104, "offset");
_Static_assert(offsetof(union aegis_instrument_row, max_qty_lots) == 112, "offset");
_Static_assert(offsetof(union aegis_instrument_row, market_min_qty_lots) == 120, "offset");
_Static_assert(offsetof(union aegis_instrument_row, market_max_qty_lots) == 128, "offset");
_Static_assert(offsetof(union aegis_instrument_row, market_step_lots) == 136, "offset");
_Static_assert(offsetof(union aegis_instrument_row, min_notional_e8) == 144, "offset");
_Static_assert(offsetof(union aegis_instrument_row, multiplier_up_e8) == 152, "offset");
_Static_assert(offsetof(union aegis_instrument_row, multiplier_down_e8) == 160, "offset");
_Static_assert(offsetof(union aegis_instrument_row, unit_e8) == 168, "offset");
_Static_assert(offsetof(union aegis_instrument_row, contract_multiplier) == 176, "offset");
_Static_assert(offsetof(union aegis_instrument_row, contract_type) == 184, "offset");
_Static_assert(offsetof(union aegis_instrument_row, max_open_orders) == 188, "offset");
_Static_assert(offsetof(union aegis_instrument_row, onboard_time_ns) == 192, "offset");
_Static_assert(offsetof(union aegis_instrument_row, delivery_time_ns) == 200, "offset");
_Static_assert(offsetof(union aegis_instrument_row, tick_size) == 208, "offset");
_Static_assert(offsetof(union aegis_instrument_row, lot_size) == 216, "offset");
_Static_assert(offsetof(union aegis_instrument_row, open_interest_lots) == 240, "offset");
_Static_assert(offsetof(union aegis_instrument_row, news) == 248, "offset");

#endif
