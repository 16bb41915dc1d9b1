/* decode_binance.c: Binance USD-M market events as records.
 *
 * A frame is taken whole or not at all: the first law it breaks refuses it, and nothing of it
 * reaches the ring. Which members an event has is in the venue's own documentation; each function
 * below names the ones it needs, all others are passed over. Times are milliseconds on the wire.
 */
#include "decode.h"
#include "firewall.h"

#include <string.h>

#define TRY(expression)                                                                            \
    do {                                                                                           \
        int32_t broken = (expression);                                                             \
        if (broken != AEGIS_REJECT_NONE)                                                           \
            return broken;                                                                         \
    } while (0)

#define MS_MAX (INT64_MAX / AEGIS_NS_PER_MS)
#define FUNDING_AHEAD_NS_MAX (48 * 3600 * AEGIS_NS_PER_S) /* the next funding is hours away */

static int32_t read_integer(const struct aegis_members *members, int key, int64_t *number) {
    if (!AEGIS_HAS(members, key))
        return AEGIS_REJECT_FIELD_MISSING;
    const struct aegis_span *span = &members->spans[key];
    if (span->kind != AEGIS_SPAN_INTEGER)
        return span->kind == AEGIS_SPAN_BARE ? AEGIS_REJECT_NOT_FINITE : AEGIS_REJECT_MALFORMED;
    if (span->number < 0)
        return AEGIS_REJECT_NUMBER_RANGE;
    *number = span->number;
    return AEGIS_REJECT_NONE;
}

static int32_t read_time(const struct aegis_members *members, int key, int64_t *time_ns) {
    int64_t ms = 0;
    TRY(read_integer(members, key, &ms));
    if (ms > MS_MAX)
        return AEGIS_REJECT_TIME_FUTURE;
    *time_ns = ms * AEGIS_NS_PER_MS;
    return AEGIS_REJECT_NONE;
}

/* Event time, which every event has, against the clock. */
static int32_t read_event_time(const struct aegis_core *core, const struct aegis_members *members,
                               int key, int64_t *time_ns) {
    TRY(read_time(members, key, time_ns));
    return aegis_law_time(core, *time_ns);
}

static int32_t read_bool(const struct aegis_members *members, int key, int *is_true) {
    if (!AEGIS_HAS(members, key))
        return AEGIS_REJECT_FIELD_MISSING;
    int64_t kind = members->spans[key].kind;
    if (kind != AEGIS_SPAN_TRUE && kind != AEGIS_SPAN_FALSE)
        return AEGIS_REJECT_MALFORMED;
    *is_true = kind == AEGIS_SPAN_TRUE;
    return AEGIS_REJECT_NONE;
}

/* A member that holds a decimal; numbers come as strings, bare ones are taken too. */
static int32_t decimal_span(const struct aegis_members *members, int key,
                            const struct aegis_span **span) {
    if (!AEGIS_HAS(members, key))
        return AEGIS_REJECT_FIELD_MISSING;
    *span = &members->spans[key];
    int64_t kind = (*span)->kind;
    if (kind == AEGIS_SPAN_NULL)
        return AEGIS_REJECT_NOT_FINITE;
    return kind <= AEGIS_SPAN_BARE ? AEGIS_REJECT_NONE : AEGIS_REJECT_MALFORMED;
}

static int32_t read_price(const struct aegis_instrument *instrument,
                          const struct aegis_members *members, int key, int64_t *price_ticks) {
    const struct aegis_span *span = NULL;
    TRY(decimal_span(members, key, &span));
    const uint8_t *at = span->at, *end = at + span->length;
    TRY(aegis_parse_price(&instrument->row, &at, end, price_ticks));
    if (at != end)
        return AEGIS_REJECT_NOT_FINITE;
    return aegis_law_price_bounds(&instrument->row, *price_ticks);
}

static int32_t read_qty(const struct aegis_instrument *instrument,
                        const struct aegis_members *members, int key, int64_t *qty_lots) {
    const struct aegis_span *span = NULL;
    TRY(decimal_span(members, key, &span));
    const uint8_t *at = span->at, *end = at + span->length;
    TRY(aegis_parse_qty(&instrument->row, &at, end, qty_lots));
    return at == end ? AEGIS_REJECT_NONE : AEGIS_REJECT_NOT_FINITE;
}

/* A decimal in 1e-8, signed; digits beyond the eighth are cut. An absent or empty one is 0. */
static int32_t read_e8(const struct aegis_members *members, int key, int64_t *scaled) {
    const struct aegis_span *span = NULL;
    *scaled = 0;
    if (!AEGIS_HAS(members, key))
        return AEGIS_REJECT_NONE;
    TRY(decimal_span(members, key, &span));
    if (span->length == 0)
        return AEGIS_REJECT_NONE;
    const uint8_t *at = span->at, *end = at + span->length;
    int negative = 0;
    int32_t result = aegis_parse_decimal(&at, end, AEGIS_E8_EXPONENT, scaled, &negative);
    if (result > 0)
        return result;
    *scaled = negative ? -*scaled : *scaled;
    return at == end ? AEGIS_REJECT_NONE : AEGIS_REJECT_NOT_FINITE;
}

/* A price that need not lie on a tick, to the nearest one: liquidations and averages. */
static int32_t read_nearest_price(const struct aegis_instrument *instrument,
                                  const struct aegis_members *members, int key, int64_t *ticks) {
    const struct aegis_span *span = NULL;
    TRY(decimal_span(members, key, &span));
    const uint8_t *at = span->at, *end = at + span->length;
    int64_t scaled = 0;
    int negative = 0;
    /* One digit more than the tick has, so that halves are seen; they go up. */
    int32_t exponent = instrument->row.price_exponent + 1;
    int32_t result = aegis_parse_decimal(&at, end, exponent, &scaled, &negative);
    if (result > 0)
        return result;
    if (at != end)
        return AEGIS_REJECT_NOT_FINITE;
    int64_t step = instrument->row.tick_scaled * 10;
    *ticks = scaled / step + (scaled % step >= step / 2);
    return negative || *ticks == 0 ? AEGIS_REJECT_PRICE_NOT_POSITIVE : AEGIS_REJECT_NONE;
}

/* Whether the wrapper's stream name is that of this symbol and event. */
static int32_t check_stream(const struct aegis_event *event, const struct aegis_span *symbol,
                            const char *suffix) {
    const uint8_t *name = event->stream.at;
    int64_t length = event->stream.length, suffix_length = (int64_t)strlen(suffix);
    if (length == 0 || name[0] == '!')
        return AEGIS_REJECT_NONE; /* a raw connection, or an all-market stream */
    if (length < symbol->length + suffix_length || name[symbol->length] != '@')
        return AEGIS_REJECT_SYMBOL_MISMATCH;
    for (int64_t i = 0; i < symbol->length; i++)
        if ((name[i] | 0x20) != (symbol->at[i] | 0x20))
            return AEGIS_REJECT_SYMBOL_MISMATCH;
    int64_t matched = symbol->length + suffix_length;
    if (memcmp(name + symbol->length, suffix, (size_t)suffix_length) != 0)
        return AEGIS_REJECT_EVENT_UNKNOWN;
    /* `@depth` and `@depth@100ms` are diffs; `@depth20` is another stream. */
    if (length > matched && name[matched] != '@' && suffix[suffix_length - 1] != '_')
        return AEGIS_REJECT_EVENT_UNKNOWN;
    return AEGIS_REJECT_NONE;
}

/* The members of the object under `key`; the compact scanner has read them already. */
static int32_t read_inner(struct aegis_event *event, int key) {
    if (!AEGIS_HAS(&event->outer, key))
        return AEGIS_REJECT_FIELD_MISSING;
    const struct aegis_span *span = &event->outer.spans[key];
    if (span->kind != AEGIS_SPAN_OBJECT)
        return AEGIS_REJECT_MALFORMED;
    if (event->inner_key == key)
        return AEGIS_REJECT_NONE;
    event->inner_key = key;
    return aegis_scan_object(span->at, span->at + span->length, &event->inner);
}

/* The channel of a stream, by the first letter behind its `@`. */
static int32_t channel_of(const char *suffix) {
    switch (suffix[1]) {
    case 'b':
        return AEGIS_CHANNEL_QUOTE;
    case 'd':
        return AEGIS_CHANNEL_BOOK;
    case 'k':
        return AEGIS_CHANNEL_BAR;
    case 'm':
        return AEGIS_CHANNEL_MARK;
    case 'f':
        return AEGIS_CHANNEL_LIQUIDATION;
    default:
        return AEGIS_CHANNEL_TRADE; /* trade, aggTrade */
    }
}

/* Whose event it is: the instrument in `symbols` (the event, or its inner object). */
static int32_t read_instrument(struct aegis_core *core, const struct aegis_event *event,
                               const struct aegis_members *symbols, const char *suffix,
                               struct aegis_instrument **instrument) {
    const struct aegis_members *outer = &event->outer;
    const struct aegis_span *product = &outer->spans[AEGIS_KEY_ST];
    if (AEGIS_HAS(outer, AEGIS_KEY_ST) &&
        (product->kind != AEGIS_SPAN_INTEGER || product->number != 1))
        return AEGIS_REJECT_PRODUCT_OTHER;
    if (!AEGIS_HAS(symbols, AEGIS_KEY('s')))
        return AEGIS_REJECT_FIELD_MISSING;
    const struct aegis_span *symbol = &symbols->spans[AEGIS_KEY('s')];
    if (symbol->kind != AEGIS_SPAN_STRING)
        return AEGIS_REJECT_MALFORMED;
    int32_t index = aegis_core_find(core, symbol->at, symbol->length);
    if (index < 0)
        return AEGIS_REJECT_SYMBOL_UNKNOWN;
    core->frame_instrument = index;
    core->frame_channel = channel_of(suffix);
    *instrument = &core->instruments[index];
    return check_stream(event, symbol, suffix);
}

/* Judge a record's continuity; on acceptance the channel is live and a hole has its gap record. */
static int32_t accept(struct aegis_core *core, struct aegis_instrument *instrument, int stream,
                      int32_t channel, const struct aegis_claim *claim) {
    struct aegis_lane *lane = &instrument->lanes[stream];
    int64_t before_id = lane->last_id, hole = 0;
    int resynced = 0;
    /* Without ids, what another connection delivered before is told by its time. */
    if (core->is_shared && claim->id < 0 && claim->time_ns <= lane->last_time_ns)
        return AEGIS_REJECT_ID_DUPLICATE;
    TRY(aegis_law_lane(core, lane, claim, &hole, &resynced));
    int32_t gap_reason = lane->reconnected ? AEGIS_GAP_RECONNECT : AEGIS_GAP_SEQUENCE;
    if (stream == AEGIS_STREAM_AGG_TRADE) {
        if (resynced && instrument->heal.is_open)
            aegis_heal_give_up(core, instrument);
        else if (before_id >= 0 && hole > 0 && !resynced &&
                 aegis_heal_open(core, instrument, before_id + 1, hole, gap_reason)) {
            lane->reconnected = 0;
            aegis_channel_received(core, instrument, channel);
            return AEGIS_REJECT_NONE;
        }
    }
    aegis_channel_received(core, instrument, channel);
    int has_counted_ids = stream == AEGIS_STREAM_TRADE || stream == AEGIS_STREAM_AGG_TRADE;
    int is_known_whole = has_counted_ids && hole == 0 && !resynced;
    if (before_id >= 0 && !is_known_whole && (lane->reconnected || has_counted_ids || resynced))
        aegis_emit_gap(core, instrument, channel, gap_reason, before_id + 1, claim->id - 1,
                       has_counted_ids ? hole : 0);
    lane->reconnected = 0;
    return AEGIS_REJECT_NONE;
}

/* E,s,t,p,q,T,m and, aggregated, E,s,a,p,q,f,l,T,m. */
static int32_t decode_trade(struct aegis_core *core, const struct aegis_event *event,
                            int is_aggregated) {
    const struct aegis_members *m = &event->outer;
    struct aegis_instrument *instrument = NULL;
    union aegis_market_record record = {{0}};
    struct aegis_claim claim = {.id_jump_max = core->laws.trade_jump_max};
    int64_t event_time_ns = 0, first = 0, last = 0;
    int is_buyer_maker = 0;
    TRY(read_instrument(core, event, m, is_aggregated ? "@aggTrade" : "@trade", &instrument));
    TRY(read_integer(m, is_aggregated ? AEGIS_KEY('a') : AEGIS_KEY('t'), &claim.id));
    TRY(read_price(instrument, m, AEGIS_KEY('p'), &record.price_ticks));
    TRY(read_qty(instrument, m, AEGIS_KEY('q'), &record.qty_lots));
    TRY(read_event_time(core, m, AEGIS_KEY('E'), &event_time_ns));
    TRY(read_event_time(core, m, AEGIS_KEY('T'), &record.venue_time_ns));
    TRY(read_bool(m, AEGIS_KEY('m'), &is_buyer_maker));
    if (record.qty_lots == 0)
        return AEGIS_REJECT_QTY_ZERO;
    record.trade_count = 1;
    if (is_aggregated) {
        TRY(read_integer(m, AEGIS_KEY('f'), &first));
        TRY(read_integer(m, AEGIS_KEY('l'), &last));
        if (last < first)
            return AEGIS_REJECT_NUMBER_RANGE;
        record.trade_count = last - first + 1;
    }
    claim.instrument = instrument;
    claim.price = record.price_ticks;
    claim.time_ns = record.venue_time_ns;
    int stream = is_aggregated ? AEGIS_STREAM_AGG_TRADE : AEGIS_STREAM_TRADE;
    if (is_aggregated && aegis_heal_misses(instrument, claim.id))
        TRY(aegis_law_filling(core, &instrument->lanes[stream], &claim));
    else
        TRY(accept(core, instrument, stream, AEGIS_CHANNEL_TRADE, &claim));
    record.record_type = AEGIS_RECORD_TRADE;
    record.flags = (uint8_t)((is_buyer_maker ? 0 : AEGIS_TRADE_BUYER_AGGRESSOR) |
                             (is_aggregated ? AEGIS_TRADE_AGGREGATED : 0));
    record.trade_id = claim.id;
    if (is_aggregated && instrument->heal.is_open)
        aegis_heal_emit(core, instrument, &record);
    else
        aegis_emit(core, instrument, &record);
    return AEGIS_REJECT_NONE;
}

/* u,s,b,B,a,A,T,E. The price of its claim is the mid; halves first, since a sum may overflow. */
static int32_t decode_book_ticker(struct aegis_core *core, const struct aegis_event *event) {
    const struct aegis_members *m = &event->outer;
    struct aegis_instrument *instrument = NULL;
    union aegis_market_record record = {{0}};
    struct aegis_claim claim = {.id_jump_max = core->laws.id_jump_max};
    int64_t event_time_ns = 0;
    TRY(read_instrument(core, event, m, "@bookTicker", &instrument));
    TRY(read_integer(m, AEGIS_KEY('u'), &claim.id));
    TRY(read_price(instrument, m, AEGIS_KEY('b'), &record.bid_price_ticks));
    TRY(read_qty(instrument, m, AEGIS_KEY('B'), &record.bid_qty_lots));
    TRY(read_price(instrument, m, AEGIS_KEY('a'), &record.ask_price_ticks));
    TRY(read_qty(instrument, m, AEGIS_KEY('A'), &record.ask_qty_lots));
    TRY(read_event_time(core, m, AEGIS_KEY('E'), &event_time_ns));
    TRY(read_event_time(core, m, AEGIS_KEY('T'), &record.venue_time_ns));
    TRY(aegis_law_quote(core, record.bid_price_ticks, record.ask_price_ticks, record.bid_qty_lots,
                        record.ask_qty_lots));
    struct aegis_best best = {claim.id,
                              {record.ask_price_ticks, record.bid_price_ticks},
                              {record.ask_qty_lots, record.bid_qty_lots}};
    TRY(aegis_law_standstill(core, &instrument->standstill, &best));
    claim.instrument = instrument;
    claim.price = record.bid_price_ticks / 2 + (record.ask_price_ticks + 1) / 2;
    claim.time_ns = record.venue_time_ns;
    TRY(accept(core, instrument, AEGIS_STREAM_BOOK_TICKER, AEGIS_CHANNEL_QUOTE, &claim));
    aegis_standstill_note(core, &instrument->standstill, &best);
    TRY(aegis_book_take_quote(core, instrument, &best));
    record.record_type = AEGIS_RECORD_QUOTE;
    record.aux =
        (int32_t)(uint32_t)(claim.id & UINT32_MAX); /* the low bits tell newer from older */
    aegis_emit(core, instrument, &record);
    return AEGIS_REJECT_NONE;
}

static int32_t read_levels(struct aegis_core *core, const struct aegis_instrument *instrument,
                           const struct aegis_members *members, int key, int side) {
    if (!AEGIS_HAS(members, key))
        return AEGIS_REJECT_FIELD_MISSING;
    const struct aegis_span *span = &members->spans[key];
    if (span->kind != AEGIS_SPAN_ARRAY)
        return AEGIS_REJECT_MALFORMED;
    const uint8_t *at = span->at;
    return aegis_parse_levels(core, instrument, &at, at + span->length, side);
}

/* A book that contradicts itself or the quotes is held back. */
static int32_t publish_book(struct aegis_core *core, struct aegis_instrument *instrument) {
    struct aegis_book *book = &instrument->book;
    int32_t reason = aegis_book_judge(core, instrument);
    book->is_held = reason != AEGIS_REJECT_NONE;
    TRY(reason);
    aegis_emit_book(core, instrument);
    aegis_channel_received(core, instrument, AEGIS_CHANNEL_BOOK); /* levels first, then live */
    if (!book->wants_snapshot && aegis_book_wants_more(book))
        aegis_book_refresh(book);
    return AEGIS_REJECT_NONE;
}

/* E,T,s,U,u,pu,b,a. */
static int32_t decode_depth(struct aegis_core *core, const struct aegis_event *event) {
    const struct aegis_members *m = &event->outer;
    struct aegis_instrument *instrument = NULL;
    struct aegis_claim claim = {.id_jump_max = core->laws.id_jump_max};
    int64_t event_time_ns = 0, first_id = 0, before_id = 0, hole = 0;
    int resynced = 0;
    TRY(read_instrument(core, event, m, "@depth", &instrument));
    struct aegis_book *book = &instrument->book;
    if (book->state == AEGIS_BOOK_IDLE)
        return AEGIS_REJECT_EVENT_UNKNOWN;
    TRY(read_integer(m, AEGIS_KEY('U'), &first_id));
    TRY(read_integer(m, AEGIS_KEY('u'), &claim.id));
    TRY(read_integer(m, AEGIS_KEY_PU, &before_id));
    TRY(read_event_time(core, m, AEGIS_KEY('E'), &event_time_ns));
    TRY(read_event_time(core, m, AEGIS_KEY('T'), &claim.time_ns));
    if (first_id > claim.id || before_id >= claim.id)
        return AEGIS_REJECT_DEPTH_RANGE;
    for (int side = 0; side < 2; side++)
        if (!(event->has_levels >> side & 1))
            TRY(read_levels(core, instrument, m, side ? AEGIS_KEY('b') : AEGIS_KEY('a'), side));
    TRY(aegis_law_lane(core, &instrument->lanes[AEGIS_STREAM_DEPTH], &claim, &hole, &resynced));
    instrument->lanes[AEGIS_STREAM_DEPTH].reconnected = 0;
    book->venue_time_ns = claim.time_ns;
    int64_t chain_id = book->chain_id;
    int was_live = book->state == AEGIS_BOOK_LIVE;
    int applied = aegis_book_diff(core, book, first_id, claim.id, before_id);
    if (applied > 0)
        return publish_book(core, instrument);
    instrument->channels[AEGIS_CHANNEL_BOOK].last_receive_ns = core->now_ns;
    core->counters[AEGIS_FEED_DIFFS_HELD]++;
    if (applied == 0)
        return AEGIS_REJECT_NONE;
    core->counters[AEGIS_FEED_BOOK_RESYNCS]++;
    if (was_live)
        aegis_emit_gap(core, instrument, AEGIS_CHANNEL_BOOK, AEGIS_GAP_SEQUENCE, chain_id,
                       before_id, 0);
    aegis_set_liveness(core, instrument, AEGIS_CHANNEL_BOOK, AEGIS_LIVENESS_SYNCING);
    return AEGIS_REJECT_DEPTH_GAP;
}

/* `1m`, `4h`, `1d`; 0 when it is none of the intervals below a week. */
static int64_t interval_s(const struct aegis_span *span) {
    int64_t count = 0;
    if (span->kind != AEGIS_SPAN_STRING || span->length < 2 || span->length > 3)
        return 0;
    for (int64_t i = 0; i < span->length - 1; i++) {
        if ((uint8_t)(span->at[i] - '0') > 9)
            return 0;
        count = count * 10 + (span->at[i] - '0');
    }
    switch (span->at[span->length - 1]) {
    case 's':
        return count;
    case 'm':
        return count * 60;
    case 'h':
        return count * 3600;
    case 'd':
        return count <= 1 ? count * 86400 : 0; /* three-day bars start anywhere */
    default:
        return 0;
    }
}

/* E,s,k{t,T,s,i,o,c,h,l,v,n,x}. */
static int32_t decode_kline(struct aegis_core *core, struct aegis_event *event) {
    const struct aegis_members *k = &event->inner;
    struct aegis_instrument *instrument = NULL;
    union aegis_market_record record = {{0}};
    struct aegis_claim claim = {.id = -1};
    struct aegis_bar bar = {0};
    int64_t *prices = bar.prices, close_time_ns = 0, trade_count = 0;
    const int keys[4] = {AEGIS_KEY('o'), AEGIS_KEY('h'), AEGIS_KEY('l'), AEGIS_KEY('c')};
    int is_closed = 0;
    TRY(read_inner(event, AEGIS_KEY('k')));
    TRY(read_instrument(core, event, &event->outer, "@kline_", &instrument));
    for (int i = 0; i < 4; i++)
        TRY(read_price(instrument, k, keys[i], &prices[i]));
    TRY(read_qty(instrument, k, AEGIS_KEY('v'), &record.volume_lots));
    TRY(read_integer(k, AEGIS_KEY('n'), &trade_count));
    TRY(read_bool(k, AEGIS_KEY('x'), &is_closed));
    TRY(read_event_time(core, &event->outer, AEGIS_KEY('E'), &claim.time_ns));
    TRY(read_time(k, AEGIS_KEY('t'), &record.venue_time_ns));
    TRY(read_time(k, AEGIS_KEY('T'), &close_time_ns));
    if (!AEGIS_HAS(k, AEGIS_KEY('i')))
        return AEGIS_REJECT_FIELD_MISSING;
    int64_t seconds = interval_s(&k->spans[AEGIS_KEY('i')]);
    if (seconds == 0 || record.venue_time_ns > core->venue_high_ns ||
        close_time_ns < core->venue_low_ns)
        return AEGIS_REJECT_BAR_TIME;
    TRY(aegis_law_bar(prices, record.volume_lots, trade_count, record.venue_time_ns, close_time_ns,
                      seconds * AEGIS_NS_PER_S));
    bar.open_time_ns = record.venue_time_ns;
    bar.interval_ns = seconds * AEGIS_NS_PER_S;
    bar.volume_lots = record.volume_lots;
    bar.trade_count = trade_count;
    bar.is_final = is_closed;
    TRY(aegis_law_bar_history(&instrument->bar, &bar));
    claim.instrument = instrument;
    claim.price = prices[3];
    TRY(accept(core, instrument, AEGIS_STREAM_KLINE, AEGIS_CHANNEL_BAR, &claim));
    record.record_type = AEGIS_RECORD_BAR;
    record.flags = is_closed ? AEGIS_BAR_FINAL : 0;
    record.aux = (int32_t)seconds;
    record.open_ticks = prices[0];
    record.high_offset_ticks = (int32_t)(prices[1] - prices[0]);
    record.low_offset_ticks = (int32_t)(prices[2] - prices[0]);
    record.close_offset_ticks = (int32_t)(prices[3] - prices[0]);
    record.bar_trade_count = (int32_t)trade_count;
    aegis_emit(core, instrument, &record);
    return AEGIS_REJECT_NONE;
}

/* E,s,p,i,r,T. Event times are its ids: an older mark price says nothing. */
static int32_t decode_mark_price(struct aegis_core *core, const struct aegis_event *event) {
    const struct aegis_members *m = &event->outer;
    struct aegis_instrument *instrument = NULL;
    union aegis_market_record record = {{0}};
    struct aegis_claim claim = {.id_jump_max = INT64_MAX};
    TRY(read_instrument(core, event, m, "@markPrice", &instrument));
    if (!AEGIS_HAS(m, AEGIS_KEY('p')) || !AEGIS_HAS(m, AEGIS_KEY('T')))
        return AEGIS_REJECT_FIELD_MISSING;
    TRY(read_e8(m, AEGIS_KEY('p'), &record.mark_price_e8));
    TRY(read_e8(m, AEGIS_KEY('i'), &record.index_price_e8));
    TRY(read_e8(m, AEGIS_KEY('r'), &record.funding_rate_e8));
    TRY(read_event_time(core, m, AEGIS_KEY('E'), &record.venue_time_ns));
    TRY(read_time(m, AEGIS_KEY('T'), &record.next_funding_time_ns));
    if (record.mark_price_e8 <= 0 || record.index_price_e8 < 0)
        return AEGIS_REJECT_PRICE_NOT_POSITIVE;
    if (record.funding_rate_e8 > core->laws.funding_e8_max ||
        record.funding_rate_e8 < -core->laws.funding_e8_max)
        return AEGIS_REJECT_FUNDING_RANGE;
    if (record.next_funding_time_ns > core->venue_high_ns + FUNDING_AHEAD_NS_MAX)
        return AEGIS_REJECT_TIME_FUTURE;
    claim.id = record.venue_time_ns / AEGIS_NS_PER_MS;
    claim.time_ns = record.venue_time_ns;
    claim.price = record.mark_price_e8;
    TRY(accept(core, instrument, AEGIS_STREAM_MARK_PRICE, AEGIS_CHANNEL_MARK, &claim));
    record.record_type = AEGIS_RECORD_MARK;
    aegis_emit(core, instrument, &record);
    return AEGIS_REJECT_NONE;
}

/* E,o{s,S,q,p,ap,T}. The order price is that of the engine that liquidates: off any tick. */
static int32_t decode_force_order(struct aegis_core *core, struct aegis_event *event) {
    const struct aegis_members *o = &event->inner;
    struct aegis_instrument *instrument = NULL;
    union aegis_market_record record = {{0}};
    struct aegis_claim claim = {.id = -1};
    int64_t event_time_ns = 0;
    TRY(read_inner(event, AEGIS_KEY('o')));
    TRY(read_instrument(core, event, o, "@forceOrder", &instrument));
    if (!AEGIS_HAS(o, AEGIS_KEY('S')))
        return AEGIS_REJECT_FIELD_MISSING;
    const struct aegis_span *side = &o->spans[AEGIS_KEY('S')];
    int is_buy =
        side->kind == AEGIS_SPAN_STRING && side->length == 3 && memcmp(side->at, "BUY", 3) == 0;
    int is_sell =
        side->kind == AEGIS_SPAN_STRING && side->length == 4 && memcmp(side->at, "SELL", 4) == 0;
    if (!is_buy && !is_sell)
        return AEGIS_REJECT_SIDE_UNKNOWN;
    TRY(read_nearest_price(instrument, o, AEGIS_KEY('p'), &record.price_ticks));
    TRY(read_nearest_price(instrument, o, AEGIS_KEY_AP, &record.average_price_ticks));
    TRY(read_qty(instrument, o, AEGIS_KEY('q'), &record.qty_lots));
    if (record.qty_lots == 0)
        return AEGIS_REJECT_QTY_ZERO;
    TRY(read_event_time(core, &event->outer, AEGIS_KEY('E'), &event_time_ns));
    TRY(read_event_time(core, o, AEGIS_KEY('T'), &record.venue_time_ns));
    claim.time_ns = record.venue_time_ns;
    TRY(accept(core, instrument, AEGIS_STREAM_FORCE_ORDER, AEGIS_CHANNEL_LIQUIDATION, &claim));
    record.record_type = AEGIS_RECORD_LIQUIDATION;
    record.flags = is_buy ? AEGIS_LIQUIDATION_BUY : 0;
    record.trade_count = 1;
    aegis_emit(core, instrument, &record);
    return AEGIS_REJECT_NONE;
}

static int32_t decode_event(struct aegis_core *core, struct aegis_event *event) {
    if (!AEGIS_HAS(&event->outer, AEGIS_KEY('e')))
        return AEGIS_REJECT_EVENT_UNKNOWN;
    const struct aegis_span *name = &event->outer.spans[AEGIS_KEY('e')];
    if (name->kind != AEGIS_SPAN_STRING)
        return AEGIS_REJECT_EVENT_UNKNOWN;
#define NAMED(text)                                                                                \
    (name->length == sizeof text - 1 && memcmp(name->at, text, sizeof text - 1) == 0)
    if (NAMED("bookTicker"))
        return decode_book_ticker(core, event);
    if (NAMED("aggTrade"))
        return decode_trade(core, event, 1);
    if (NAMED("trade"))
        return decode_trade(core, event, 0);
    if (NAMED("depthUpdate"))
        return decode_depth(core, event);
    if (NAMED("kline"))
        return decode_kline(core, event);
    if (NAMED("markPriceUpdate"))
        return decode_mark_price(core, event);
    if (NAMED("forceOrder"))
        return decode_force_order(core, event);
    if (NAMED("serverShutdown"))
        return AEGIS_DECODED_SHUTDOWN;
#undef NAMED
    return AEGIS_REJECT_EVENT_UNKNOWN;
}

int32_t aegis_core_decode(struct aegis_core *core, const uint8_t *frame, int64_t length) {
    struct aegis_event event; /* the masks say which of its spans mean something */
    int32_t result = AEGIS_REJECT_NONE;
    core->frame_instrument = -1;
    core->counters[AEGIS_FEED_FRAMES]++;
    if (aegis_scan_compact(core, frame, length, &event) != 0) {
        core->counters[AEGIS_FEED_GENERAL_PATH]++;
        result = aegis_scan_json(frame, length, &event);
    }
    core->frame_event_ms = 0;
    if (result == AEGIS_REJECT_NONE) {
        const struct aegis_span *time = &event.outer.spans[AEGIS_KEY('E')];
        if (AEGIS_HAS(&event.outer, AEGIS_KEY('E')) && time->kind == AEGIS_SPAN_INTEGER)
            core->frame_event_ms = time->number;
        result = decode_event(core, &event);
    }
    if (core->is_shared &&
        (result == AEGIS_REJECT_ID_DUPLICATE || result == AEGIS_REJECT_ID_OUT_OF_ORDER))
        core->counters[AEGIS_FEED_DUPLICATES]++;
    else if (result > AEGIS_REJECT_NONE)
        aegis_core_reject(core, result, core->frame_instrument, frame, length);
    return result;
}

/* lastUpdateId,bids,asks of the depth endpoint. */
int32_t aegis_core_load_snapshot(struct aegis_core *core, int32_t index, const uint8_t *body,
                                 int64_t length, int64_t limit) {
    struct aegis_members members;
    struct aegis_instrument *instrument = &core->instruments[index];
    struct aegis_book *book = &instrument->book;
    int64_t snapshot_id = 0;
    TRY(aegis_scan_object(body, body + length, &members));
    TRY(read_integer(&members, AEGIS_KEY_LAST_UPDATE_ID, &snapshot_id));
    TRY(read_levels(core, instrument, &members, AEGIS_KEY_ASKS, 0));
    TRY(read_levels(core, instrument, &members, AEGIS_KEY_BIDS, 1));
    if (book->state == AEGIS_BOOK_IDLE || !book->wants_snapshot)
        return AEGIS_REJECT_NONE;
    if (aegis_book_load(core, book, snapshot_id, limit) != 0)
        return AEGIS_DECODED_STALE;
    if (book->state == AEGIS_BOOK_LIVE)
        return publish_book(core, instrument);
    return AEGIS_REJECT_NONE;
}
