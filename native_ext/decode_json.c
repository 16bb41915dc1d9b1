/* decode_json.c: the general scanner: JSON by the book, plus the bare NaN and Infinity that some
 * writers produce, so that they are refused by their own name. */
#include "decode.h"

#include <string.h>

#define DEPTH_MAX 16 /* objects and arrays inside each other; the venue nests three */

static const uint8_t *skip_space(const uint8_t *at, const uint8_t *end) {
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
        at++;
    return at;
}

static int is_hex(uint8_t byte) {
    return (uint8_t)(byte - '0') < 10 || (uint8_t)((byte | 0x20) - 'a') < 6;
}

/* From the byte after the opening quote to the one after the closing quote; NULL: not a string. */
static const uint8_t *scan_string(const uint8_t *at, const uint8_t *end, struct aegis_span *span) {
    span->at = at;
    span->kind = AEGIS_SPAN_STRING;
    while (at < end && *at != '"') {
        if (*at < 0x20)
            return NULL;
        if (*at++ != '\\')
            continue;
        if (at >= end || memchr("\"\\/bfnrtu", *at, 9) == NULL)
            return NULL;
        if (*at == 'u') {
            if (end - at < 5 || !is_hex(at[1]) || !is_hex(at[2]) || !is_hex(at[3]) ||
                !is_hex(at[4]))
                return NULL;
            at += 4;
        }
        at++;
    }
    if (at >= end)
        return NULL;
    span->length = at - span->at;
    return at + 1;
}

static const uint8_t *scan_digits(const uint8_t *at, const uint8_t *end) {
    const uint8_t *first = at;
    while (at < end && (uint8_t)(*at - '0') < 10)
        at++;
    return at == first ? NULL : at;
}

static const uint8_t *scan_word(const uint8_t *at, const uint8_t *end, const char *word) {
    int64_t length = (int64_t)strlen(word);
    return end - at >= length && memcmp(at, word, (size_t)length) == 0 ? at + length : NULL;
}

/* A number by JSON's grammar: no leading zeros, no bare point. */
static const uint8_t *scan_number(const uint8_t *at, const uint8_t *end, struct aegis_span *span) {
    const uint8_t *digits = *at == '-' ? at + 1 : at;
    const uint8_t *word = scan_word(digits, end, "Infinity");
    span->kind = AEGIS_SPAN_BARE;
    if (word != NULL)
        return word;
    const uint8_t *p = scan_digits(digits, end);
    if (p == NULL || (p - digits > 1 && *digits == '0'))
        return NULL;
    if (p - digits <= 18 && (p >= end || (*p != '.' && (*p | 0x20) != 'e'))) {
        int64_t number = 0;
        for (const uint8_t *digit = digits; digit < p; digit++)
            number = number * 10 + (*digit - '0');
        span->number = digits == at ? number : -number;
        span->kind = AEGIS_SPAN_INTEGER;
        return p;
    }
    if (p < end && *p == '.')
        p = scan_digits(p + 1, end);
    if (p != NULL && p < end && (*p | 0x20) == 'e') {
        p++;
        p = scan_digits(p < end && (*p == '+' || *p == '-') ? p + 1 : p, end);
    }
    return p;
}

static const uint8_t *scan_value(const uint8_t *at, const uint8_t *end, int depth,
                                 struct aegis_span *span);

/* Members or elements up to the closing bracket; `members` may be NULL. */
static const uint8_t *scan_object(const uint8_t *at, const uint8_t *end, int depth,
                                  struct aegis_members *members) {
    struct aegis_span key, value;
    at = skip_space(at, end);
    if (at < end && *at == '}')
        return at + 1;
    for (;;) {
        at = skip_space(at, end);
        if (at >= end || *at != '"' || (at = scan_string(at + 1, end, &key)) == NULL)
            return NULL;
        at = skip_space(at, end);
        if (at >= end || *at != ':')
            return NULL;
        at = scan_value(skip_space(at + 1, end), end, depth, &value);
        if (at == NULL)
            return NULL;
        if (members != NULL) {
            int32_t place = aegis_key_place(key.at, key.length);
            members->spans[place] = value;
            members->present |= UINT64_C(1) << place;
        }
        at = skip_space(at, end);
        if (at < end && *at == '}')
            return at + 1;
        if (at >= end || *at++ != ',')
            return NULL;
    }
}

static const uint8_t *scan_array(const uint8_t *at, const uint8_t *end, int depth) {
    struct aegis_span value;
    at = skip_space(at, end);
    if (at < end && *at == ']')
        return at + 1;
    for (;;) {
        at = scan_value(skip_space(at, end), end, depth, &value);
        if (at == NULL)
            return NULL;
        at = skip_space(at, end);
        if (at < end && *at == ']')
            return at + 1;
        if (at >= end || *at++ != ',')
            return NULL;
    }
}

static const uint8_t *scan_word_value(const uint8_t *at, const uint8_t *end,
                                      struct aegis_span *span) {
    static const struct {
        const char *word;
        int64_t kind;
    } words[] = {{"true", AEGIS_SPAN_TRUE},
                 {"false", AEGIS_SPAN_FALSE},
                 {"null", AEGIS_SPAN_NULL},
                 {"NaN", AEGIS_SPAN_BARE},
                 {"Infinity", AEGIS_SPAN_BARE}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        const uint8_t *after = scan_word(at, end, words[i].word);
        if (after != NULL) {
            span->kind = words[i].kind;
            return after;
        }
    }
    return NULL;
}

/* One value; its bytes go into `span`. Returns the byte after it, NULL when it is none. */
static const uint8_t *scan_value(const uint8_t *at, const uint8_t *end, int depth,
                                 struct aegis_span *span) {
    const uint8_t *after;
    if (at >= end || depth >= DEPTH_MAX)
        return NULL;
    span->at = at;
    span->number = 0;
    if (*at == '"')
        return scan_string(at + 1, end, span);
    if (*at == '{') {
        after = scan_object(at + 1, end, depth + 1, NULL);
        span->kind = AEGIS_SPAN_OBJECT;
    } else if (*at == '[') {
        after = scan_array(at + 1, end, depth + 1);
        span->kind = AEGIS_SPAN_ARRAY;
    } else if (*at == '-' || (uint8_t)(*at - '0') < 10) {
        after = scan_number(at, end, span);
    } else {
        after = scan_word_value(at, end, span);
    }
    if (after != NULL)
        span->length = after - at;
    return after;
}

int32_t aegis_key_place(const uint8_t *key, int64_t length) {
    static const struct {
        const char *key;
        int32_t place;
    } longer[] = {{"pu", AEGIS_KEY_PU},
                  {"st", AEGIS_KEY_ST},
                  {"ap", AEGIS_KEY_AP},
                  {"stream", AEGIS_KEY_STREAM},
                  {"data", AEGIS_KEY_DATA},
                  {"id", AEGIS_KEY_ID},
                  {"result", AEGIS_KEY_RESULT},
                  {"error", AEGIS_KEY_ERROR},
                  {"bids", AEGIS_KEY_BIDS},
                  {"asks", AEGIS_KEY_ASKS},
                  {"lastUpdateId", AEGIS_KEY_LAST_UPDATE_ID}};
    if (length == 1 && (uint8_t)((*key | 0x20) - 'a') < 26)
        return AEGIS_KEY(*key);
    for (size_t i = 0; i < sizeof longer / sizeof longer[0]; i++)
        if ((int64_t)strlen(longer[i].key) == length &&
            memcmp(longer[i].key, key, (size_t)length) == 0)
            return longer[i].place;
    return AEGIS_KEY_OTHER;
}

int32_t aegis_scan_object(const uint8_t *at, const uint8_t *end, struct aegis_members *members) {
    members->present = 0;
    at = skip_space(at, end);
    if (at >= end || *at != '{')
        return AEGIS_REJECT_MALFORMED;
    at = scan_object(at + 1, end, 1, members);
    if (at == NULL || skip_space(at, end) != end)
        return AEGIS_REJECT_MALFORMED;
    return AEGIS_REJECT_NONE;
}

int32_t aegis_scan_json(const uint8_t *frame, int64_t length, struct aegis_event *event) {
    struct aegis_members *outer = &event->outer;
    event->stream.length = 0;
    event->has_levels = 0;
    event->inner_key = -1;
    int32_t reason = aegis_scan_object(frame, frame + length, outer);
    if (reason != AEGIS_REJECT_NONE)
        return reason;
    if (AEGIS_HAS(outer, AEGIS_KEY_STREAM) && AEGIS_HAS(outer, AEGIS_KEY_DATA)) {
        struct aegis_span data = outer->spans[AEGIS_KEY_DATA];
        event->stream = outer->spans[AEGIS_KEY_STREAM];
        if (event->stream.kind != AEGIS_SPAN_STRING || data.kind != AEGIS_SPAN_OBJECT)
            return AEGIS_REJECT_MALFORMED;
        reason = aegis_scan_object(data.at, data.at + data.length, outer);
    } else if (!AEGIS_HAS(outer, AEGIS_KEY('e')) &&
               (AEGIS_HAS(outer, AEGIS_KEY_RESULT) || AEGIS_HAS(outer, AEGIS_KEY_ERROR))) {
        return AEGIS_DECODED_ANSWER;
    }
    return reason;
}
