/* decode_levels.c: the level arrays of depth diffs and snapshots. They are most of the bytes of a
 * market, so this is one pass: digits become ticks and lots as they are read. */
#include "decode.h"

static const uint8_t *skip_space(const uint8_t *at, const uint8_t *end) {
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
        at++;
    return at;
}

/* Step over `expected`, whitespace before it allowed; NULL when something else is there. */
static inline const uint8_t *expect(const uint8_t *at, const uint8_t *end, uint8_t expected) {
    if (at < end && *at == expected)
        return at + 1;
    at = skip_space(at, end);
    return at < end && *at == expected ? at + 1 : NULL;
}

/* One `["price","quantity"]`, `*at` behind its bracket. */
static inline int32_t parse_level(const union aegis_instrument_row *row, const uint8_t **at,
                                  const uint8_t *end, struct aegis_level *level) {
    const uint8_t *p = expect(*at, end, '"');
    if (p == NULL)
        return AEGIS_REJECT_MALFORMED;
    int32_t reason = aegis_parse_price(row, &p, end, &level->price_ticks);
    if (reason != AEGIS_REJECT_NONE)
        return reason;
    if (p >= end || *p != '"')
        return AEGIS_REJECT_NOT_FINITE;
    p = expect(p + 1, end, ',');
    if (p == NULL || (p = expect(p, end, '"')) == NULL)
        return AEGIS_REJECT_MALFORMED;
    reason = aegis_parse_qty(row, &p, end, &level->qty_lots);
    if (reason != AEGIS_REJECT_NONE)
        return reason;
    if (p >= end || *p != '"')
        return AEGIS_REJECT_NOT_FINITE;
    p = expect(p + 1, end, ']');
    if (p == NULL)
        return AEGIS_REJECT_MALFORMED;
    *at = p;
    return AEGIS_REJECT_NONE;
}

int32_t aegis_parse_levels(struct aegis_core *core, const struct aegis_instrument *instrument,
                           const uint8_t **at, const uint8_t *end, int side) {
    struct aegis_level *levels = core->frame_levels[side];
    int32_t count = 0;
    core->frame_level_count[side] = 0;
    const uint8_t *p = expect(*at, end, '[');
    if (p == NULL)
        return AEGIS_REJECT_MALFORMED;
    const uint8_t *empty = expect(p, end, ']');
    if (empty != NULL) {
        *at = empty;
        return AEGIS_REJECT_NONE;
    }
    for (;;) {
        if (count == AEGIS_LEVELS_MAX)
            return AEGIS_REJECT_LEVEL_COUNT;
        p = expect(p, end, '[');
        if (p == NULL)
            return AEGIS_REJECT_MALFORMED;
        int32_t reason = parse_level(&instrument->row, &p, end, &levels[count]);
        if (reason != AEGIS_REJECT_NONE)
            return reason;
        count++;
        const uint8_t *next = expect(p, end, ',');
        if (next == NULL)
            break;
        p = next;
    }
    p = expect(p, end, ']');
    if (p == NULL)
        return AEGIS_REJECT_MALFORMED;
    core->frame_level_count[side] = count;
    *at = p;
    return AEGIS_REJECT_NONE;
}
