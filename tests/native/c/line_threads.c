/* line_threads.c: both sides of one order line as threads of one process, for the thread sanitizer.
 *
 *     line_threads ORDERS      write ORDERS orders; print what was seen that never may be
 *
 * One thread lends a socket and takes it back, over and over; the other takes the line and writes
 * an order of two words, n and n * FACTOR. What the first thread lends (the wire's number) changes
 * each time, and an order names the number it was written under. Forbidden, each counted:
 *
 *     lost      an order that was written and did not arrive
 *     doubled   an order that arrived twice, or before an earlier one
 *     torn      an order, or what was lent for it, is a mixture
 *     stolen    an order arrived although the line was given back
 *     leaked    descriptors are left open
 */
#define _GNU_SOURCE
#include "order_line.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WORDS = 4, DESCRIPTORS_MAX = 64, LOOKS_MAX = 50 };

#define FACTOR INT64_C(1000003)

struct lent {
    int64_t number, check;
};

struct shared {
    struct aegis_order_line line;
    int64_t end;
    int64_t taken; /* the kernel thread's */
};

struct findings {
    int64_t lost, doubled, torn, stolen, leaked, written, given_back, seen;
};

static int64_t build(const void *wire, const char *payload, int64_t venue_ms, char *to,
                     int64_t room) {
    const struct lent *lent = wire;
    int64_t words[WORDS];
    memcpy(words, payload, 2 * sizeof *words);
    words[2] = lent->check == lent->number * FACTOR ? lent->number : -1;
    words[3] = venue_ms;
    if (room < (int64_t)sizeof words)
        return -1;
    memcpy(to, words, sizeof words);
    return sizeof words;
}

static void *decide(void *argument) {
    struct shared *shared = argument;
    int64_t line = (int64_t)(intptr_t)&shared->line;
    while (shared->taken < shared->end) {
        if (!aegis_line_take(line, 0)) {
            sched_yield();
            continue;
        }
        int64_t n = ++shared->taken;
        int64_t record[3] = {-1, n, n * FACTOR};
        aegis_line_write(line, (int64_t)(intptr_t)record);
    }
    return NULL;
}

static int open_descriptors(void) {
    int count = 0;
    for (int descriptor = 0; descriptor < DESCRIPTORS_MAX; descriptor++)
        count += fcntl(descriptor, F_GETFD) >= 0;
    return count;
}

/* Take in what arrived; `expected` is the number lent to the line that was written, 0: none was. */
static void receive(struct findings *found, int peer, int64_t expected) {
    int64_t words[WORDS];
    while (recv(peer, words, sizeof words, MSG_DONTWAIT) == (ssize_t)sizeof words) {
        found->stolen += expected == 0;
        found->torn += words[1] != words[0] * FACTOR || words[2] != expected;
        found->doubled += words[0] <= found->seen;
        found->lost += words[0] > found->seen + 1;
        found->seen = words[0];
    }
}

static void lend(struct shared *shared, struct findings *found, int ours, int theirs) {
    struct lent lent = {0, 0};
    while (found->written < shared->end) {
        lent.number++;
        lent.check = lent.number * FACTOR;
        const struct aegis_venue_clock clock = {0, lent.number, 0, 0};
        if (aegis_line_arm(&shared->line, ours, build, &lent, &clock) != 0)
            abort();
        for (int64_t looks = lent.number % LOOKS_MAX; looks > 0; looks--)
            sched_yield();
        if (aegis_line_disarm(&shared->line)) {
            found->given_back++;
            receive(found, theirs, 0);
            continue;
        }
        while (!aegis_line_settled(&shared->line))
            sched_yield();
        found->written += shared->line.sent == WORDS * (int64_t)sizeof(int64_t);
        receive(found, theirs, lent.number);
        aegis_line_clear(&shared->line);
    }
}

int main(int count, char **arguments) {
    static struct shared shared = {.line = {.descriptor = -1}};
    struct findings found = {0};
    pthread_t thread;
    int pair[2];
    if (count != 2 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
        return 2;
    shared.end = atoll(arguments[1]);
    int before = open_descriptors();
    if (pthread_create(&thread, NULL, decide, &shared) != 0)
        return 2;
    lend(&shared, &found, pair[0], pair[1]);
    pthread_join(thread, NULL);
    found.leaked = open_descriptors() - before;
    found.lost += found.written - found.seen;
    printf("lost=%lld doubled=%lld torn=%lld stolen=%lld leaked=%lld written=%lld "
           "given_back=%lld\n",
           (long long)found.lost, (long long)found.doubled, (long long)found.torn,
           (long long)found.stolen, (long long)found.leaked, (long long)found.written,
           (long long)found.given_back);
    return 0;
}
