/* order_line.c: the order line's algorithm; see order_line.h. No Python here. */
#define _GNU_SOURCE
#include "order_line.h"
#include "clock.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NS_PER_MS = 1000000, PPB = 1000000000, STEP_BACK_MS = 1000, SEQUENCE_BYTES = 8 };

/* Division that rounds down, as Python's. */
static __int128 floored(__int128 number, int64_t by) {
    __int128 whole = number / by;
    return whole * by > number ? whole - 1 : whole;
}

int64_t aegis_venue_ms(const struct aegis_venue_clock *clock, int64_t monotonic_ns) {
    __int128 elapsed = (__int128)monotonic_ns - clock->anchor_ns;
    __int128 venue_ns = clock->venue_ns + elapsed + floored(elapsed * clock->rate_ppb, PPB);
    int64_t now_ms = (int64_t)floored(venue_ns, NS_PER_MS);
    int64_t back_ms = clock->last_ms - now_ms;
    return back_ms > 0 && back_ms < STEP_BACK_MS ? clock->last_ms : now_ms;
}

int aegis_line_arm(struct aegis_order_line *line, int descriptor, aegis_line_build *build,
                   const void *wire, const struct aegis_venue_clock *clock) {
    /* MEMORY: relaxed; only the executor leaves EMPTY: no partner. */
    if (atomic_load_explicit(&line->state, memory_order_relaxed) != AEGIS_LINE_EMPTY)
        return AEGIS_LINE_REFUSED;
    int duplicate = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    if (duplicate < 0)
        return AEGIS_LINE_REFUSED;
    line->descriptor = duplicate;
    line->build = build;
    line->wire = wire;
    line->clock = *clock;
    /* MEMORY: release; makes the words above visible. Pairs with the acquire in aegis_line_take. */
    atomic_store_explicit(&line->state, AEGIS_LINE_ARMED, memory_order_release);
    return 0;
}

static void close_duplicate(struct aegis_order_line *line) {
    if (line->descriptor >= 0)
        close((int)line->descriptor);
    line->descriptor = -1;
}

int aegis_line_disarm(struct aegis_order_line *line) {
    int64_t seen = AEGIS_LINE_ARMED;
    /* MEMORY: relaxed; a line that was not taken has nothing of the kernel thread's to see. Either
     * this or the exchange in aegis_line_take succeeds: no partner. */
    if (atomic_compare_exchange_strong_explicit(&line->state, &seen, AEGIS_LINE_EMPTY,
                                                memory_order_relaxed, memory_order_relaxed))
        close_duplicate(line);
    return seen == AEGIS_LINE_ARMED || seen == AEGIS_LINE_EMPTY;
}

int aegis_line_settled(const struct aegis_order_line *line) {
    /* MEMORY: acquire; the request and what became of it are visible. Pairs with the release in
     * aegis_line_write. */
    return atomic_load_explicit(&line->state, memory_order_acquire) >= AEGIS_LINE_WRITTEN;
}

void aegis_line_clear(struct aegis_order_line *line) {
    close_duplicate(line);
    /* MEMORY: relaxed; the kernel thread takes nothing that is not ARMED: no partner. */
    atomic_store_explicit(&line->state, AEGIS_LINE_EMPTY, memory_order_relaxed);
}

int64_t aegis_line_take(int64_t address, int64_t unused) {
    struct aegis_order_line *line = (struct aegis_order_line *)(intptr_t)address;
    int64_t seen = AEGIS_LINE_ARMED;
    (void)unused;
    /* MEMORY: acquire; what the executor lent is visible. Pairs with the release in
     * aegis_line_arm. */
    return atomic_compare_exchange_strong_explicit(&line->state, &seen, AEGIS_LINE_TAKEN,
                                                   memory_order_acquire, memory_order_relaxed);
}

int64_t aegis_line_write(int64_t address, int64_t record) {
    struct aegis_order_line *line = (struct aegis_order_line *)(intptr_t)address;
    const char *payload = (const char *)(intptr_t)record + SEQUENCE_BYTES;
    int64_t left = 0;
    line->venue_ms = aegis_venue_ms(&line->clock, aegis_monotonic_ns());
    line->size =
        line->build(line->wire, payload, line->venue_ms, line->request, sizeof line->request);
    line->write_ns = aegis_monotonic_ns();
    if (line->size > 0)
        left = send((int)line->descriptor, line->request, (size_t)line->size,
                    MSG_DONTWAIT | MSG_NOSIGNAL);
    line->sent = line->size <= 0 ? AEGIS_LINE_NO_REQUEST : left > 0 ? left : 0;
    int64_t state = line->sent > 0 ? AEGIS_LINE_WRITTEN : AEGIS_LINE_UNSENT;
    /* MEMORY: release; makes the outcome visible. Pairs with the acquire in aegis_line_settled. */
    atomic_store_explicit(&line->state, state, memory_order_release);
    return state == AEGIS_LINE_WRITTEN;
}
