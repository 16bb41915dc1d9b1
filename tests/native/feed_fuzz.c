/* feed_fuzz.c: mutated frames and random socket bytes into decoder, books and framing, under
 * sanitizers. `feed_fuzz SEEDS ROWS COUNT SEED`: SEEDS holds one good frame per line (a line that
 * starts with {"lastUpdateId" is a snapshot), ROWS two instrument rows. Each input is its own
 * allocation, so that a byte read beyond its end is seen. Prints accepted, refused and messages. */
#include "decode.h"
#include "frames.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINES_MAX 200000
#define GROWTH_MAX 64
#define ROW_COUNT 2

static uint64_t state;

static uint64_t below(uint64_t bound) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return bound ? state % bound : 0;
}

static char *load(const char *path, long *length) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0)
        exit(2);
    *length = ftell(file);
    rewind(file);
    char *bytes = malloc((size_t)*length + 1);
    if (fread(bytes, 1, (size_t)*length, file) != (size_t)*length)
        exit(2);
    fclose(file);
    return bytes;
}

/* One change of `bytes`, which has room for GROWTH_MAX more; the new length. */
static int64_t mutate(uint8_t *bytes, int64_t length, int64_t length_max) {
    static const char letters[] = "{}[]\",:.-0123456789eEabpqstuTUABNInf\\ \n\x7f\xff";
    int64_t place = (int64_t)below((uint64_t)length), count = 1 + (int64_t)below(6);
    switch (below(5)) {
    case 0:
        return place;
    case 1:
        if (length > 0)
            bytes[place] = (uint8_t)letters[below(sizeof letters - 1)];
        return length;
    case 2:
        count = count < length - place ? count : length - place;
        memmove(bytes + place, bytes + place + count, (size_t)(length - place - count));
        return length - count;
    case 3:
        if (length + count > length_max)
            return length;
        memmove(bytes + place + count, bytes + place, (size_t)(length - place));
        for (int64_t i = 0; i < count; i++)
            bytes[place + i] = (uint8_t)letters[below(sizeof letters - 1)];
        return length + count;
    default:
        if (length > 0)
            bytes[place] ^= (uint8_t)(1u << below(8));
        return length;
    }
}

static int64_t decode_one(struct aegis_core *core, const char *line, int64_t length) {
    uint8_t *mutated = malloc((size_t)length + GROWTH_MAX);
    int64_t length_max = length + GROWTH_MAX;
    memcpy(mutated, line, (size_t)length);
    for (uint64_t n = below(5); n > 0; n--)
        length = mutate(mutated, length, length_max);
    uint8_t *exact = malloc(length > 0 ? (size_t)length : 1);
    memcpy(exact, mutated, (size_t)length);
    free(mutated);
    int32_t result;
    if (length > 15 && memcmp(exact, "{\"lastUpdateId\"", 15) == 0)
        result = aegis_core_load_snapshot(core, (int32_t)below(ROW_COUNT), exact, length, 1000);
    else
        result = aegis_core_decode(core, exact, length);
    free(exact);
    return result == 0;
}

/* Let seeds be accepted again: their ids repeat. */
static void forget_lanes(struct aegis_core *core) {
    for (int64_t i = 0; i < ROW_COUNT; i++) {
        for (int stream = 0; stream < AEGIS_STREAM_COUNT; stream++) {
            core->instruments[i].lanes[stream].last_id = -1;
            core->instruments[i].lanes[stream].last_price = 0;
        }
    }
}

static int64_t decode_many(struct aegis_core *core, char *seeds, int64_t count) {
    char **lines = malloc(LINES_MAX * sizeof *lines);
    int64_t line_count = 0, accepted = 0;
    for (char *line = strtok(seeds, "\n"); line != NULL && line_count < LINES_MAX;
         line = strtok(NULL, "\n"))
        lines[line_count++] = line;
    for (int64_t i = 0; i < count; i++) {
        const char *line = lines[below((uint64_t)line_count)];
        aegis_core_set_now(core, i * 1000);
        accepted += decode_one(core, line, (int64_t)strlen(line));
        if (i % 4 == 0)
            forget_lanes(core);
        if (i % 5000 != 0)
            continue;
        for (int32_t channel = 0; channel < AEGIS_CHANNEL_COUNT; channel++)
            aegis_channel_disconnected(core, &core->instruments[below(ROW_COUNT)], channel);
        aegis_check_liveness(core, i * 1000);
    }
    free(lines);
    return accepted;
}

/* Fill `target` with pieces of a connection in any order: whole frames, fragments, broken heads. */
static int64_t fill(uint8_t *target, int64_t length) {
    static const struct {
        const char *bytes;
        int64_t length;
    } pieces[] = {{"\x81\x02{}", 4},
                  {"\x89\x01p", 3},
                  {"\x01\x03"
                   "abc",
                   5},
                  {"\x80\x01z", 3},
                  {"\x00\x02yy", 4},
                  {"\x82\x00", 2},
                  {"\x88\x02\x03\xe8", 4},
                  {"\x81\x7e\x00\x80", 4},
                  {"\x8a\x00", 2}};
    int64_t at = 0;
    while (at < length) {
        uint64_t which = below(sizeof pieces / sizeof pieces[0]);
        for (int64_t i = 0; i < pieces[which].length && at < length; i++)
            target[at++] = (uint8_t)pieces[which].bytes[i];
        if (below(40) == 0)
            target[at - 1] ^= (uint8_t)(1u << below(8));
    }
    return length;
}

/* What a socket would hand over, in reads of any length; the messages heard. */
static int64_t frame_many(int64_t count) {
    struct aegis_frames frames;
    struct aegis_message message;
    int64_t heard = 0;
    aegis_frames_open(&frames);
    for (int64_t i = 0; i < count; i++) {
        int64_t room = 0, result;
        uint8_t *target = aegis_frames_room(&frames, &room);
        int64_t length = (int64_t)below(600);
        frames.end += fill(target, length < room ? length : room);
        while ((result = aegis_frames_next(&frames, &message)) > 0) {
            volatile uint8_t touched = 0;
            for (int64_t at = 0; at < message.length; at++)
                touched ^= message.data[at];
            heard++;
        }
        if (result < 0) { /* a broken connection is closed */
            aegis_frames_close(&frames);
            aegis_frames_open(&frames);
        }
    }
    aegis_frames_close(&frames);
    return heard;
}

int main(int argument_count, char **arguments) {
    if (argument_count != 5)
        return 2;
    long seeds_length, rows_length;
    char *seeds = load(arguments[1], &seeds_length), *rows = load(arguments[2], &rows_length);
    int64_t count = atol(arguments[3]);
    state = UINT64_C(88172645463325252) ^ (uint64_t)atol(arguments[4]) * 7919;
    seeds[seeds_length] = 0;
    struct aegis_core *core = calloc(1, sizeof *core);
    if (rows_length != ROW_COUNT * (long)sizeof(union aegis_instrument_row) ||
        aegis_core_open(core, (const union aegis_instrument_row *)rows, ROW_COUNT) != 0)
        return 2;
    core->laws = (struct aegis_laws){5 * AEGIS_NS_PER_S,
                                     60 * AEGIS_NS_PER_S,
                                     INT64_C(100000000000),
                                     1000000,
                                     1000,
                                     1000,
                                     5000000,
                                     1};
    core->clock_venue_ns = INT64_C(1723161256) * AEGIS_NS_PER_S;
    core->clock_error_ns = 600 * AEGIS_NS_PER_S;
    int64_t accepted = decode_many(core, seeds, count);
    printf("%" PRId64 " %" PRId64 " ", accepted, core->counters[AEGIS_FEED_REJECTED]);
    printf("%" PRId64 "\n", frame_many(count / 20));
    aegis_core_close(core);
    free(core);
    free(seeds);
    free(rows);
    return 0;
}
