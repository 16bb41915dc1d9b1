/* ring.c: opening a ring, joining and leaving it, observing, waiting. See ring.h for who calls
 * what; the message path proper is inline there. No Python here. */
#define _GNU_SOURCE
#include "ring.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SPIN_ROUNDS = 32, RESYNC_ATTEMPTS = 3 };

int64_t aegis_ring_attach(struct aegis_ring *ring, void *base, int64_t size_bytes) {
    struct aegis_segment *segment = base;
    if (size_bytes < (int64_t)sizeof(struct aegis_segment) || ((uintptr_t)base & 63) != 0)
        return AEGIS_INVALID;
    /* MEMORY: acquire; the header is complete. Pairs with the release store of magic made by the
     * creator (store_release in words.c, called by ringbuffer/segment.py). */
    if (atomic_load_explicit(&segment->prefix.magic, memory_order_acquire) != AEGIS_MAGIC)
        return AEGIS_INVALID;
    int64_t capacity = segment->capacity;
    int64_t slot_size = segment->slot_size;
    if (segment->prefix.kind != AEGIS_KIND_RING ||
        segment->prefix.version != AEGIS_LAYOUT_VERSION || capacity < 2 ||
        (capacity & (capacity - 1)) != 0 || slot_size < AEGIS_SLOT_ALIGNMENT ||
        slot_size % AEGIS_SLOT_ALIGNMENT != 0 ||
        capacity > (size_bytes - (int64_t)sizeof(struct aegis_segment)) / slot_size)
        return AEGIS_INVALID;
    int64_t published;
    ring->base = segment;
    ring->published = &segment->published;
    ring->wait = &segment->wait;
    ring->readers = segment->readers;
    ring->slots = segment->slots;
    ring->mask = capacity - 1;
    ring->slot_size = slot_size;
    ring->capacity = capacity;
    ring->producer = &segment->producer;
    published = aegis_ring_published(ring);
    ring->next = published;
    ring->done = published;
    ring->gating = published - capacity; /* empty: the first claim looks it up */
    ring->doorbell = -1;
    ring->known = 0;
    ring->behind = 0;
    ring->taken = 0;
    return 0;
}

/* Take back the commits in [first, end), the last one first: a producer that is killed on the way
 * leaves committed slots only in an unbroken run from `first` on. */
static void take_back(const struct aegis_ring *ring, int64_t first, int64_t end) {
    for (int64_t sequence = end - 1; sequence >= first; sequence--) {
        /* MEMORY: release; keeps this order. Pairs with the acquire loads in aegis_ring_recover. */
        atomic_store_explicit(&aegis_ring_slot(ring, sequence)->sequence, AEGIS_SLOT_BUSY,
                              memory_order_release);
    }
}

/* The end of the unbroken run of valid slots from `sequence` on, at most `limit` of them. */
static int64_t valid_end(const struct aegis_ring *ring, int64_t sequence, int64_t limit) {
    int64_t end = sequence;
    /* MEMORY: acquire; the record is whole. Pairs with the releases in aegis_ring_commit and
     * aegis_ring_publish of the producer that died. */
    while (end < sequence + limit && atomic_load_explicit(&aegis_ring_slot(ring, end)->sequence,
                                                          memory_order_acquire) == end + 1)
        end++;
    return end;
}

int64_t aegis_ring_recover(struct aegis_ring *ring, int64_t pid, int64_t start_ticks) {
    /* Published without its count, at most a lap: nobody publishes further than was claimed. */
    int64_t published = valid_end(ring, aegis_ring_published(ring), ring->capacity);
    /* Committed behind a first slot that never was: no reader saw them, and none may. */
    take_back(ring, published + 1, valid_end(ring, published + 1, ring->capacity - 1));
    /* MEMORY: release; as in aegis_ring_publish. Pairs with the acquire in aegis_ring_published. */
    atomic_store_explicit(ring->published, published, memory_order_release);
    ring->next = published;
    ring->done = published;
    ring->gating = published - ring->capacity;
    /* MEMORY: relaxed; displayed and compared when processes are known dead: no partner. */
    atomic_store_explicit(&ring->producer->pid, pid, memory_order_relaxed);
    /* MEMORY: relaxed, as above: no partner. */
    atomic_store_explicit(&ring->producer->start_ticks, start_ticks, memory_order_relaxed);
    return published;
}

int64_t aegis_ring_gating(struct aegis_ring *ring) {
    int64_t gating = ring->done;
    /* MEMORY: seq_cst fence; our published count is visible before we look for readers. Pairs with
     * the seq_cst fence in aegis_ring_join: either we see the joiner, or it sees our count. */
    atomic_thread_fence(memory_order_seq_cst);
    for (int64_t k = 0; k < AEGIS_READER_COUNT; k++) {
        struct aegis_reader *reader = &ring->readers[k];
        /* MEMORY: acquire; the joiner's sequence was stored before its mode. Pairs with the release
         * of mode in aegis_ring_join. (A reservation precedes the magic word.) */
        if (atomic_load_explicit(&reader->mode, memory_order_acquire) != AEGIS_MODE_GATING)
            continue;
        /* MEMORY: acquire; the reader's payload reads are over before we overwrite. Pairs with the
         * release in aegis_ring_advance. */
        int64_t sequence = atomic_load_explicit(&reader->sequence, memory_order_acquire);
        if (sequence < gating)
            gating = sequence;
    }
    return gating;
}

void aegis_ring_abort(struct aegis_ring *ring) {
    take_back(ring, ring->done + 1, ring->next);
    ring->next = ring->done;
}

int64_t aegis_ring_make_room(struct aegis_ring *ring, int64_t end) {
    ring->gating = aegis_ring_gating(ring);
    if (end - ring->capacity <= ring->gating)
        return 0;
    aegis_count(&ring->producer->refused_count, 1);
    return AEGIS_FULL;
}

int64_t aegis_ring_join(struct aegis_ring *ring, int64_t k, int64_t mode, int64_t resume,
                        int64_t pid, int64_t start_ticks) {
    if (k < 0 || k >= AEGIS_READER_COUNT ||
        (mode != AEGIS_MODE_OBSERVER && mode != AEGIS_MODE_GATING))
        return AEGIS_INVALID;
    struct aegis_reader *reader = &ring->readers[k];
    /* MEMORY: relaxed; displayed and compared when processes are known dead: no partner. */
    atomic_store_explicit(&reader->pid, pid, memory_order_relaxed);
    /* MEMORY: relaxed, as above: no partner. */
    atomic_store_explicit(&reader->start_ticks, start_ticks, memory_order_relaxed);
    /* MEMORY: relaxed; the block is ours now and its last owner is dead: no partner. */
    int64_t mode_before = atomic_load_explicit(&reader->mode, memory_order_relaxed);
    if (mode == AEGIS_MODE_GATING && mode_before == AEGIS_MODE_GATING && resume)
        return ring->taken = aegis_reader_sequence(ring, k);
    int64_t sequence = aegis_ring_published(ring);
    /* MEMORY: relaxed, ordered by the release of mode below. Pairs with aegis_ring_gating. */
    atomic_store_explicit(&reader->sequence, sequence, memory_order_relaxed);
    /* MEMORY: release; a producer that sees the mode sees a sequence. Pairs with the acquire of
     * mode in aegis_ring_gating. */
    atomic_store_explicit(&reader->mode, mode, memory_order_release);
    /* MEMORY: seq_cst fence; a producer that overlooked us had published no more than what we load
     * next. Pairs with the seq_cst fence in aegis_ring_gating. */
    atomic_thread_fence(memory_order_seq_cst);
    sequence = aegis_ring_published(ring);
    /* MEMORY: release; as in aegis_ring_advance. Pairs with the acquire in aegis_ring_gating. */
    atomic_store_explicit(&reader->sequence, sequence, memory_order_release);
    return ring->taken = sequence;
}

void aegis_ring_leave(struct aegis_ring *ring, int64_t k) {
    /* MEMORY: release; our payload reads are over. Pairs with the acquire of mode in
     * aegis_ring_gating. */
    atomic_store_explicit(&ring->readers[k].mode, AEGIS_MODE_FREE, memory_order_release);
    /* MEMORY: relaxed; displayed only: no partner. */
    atomic_store_explicit(&ring->readers[k].pid, 0, memory_order_relaxed);
}

void aegis_ring_evict(struct aegis_ring *ring, int64_t k) {
    /* One store: a reader that joins the block again meanwhile is evicted too, and told, or it
     * is not; it is never left half evicted. */
    /* MEMORY: release; the reader stops gating, whatever it stores as its sequence later. Pairs
     * with the acquire in aegis_ring_gating and the checks in aegis_ring_poll and _advance. */
    atomic_store_explicit(&ring->readers[k].mode, AEGIS_MODE_EVICTED, memory_order_release);
}

enum slot_state { SLOT_READY, SLOT_PENDING, SLOT_LAPPED };

static enum slot_state slot_state(const struct aegis_ring *ring, int64_t sequence) {
    struct aegis_slot *slot = aegis_ring_slot(ring, sequence);
    /* MEMORY: acquire; payload reads stay after it. Pairs with the release in aegis_ring_publish.
     */
    int64_t found = atomic_load_explicit(&slot->sequence, memory_order_acquire);
    if (found == AEGIS_SLOT_BUSY && aegis_ring_published(ring) > sequence) {
        /* MEMORY: acquire; after the published count says that this record was valid, busy can only
         * mean that it is being overwritten. Pairs with the release in aegis_ring_publish. */
        found = atomic_load_explicit(&slot->sequence, memory_order_acquire);
        if (found == AEGIS_SLOT_BUSY)
            return SLOT_LAPPED;
    }
    if (found == sequence + 1)
        return SLOT_READY;
    return found > sequence + 1 ? SLOT_LAPPED : SLOT_PENDING;
}

static int slot_copy(const struct aegis_ring *ring, int64_t sequence, int64_t *target) {
    struct aegis_slot *slot = aegis_ring_slot(ring, sequence);
    target[0] = sequence + 1;
    aegis_copy_out(target + 1, slot->payload, ring->slot_size / 8 - 1);
    /* MEMORY: acquire fence; payload loads stay before the second look at the sequence. Pairs with
     * the release fence in aegis_ring_begin. */
    atomic_thread_fence(memory_order_acquire);
    /* MEMORY: relaxed, ordered by the fence above. Pairs with the busy mark in aegis_ring_begin. */
    return atomic_load_explicit(&slot->sequence, memory_order_relaxed) == sequence + 1;
}

int64_t aegis_ring_observe(const struct aegis_ring *ring, int64_t *next_sequence, int64_t *target,
                           int64_t limit, int64_t *lost) {
    int64_t count = 0;
    int attempts = 0;
    *lost = 0;
    while (count < limit) {
        enum slot_state state = slot_state(ring, *next_sequence);
        if (state == SLOT_PENDING)
            break;
        if (state == SLOT_READY &&
            slot_copy(ring, *next_sequence, target + count * (ring->slot_size / 8))) {
            *next_sequence += 1;
            count++;
            continue;
        }
        if (count > 0 || ++attempts > RESYNC_ATTEMPTS)
            break; /* the next call reports the loss before the records that follow it */
        /* Half a ring behind: the most records that leave time to read them. */
        int64_t restart = aegis_ring_published(ring) - ring->capacity / 2;
        if (restart <= *next_sequence)
            restart = *next_sequence + 1;
        *lost += restart - *next_sequence;
        *next_sequence = restart;
    }
    return count;
}

int64_t aegis_futex_wait(_Atomic uint32_t *word, uint32_t expected, int64_t timeout_ns) {
    struct timespec timeout = {timeout_ns / 1000000000, timeout_ns % 1000000000};
    return syscall(SYS_futex, word, FUTEX_WAIT, expected, &timeout, NULL, 0);
}

int64_t aegis_futex_wake(_Atomic uint32_t *word, int64_t reader_count) {
    return syscall(SYS_futex, word, FUTEX_WAKE, (int)reader_count, NULL, NULL, 0);
}

void aegis_ring_wake(struct aegis_ring *ring) {
    /* MEMORY: seq_cst fence; the published slots are visible before we look for sleepers. Pairs
     * with the seq_cst fence in aegis_ring_arm: either we see its wait word, or it our slot. */
    atomic_thread_fence(memory_order_seq_cst);
    /* MEMORY: relaxed, ordered by the fence above. Pairs with the store in aegis_ring_arm. */
    if (atomic_load_explicit(ring->wait, memory_order_relaxed) == 0)
        return;
    /* MEMORY: relaxed; a reader that arms again after this store sees our slots by its fence. Pairs
     * with aegis_ring_arm. */
    atomic_store_explicit(ring->wait, 0, memory_order_relaxed);
    aegis_futex_wake(ring->wait, INT_MAX);
    if (ring->doorbell >= 0) {
        uint64_t one = 1;
        /* A full eventfd is readable already: the reader wakes either way. */
        ssize_t written = write((int)ring->doorbell, &one, sizeof one);
        (void)written;
    }
}

int64_t aegis_ring_arm(const struct aegis_ring *ring, int64_t sequence) {
    /* MEMORY: relaxed, ordered by the fence below. Pairs with the load in aegis_ring_wake. */
    atomic_store_explicit(ring->wait, 1, memory_order_relaxed);
    /* MEMORY: seq_cst fence; our wait word is visible before we look at the slot. Pairs with the
     * seq_cst fence in aegis_ring_wake. */
    atomic_thread_fence(memory_order_seq_cst);
    return !aegis_ring_ready(ring, sequence);
}

static int64_t mono_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t aegis_ring_wait(const struct aegis_ring *ring, int64_t sequence, int64_t spin_ns,
                        int64_t timeout_ns) {
    if (aegis_ring_ready(ring, sequence))
        return 1;
    int64_t start_ns = mono_ns();
    int64_t now_ns = start_ns;
    while (now_ns - start_ns < spin_ns) {
        for (int i = 0; i < SPIN_ROUNDS; i++) {
            if (aegis_ring_ready(ring, sequence))
                return 1;
            aegis_pause();
        }
        now_ns = mono_ns();
    }
    while (now_ns - start_ns < timeout_ns) {
        if (!aegis_ring_arm(ring, sequence))
            return 1;
        int64_t slept = aegis_futex_wait(ring->wait, 1, timeout_ns - (now_ns - start_ns));
        if (aegis_ring_ready(ring, sequence))
            return 1;
        if (slept != 0 && errno == EINTR)
            return 0;
        now_ns = mono_ns();
    }
    return 0;
}
