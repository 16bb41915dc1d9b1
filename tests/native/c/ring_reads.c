/* ring_reads.c: one producing process, observing and gating processes, as fast as they can; how
 * many records were read, and how many of them were wrong.
 *
 *     ring_reads SECONDS CAPACITY SLOT_SIZE OBSERVERS GATING
 *
 * Word i of record s is s * FACTOR + i, and every reader looks at every word of every record it is
 * given. The producer has the first core, the readers share the last. One line per reader:
 *
 *     seen        records returned; no reader is given the same record twice
 *     torn        of them, those with a word of another record
 *     doubled     given again, or older than the one before
 *     lost        gating: skipped. Observing: neither returned nor said to be lost
 *     lapped      observing: said to be lost
 *     resyncs     observing: calls that said so; the writer was on the reader's heels each time
 */
#define _GNU_SOURCE
#include "ring.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BATCH = 32, SLOT_WORDS_MAX = 32, READERS_MAX = 8 };

#define FACTOR INT64_C(1000003)
#define UNKNOWN_END (INT64_C(1) << 61)

struct findings {
    int64_t seen, torn, doubled, lost, lapped, resyncs;
};

struct shared {
    _Atomic int64_t stop;
    _Atomic int64_t end; /* UNKNOWN_END until the producer has stopped */
    struct findings found[READERS_MAX];
};

static int64_t load(_Atomic int64_t *word) {
    return atomic_load_explicit(word, memory_order_acquire);
}

static void pin(int is_producer) {
    cpu_set_t cores, own;
    sched_getaffinity(0, sizeof cores, &cores);
    size_t first = 0, last = 0;
    for (size_t core = CPU_SETSIZE; core-- > 0;)
        if (CPU_ISSET(core, &cores)) {
            first = core;
            last = last == 0 ? core : last;
        }
    CPU_ZERO(&own);
    CPU_SET(is_producer ? first : last, &own);
    sched_setaffinity(0, sizeof own, &own);
}

static void produce(struct aegis_ring *ring, struct shared *shared) {
    int64_t word_count = ring->slot_size / 8 - 1;
    int64_t most = ring->capacity / 2 < BATCH ? ring->capacity / 2 : BATCH;
    int64_t sequence = aegis_ring_recover(ring, getpid(), 0);
    while (!load(&shared->stop)) {
        int64_t n = 1 + (sequence >> 3) % most;
        if (aegis_ring_claim(ring, n) < 0) {
            aegis_pause();
            continue;
        }
        for (int64_t end = sequence + n; sequence < end; sequence++) {
            int64_t *words = aegis_ring_begin(ring, sequence);
            for (int64_t word = 0; word < word_count; word++)
                words[word] = sequence * FACTOR + word;
            aegis_ring_commit(ring, sequence);
        }
        aegis_ring_publish(ring);
    }
    atomic_store_explicit(&shared->end, sequence, memory_order_release);
}

/* 1 when a word of the payload is not of record `sequence`. */
static int64_t is_torn(const int64_t *words, int64_t word_count, int64_t sequence) {
    int64_t differing = 0;
    for (int64_t word = 0; word < word_count; word++)
        differing |= words[word] ^ (sequence * FACTOR + word);
    return differing != 0;
}

static void observe(const struct aegis_ring *ring, struct shared *shared, struct findings *found) {
    int64_t rows[BATCH * SLOT_WORDS_MAX], width = ring->slot_size / 8, next = 0, before = -1, lost;
    while (next < load(&shared->end)) {
        int64_t was = next;
        int64_t count = aegis_ring_observe(ring, &next, rows, BATCH, &lost);
        found->seen += count;
        found->lapped += lost;
        found->resyncs += lost > 0;
        found->lost += next - count - lost != was;
        for (int64_t i = 0; i < count; i++) {
            const int64_t *row = &rows[i * width];
            found->doubled += row[0] - 1 <= before;
            before = row[0] - 1;
            found->torn += is_torn(row + 1, width - 1, before);
        }
        if (count == 0 && lost == 0)
            aegis_pause();
    }
}

static void consume(struct aegis_ring *ring, struct shared *shared, struct findings *found,
                    int64_t k) {
    int64_t word_count = ring->slot_size / 8 - 1;
    int64_t expected = 0;
    while (expected < load(&shared->end)) {
        int64_t count = aegis_ring_poll(ring, k, BATCH);
        int64_t first = aegis_reader_sequence(ring, k);
        found->lost += first > expected;
        found->doubled += first < expected;
        for (int64_t i = first; i < first + count; i++)
            found->torn += is_torn(aegis_ring_slot(ring, i)->payload, word_count, i);
        found->seen += count;
        expected = first + count;
        if (count == 0 && load(&aegis_ring_slot(ring, expected)->sequence) > expected + 1) {
            found->lost++; /* overwritten, though it gates: it would wait for ever */
            return;
        }
        if (count == 0)
            aegis_pause();
        else if (aegis_ring_advance(ring, k, expected) != 0)
            found->lost++;
    }
}

static void *shared_pages(size_t size) {
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        exit(2);
    return pages;
}

static struct aegis_segment *format(int64_t capacity, int64_t slot_size, int64_t gating,
                                    size_t size) {
    struct aegis_segment *segment = shared_pages(size);
    segment->prefix.kind = AEGIS_KIND_RING;
    segment->prefix.version = AEGIS_LAYOUT_VERSION;
    segment->capacity = capacity;
    segment->slot_size = slot_size;
    for (int64_t k = 0; k < gating; k++)
        segment->readers[k].mode = AEGIS_MODE_GATING;
    segment->prefix.magic = AEGIS_MAGIC;
    return segment;
}

static int report(const char *who, const struct findings *f) {
    printf("%s seen=%lld torn=%lld doubled=%lld lost=%lld lapped=%lld resyncs=%lld\n", who,
           (long long)f->seen, (long long)f->torn, (long long)f->doubled, (long long)f->lost,
           (long long)f->lapped, (long long)f->resyncs);
    return f->torn + f->doubled + f->lost != 0;
}

int main(int argument_count, char **arguments) {
    if (argument_count != 6)
        return 2;
    int64_t capacity = atoll(arguments[2]), slot_size = atoll(arguments[3]);
    int64_t observers = atoll(arguments[4]), gating = atoll(arguments[5]);
    if (observers + gating > READERS_MAX || slot_size > SLOT_WORDS_MAX * 8)
        return 2;
    size_t size = sizeof(struct aegis_segment) + (size_t)(capacity * slot_size);
    struct aegis_segment *segment = format(capacity, slot_size, gating, size);
    struct shared *shared = shared_pages(sizeof *shared);
    shared->end = UNKNOWN_END;
    for (int64_t i = 0; i <= observers + gating; i++) {
        if (fork() != 0)
            continue;
        struct aegis_ring ring;
        int64_t reader = i - 1; /* gating readers first */
        pin(i == 0);
        if (aegis_ring_attach(&ring, segment, (int64_t)size) != 0)
            _exit(2);
        if (i == 0)
            produce(&ring, shared);
        else if (reader < gating)
            consume(&ring, shared, &shared->found[reader], reader);
        else
            observe(&ring, shared, &shared->found[reader]);
        _exit(0);
    }
    sleep((unsigned)atoi(arguments[1]));
    atomic_store_explicit(&shared->stop, 1, memory_order_release);
    int status, broken = 0;
    while (wait(&status) > 0)
        broken |= status != 0;
    for (int64_t reader = 0; reader < observers + gating; reader++)
        broken |= report(reader < gating ? "gating" : "observer", &shared->found[reader]);
    return broken;
}
