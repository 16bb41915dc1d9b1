/* ring_side.c: one side of a ring bench in C, over ring.h, as the frame decoder uses it.
 *
 *     ring_side paced-produce FILE COUNT GAP_CYCLES CORE
 *     ring_side woken-produce FILE COUNT GAP_CYCLES CORE   paced-produce that wakes; core -1: any
 *     ring_side paced-consume FILE COUNT 0          CORE   > int64 pairs (since sent, since due)
 *     ring_side batch-produce FILE COUNT BATCH      CORE
 *     ring_side batch-consume FILE COUNT BATCH      CORE   prints ns since the producer's start
 *     ring_side alone-produce FILE COUNT BATCH      CORE   batch-produce that waits for no reader
 *     ring_side costs-produce FILE COUNT GAP_CYCLES CORE   > int64 cycles of each claim to publish
 *     ring_side observe       FILE END   0          CORE   prints records seen and lapped
 *
 * The consumer says that it is ready by storing the final sequence as its heartbeat; the producer
 * stores its start time as its own. The words of a record are those of spsc_baseline.cpp.
 */
#define _GNU_SOURCE
#include "clock.h"
#include "ring.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WORDS = 7 };

static int64_t stamp(void) {
#if defined(__x86_64__)
    return aegis_cycles();
#else
    return aegis_monotonic_ns();
#endif
}

static int64_t claim_or_wait(struct aegis_ring *ring, int64_t n) {
    int64_t first = aegis_ring_claim(ring, n);
    while (first == AEGIS_FULL) {
        aegis_pause();
        first = aegis_ring_claim(ring, n);
    }
    return first;
}

static void paced_produce(struct aegis_ring *ring, int64_t end, int64_t gap, int wakes) {
    int64_t due = stamp() + gap;
    for (; ring->next < end; due += gap) {
        while (stamp() < due)
            aegis_pause();
        int64_t sequence = claim_or_wait(ring, 1);
        int64_t *words = aegis_ring_begin(ring, sequence);
        for (int word = 2; word < WORDS; word++)
            words[word] = sequence + word;
        words[1] = due;
        words[0] = stamp();
        aegis_ring_commit(ring, sequence);
        aegis_ring_publish(ring);
        if (wakes)
            aegis_ring_wake(ring);
    }
}

static int64_t paced_consume(struct aegis_ring *ring, int64_t end, int64_t *pairs) {
    int64_t sum = 0;
    for (int64_t next = aegis_reader_sequence(ring, 0); next < end;) {
        int64_t count = aegis_ring_poll(ring, 0, 32);
        if (count == 0)
            aegis_pause();
        for (int64_t i = next; i < next + count; i++) {
            const int64_t *words = aegis_ring_slot(ring, i)->payload;
            int64_t sent = words[0];
            int64_t due = words[1];
            int64_t now = stamp();
            for (int word = 2; word < WORDS; word++)
                sum += words[word] - i;
            *pairs++ = now - sent;
            *pairs++ = now - due;
        }
        if (count > 0)
            aegis_ring_advance(ring, 0, next + count);
        next += count;
    }
    return sum;
}

static void batch_produce(struct aegis_ring *ring, int64_t end, int64_t batch) {
    while (ring->next < end) {
        int64_t n = batch < end - ring->next ? batch : end - ring->next;
        int64_t first = claim_or_wait(ring, n);
        const struct aegis_ring own = *ring; /* a payload word could alias the handle's */
        for (int64_t i = first; i < first + n; i++) {
            int64_t *words = aegis_ring_begin(&own, i);
            for (int word = 0; word < WORDS; word++)
                words[word] = i + word;
            aegis_ring_commit(&own, i);
        }
        aegis_ring_publish(ring);
    }
}

static int64_t batch_consume(struct aegis_ring *ring, int64_t end, int64_t batch) {
    int64_t sum = 0;
    for (int64_t next = aegis_reader_sequence(ring, 0); next < end;) {
        int64_t count = aegis_ring_poll(ring, 0, batch);
        if (count == 0)
            aegis_pause();
        for (int64_t i = next; i < next + count; i++) {
            const int64_t *words = aegis_ring_slot(ring, i)->payload;
            int64_t record = -WORDS * i; /* each by itself, as in spsc_baseline.cpp */
            for (int word = 0; word < WORDS; word++)
                record += words[word];
            sum += record;
        }
        if (count > 0)
            aegis_ring_advance(ring, 0, next + count);
        next += count;
    }
    return sum;
}

/* As paced_produce; fill `costs` with what each record took us, claims refused left out. */
static void costed_produce(struct aegis_ring *ring, int64_t end, int64_t gap, int64_t *costs) {
    int64_t due = stamp() + gap;
    while (ring->next < end) {
        while (stamp() < due)
            aegis_pause();
        int64_t before = stamp();
        int64_t sequence = aegis_ring_claim(ring, 1);
        if (sequence == AEGIS_FULL)
            continue;
        int64_t *words = aegis_ring_begin(ring, sequence);
        for (int word = 0; word < WORDS; word++)
            words[word] = sequence + word;
        aegis_ring_commit(ring, sequence);
        aegis_ring_publish(ring);
        aegis_ring_wake(ring);
        *costs++ = stamp() - before;
        due += gap;
    }
}

/* Produce whatever readers do; print what it took us. */
static int produce_costed(struct aegis_ring *ring, int alone, int64_t count, int64_t step) {
    int64_t end = aegis_ring_recover(ring, getpid(), 0) + count;
    int64_t *costs = calloc((size_t)count, sizeof *costs);
    if (costs == NULL)
        return 3;
    int64_t start_ns = aegis_monotonic_ns();
    if (alone)
        batch_produce(ring, end, step);
    else
        costed_produce(ring, end, step, costs);
    if (alone)
        printf("%lld\n", (long long)(aegis_monotonic_ns() - start_ns));
    else
        return fwrite(costs, sizeof *costs, (size_t)count, stdout) == (size_t)count ? 0 : 5;
    return 0;
}

static int observe(const struct aegis_ring *ring, int64_t end) {
    int64_t rows[32 * (WORDS + 1)], next = aegis_ring_published(ring), seen = 0, lapped = 0, lost;
    printf("ready\n");
    fflush(stdout);
    while (next < end) {
        int64_t count = aegis_ring_observe(ring, &next, rows, 32, &lost);
        seen += count;
        lapped += lost;
        for (int64_t i = 0; i < count; i++)
            for (int word = 0; word < WORDS; word++)
                if (rows[i * (WORDS + 1) + 1 + word] != rows[i * (WORDS + 1)] - 1 + word)
                    return 4;
        if (count == 0)
            aegis_pause();
    }
    printf("%lld %lld\n", (long long)seen, (long long)lapped);
    return 0;
}

static int produce(struct aegis_ring *ring, int paced, int wakes, int64_t count, int64_t step) {
    int64_t end = aegis_ring_recover(ring, getpid(), 0) + count;
    /* MEMORY: acquire; the consumer is at its loop. Pairs with the release in consume. */
    while (atomic_load_explicit(&ring->readers[0].heartbeat_ns, memory_order_acquire) != end)
        aegis_pause();
    /* MEMORY: relaxed; read by the consumer after the last record: ordered by publish. */
    atomic_store_explicit(&ring->producer->heartbeat_ns, aegis_monotonic_ns(),
                          memory_order_relaxed);
    if (paced)
        paced_produce(ring, end, step, wakes);
    else
        batch_produce(ring, end, step);
    return 0;
}

static int consume(struct aegis_ring *ring, int paced, int64_t count, int64_t step) {
    int64_t end = aegis_ring_join(ring, 0, AEGIS_MODE_GATING, 1, getpid(), 0) + count;
    size_t pair_bytes = paced ? (size_t)count * 2 * sizeof(int64_t) : 8;
    int64_t *pairs = malloc(pair_bytes);
    if (pairs == NULL)
        return 3;
    memset(pairs, 1, pair_bytes);
    /* MEMORY: release; we are at our loop. Pairs with the acquire in produce. */
    atomic_store_explicit(&ring->readers[0].heartbeat_ns, end, memory_order_release);
    int64_t sum = paced ? paced_consume(ring, end, pairs) : batch_consume(ring, end, step);
    int64_t end_ns = aegis_monotonic_ns();
    if (sum != (paced ? 20 : 21) * count)
        return 4;
    if (paced)
        return fwrite(pairs, 1, pair_bytes, stdout) == pair_bytes ? 0 : 5;
    /* MEMORY: relaxed; stored before the records we took: ordered by poll. */
    printf("%lld\n", (long long)(end_ns - atomic_load_explicit(&ring->producer->heartbeat_ns,
                                                               memory_order_relaxed)));
    return 0;
}

int main(int argument_count, char **arguments) {
    if (argument_count != 6)
        return 2;
    cpu_set_t cores;
    CPU_ZERO(&cores);
    if (atoi(arguments[5]) >= 0) {
        CPU_SET((size_t)atoi(arguments[5]), &cores);
        sched_setaffinity(0, sizeof cores, &cores);
    }
    int descriptor = open(arguments[2], O_RDWR | O_CLOEXEC);
    struct stat status;
    if (descriptor < 0 || fstat(descriptor, &status) != 0)
        return 2;
    void *base = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_POPULATE, descriptor, 0);
    struct aegis_ring ring;
    if (base == MAP_FAILED || aegis_ring_attach(&ring, base, status.st_size) != 0)
        return 2;
    int wakes = strncmp(arguments[1], "woken", 5) == 0;
    int paced = wakes || strncmp(arguments[1], "paced", 5) == 0;
    int is_producer = strstr(arguments[1], "produce") != NULL;
    int64_t count = atoll(arguments[3]);
    int64_t step = atoll(arguments[4]);
    int alone = strncmp(arguments[1], "alone", 5) == 0;
    if (alone || strncmp(arguments[1], "costs", 5) == 0)
        return produce_costed(&ring, alone, count, step);
    if (strcmp(arguments[1], "observe") == 0)
        return observe(&ring, count);
    return is_producer ? produce(&ring, paced, wakes, count, step)
                       : consume(&ring, paced, count, step);
}
