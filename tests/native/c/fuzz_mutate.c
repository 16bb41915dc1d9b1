/* fuzz_mutate.c: changes that keep a line of JSON nearly legal: lines, members, numbers, spaces,
 * strings. Half of the inputs get a change of single bytes instead, or on top. */
#include "fuzz.h"

#include <ctype.h>
#include <string.h>

#define SEPARATOR 0x1e

struct text {
    uint8_t *bytes;
    size_t length;
    size_t length_max;
    uint64_t state;
};

static const char *const numbers[] = {"0",
                                      "-0",
                                      "-1",
                                      "1",
                                      "7",
                                      "0.0",
                                      "00",
                                      "1.",
                                      ".5",
                                      "1e5",
                                      "1E-2",
                                      "-1.5e+3",
                                      "0.10",
                                      "0.050",
                                      "61800.05",
                                      "9223372036854",
                                      "9223372036855",
                                      "9223372036854775807",
                                      "9223372036854775808",
                                      "922337203685477579.9",
                                      "92233720368547758070",
                                      "999999999999999999",
                                      "1000000000000000000",
                                      "4294967295",
                                      "4294967296",
                                      "2147483648",
                                      "18446744073709551616",
                                      "0.00000001",
                                      "1723161255000",
                                      "1723161240000",
                                      "1723161299999",
                                      "3600",
                                      "100000000000000000000000000000",
                                      "NaN",
                                      "Infinity",
                                      "null",
                                      "true",
                                      "false",
                                      "\"\"",
                                      "\"1\"",
                                      "[]",
                                      "{}"};
static const char *const members[] = {"\"zz\":[1,{\"a\":\"}]\"},null],",
                                      "\"e\":\"trade\",",
                                      "\"s\":\"ETHUSDT\",",
                                      "\"st\":1,",
                                      "\"k\":{\"s\":\"BTCUSDT\"},",
                                      "\"o\":{\"S\":\"BUY\"},",
                                      "\"a\":[[\"61800.1\",\"1\"]],",
                                      "\"b\":[[\"61800.0\",\"0\"]],",
                                      "\"\":0,",
                                      "\"q\":\"0.000\",",
                                      "\"u\":1,",
                                      "\"\\u0073\":\"x\",",
                                      "\"deep\":[[[[[[[[[[[[[[[]]]]]]]]]]]]]]],",
                                      "\"x\":true,",
                                      "\"pu\":5123107839020,"};
static const char *const names[] = {
    "bookTicker",      "aggTrade", "trade",          "depthUpdate", "kline", "forceOrder",
    "markPriceUpdate", "BTCUSDT",  "serverShutdown", "ETHUSDT",     "SELL",  "1m"};
static const char *const spaces[] = {" ", "\t", "\n", "\r\n", "  "};

#define ANY(state, table) (table)[fuzz_below((state), sizeof(table) / sizeof(table)[0])]

/* Put `count` bytes in the place of `old` bytes at `at`; nothing when there is no room. */
static void replace(struct text *text, size_t at, size_t old, const void *bytes, size_t count) {
    if (at + old > text->length || text->length - old + count > text->length_max)
        return;
    memmove(text->bytes + at + count, text->bytes + at + old, text->length - at - old);
    memcpy(text->bytes + at, bytes, count);
    text->length += count - old;
}

/* One of the places at which the predicate holds, at random; the length when there is none. */
static size_t place_of(struct text *text, int (*holds)(const struct text *, size_t)) {
    size_t from = 1 + fuzz_below(&text->state, text->length);
    for (size_t i = 0; i < text->length; i++) {
        size_t at = (from + i) % text->length;
        if (at > 0 && holds(text, at))
            return at;
    }
    return text->length;
}

static int starts_number(const struct text *text, size_t at) {
    return isdigit(text->bytes[at]) && !isdigit(text->bytes[at - 1]) && text->bytes[at - 1] != '.';
}

static int starts_string(const struct text *text, size_t at) {
    return text->bytes[at - 1] == '"' && isalpha(text->bytes[at]);
}

static int starts_member(const struct text *text, size_t at) {
    return text->bytes[at] == '"' && (text->bytes[at - 1] == ',' || text->bytes[at - 1] == '{');
}

static int is_between(const struct text *text, size_t at) {
    return memchr("{}[]:,\"", text->bytes[at], 7) != NULL;
}

static int starts_line(const struct text *text, size_t at) {
    return at == 1 || text->bytes[at - 1] == SEPARATOR;
}

static size_t line_end(const struct text *text, size_t at) {
    while (at < text->length && text->bytes[at] != SEPARATOR)
        at++;
    return at;
}

/* The end of the member at `at`: the comma, or the bracket that closes its object. */
static size_t member_end(const struct text *text, size_t at) {
    int depth = 0, is_string = 0;
    for (; at < text->length && text->bytes[at] != SEPARATOR; at++) {
        uint8_t byte = text->bytes[at];
        is_string ^= byte == '"' && text->bytes[at - 1] != '\\';
        if (is_string)
            continue;
        if (depth == 0 && (byte == ',' || byte == '}' || byte == ']'))
            return at;
        depth += (byte == '{' || byte == '[') - (byte == '}' || byte == ']');
    }
    return at;
}

static size_t digits_end(const struct text *text, size_t at) {
    while (at < text->length && (isdigit(text->bytes[at]) || text->bytes[at] == '.'))
        at++;
    return at;
}

/* Add a small number to the digits at `at`, their count kept. */
static void count_up(struct text *text, size_t at, int by) {
    size_t end = at;
    while (end < text->length && isdigit(text->bytes[end]))
        end++;
    for (size_t i = end; i > at && by > 0; i--) {
        by += text->bytes[i - 1] - '0';
        text->bytes[i - 1] = (uint8_t)('0' + by % 10);
        by /= 10;
    }
}

/* Say a line again, its long numbers (ids) counted up, so that it follows itself. */
static void repeat_line(struct text *text, int counts_up) {
    uint8_t copy[4096];
    size_t at = place_of(text, starts_line);
    size_t end = line_end(text, at), count = end - at;
    if (at >= text->length || count + 1 > sizeof copy)
        return;
    memcpy(copy, text->bytes + at, count);
    copy[count] = SEPARATOR;
    size_t before = text->length;
    replace(text, at, 0, copy, count + 1);
    if (!counts_up || text->length == before)
        return;
    for (size_t i = at + count + 1; i < text->length && text->bytes[i] != SEPARATOR; i++) {
        size_t stop = digits_end(text, i);
        if (stop - i >= 10 && starts_number(text, i))
            count_up(text, i, 1 + (int)fuzz_below(&text->state, 2));
        i = stop > i ? stop - 1 : i;
    }
}

static void drop_line(struct text *text) {
    size_t at = place_of(text, starts_line);
    if (at < text->length)
        replace(text, at, line_end(text, at) - at, "", 0);
}

/* Copy or move a member in front of another one. */
static void move_member(struct text *text, int is_copy) {
    uint8_t copy[1024];
    size_t at = place_of(text, starts_member);
    if (at >= text->length)
        return;
    size_t end = member_end(text, at), count = end - at;
    if (end >= text->length || text->bytes[end] != ',' || count + 1 > sizeof copy)
        return;
    memcpy(copy, text->bytes + at, count + 1);
    if (!is_copy)
        replace(text, at, count + 1, "", 0);
    size_t to = place_of(text, starts_member);
    if (to < text->length)
        replace(text, to, 0, copy, count + 1);
}

static void change_number(struct text *text) {
    size_t at = place_of(text, starts_number);
    if (at >= text->length)
        return;
    if (fuzz_below(&text->state, 2)) {
        count_up(text, at, 1 + (int)fuzz_below(&text->state, 300));
        return;
    }
    const char *number = ANY(&text->state, numbers);
    replace(text, at, digits_end(text, at) - at, number, strlen(number));
}

static void change_string(struct text *text) {
    char escaped[8];
    size_t at = place_of(text, starts_string);
    if (at >= text->length)
        return;
    if (fuzz_below(&text->state, 3) == 0) {
        int count = snprintf(escaped, sizeof escaped, "\\u%04x", text->bytes[at]);
        replace(text, at, 1, escaped, (size_t)count);
        return;
    }
    size_t end = at;
    while (end < text->length && isalnum(text->bytes[end]))
        end++;
    const char *name = ANY(&text->state, names);
    replace(text, at, end - at, name, strlen(name));
}

static void insert(struct text *text, size_t at, const char *what) {
    if (at < text->length)
        replace(text, at, 0, what, strlen(what));
}

/* A line that is no frame: a snapshot's mark, time that passes, a connection lost. */
static void insert_event(struct text *text) {
    uint8_t event[4] = {0, 0, 0, SEPARATOR};
    event[0] = (uint8_t)(5 + fuzz_below(&text->state, 4));
    event[1] = (uint8_t)fuzz_below(&text->state, 6);
    event[2] = (uint8_t)fuzz_below(&text->state, 2);
    size_t at = place_of(text, starts_line);
    if (at < text->length)
        replace(text, at, 0, event, sizeof event);
}

static void change(struct text *text) {
    const char *what;
    switch (fuzz_below(&text->state, 12)) {
    case 0:
    case 1:
        repeat_line(text, 1);
        break;
    case 2:
        repeat_line(text, 0);
        break;
    case 3:
        drop_line(text);
        break;
    case 4:
        move_member(text, 0);
        break;
    case 5:
        move_member(text, 1);
        break;
    case 6:
    case 7:
        change_number(text);
        break;
    case 8:
        change_string(text);
        break;
    case 9:
        what = ANY(&text->state, members); /* in turn, so that every compiler does the same */
        insert(text, place_of(text, starts_member), what);
        break;
    case 10:
        what = ANY(&text->state, spaces);
        insert(text, place_of(text, is_between), what);
        break;
    default:
        insert_event(text);
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t length, size_t length_max, unsigned seed) {
    struct text text = {bytes, length, length_max,
                        seed * UINT64_C(2654435761) + 88172645463325252u};
    fuzz_random(&text.state);
    size_t choice = fuzz_below(&text.state, 8);
    for (size_t n = 1 + fuzz_below(&text.state, 3); choice < 6 && n > 0 && text.length > 2; n--)
        change(&text);
    if (choice >= 5)
        text.length = LLVMFuzzerMutate(bytes, text.length, length_max);
    return text.length;
}
