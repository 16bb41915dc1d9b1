/* decode.h: the members of one JSON object as spans of the frame, and decimals as integers.
 *
 * Two scanners fill the same table. The compact one (decode_compact.c) knows the layout the venue
 * sends: no whitespace, short keys, in any order. On anything else it gives up and the general one
 * (decode_json.c) reads the frame as JSON, strictly. Neither writes outside the table and neither
 * reads outside the frame; no frame is copied.
 */
#ifndef AEGIS_DECODE_H
#define AEGIS_DECODE_H

#include "feed.h"

enum aegis_span_kind {
    AEGIS_SPAN_STRING = 1,
    AEGIS_SPAN_INTEGER = 2, /* up to 18 digits; `number` holds it */
    AEGIS_SPAN_BARE = 3,    /* another number, NaN or Infinity */
    AEGIS_SPAN_TRUE = 4,
    AEGIS_SPAN_FALSE = 5,
    AEGIS_SPAN_NULL = 6,
    AEGIS_SPAN_OBJECT = 7,
    AEGIS_SPAN_ARRAY = 8
};

struct aegis_span {
    const uint8_t *at; /* a string's first byte after its quote */
    int64_t length;
    int64_t number;
    int64_t kind;
};

/* Places of the keys in a table: letters by themselves, then the longer ones. */
#define AEGIS_KEY(letter) ((letter) >= 'a' ? (letter) - 'a' : (letter) - 'A' + 26)
enum aegis_key {
    AEGIS_KEY_PU = 52,
    AEGIS_KEY_ST,
    AEGIS_KEY_AP,
    AEGIS_KEY_STREAM,
    AEGIS_KEY_DATA,
    AEGIS_KEY_ID,
    AEGIS_KEY_RESULT,
    AEGIS_KEY_ERROR,
    AEGIS_KEY_BIDS,
    AEGIS_KEY_ASKS,
    AEGIS_KEY_LAST_UPDATE_ID,
    AEGIS_KEY_OTHER = 63 /* any key that nothing here reads */
};

struct aegis_members {
    uint64_t present;
    struct aegis_span spans[64];
};

/* What a frame says: the wrapper's stream name, the event's members, and those of one of its inner
 * objects (`k` of kline, `o` of forceOrder). */
struct aegis_event {
    struct aegis_span stream; /* length 0: not wrapped */
    struct aegis_members outer;
    struct aegis_members inner;
    int32_t inner_key; /* whose members `inner` holds; -1: nobody's yet */
    int32_t has_levels; /* the levels are parsed already, into core->frame_levels */
};

#define AEGIS_HAS(members, key) (((members)->present >> (key)) & 1)

/* Read a frame of the usual layout; 0, or -1 when it is not. */
int aegis_scan_compact(struct aegis_core *core, const uint8_t *frame, int64_t length,
                       struct aegis_event *event);

/* Read a frame as JSON: 0, MALFORMED, or an answer (see aegis_decoded). */
int32_t aegis_scan_json(const uint8_t *frame, int64_t length, struct aegis_event *event);

/* Read one JSON object and nothing after it; 0 or MALFORMED. */
int32_t aegis_scan_object(const uint8_t *at, const uint8_t *end, struct aegis_members *members);

/* The place of a key in a table. */
int32_t aegis_key_place(const uint8_t *key, int64_t length);

/* Parse levels, `[["price","quantity"],…]`, of one side (0 asks, 1 bids) into core->frame_levels.
 * `*at` is at the bracket and is moved behind the array. A reason. */
int32_t aegis_parse_levels(struct aegis_core *core, const struct aegis_instrument *instrument,
                           const uint8_t **at, const uint8_t *end, int side);

/* Results of aegis_parse_decimal beside AEGIS_REJECT_NONE, NOT_FINITE and NUMBER_RANGE. */
#define AEGIS_DECIMAL_BETWEEN (-1) /* not a multiple of the last digit that counts */

/* Parse `-?digits(.digits)?` at `*at` into units of 10 ** -exponent, exactly, and move `*at` to
 * the first byte after it. Digits beyond the exponent must be zeros, else AEGIS_DECIMAL_BETWEEN
 * and `*scaled` is cut towards zero. `*negative` says whether there was a minus. */
static inline int32_t aegis_parse_decimal(const uint8_t **at, const uint8_t *end, int32_t exponent,
                                          int64_t *scaled, int *negative) {
    const uint8_t *p = *at;
    int64_t number = 0;
    int32_t overflow = 0, between = 0;
    *negative = p < end && *p == '-';
    p += *negative;
    const uint8_t *first = p;
    for (; p < end && (uint8_t)(*p - '0') < 10; p++) {
        overflow |= number > (INT64_MAX - 9) / 10;
        number = overflow ? 0 : number * 10 + (*p - '0');
    }
    if (p == first)
        return AEGIS_REJECT_NOT_FINITE;
    if (p < end && *p == '.') {
        const uint8_t *fraction = ++p;
        for (; p < end && (uint8_t)(*p - '0') < 10; p++) {
            if (exponent > 0) {
                exponent--;
                overflow |= number > (INT64_MAX - 9) / 10;
                number = overflow ? 0 : number * 10 + (*p - '0');
            } else {
                between |= *p != '0';
            }
        }
        if (p == fraction)
            return AEGIS_REJECT_NOT_FINITE;
    }
    for (; exponent > 0; exponent--) {
        overflow |= number > INT64_MAX / 10;
        number = overflow ? 0 : number * 10;
    }
    *at = p;
    *scaled = number;
    if (overflow)
        return AEGIS_REJECT_NUMBER_RANGE;
    return between ? AEGIS_DECIMAL_BETWEEN : AEGIS_REJECT_NONE;
}

/* Parse a price of an instrument at `*at` into ticks; a reason. */
static inline int32_t aegis_parse_price(const union aegis_instrument_row *row, const uint8_t **at,
                                        const uint8_t *end, int64_t *ticks) {
    int64_t scaled = 0;
    int negative = 0;
    int32_t result = aegis_parse_decimal(at, end, row->price_exponent, &scaled, &negative);
    if (result > 0)
        return result;
    if (negative || (scaled == 0 && result == 0))
        return AEGIS_REJECT_PRICE_NOT_POSITIVE;
    if (result != 0 || (row->tick_scaled != 1 && scaled % row->tick_scaled != 0))
        return AEGIS_REJECT_OFF_TICK;
    *ticks = row->tick_scaled == 1 ? scaled : scaled / row->tick_scaled;
    return *ticks > AEGIS_PRICE_TICKS_MAX ? AEGIS_REJECT_NUMBER_RANGE : AEGIS_REJECT_NONE;
}

/* Parse a quantity of an instrument at `*at` into lots, zero allowed; a reason. */
static inline int32_t aegis_parse_qty(const union aegis_instrument_row *row, const uint8_t **at,
                                      const uint8_t *end, int64_t *lots) {
    int64_t scaled = 0;
    int negative = 0;
    int32_t result = aegis_parse_decimal(at, end, row->qty_exponent, &scaled, &negative);
    if (result > 0)
        return result;
    if (negative && (scaled != 0 || result != 0))
        return AEGIS_REJECT_QTY_NEGATIVE;
    if (result != 0 || (row->lot_scaled != 1 && scaled % row->lot_scaled != 0))
        return AEGIS_REJECT_OFF_LOT;
    *lots = row->lot_scaled == 1 ? scaled : scaled / row->lot_scaled;
    return *lots > AEGIS_QTY_LOTS_MAX ? AEGIS_REJECT_NUMBER_RANGE : AEGIS_REJECT_NONE;
}

#endif
