/* ring.h: the ring's bytes and its message path, inline for the frame decoder.
 *
 * The byte diagram, the order of stores, the recovery rule and the named exceptions to one writer
 * per word are in ringbuffer/layout.py; the assertions below hold this file to it.
 *
 * One process, one thread, produces into a ring. `struct aegis_ring` is that thread's (or a
 * reader's) private handle: addresses in this process and, for the producer, its private words.
 * Its layout is an int64[16], which Numba kernels index by the HANDLE_* numbers of layout.py.
 *
 * Producer:
 *     int64_t first = aegis_ring_claim(ring, n);        // AEGIS_FULL when a reader lags
 *     for each sequence from first on, ascending:
 *         int64_t *payload = aegis_ring_begin(ring, sequence);   // write it
 *         aegis_ring_commit(ring, sequence);
 *     aegis_ring_publish(ring);                         // or aegis_ring_abort(ring)
 *     aegis_ring_wake(ring);                            // once per batch
 */
#ifndef AEGIS_RING_H
#define AEGIS_RING_H

#include "atomics.h"

#include <stddef.h>

#define AEGIS_MAGIC UINT64_C(0x0031534947454100)
#define AEGIS_LAYOUT_VERSION 2
#define AEGIS_KIND_RING 1
#define AEGIS_READER_COUNT 16
#define AEGIS_SLOT_ALIGNMENT 64
#define AEGIS_SLOT_HEADER_BYTES 8
#define AEGIS_SLOT_BUSY INT64_C(-1)

enum aegis_mode {
    AEGIS_MODE_FREE = 0,
    AEGIS_MODE_OBSERVER = 1,
    AEGIS_MODE_GATING = 2,
    AEGIS_MODE_EVICTED = 3
};

/* Results of ring operations that are neither a count nor a sequence. */
enum aegis_result {
    AEGIS_FULL = -1,    /* a gating reader has not made room yet */
    AEGIS_EVICTED = -2, /* main took this gating reader out */
    AEGIS_INVALID = -3  /* a precondition was broken; nothing was changed */
};

struct aegis_prefix {
    _Atomic uint64_t magic;
    uint32_t kind;
    uint32_t version;
    int64_t size_bytes;
    int64_t generation;
    int64_t owner_pid;
    int64_t owner_start_ticks;
    int64_t created_realtime_ns;
    int64_t created_mono_ns;
};

struct aegis_producer {
    _Atomic int64_t pid;
    _Atomic int64_t start_ticks;
    _Atomic int64_t heartbeat_ns;
    _Atomic int64_t refused_count;
    _Atomic int64_t conflated_count;
};

struct aegis_reader {
    _Atomic int64_t sequence; /* alone: a producer without room takes its line again and again */
    int64_t padding_sequence[7];
    _Atomic int64_t mode;
    _Atomic int64_t pid;
    _Atomic int64_t start_ticks;
    _Atomic int64_t heartbeat_ns;
    _Atomic int64_t lapped_count;
    _Atomic int64_t resync_count;
    _Atomic int64_t lag_max;
    int64_t padding;
};

struct aegis_slot {
    _Atomic int64_t sequence;
    int64_t payload[]; /* slot_size - 8 bytes */
};

struct aegis_segment {
    struct aegis_prefix prefix;
    int64_t capacity;
    int64_t slot_size;
    int64_t padding_header[6];
    _Atomic int64_t published;
    int64_t padding_published[15];
    struct aegis_producer producer;
    int64_t padding_producer[11];
    _Atomic uint32_t wait;
    uint32_t padding_wait[31];
    struct aegis_reader readers[AEGIS_READER_COUNT];
    int64_t padding_readers[192];
    unsigned char slots[];
};

_Static_assert(sizeof(struct aegis_prefix) == 64, "prefix");
_Static_assert(offsetof(struct aegis_segment, capacity) == 64, "capacity");
_Static_assert(offsetof(struct aegis_segment, slot_size) == 72, "slot size");
_Static_assert(offsetof(struct aegis_segment, published) == 128, "published count");
_Static_assert(offsetof(struct aegis_segment, producer) == 256, "producer block");
_Static_assert(offsetof(struct aegis_segment, wait) == 384, "wait word");
_Static_assert(offsetof(struct aegis_segment, readers) == 512, "reader blocks");
_Static_assert(sizeof(struct aegis_reader) == 128, "reader stride");
_Static_assert(offsetof(struct aegis_reader, mode) == 64, "a line between sequence and mode");
_Static_assert(offsetof(struct aegis_segment, slots) == 4096, "slots");
_Static_assert(offsetof(struct aegis_slot, payload) == AEGIS_SLOT_HEADER_BYTES, "payload");

struct aegis_ring {
    struct aegis_segment *base;
    _Atomic int64_t *published;
    _Atomic uint32_t *wait;
    struct aegis_reader *readers;
    unsigned char *slots;
    int64_t mask;
    int64_t slot_size;
    int64_t capacity;
    struct aegis_producer *producer;
    int64_t next;     /* producer: next sequence to claim */
    int64_t done;     /* producer: next sequence to publish, equal to the published count */
    int64_t gating;   /* producer: gating sequence when it was last looked up */
    int64_t doorbell; /* producer: eventfd rung by aegis_ring_wake, -1 for the futex */
    int64_t known;    /* reader: everything below it was published, as aegis_ring_poll found */
    int64_t behind;   /* reader: 1 when the last aegis_ring_poll found something */
    int64_t taken;    /* reader: its sequence, which only it moves */
};

_Static_assert(sizeof(struct aegis_ring) == 128, "the handle is int64[16]");

/* ---- ring.c: opening, membership, waiting ---- */

/* Fill `ring` for a mapping of `size_bytes`; any process. AEGIS_INVALID when it holds no ring of
 * this layout. The producer's words start from the published count, with an empty gating cache. */
int64_t aegis_ring_attach(struct aegis_ring *ring, void *base, int64_t size_bytes);

/* Take over production after a clean start or a killed producer; the (only) producer process.
 * Applies the recovery rule and returns the next sequence. */
int64_t aegis_ring_recover(struct aegis_ring *ring, int64_t pid, int64_t start_ticks);

/* Look up the gating sequence: the lowest sequence of all gating readers, or the published count
 * when there is none. Producer only, with nothing claimed and unpublished below it. */
int64_t aegis_ring_gating(struct aegis_ring *ring);

/* Count a refused claim up to `end` and return AEGIS_FULL, or refresh the cache and return 0. */
int64_t aegis_ring_make_room(struct aegis_ring *ring, int64_t end);

/* Give up what is claimed and not published. Producer only. A slot that was begun stays busy; what
 * it held a lap ago is gone. */
void aegis_ring_abort(struct aegis_ring *ring);

/* Register reader `k`; the reader's process. A gating reader that finds its block reserved or left
 * by a dead owner goes on where that one stopped when `resume`; any other starts at the published
 * count. Returns the first sequence it will read, or AEGIS_INVALID. */
int64_t aegis_ring_join(struct aegis_ring *ring, int64_t k, int64_t mode, int64_t resume,
                        int64_t pid, int64_t start_ticks);

/* Give the block of reader `k` back; the reader's process. */
void aegis_ring_leave(struct aegis_ring *ring, int64_t k);

/* Take gating reader `k` out so that the producer moves again; main. Named exception. */
void aegis_ring_evict(struct aegis_ring *ring, int64_t k);

/* Copy up to `limit` records from `*next_sequence` on into `target` (whole slots), validating each.
 * Sets `*lost` to the records overwritten before the first copied one; advances `*next_sequence`.
 * Returns the count. Any process; `target` never holds a torn record below the count. */
int64_t aegis_ring_observe(const struct aegis_ring *ring, int64_t *next_sequence, int64_t *target,
                           int64_t limit, int64_t *lost);

/* Wake sleeping readers if there are any; producer, once after a batch of publishes. */
void aegis_ring_wake(struct aegis_ring *ring);

/* Announce that a reader waiting for `sequence` is about to sleep. Returns 1 when it may sleep,
 * 0 when the record is there already. */
int64_t aegis_ring_arm(const struct aegis_ring *ring, int64_t sequence);

/* Spin for `spin_ns`, then sleep up to `timeout_ns` in all, for record `sequence`. Returns 1 when
 * it is there, 0 on timeout or when a signal arrived. May be called without the GIL. */
int64_t aegis_ring_wait(const struct aegis_ring *ring, int64_t sequence, int64_t spin_ns,
                        int64_t timeout_ns);

int64_t aegis_futex_wait(_Atomic uint32_t *word, uint32_t expected, int64_t timeout_ns);
int64_t aegis_futex_wake(_Atomic uint32_t *word, int64_t reader_count);

/* ---- message path ---- */

static inline struct aegis_slot *aegis_ring_slot(const struct aegis_ring *ring, int64_t sequence) {
    return (struct aegis_slot *)(ring->slots + (sequence & ring->mask) * ring->slot_size);
}

/* Claim the next `n` slots. Producer only. Returns the first sequence, AEGIS_FULL (counted), or
 * AEGIS_INVALID when n is not in [1, capacity]. Until a slot is begun it holds the record of a lap
 * ago. Claims add up until they are published together. */
static inline int64_t aegis_ring_claim(struct aegis_ring *ring, int64_t n) {
    if (n < 1 || n > ring->capacity)
        return AEGIS_INVALID;
    int64_t first = ring->next;
    int64_t end = first + n;
    if (end - ring->capacity > ring->gating && aegis_ring_make_room(ring, end) != 0)
        return AEGIS_FULL;
    ring->next = end;
    return first;
}

/* Mark claimed slot `sequence` busy and return its payload for writing. Producer only. Slot by
 * slot, so that mark, payload and sequence meet in a cache line that travels once. */
static inline int64_t *aegis_ring_begin(const struct aegis_ring *ring, int64_t sequence) {
    struct aegis_slot *slot = aegis_ring_slot(ring, sequence);
    /* MEMORY: relaxed, ordered by the fence below. Pairs with the second load of the sequence in
     * aegis_ring_observe, which must see the mark if it saw any later payload byte. */
    atomic_store_explicit(&slot->sequence, AEGIS_SLOT_BUSY, memory_order_relaxed);
    /* MEMORY: release; keeps payload writes after the busy mark. Pairs with the acquire fence in
     * aegis_ring_observe. */
    atomic_thread_fence(memory_order_release);
    return slot->payload;
}

/* Declare begun slot `sequence` written; ascending, each slot once. Producer only. The first
 * unpublished slot stays busy, so no reader gets past it: what is committed waits for
 * aegis_ring_publish. */
static inline void aegis_ring_commit(const struct aegis_ring *ring, int64_t sequence) {
    if (sequence == ring->done)
        return;
    /* MEMORY: release; makes the payload of this slot visible. Pairs with the acquire loads in
     * aegis_ring_run and aegis_ring_observe. */
    atomic_store_explicit(&aegis_ring_slot(ring, sequence)->sequence, sequence + 1,
                          memory_order_release);
}

/* Publish all that is claimed, every slot of it committed: one store shows them all. Producer only.
 * Returns the new published count, or AEGIS_INVALID when nothing is claimed. */
static inline int64_t aegis_ring_publish(struct aegis_ring *ring) {
    int64_t first = ring->done;
    int64_t end = ring->next;
    if (end == first)
        return AEGIS_INVALID;
    /* MEMORY: release; makes this payload and the committed slots behind it visible. Pairs with the
     * acquire loads in aegis_ring_run, aegis_ring_observe and aegis_ring_ready. */
    atomic_store_explicit(&aegis_ring_slot(ring, first)->sequence, first + 1, memory_order_release);
    ring->done = end;
    /* MEMORY: release; slots below the published count are valid. Pairs with the acquire loads of
     * it in aegis_ring_observe, aegis_ring_join and aegis_ring_published. */
    atomic_store_explicit(ring->published, end, memory_order_release);
    return end;
}

/* How many records were ever published; any process. */
static inline int64_t aegis_ring_published(const struct aegis_ring *ring) {
    /* MEMORY: acquire; slots below it are valid. Pairs with the release in aegis_ring_publish. */
    return atomic_load_explicit(ring->published, memory_order_acquire);
}

/* Whether record `sequence` can be taken (or was overwritten already); any reader. */
static inline int64_t aegis_ring_ready(const struct aegis_ring *ring, int64_t sequence) {
    /* MEMORY: acquire; payload reads stay after it. Pairs with the release in aegis_ring_publish.
     */
    return atomic_load_explicit(&aegis_ring_slot(ring, sequence)->sequence, memory_order_acquire) >
           sequence;
}

/* The next record reader `k` will take; that reader, or anyone who wants its lag. */
static inline int64_t aegis_reader_sequence(const struct aegis_ring *ring, int64_t k) {
    /* MEMORY: relaxed; the reader itself is the writer. Others only display it: no partner. */
    return atomic_load_explicit(&ring->readers[k].sequence, memory_order_relaxed);
}

/* Return the end of the unbroken run of records from `sequence` on, `end` at most. */
static inline int64_t aegis_ring_run(const struct aegis_ring *ring, int64_t sequence, int64_t end) {
    const struct aegis_ring own = *ring;
    /* MEMORY: acquire; payload reads stay after it. Pairs with the release in aegis_ring_publish.
     */
    while (sequence < end && atomic_load_explicit(&aegis_ring_slot(&own, sequence)->sequence,
                                                  memory_order_acquire) == sequence + 1)
        sequence++;
    return sequence;
}

/* Learn how many contiguous records, at most `limit`, gating reader `k` may take. That reader only,
 * with the handle that it joined with. AEGIS_EVICTED when main took it out. Payloads may be read in
 * place until aegis_ring_advance.
 *
 * A reader that waits looks at the slot it waits for, so that a record travels with its sequence in
 * one cache line. One that is behind asks for the published count: to look at the slot that is
 * being written would take its line away from the producer, record by record. */
static inline int64_t aegis_ring_poll(struct aegis_ring *ring, int64_t k, int64_t limit) {
    const struct aegis_reader *reader = &ring->readers[k];
    /* MEMORY: relaxed; only main ever changes it under us. A late view is corrected by the check in
     * aegis_ring_advance. Pairs with aegis_ring_evict. */
    if (atomic_load_explicit(&reader->mode, memory_order_relaxed) != AEGIS_MODE_GATING)
        return AEGIS_EVICTED;
    int64_t next_sequence = ring->taken;
    if (limit <= ring->known - next_sequence)
        return limit > 0 ? limit : 0; /* a jump: the next record waits for no sum of this one */
    int64_t end = next_sequence + (limit > 0 ? limit : 0);
    int64_t known = ring->known > next_sequence ? ring->known : next_sequence;
    if (known < end) {
        if (ring->behind) {
            int64_t published = aegis_ring_published(ring);
            known = published > known ? published : known;
        }
        if (!ring->behind || known == next_sequence)
            known = aegis_ring_run(ring, known, end);
    }
    ring->known = known;
    int64_t count = (known < end ? known : end) - next_sequence;
    ring->behind = count > 0;
    return count;
}

/* Whether everything below `sequence` was published; a gating reader, which polled most of it. */
static inline int aegis_ring_taken(const struct aegis_ring *ring, int64_t sequence) {
    return sequence <= ring->known || sequence <= aegis_ring_published(ring);
}

/* Tell the producer that reader `k` took every record below `sequence`. That reader only. Returns
 * 0, AEGIS_EVICTED (what was read since the last advance may be torn: discard it), or
 * AEGIS_INVALID for a sequence that goes back or passes what was published. */
static inline int64_t aegis_ring_advance(struct aegis_ring *ring, int64_t k, int64_t sequence) {
    struct aegis_reader *reader = &ring->readers[k];
    /* MEMORY: acquire fence; the payload reads come before the look at mode, so that bytes which
     * the producer wrote after an eviction imply that we see the eviction. Pairs with the release
     * fence in aegis_ring_begin. */
    atomic_thread_fence(memory_order_acquire);
    /* MEMORY: relaxed, ordered by the fence above. Pairs with aegis_ring_evict. */
    if (atomic_load_explicit(&reader->mode, memory_order_relaxed) != AEGIS_MODE_GATING)
        return AEGIS_EVICTED;
    if (sequence == ring->taken)
        return 0;
    if (sequence < ring->taken || !aegis_ring_taken(ring, sequence))
        return AEGIS_INVALID;
    /* MEMORY: release; our payload reads are over. Pairs with the acquire in aegis_ring_gating. */
    atomic_store_explicit(&reader->sequence, sequence, memory_order_release);
    ring->taken = sequence;
    return 0;
}

/* Add to a counter that only the caller's process writes. */
static inline void aegis_count(_Atomic int64_t *word, int64_t n) {
    /* MEMORY: relaxed load and store, not a read-modify-write: one writer. Readers only display
     * the number: no partner. */
    int64_t before = atomic_load_explicit(word, memory_order_relaxed);
    /* MEMORY: relaxed, as above: no partner. */
    atomic_store_explicit(word, before + n, memory_order_relaxed);
}

#endif
