/* ring_threads.c: every side of one ring as threads of one process, for the thread sanitizer, or as
 * processes.
 *
 *     ring_threads END SEED            publish END records; print what was seen that never may be
 *     ring_threads END SEED processes
 *
 * One producer claims in one or several parts, publishes, or gives up; two gating readers take in
 * batches; a third is evicted again and again and joins anew; an observer is lapped; a watcher
 * looks at the words that all share. Word i of record s is s * FACTOR + i. Forbidden, each counted:
 *
 *     lost          a gating reader was given a later record than the next one
 *     doubled       or an earlier one
 *     reordered     a record says that it is older than the one before it
 *     torn          a record was returned that mixes two
 *     past_claim    a published count or a reader's sequence beyond what was claimed
 *     past_cursor   a reader could move beyond what was published
 *     past_lap      a claim reached into slots that a gating reader had not left
 */
#define _GNU_SOURCE
#include "ring.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CAPACITY = 64, SLOT_SIZE = 64, WORDS = 7, BATCH_MAX = 16, GATING_COUNT = 3, EVICTED = 2 };
enum { JOB_COUNT = 7, WAIT_NS = 2000000 };

#define FACTOR INT64_C(1000003)

struct findings {
    int64_t lost, doubled, reordered, torn, past_claim, past_cursor, past_lap;
    int64_t seen, gave_up, evictions, lapped, looks;
};

struct shared {
    struct aegis_segment *segment;
    int64_t size, end;
    uint64_t seed;
    _Atomic int64_t claimed; /* the most that was ever claimed */
    _Atomic int64_t evicted_count; /* evictions that are over */
    _Atomic int64_t rejoined_count;
    _Atomic int64_t finished;
};

struct job {
    struct shared *shared;
    struct aegis_ring ring;
    int64_t reader;
    uint64_t state;
    struct findings found;
};

_Static_assert(sizeof(struct shared) <= 4096 && sizeof(struct job) <= 4096, "a page each");

static uint64_t below(struct job *job, uint64_t bound) {
    job->state ^= job->state << 13;
    job->state ^= job->state >> 7;
    job->state ^= job->state << 17;
    return job->state % bound;
}

static int64_t load(_Atomic int64_t *word) {
    return atomic_load_explicit(word, memory_order_acquire);
}

/* Whether the words of a record are those of `sequence`. */
static int is_whole(const int64_t *words, int64_t sequence) {
    for (int64_t i = 0; i < WORDS; i++)
        if (words[i] != sequence * FACTOR + i)
            return 0;
    return 1;
}

/* ---- the producer ---- */

/* Claim in one to three parts; the records claimed, 0 when the ring is full. */
static int64_t claim(struct job *job, int64_t most) {
    int64_t count = 0;
    for (uint64_t part = 1 + below(job, 3); part > 0 && count < most; part--) {
        int64_t n = 1 + (int64_t)below(job, (uint64_t)(most - count));
        if (aegis_ring_claim(&job->ring, n) < 0)
            break;
        count += n;
    }
    atomic_store_explicit(&job->shared->claimed, job->ring.next, memory_order_release);
    return count;
}

static void write_records(struct job *job, int64_t first, int64_t count) {
    for (int64_t sequence = first; sequence < first + count; sequence++) {
        int64_t words[WORDS];
        for (int64_t i = 0; i < WORDS; i++)
            words[i] = sequence * FACTOR + i;
        aegis_copy_in(aegis_ring_begin(&job->ring, sequence), words, WORDS);
        aegis_ring_commit(&job->ring, sequence);
    }
}

static void *produce(void *argument) {
    struct job *job = argument;
    int64_t sequence = aegis_ring_recover(&job->ring, 1, 1), end = job->shared->end;
    while (sequence < end) {
        int64_t left = end - sequence;
        int64_t count = claim(job, left < BATCH_MAX ? left : BATCH_MAX);
        if (count == 0) {
            sched_yield();
            continue;
        }
        if (below(job, 16) == 0) { /* give up, some slots written */
            write_records(job, sequence, (int64_t)below(job, (uint64_t)count + 1));
            aegis_ring_abort(&job->ring);
            job->found.gave_up++;
            continue;
        }
        write_records(job, sequence, count);
        sequence += count;
        job->found.past_cursor += aegis_ring_publish(&job->ring) != sequence;
        aegis_ring_wake(&job->ring);
    }
    atomic_store_explicit(&job->shared->finished, 1, memory_order_release);
    return NULL;
}

/* ---- gating readers ---- */

/* After an eviction that is over, join again; where to go on. */
static int64_t join_again(struct job *job) {
    struct shared *shared = job->shared;
    while (load(&shared->evicted_count) == load(&shared->rejoined_count))
        sched_yield();
    int64_t next = aegis_ring_join(&job->ring, job->reader, AEGIS_MODE_GATING, 0, 1, 1);
    atomic_fetch_add_explicit(&shared->rejoined_count, 1, memory_order_release);
    job->found.evictions++;
    return next;
}

/* Judge `count` records from `first` on into `found`. */
static void judge(struct job *job, int64_t first, int64_t count, struct findings *found) {
    int64_t before = first - 1;
    for (int64_t i = 0; i < count; i++) {
        const int64_t *words = aegis_ring_slot(&job->ring, first + i)->payload;
        int64_t copy[WORDS];
        if (job->reader ==
            EVICTED) { /* the producer may be writing: what is read is judged later */
            aegis_copy_out(copy, words, WORDS);
            words = copy;
        }
        int64_t said = words[0] / FACTOR;
        found->reordered += said <= before;
        found->torn += !is_whole(words, first + i);
        before = said;
    }
}

static void *consume(void *argument) {
    struct job *job = argument;
    struct aegis_ring *ring = &job->ring;
    int64_t expected = 0, end = job->shared->end;
    while (expected < end) {
        struct findings batch = {0};
        int64_t first = aegis_reader_sequence(ring, job->reader);
        int64_t count = aegis_ring_poll(ring, job->reader, 1 + (int64_t)below(job, BATCH_MAX));
        if (count > 0)
            judge(job, first, count, &batch);
        int64_t moved = count < 0 ? count : aegis_ring_advance(ring, job->reader, first + count);
        if (moved == AEGIS_EVICTED && job->reader == EVICTED) {
            expected = join_again(job); /* what was read may be torn: it is thrown away */
            continue;
        }
        job->found.past_cursor += moved != 0;
        /* Who gates holds everybody within a lap; the third reader may not gate any more. */
        if (job->reader != EVICTED)
            job->found.past_cursor +=
                aegis_ring_advance(ring, job->reader, first + count + CAPACITY + 1) == 0;
        job->found.lost += first > expected;
        job->found.doubled += first < expected;
        job->found.reordered += batch.reordered;
        job->found.torn += batch.torn;
        job->found.seen += count;
        expected = first + count;
        if (count > 0)
            continue;
        if (load(&aegis_ring_slot(ring, expected)->sequence) > expected + 1 &&
            load(&job->shared->segment->readers[job->reader].mode) == AEGIS_MODE_GATING) {
            job->found.past_lap++; /* overwritten, though it gates: it would wait for ever */
            break;
        }
        aegis_ring_wait(ring, expected, 0, WAIT_NS);
    }
    aegis_ring_leave(ring, job->reader);
    return NULL;
}

/* Main's part: take the third reader out, again and again, and wait until it is back. */
static void *evict(void *argument) {
    struct job *job = argument;
    struct shared *shared = job->shared;
    while (!load(&shared->finished)) {
        for (uint64_t i = below(job, 30); i > 0; i--)
            sched_yield();
        if (load(&shared->evicted_count) != load(&shared->rejoined_count) ||
            load(&shared->segment->published) > shared->end * 3 / 4)
            continue;
        aegis_ring_evict(&job->ring, EVICTED);
        atomic_fetch_add_explicit(&shared->evicted_count, 1, memory_order_release);
    }
    return NULL;
}

/* ---- who looks on ---- */

static void *observe(void *argument) {
    struct job *job = argument;
    int64_t rows[BATCH_MAX * (WORDS + 1)], next = 0, before = -1, lost;
    while (next < job->shared->end) {
        int64_t was = next;
        int64_t count = aegis_ring_observe(&job->ring, &next, rows, BATCH_MAX, &lost);
        job->found.lapped += lost;
        job->found.seen += count;
        job->found.lost += next - count - lost != was;
        for (int64_t i = 0; i < count; i++) {
            const int64_t *row = &rows[i * (WORDS + 1)];
            job->found.reordered += row[0] - 1 <= before;
            job->found.torn += !is_whole(row + 1, row[0] - 1);
            before = row[0] - 1;
        }
        for (uint64_t i = count == 0 ? 1 : below(job, 6); i > 0; i--)
            sched_yield(); /* so that it is lapped */
    }
    return NULL;
}

static void *watch(void *argument) {
    struct job *job = argument;
    struct shared *shared = job->shared;
    while (!load(&shared->finished)) {
        int64_t sequences[GATING_COUNT];
        int64_t claimed = load(&shared->claimed);
        for (int64_t k = 0; k < EVICTED; k++) {
            sequences[k] = load(&shared->segment->readers[k].sequence);
            job->found.past_lap += sequences[k] < claimed - CAPACITY;
        }
        int64_t published = load(&shared->segment->published);
        claimed = load(&shared->claimed); /* after all of them, so it is not behind any */
        job->found.past_claim += published > claimed;
        for (int64_t k = 0; k < EVICTED; k++)
            job->found.past_claim += sequences[k] > claimed;
        job->found.looks++;
        sched_yield();
    }
    return NULL;
}

/* ---- main ---- */

/* Memory of our own, whose ends the address sanitizer knows; or pages that children share. */
static void *zeroed(size_t size, int as_processes) {
    void *memory = as_processes
                       ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
                       : aligned_alloc(4096, size);
    if (memory == NULL || memory == MAP_FAILED)
        exit(2);
    return memset(memory, 0, size);
}

static void open_segment(struct shared *shared, int as_processes) {
    size_t size = sizeof(struct aegis_segment) + (size_t)CAPACITY * SLOT_SIZE;
    size = (size + 4095) / 4096 * 4096;
    shared->size = (int64_t)size;
    shared->segment = zeroed(size, as_processes);
    shared->segment->prefix.kind = AEGIS_KIND_RING;
    shared->segment->prefix.version = AEGIS_LAYOUT_VERSION;
    shared->segment->capacity = CAPACITY;
    shared->segment->slot_size = SLOT_SIZE;
    for (int64_t k = 0; k < GATING_COUNT; k++)
        shared->segment->readers[k].mode = AEGIS_MODE_GATING;
    shared->segment->prefix.magic = AEGIS_MAGIC;
}

static int report(const char *who, const struct findings *f) {
    printf("%s lost=%lld doubled=%lld reordered=%lld torn=%lld past_claim=%lld past_cursor=%lld "
           "past_lap=%lld seen=%lld gave_up=%lld evictions=%lld lapped=%lld looks=%lld\n",
           who, (long long)f->lost, (long long)f->doubled, (long long)f->reordered,
           (long long)f->torn, (long long)f->past_claim, (long long)f->past_cursor,
           (long long)f->past_lap, (long long)f->seen, (long long)f->gave_up,
           (long long)f->evictions, (long long)f->lapped, (long long)f->looks);
    return f->lost + f->doubled + f->reordered + f->torn + f->past_claim + f->past_cursor +
               f->past_lap !=
           0;
}

static void run_threads(struct job *jobs, void *(*const starts[])(void *)) {
    pthread_t threads[JOB_COUNT];
    for (int i = 0; i < JOB_COUNT; i++)
        pthread_create(&threads[i], NULL, starts[i], &jobs[i]);
    for (int i = 0; i < JOB_COUNT; i++)
        pthread_join(threads[i], NULL);
}

/* As run_threads, each side a process; 0 when all of them came to their end. */
static int run_processes(struct job *jobs, void *(*const starts[])(void *)) {
    int status, broken = 0;
    for (int i = 0; i < JOB_COUNT; i++)
        if (fork() == 0) {
            starts[i](&jobs[i]);
            _exit(0);
        }
    while (wait(&status) > 0)
        broken |= status;
    return broken;
}

int main(int argument_count, char **arguments) {
    static const char *const names[] = {"producer", "first",   "second", "evicted",
                                        "observer", "watcher", "evictor"};
    void *(*const starts[])(void *) = {produce, consume, consume, consume, observe, watch, evict};
    if (argument_count < 3)
        return 2;
    int as_processes = argument_count > 3, broken = 0;
    struct shared *shared = zeroed(4096, as_processes);
    struct job *jobs = zeroed(4096 * JOB_COUNT, as_processes);
    shared->end = atoll(arguments[1]);
    shared->seed = strtoull(arguments[2], NULL, 10);
    open_segment(shared, as_processes);
    for (int i = 0; i < JOB_COUNT; i++) {
        jobs[i] = (struct job){.shared = shared,
                               .reader = i - 1,
                               .state = UINT64_C(88172645463325252) + shared->seed * 7919 +
                                        (uint64_t)i * 104729};
        if (aegis_ring_attach(&jobs[i].ring, shared->segment, shared->size) != 0)
            return 2;
    }
    if (as_processes)
        broken = run_processes(jobs, starts) != 0;
    else
        run_threads(jobs, starts);
    for (int i = 0; i < JOB_COUNT; i++)
        broken |= report(names[i], &jobs[i].found);
    if (!as_processes) {
        free(shared->segment);
        free(jobs);
        free(shared);
    }
    return broken;
}
