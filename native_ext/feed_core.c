/* feed_core.c: the core's life, its symbols, its clock bounds and its counts of refusals. */
#include "feed.h"

#include <stdlib.h>
#include <string.h>

#define SYMBOL_BYTES ((int64_t)sizeof(((union aegis_instrument_row *)0)->symbol))
#define PPB INT64_C(1000000000)

/* FNV-1a: symbols are short and few, and the table is at most a quarter full. */
static uint64_t hash_symbol(const uint8_t *symbol, int64_t length) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (int64_t i = 0; i < length; i++)
        hash = (hash ^ symbol[i]) * UINT64_C(0x100000001b3);
    return hash ^ hash >> 32;
}

static int64_t power_of_two(int64_t at_least) {
    int64_t number = 8;
    while (number < at_least)
        number *= 2;
    return number;
}

static void open_instrument(struct aegis_core *core, int64_t i,
                            const union aegis_instrument_row *row) {
    struct aegis_instrument *instrument = &core->instruments[i];
    instrument->row = *row;
    const char *end = memchr(row->symbol, 0, (size_t)SYMBOL_BYTES);
    instrument->symbol_length = (int32_t)(end == NULL ? SYMBOL_BYTES : end - row->symbol);
    for (int stream = 0; stream < AEGIS_STREAM_COUNT; stream++) {
        instrument->lanes[stream].last_id = -1;
        instrument->lanes[stream].run_id = -1;
    }
    for (int32_t channel = 0; channel < AEGIS_CHANNEL_COUNT; channel++)
        instrument->channels[channel].published = -1;
    for (int side = 0; side < 2; side++)
        instrument->book.sides[side].levels = core->levels + (2 * i + side) * AEGIS_LEVELS_MAX;
    instrument->heal.held = core->held + i * AEGIS_HELD_MAX;
    if (row->flags & AEGIS_INSTRUMENT_BOOK)
        aegis_book_start(&instrument->book);
    int64_t slot = (int64_t)hash_symbol((const uint8_t *)row->symbol, instrument->symbol_length);
    while (core->symbol_slots[slot & core->symbol_mask] >= 0)
        slot++;
    core->symbol_slots[slot & core->symbol_mask] = (int32_t)i;
}

int aegis_core_open(struct aegis_core *core, const union aegis_instrument_row *rows, int64_t count,
                    int64_t capacity) {
    int64_t slot_count = power_of_two(4 * capacity);
    core->instrument_count = count;
    core->capacity = capacity;
    core->symbol_mask = slot_count - 1;
    core->instruments = calloc((size_t)capacity, sizeof *core->instruments);
    core->levels = calloc((size_t)(2 * capacity + 1) * AEGIS_LEVELS_MAX, sizeof *core->levels);
    core->held = calloc((size_t)capacity * AEGIS_HELD_MAX, sizeof *core->held);
    core->symbol_slots = malloc((size_t)slot_count * sizeof *core->symbol_slots);
    core->dirty = calloc((size_t)capacity, sizeof *core->dirty);
    if (!core->instruments || !core->levels || !core->held || !core->symbol_slots || !core->dirty) {
        aegis_core_close(core);
        return -1;
    }
    memset(core->symbol_slots, 0xff, (size_t)slot_count * sizeof *core->symbol_slots);
    for (int64_t i = 0; i < count; i++)
        open_instrument(core, i, &rows[i]);
    for (int reason = 0; reason < AEGIS_REJECT_COUNT; reason++)
        core->kept[reason].instrument_index = -1;
    return 0;
}

int32_t aegis_core_add(struct aegis_core *core, const union aegis_instrument_row *row) {
    int64_t index = core->instrument_count;
    const char *end = memchr(row->symbol, 0, (size_t)SYMBOL_BYTES);
    int64_t length = end == NULL ? SYMBOL_BYTES : end - row->symbol;
    if (index >= core->capacity || aegis_core_find(core, (const uint8_t *)row->symbol, length) >= 0)
        return -1;
    core->instrument_count++;
    open_instrument(core, index, row);
    return (int32_t)index;
}

void aegis_core_close(struct aegis_core *core) {
    free(core->instruments);
    free(core->levels);
    free(core->held);
    free(core->symbol_slots);
    free(core->dirty);
    core->instruments = NULL;
    core->levels = NULL;
    core->held = NULL;
    core->symbol_slots = NULL;
    core->dirty = NULL;
    core->instrument_count = 0;
    core->has_ring = 0;
}

int64_t aegis_core_attach(struct aegis_core *core, void *base, int64_t size_bytes, int64_t pid,
                          int64_t start_ticks) {
    int64_t result = aegis_ring_attach(&core->ring, base, size_bytes);
    if (result < 0)
        return result;
    if (core->ring.slot_size != (int64_t)sizeof(union aegis_market_record))
        return AEGIS_INVALID;
    result = aegis_ring_recover(&core->ring, pid, start_ticks);
    core->has_ring = result >= 0;
    return result;
}

void aegis_core_set_now(struct aegis_core *core, int64_t now_ns) {
    int64_t elapsed = now_ns - core->clock_anchor_ns;
    int64_t venue =
        core->clock_venue_ns + elapsed + (int64_t)((__int128)elapsed * core->clock_rate_ppb / PPB);
    /* On a tape at speed X the same wall-clock delay is X times as long in venue time. */
    int64_t rate = core->clock_rate_ppb > 0 ? 1 + core->clock_rate_ppb / PPB : 1;
    core->now_ns = now_ns;
    core->venue_high_ns = venue + core->laws.time_future_ns * rate + core->clock_error_ns;
    core->venue_low_ns = venue - core->laws.time_past_ns * rate - core->clock_error_ns;
    if (!core->laws.follows_stream || core->newest_time_ns == 0)
        return;
    int64_t high = core->newest_time_ns + core->laws.time_future_ns;
    int64_t low = core->newest_time_ns - core->laws.time_past_ns;
    core->venue_high_ns = high > core->venue_high_ns ? high : core->venue_high_ns;
    core->venue_low_ns = low < core->venue_low_ns ? low : core->venue_low_ns;
}

int32_t aegis_core_find(struct aegis_core *core, const uint8_t *symbol, int64_t length) {
    if (length < 1 || length > SYMBOL_BYTES || core->instrument_count == 0)
        return -1;
    const struct aegis_instrument *last = &core->instruments[core->last_instrument];
    if (last->symbol_length == length && memcmp(last->row.symbol, symbol, (size_t)length) == 0)
        return core->last_instrument;
    int64_t slot = (int64_t)hash_symbol(symbol, length);
    for (;; slot++) {
        int32_t i = core->symbol_slots[slot & core->symbol_mask];
        if (i < 0)
            return -1;
        const struct aegis_instrument *instrument = &core->instruments[i];
        if (instrument->symbol_length == length &&
            memcmp(instrument->row.symbol, symbol, (size_t)length) == 0) {
            core->last_instrument = i;
            return i;
        }
    }
}

int32_t aegis_core_reject(struct aegis_core *core, int32_t reason, int32_t instrument,
                          const uint8_t *frame, int64_t length) {
    struct aegis_kept_frame *kept = &core->kept[reason];
    int64_t kept_length = length < AEGIS_KEPT_BYTES ? length : AEGIS_KEPT_BYTES;
    core->counters[AEGIS_FEED_REJECTED]++;
    core->reject_counts[reason]++;
    if (instrument >= 0)
        core->instruments[instrument].reject_counts[reason]++;
    kept->receive_time_ns = core->now_ns;
    kept->instrument_index = instrument;
    kept->length = length < INT32_MAX ? (int32_t)length : INT32_MAX;
    if (kept_length > 0)
        memcpy(kept->bytes, frame, (size_t)kept_length);
    return reason;
}
