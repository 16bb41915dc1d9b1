/* fuzz_frames.c: what a socket may hand over, into the framing, cut in two ways.
 *
 * The first byte says how the second connection cuts; the rest are the bytes of the connection. One
 * connection gets them in reads as long as it has room for, the other in small pieces. Both must
 * hear the same messages, and no byte behind those received may be read. */
#include "frames.h"
#include "fuzz.h"

#include <inttypes.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, length) ((void)(at), (void)(length))
#define ASAN_UNPOISON_MEMORY_REGION(at, length) ((void)(at), (void)(length))
#endif

#define GUARD_BYTES 64

struct heard {
    struct aegis_frames frames;
    uint64_t hash;
    int64_t count;
    int result; /* the law that was broken, or 0 */
};

static struct heard connections[2];
static int64_t messages_count, broken_count;

static void report(void) {
    fprintf(stderr, "messages=%" PRId64 " broken=%" PRId64 "\n", messages_count, broken_count);
}

int LLVMFuzzerInitialize(int *argument_count, char ***arguments) {
    (void)argument_count;
    (void)arguments;
    for (int i = 0; i < 2; i++)
        MUST(aegis_frames_open(&connections[i].frames) == 0, "memory");
    atexit(report);
    return 0;
}

static void reset(struct heard *heard) {
    struct aegis_frames kept = heard->frames;
    memset(heard, 0, sizeof *heard);
    heard->frames.buffer = kept.buffer;
    heard->frames.message = kept.message;
}

static void mix(struct heard *heard, uint64_t number) {
    heard->hash = (heard->hash ^ number) * UINT64_C(0x100000001b3) + 1;
}

/* Every whole message in what has arrived. */
static void hear(struct heard *heard) {
    struct aegis_message message;
    int result;
    while ((result = aegis_frames_next(&heard->frames, &message)) > 0) {
        mix(heard, (uint64_t)result);
        mix(heard, (uint64_t)message.opcode);
        MUST(message.length >= 0 && message.length <= AEGIS_RECEIVE_BYTES, "length");
        /* Of a message that is too long, as much is shown as has arrived. */
        if (result == AEGIS_FRAMES_MESSAGE) {
            MUST(message.length <= AEGIS_MESSAGE_MAX, "an oversize message");
            mix(heard, (uint64_t)message.length);
            for (int64_t i = 0; i < message.length; i++)
                mix(heard, message.data[i]);
        }
        heard->count++;
    }
    heard->result = result;
}

static void receive(struct heard *heard, const uint8_t *bytes, size_t length, size_t piece_max) {
    while (length > 0 && heard->result == 0) {
        int64_t room = 0;
        uint8_t *target = aegis_frames_room(&heard->frames, &room);
        MUST(room > 0, "no room for a byte");
        size_t count = length < piece_max ? length : piece_max;
        count = count < (size_t)room ? count : (size_t)room;
        ASAN_UNPOISON_MEMORY_REGION(target, count);
        memcpy(target, bytes, count);
        heard->frames.end += (int64_t)count;
        int64_t left = AEGIS_RECEIVE_BYTES - heard->frames.end;
        int64_t guard = left < GUARD_BYTES ? left : GUARD_BYTES;
        ASAN_POISON_MEMORY_REGION(heard->frames.buffer + heard->frames.end, (size_t)guard);
        hear(heard);
        ASAN_UNPOISON_MEMORY_REGION(heard->frames.buffer + heard->frames.end, (size_t)guard);
        bytes += count;
        length -= count;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    if (length == 0)
        return 0;
    reset(&connections[0]);
    reset(&connections[1]);
    receive(&connections[0], bytes + 1, length - 1, SIZE_MAX);
    receive(&connections[1], bytes + 1, length - 1, 1 + bytes[0] % 37);
    MUST(connections[0].result == connections[1].result, "whole %d, cut %d", connections[0].result,
         connections[1].result);
    MUST(connections[0].count == connections[1].count && connections[0].hash == connections[1].hash,
         "other messages");
    messages_count += connections[0].count;
    broken_count += connections[0].result != 0;
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t length, size_t length_max, unsigned seed) {
    static const struct {
        const char *bytes;
        size_t length;
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
                  {"\x8a\x00", 2},
                  {"\x81\x7f\x00\x00\x00\x00\x00\x09\x00\x00", 10},
                  {"\x80\x7e\x00\x01z", 5}};
    uint64_t state = seed * UINT64_C(2654435761) + 88172645463325252u;
    fuzz_random(&state);
    for (size_t n = fuzz_below(&state, 4); n > 0 && length > 0; n--) {
        size_t which = fuzz_below(&state, sizeof pieces / sizeof pieces[0]);
        size_t at = 1 + fuzz_below(&state, length), count = pieces[which].length;
        if (length + count > length_max)
            break;
        memmove(bytes + at + count, bytes + at, length - at);
        memcpy(bytes + at, pieces[which].bytes, count);
        length += count;
    }
    return fuzz_below(&state, 2) ? LLVMFuzzerMutate(bytes, length, length_max) : length;
}
