/* fuzz_feed.c: hostile frames into decoder, firewall, books and conflation, with laws to hold.
 *
 * An input is a byte of settings, then lines that end with 0x1e. What a line does says its first
 * byte: 1 and 2 load the rest as a snapshot of instrument 0 or 1 (3 and 4: a short one), 5 lets
 * time pass, 6 loses a channel, 7 subscribes it, 8 flushes; any other line is a frame.
 *
 * Two cores get the same lines. One reads a frame as it is; the other gets it behind a space, which
 * is legal JSON that the compact scanner does not take. So every line is decoded by both scanners,
 * and they must say the same and publish the same bytes. Each frame is its own allocation, so that
 * a byte read beyond its end is seen. */
#include "decode.h"
#include "fuzz.h"

#include <inttypes.h>
#include <string.h>

#define SEPARATOR 0x1e
#define ROW_COUNT 2
#define CAPACITY 128
#ifndef LINES_MAX
#define LINES_MAX 24 /* 1: a run is one frame, for many runs */
#endif
#define FILLER 15 /* a record type that nobody has */
#define START_NS (1000 * AEGIS_NS_PER_S)
#define VENUE_START_NS (INT64_C(1723161255000) * AEGIS_NS_PER_MS)

enum settings {
    FLUSHES_LATE = 1,
    READER_STALLS = 2,
    FOLLOWS_STREAM = 4,
    KNOWS_NO_BOOK = 8,
    WAITS = 16
};

struct world {
    struct aegis_core core;
    struct aegis_instrument pristine[ROW_COUNT];
    struct aegis_segment *segment;
    union aegis_market_record got[CAPACITY];
    int64_t got_count;
};

/* What the ring's readers know of one book. */
struct reader_side {
    struct aegis_level levels[AEGIS_TOP_LEVELS];
    int32_t count;
};

static struct world worlds[2];
static struct reader_side readers[ROW_COUNT][2];
static int reader_missed; /* the ring was not drained: what readers know is not compared */
static int64_t frames_count, accepted_count, record_counts[16], reason_counts[AEGIS_REJECT_COUNT];

static void report(void) {
    int reasons = 0, types = 0;
    for (int i = 1; i < AEGIS_REJECT_COUNT; i++)
        reasons += reason_counts[i] > 0;
    for (int i = 0; i < 16; i++)
        types += record_counts[i] > 0;
    fprintf(stderr, "frames=%" PRId64 " accepted=%" PRId64 " reasons=%d types=%d\n", frames_count,
            accepted_count, reasons, types);
}

static void open_world(struct world *world) {
    union aegis_instrument_row rows[ROW_COUNT];
    memset(rows, 0, sizeof rows);
    for (int i = 0; i < ROW_COUNT; i++) {
        memcpy(rows[i].symbol, i ? "ETHUSDT" : "BTCUSDT", 7);
        rows[i].instrument_index = i;
        rows[i].flags =
            AEGIS_INSTRUMENT_TRADING | AEGIS_INSTRUMENT_PERPETUAL | AEGIS_INSTRUMENT_BOOK;
        rows[i].price_exponent = i ? 2 : 1; /* ticks 0.1 and 0.05: both ways to divide */
        rows[i].tick_scaled = i ? 5 : 1;
        rows[i].qty_exponent = 3;
        rows[i].lot_scaled = i ? 2 : 1;
        rows[i].max_price_ticks = INT64_MAX;
    }
    struct aegis_core *core = &world->core;
    MUST(aegis_core_open(core, rows, ROW_COUNT, ROW_COUNT) == 0, "memory");
    size_t size = sizeof(struct aegis_segment) + CAPACITY * sizeof(union aegis_market_record);
    world->segment = aligned_alloc(4096, (size + 4095) / 4096 * 4096);
    memset(world->segment, 0, size);
    world->segment->prefix.kind = AEGIS_KIND_RING;
    world->segment->prefix.version = AEGIS_LAYOUT_VERSION;
    world->segment->capacity = CAPACITY;
    world->segment->slot_size = sizeof(union aegis_market_record);
    world->segment->readers[0].mode = AEGIS_MODE_GATING;
    world->segment->prefix.magic = AEGIS_MAGIC;
    MUST(aegis_core_attach(core, world->segment, (int64_t)size, 1, 1) >= 0, "attach");
    core->laws = (struct aegis_laws){.spike_sigmas = 50,
                                     .spike_floor_bps = 50,
                                     .time_future_ns = 5 * AEGIS_NS_PER_S,
                                     .time_past_ns = 60 * AEGIS_NS_PER_S,
                                     .id_jump_max = INT64_C(100000000000),
                                     .trade_jump_max = 1000000,
                                     .price_jump_bps = 1000,
                                     .spread_bps = 1000,
                                     .funding_e8_max = 5000000};
    for (int32_t channel = 0; channel < AEGIS_CHANNEL_COUNT; channel++)
        core->cadence[channel] =
            (struct aegis_cadence){channel == AEGIS_CHANNEL_LIQUIDATION ? 0 : 10 * AEGIS_NS_PER_S,
                                   AEGIS_LIVENESS_SILENT, AEGIS_NS_PER_S, 60 * AEGIS_NS_PER_S};
    core->clock_anchor_ns = START_NS;
    core->clock_venue_ns = VENUE_START_NS;
    for (int i = 0; i < ROW_COUNT; i++)
        for (int32_t channel = 0; channel < AEGIS_CHANNEL_COUNT; channel++)
            core->instruments[i].channels[channel].is_enabled = 1;
    memcpy(world->pristine, core->instruments, sizeof world->pristine);
}

int LLVMFuzzerInitialize(int *argument_count, char ***arguments) {
    (void)argument_count;
    (void)arguments;
    open_world(&worlds[0]);
    open_world(&worlds[1]);
    atexit(report);
    return 0;
}

/* Leave a reader that stalls room for two records, so that what follows is merged. */
static void fill(struct world *world) {
    struct aegis_ring *ring = &world->core.ring;
    union aegis_market_record filler = {.record_type = FILLER};
    int64_t first = aegis_ring_claim(ring, CAPACITY - 2);
    MUST(first >= 0, "the ring was not drained");
    for (int64_t i = 0; i < CAPACITY - 2; i++) {
        aegis_copy_in(aegis_ring_begin(ring, first + i), &filler.words[1], 7);
        aegis_ring_commit(ring, first + i);
    }
    aegis_ring_publish(ring);
}

/* As after aegis_core_open, but for the ring, which goes on, and the counts. */
static void reset(struct world *world, int settings) {
    struct aegis_core *core = &world->core;
    memcpy(core->instruments, world->pristine, sizeof world->pristine);
    core->dirty_count = 0;
    core->last_instrument = 0;
    core->newest_time_ns = 0;
    core->first_record_ns = 0;
    core->laws.follows_stream = (settings & FOLLOWS_STREAM) != 0;
    core->heal_deadline_ns = settings & WAITS ? 5 * AEGIS_NS_PER_S : 0;
    core->is_shared = 0;
    if (settings & KNOWS_NO_BOOK)
        core->instruments[1].book.state = AEGIS_BOOK_IDLE;
    aegis_core_set_now(core, START_NS);
    if (settings & READER_STALLS)
        fill(world);
}

/* ---- what came out of the ring ---- */

static void check_record(const union aegis_market_record *r) {
    if (r->record_type == FILLER)
        return;
    MUST(r->instrument_index < ROW_COUNT, "instrument %d", r->instrument_index);
    MUST(r->record_type < 16, "type %d", r->record_type);
    record_counts[r->record_type]++;
    switch (r->record_type) {
    case AEGIS_RECORD_QUOTE:
        MUST(r->bid_price_ticks > 0 && r->bid_price_ticks < r->ask_price_ticks, "quote");
        MUST(r->bid_qty_lots > 0 && r->ask_qty_lots > 0, "quote sizes");
        break;
    case AEGIS_RECORD_TRADE:
    case AEGIS_RECORD_LIQUIDATION:
        MUST(r->price_ticks > 0 && r->qty_lots > 0 && r->trade_count > 0, "trade");
        break;
    case AEGIS_RECORD_LEVEL:
        MUST(r->price_ticks > 0 && r->qty_lots >= 0, "level");
        break;
    case AEGIS_RECORD_BAR:
        MUST(r->open_ticks > 0 && r->open_ticks + r->low_offset_ticks > 0, "bar prices");
        MUST(r->low_offset_ticks <= 0 && r->high_offset_ticks >= 0, "bar range");
        MUST(r->close_offset_ticks >= r->low_offset_ticks &&
                 r->close_offset_ticks <= r->high_offset_ticks,
             "bar close");
        MUST(r->volume_lots >= 0 && r->bar_trade_count >= 0 && r->aux > 0, "bar counts");
        MUST(r->venue_time_ns % (r->aux * AEGIS_NS_PER_S) == 0, "bar start");
        break;
    case AEGIS_RECORD_MARK:
        MUST(r->mark_price_e8 > 0 && r->index_price_e8 >= 0, "mark");
        MUST(r->funding_rate_e8 <= 5000000 && r->funding_rate_e8 >= -5000000, "funding");
        break;
    case AEGIS_RECORD_GAP:
        MUST(r->aux >= 0 && r->aux < AEGIS_CHANNEL_COUNT && r->lost_count >= 0, "gap");
        break;
    case AEGIS_RECORD_LIVENESS:
        MUST(r->aux >= 0 && r->aux < AEGIS_CHANNEL_COUNT, "channel");
        MUST(r->liveness >= 0 && r->liveness < 16 && r->since_ns <= r->receive_time_ns, "state");
        break;
    default:
        MUST(0, "type %d", r->record_type);
    }
}

/* A reader that keeps as many levels as are published; it may never have to drop one. */
static void apply_level(const union aegis_market_record *r) {
    struct reader_side *sides = readers[r->instrument_index];
    if (r->flags & AEGIS_LEVEL_SNAPSHOT_FIRST)
        sides[0].count = sides[1].count = 0;
    struct reader_side *side = &sides[r->flags & AEGIS_LEVEL_BID];
    int32_t at = 0;
    while (at < side->count && side->levels[at].price_ticks != r->price_ticks)
        at++;
    if (r->qty_lots == 0) {
        MUST(at < side->count, "an unknown level is removed");
        side->levels[at] = side->levels[--side->count];
        return;
    }
    MUST(at < AEGIS_TOP_LEVELS, "more levels than a reader keeps");
    side->count += at == side->count;
    side->levels[at] = (struct aegis_level){r->price_ticks, r->qty_lots};
}

static void take(struct world *world) {
    struct aegis_ring *ring = &world->core.ring;
    int64_t first = aegis_reader_sequence(ring, 0);
    int64_t count = aegis_ring_poll(ring, 0, CAPACITY);
    for (int64_t i = 0; i < count; i++)
        memcpy(&world->got[i], aegis_ring_slot(ring, first + i), sizeof world->got[i]);
    MUST(aegis_ring_advance(ring, 0, first + count) == 0, "advance");
    world->got_count = count;
}

static void check_book(struct aegis_core *core, int index) {
    const struct aegis_book *book = &core->instruments[index].book;
    for (int is_bid = 0; is_bid < 2; is_bid++) {
        const struct aegis_book_side *side = &book->sides[is_bid];
        MUST(side->count >= 0 && side->count <= AEGIS_LEVELS_MAX, "%d levels", side->count);
        for (int32_t i = 0; i < side->count; i++) {
            MUST(i == 0 || side->levels[i].key > side->levels[i - 1].key, "levels out of order");
            MUST(side->levels[i].qty_lots >= !book->keeps_zeros, "a removed level stayed");
            MUST(side->levels[i].key >= side->known_key, "a level beyond what is known");
        }
        if (reader_missed || !book->is_published || book->is_dirty)
            continue;
        const struct reader_side *known = &readers[index][is_bid];
        MUST(known->count == side->top_count, "reader has %d, published %d", known->count,
             side->top_count);
        for (int32_t i = 0, j; i < side->top_count; i++) {
            int64_t price = is_bid ? side->top[i].key : -side->top[i].key;
            for (j = 0; j < known->count && known->levels[j].price_ticks != price; j++)
                continue;
            MUST(j < known->count && known->levels[j].qty_lots == side->top[i].qty_lots,
                 "the reader's book is another one");
        }
    }
}

static void check_published(int refused_whole) {
    take(&worlds[0]);
    take(&worlds[1]);
    MUST(worlds[0].got_count == worlds[1].got_count, "%" PRId64 " and %" PRId64 " records",
         worlds[0].got_count, worlds[1].got_count);
    MUST(memcmp(worlds[0].got, worlds[1].got,
                (size_t)worlds[0].got_count * sizeof worlds[0].got[0]) == 0,
         "other records");
    for (int64_t i = 0; i < worlds[0].got_count; i++) {
        const union aegis_market_record *record = &worlds[0].got[i];
        check_record(record);
        MUST(!refused_whole || record->record_type == AEGIS_RECORD_GAP ||
                 record->record_type == AEGIS_RECORD_LIVENESS,
             "a refused frame published type %d", record->record_type);
        if (record->record_type == AEGIS_RECORD_LEVEL)
            apply_level(record);
    }
    for (int i = 0; i < ROW_COUNT; i++)
        check_book(&worlds[0].core, i);
}

/* ---- lines ---- */

static uint8_t *copy_of(const uint8_t *bytes, size_t length, int is_behind_space) {
    uint8_t *copy = malloc(length + (size_t)is_behind_space + (length == 0));
    if (is_behind_space)
        copy[0] = ' ';
    if (length > 0)
        memcpy(copy + is_behind_space, bytes, length);
    return copy;
}

static int32_t run_frame(struct world *world, const uint8_t *bytes, size_t length, int is_twin) {
    struct aegis_core *core = &world->core;
    uint8_t *copy = copy_of(bytes, length, is_twin);
    int64_t before = core->counters[AEGIS_FEED_REJECTED];
    int32_t result = aegis_core_decode(core, copy, (int64_t)length + is_twin);
    free(copy);
    MUST(result > AEGIS_DECODED_STALE && result < AEGIS_REJECT_COUNT, "result %d", result);
    MUST(core->counters[AEGIS_FEED_REJECTED] - before == (result > 0), "result %d", result);
    return result;
}

static int32_t run_snapshot(struct world *world, const uint8_t *line, size_t length, int is_twin) {
    uint8_t *copy = copy_of(line + 1, length - 1, is_twin);
    int32_t result =
        aegis_core_load_snapshot(&world->core, (line[0] - 1) % 2, copy,
                                 (int64_t)length - 1 + is_twin, line[0] > 2 ? 2 : 1000);
    free(copy);
    MUST(result >= AEGIS_DECODED_STALE && result < AEGIS_REJECT_COUNT, "result %d", result);
    return result;
}

static int32_t run_line(struct world *world, const uint8_t *line, size_t length, int is_twin) {
    struct aegis_core *core = &world->core;
    int32_t channel = length > 1 ? line[1] % AEGIS_CHANNEL_COUNT : 0;
    struct aegis_instrument *instrument = &core->instruments[length > 2 ? line[2] % ROW_COUNT : 0];
    switch (length > 0 ? line[0] : 0) {
    case 1:
    case 2:
    case 3:
    case 4:
        return run_snapshot(world, line, length, is_twin);
    case 5:
        aegis_check_liveness(core, core->now_ns + (channel + 1) * 7 * AEGIS_NS_PER_S);
        return 0;
    case 6:
        aegis_channel_disconnected(core, instrument, channel);
        return 0;
    case 7:
        aegis_channel_subscribed(core, instrument, channel);
        return 0;
    case 8:
        aegis_emit_flush(core);
        return 0;
    default:
        return run_frame(world, line, length, is_twin);
    }
}

static void run_both(const uint8_t *line, size_t length, int settings) {
    int32_t results[2];
    for (int i = 0; i < 2; i++) {
        struct world *world = &worlds[i];
        aegis_core_set_now(&world->core, world->core.now_ns + AEGIS_NS_PER_MS);
        results[i] = run_line(world, line, length, i);
        if (!(settings & FLUSHES_LATE))
            aegis_emit_flush(&world->core);
    }
    MUST(results[0] == results[1], "compact says %d, general says %d", results[0], results[1]);
    if (length == 0 || line[0] > 8) {
        frames_count++;
        accepted_count += results[0] == 0;
        if (results[0] > 0)
            reason_counts[results[0]]++;
    }
    if (!(settings & (READER_STALLS | FLUSHES_LATE)))
        check_published(results[0] > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    if (length == 0)
        return 0;
    int settings = bytes[0];
    memset(readers, 0, sizeof readers);
    reader_missed = 0;
    for (int i = 0; i < 2; i++)
        reset(&worlds[i], settings);
    const uint8_t *at = bytes + 1, *end = bytes + length;
    for (int line = 0; line < LINES_MAX && at < end; line++) {
        const uint8_t *stop = memchr(at, SEPARATOR, (size_t)(end - at));
        size_t line_length = (size_t)((stop == NULL ? end : stop) - at);
        run_both(at, line_length, settings);
        at += line_length + 1;
    }
    /* A reader that comes back gets what was kept for it, and then nothing is kept any more. */
    for (int round = 0; round == 0 || (round < 4 && worlds[0].got_count > 0); round++) {
        for (int i = 0; i < 2; i++)
            aegis_emit_flush(&worlds[i].core);
        check_published(0);
    }
    MUST(worlds[0].core.dirty_count == 0, "something is kept for ever");
    return 0;
}
