/* ring_stress.c: the ring driven at full speed from C, to catch what must never happen.
 *
 *     ring_stress produce FILE END          produce records up to sequence END
 *     ring_stress consume FILE END          take them as gating reader 0
 *     ring_stress observe FILE END          watch them as an observer until END is published
 *     ring_stress threads END               all three in this process, for the sanitizers
 *
 * Word i of record s is s * 1000003 + i. A reader prints what it found wrong; all must be 0.
 */
#define _GNU_SOURCE
#include "ring.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BATCH = 16, CAPACITY = 64, SLOT_SIZE = 64, SLOT_WORDS_MAX = 32 };

#define FACTOR INT64_C(1000003)

struct findings {
    int64_t lost;
    int64_t doubled;
    int64_t torn;
    int64_t past;
    int64_t lapped;
    int64_t seen;
};

struct job {
    struct aegis_ring *ring;
    int64_t end;
    struct findings found;
};

static int64_t payload_words(const struct aegis_ring *ring) { return ring->slot_size / 8 - 1; }

static void produce(struct job *job) {
    struct aegis_ring *ring = job->ring;
    int64_t word_count = payload_words(ring);
    int64_t sequence = aegis_ring_recover(ring, getpid(), 0);
    while (sequence < job->end) {
        int64_t n = 1 + sequence % BATCH;
        if (n > job->end - sequence)
            n = job->end - sequence;
        int64_t first = aegis_ring_claim(ring, n);
        if (first == AEGIS_FULL) {
            sched_yield();
            continue;
        }
        for (int64_t i = 0; i < n; i++) {
            int64_t words[SLOT_WORDS_MAX];
            for (int64_t word = 0; word < word_count; word++)
                words[word] = (first + i) * FACTOR + word;
            aegis_copy_in(aegis_ring_begin(ring, first + i), words, word_count);
            aegis_ring_commit(ring, first + i);
        }
        aegis_ring_publish(ring);
        aegis_ring_wake(ring);
        sequence = first + n;
    }
}

static int64_t wrong_words(const int64_t *words, int64_t word_count, int64_t sequence) {
    int64_t wrong = 0;
    for (int64_t word = 0; word < word_count; word++)
        wrong += words[word] != sequence * FACTOR + word;
    return wrong;
}

static void consume(struct job *job) {
    struct aegis_ring *ring = job->ring;
    int64_t word_count = payload_words(ring);
    int64_t expected = aegis_reader_sequence(ring, 0);
    while (expected < job->end) {
        int64_t count = aegis_ring_poll(ring, 0, BATCH);
        int64_t first = aegis_reader_sequence(ring, 0);
        if (count == AEGIS_EVICTED) {
            job->found.past++;
            return;
        }
        job->found.lost += first > expected;
        job->found.doubled += first < expected;
        for (int64_t i = 0; i < count; i++) {
            const int64_t *words = aegis_ring_slot(ring, first + i)->payload;
            job->found.torn += wrong_words(words, word_count, first + i) != 0;
        }
        if (aegis_ring_advance(ring, 0, first + count) != 0) {
            job->found.past++;
            return;
        }
        job->found.seen += count;
        expected = first + count;
        if (count == 0)
            aegis_ring_wait(ring, expected, 20000, 50000000);
    }
    /* Advancing past what was published must be refused. */
    job->found.past += aegis_ring_advance(ring, 0, aegis_ring_published(ring) + 1) == 0;
}

static void observe(struct job *job) {
    struct aegis_ring *ring = job->ring;
    int64_t next = 0;
    int64_t rows[BATCH * SLOT_WORDS_MAX];
    int64_t width = ring->slot_size / 8;
    while (next < job->end) {
        int64_t lost;
        int64_t before = next;
        int64_t count = aegis_ring_observe(ring, &next, rows, BATCH, &lost);
        job->found.lapped += lost;
        job->found.seen += count;
        job->found.lost += next - count - lost != before;
        for (int64_t i = 0; i < count; i++) {
            int64_t sequence = next - count + i;
            job->found.doubled += rows[i * width] != sequence + 1;
            job->found.torn += wrong_words(&rows[i * width + 1], width - 1, sequence) != 0;
        }
        if (count == 0)
            sched_yield();
    }
}

static int report(const char *who, const struct findings *found) {
    printf("%s lost=%lld doubled=%lld torn=%lld past=%lld lapped=%lld seen=%lld\n", who,
           (long long)found->lost, (long long)found->doubled, (long long)found->torn,
           (long long)found->past, (long long)found->lapped, (long long)found->seen);
    return found->lost + found->doubled + found->torn + found->past == 0 ? 0 : 1;
}

static void *thread_produce(void *job) {
    produce(job);
    return NULL;
}

static void *thread_consume(void *job) {
    consume(job);
    return NULL;
}

static void *thread_observe(void *job) {
    observe(job);
    return NULL;
}

static int threads(int64_t end) {
    size_t size = sizeof(struct aegis_segment) + (size_t)CAPACITY * SLOT_SIZE;
    struct aegis_segment *segment = aligned_alloc(4096, (size + 4095) / 4096 * 4096);
    memset(segment, 0, size);
    segment->prefix.kind = AEGIS_KIND_RING;
    segment->prefix.version = AEGIS_LAYOUT_VERSION;
    segment->capacity = CAPACITY;
    segment->slot_size = SLOT_SIZE;
    segment->readers[0].mode = AEGIS_MODE_GATING;
    segment->prefix.magic = AEGIS_MAGIC;
    struct aegis_ring rings[3];
    struct job jobs[3];
    void *(*const starts[3])(void *) = {thread_produce, thread_consume, thread_observe};
    pthread_t running[3];
    for (int i = 0; i < 3; i++) {
        if (aegis_ring_attach(&rings[i], segment, (int64_t)size) != 0)
            return 2;
        jobs[i] = (struct job){&rings[i], end, {0}};
    }
    for (int i = 0; i < 3; i++)
        pthread_create(&running[i], NULL, starts[i], &jobs[i]);
    for (int i = 0; i < 3; i++)
        pthread_join(running[i], NULL);
    free(segment);
    return report("consumer", &jobs[1].found) + report("observer", &jobs[2].found);
}

int main(int count, char **words) {
    if (count == 3 && strcmp(words[1], "threads") == 0)
        return threads(atoll(words[2]));
    if (count != 4)
        return 2;
    int descriptor = open(words[2], O_RDWR | O_CLOEXEC);
    struct stat status;
    if (descriptor < 0 || fstat(descriptor, &status) != 0)
        return 2;
    void *base =
        mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    struct aegis_ring ring;
    struct job job = {&ring, atoll(words[3]), {0}};
    if (base == MAP_FAILED || aegis_ring_attach(&ring, base, status.st_size) != 0 ||
        ring.slot_size > SLOT_WORDS_MAX * 8)
        return 2;
    if (strcmp(words[1], "produce") == 0) {
        produce(&job);
        return 0;
    }
    if (strcmp(words[1], "consume") == 0)
        consume(&job);
    else
        observe(&job);
    return report(words[1], &job.found);
}
