/* decode_compact.c: the scanner for the layout the venue sends: no whitespace, plain strings, keys
 * of one or two letters in any order. Anything else, a poisoned level included, is left to the
 * general scanner, which then says what is wrong. Every byte of a key is compared. */
#include "decode.h"

#include <string.h>

static const uint8_t *scan_plain_string(const uint8_t *at, const uint8_t *end,
                                        struct aegis_span *span) {
    const uint8_t *p = at;
    while (p < end && *p != '"') {
        if (*p < 0x20 || *p == '\\')
            return NULL;
        p++;
    }
    if (p >= end)
        return NULL;
    span->at = at;
    span->length = p - at;
    span->kind = AEGIS_SPAN_STRING;
    return p + 1;
}

static const uint8_t *scan_plain_integer(const uint8_t *at, const uint8_t *end,
                                         struct aegis_span *span) {
    const uint8_t *p = at;
    int64_t number = 0;
    for (; p < end && (uint8_t)(*p - '0') < 10; p++) {
        if (p - at >= 18)
            return NULL;
        number = number * 10 + (*p - '0');
    }
    if (p >= end || (*p != ',' && *p != '}') || (*at == '0' && p - at > 1))
        return NULL;
    span->at = at;
    span->length = p - at;
    span->number = number;
    span->kind = AEGIS_SPAN_INTEGER;
    return p;
}

static const uint8_t *scan_plain_bool(const uint8_t *at, const uint8_t *end,
                                      struct aegis_span *span) {
    int is_true = *at == 't';
    int64_t length = is_true ? 4 : 5;
    if (end - at < length || memcmp(at, is_true ? "true" : "false", (size_t)length) != 0)
        return NULL;
    span->kind = is_true ? AEGIS_SPAN_TRUE : AEGIS_SPAN_FALSE;
    return at + length;
}

/* A byte of a string that stands for itself and does not end it. */
static int is_plain(uint8_t byte) { return byte >= 0x20 && byte != '"' && byte != '\\'; }

/* The key at `*at` (behind its opening quote), colon included; -1 when it is longer than two. */
static int32_t scan_key(const uint8_t **at, const uint8_t *end) {
    const uint8_t *p = *at;
    if (end - p < 4)
        return -1;
    int64_t length = p[1] == '"' ? 1 : 2;
    if (p[length] != '"' || p[length + 1] != ':' || !is_plain(p[0]) || !is_plain(p[length - 1]))
        return -1;
    *at = p + length + 2;
    if (length == 1 && (uint8_t)((*p | 0x20) - 'a') < 26)
        return AEGIS_KEY(*p);
    return aegis_key_place(p, length);
}

/* `b` or `a` of a depth diff. The symbol must have come before, since it says the steps. */
static const uint8_t *scan_levels(struct aegis_core *core, struct aegis_event *event,
                                  const uint8_t *at, const uint8_t *end, int side) {
    const struct aegis_members *outer = &event->outer;
    const struct aegis_span *symbol = &outer->spans[AEGIS_KEY('s')];
    if (!AEGIS_HAS(outer, AEGIS_KEY('s')) || symbol->kind != AEGIS_SPAN_STRING)
        return NULL;
    int32_t instrument = aegis_core_find(core, symbol->at, symbol->length);
    if (instrument < 0)
        return NULL;
    if (aegis_parse_levels(core, &core->instruments[instrument], &at, end, side) != 0)
        return NULL;
    event->has_levels |= 1 << side;
    return at;
}

static const uint8_t *scan_members(struct aegis_core *core, struct aegis_event *event,
                                   const uint8_t *at, const uint8_t *end, int is_inner) {
    struct aegis_members *members = is_inner ? &event->inner : &event->outer;
    uint64_t present = 0;
    if (at >= end || *at != '{')
        return NULL;
    do {
        at++; /* the brace, then each comma */
        if (at >= end || *at++ != '"')
            return NULL;
        int32_t place = scan_key(&at, end);
        if (place < 0 || at >= end || (present >> place & 1 && place != AEGIS_KEY_OTHER))
            return NULL; /* a key twice: the general scanner takes the last */
        struct aegis_span *span = &members->spans[place];
        present |= UINT64_C(1) << place;
        uint8_t first = *at;
        if (first == '"') {
            at = scan_plain_string(at + 1, end, span);
        } else if ((uint8_t)(first - '0') < 10) {
            at = scan_plain_integer(at, end, span);
        } else if (first == 't' || first == 'f') {
            at = scan_plain_bool(at, end, span);
        } else if (first == '{' && !is_inner && event->inner_key < 0 &&
                   (place == AEGIS_KEY('k') || place == AEGIS_KEY('o'))) {
            span->kind = AEGIS_SPAN_OBJECT;
            event->inner_key = place;
            at = scan_members(core, event, at, end, 1);
        } else if (first == '[' && !is_inner &&
                   (place == AEGIS_KEY('b') || place == AEGIS_KEY('a'))) {
            span->kind = AEGIS_SPAN_ARRAY;
            members->present = present;
            at = scan_levels(core, event, at, end, place == AEGIS_KEY('b'));
        } else {
            return NULL;
        }
        if (at == NULL || at >= end)
            return NULL;
    } while (*at == ',');
    members->present = present;
    return *at == '}' ? at + 1 : NULL;
}

int aegis_scan_compact(struct aegis_core *core, const uint8_t *frame, int64_t length,
                       struct aegis_event *event) {
    static const char stream[] = "{\"stream\":\"";
    static const char data[] = ",\"data\":";
    const int64_t stream_length = sizeof stream - 1, data_length = sizeof data - 1;
    const uint8_t *at = frame;
    const uint8_t *end = frame + length;
    event->stream.length = 0;
    event->has_levels = 0;
    event->inner_key = -1;
    int is_wrapped = length > stream_length && memcmp(at, stream, (size_t)stream_length) == 0;
    if (is_wrapped) {
        at = scan_plain_string(at + stream_length, end, &event->stream);
        if (at == NULL || end - at <= data_length || memcmp(at, data, (size_t)data_length) != 0)
            return -1;
        at += data_length;
    }
    at = scan_members(core, event, at, end, 0);
    if (at == NULL)
        return -1;
    if (is_wrapped && (at >= end || *at++ != '}'))
        return -1;
    return at == end ? 0 : -1;
}
