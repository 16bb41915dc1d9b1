/* order_line.h: one order that the thread which decided may write to a socket itself.
 *
 *                 arm                 take               write
 *     EMPTY ---------------> ARMED ---------> TAKEN ---------------> WRITTEN | UNSENT
 *       ^  <--- disarm ------- |   kernel thread                        |
 *       |       executor                                                |
 *       '------------------------ clear, executor <---------------------'
 *
 * The executor lends one idle connection; the kernel thread writes at most one request on it, and
 * the executor then follows that request as if it had written it. The words beside the state belong
 * to the executor while EMPTY, to the kernel thread while TAKEN, and are read by either otherwise.
 * The descriptor is a duplicate, so a number that the process uses again is never written to.
 */
#ifndef AEGIS_ORDER_LINE_H
#define AEGIS_ORDER_LINE_H

#include "atomics.h"

enum aegis_line_state {
    AEGIS_LINE_EMPTY,
    AEGIS_LINE_ARMED,
    AEGIS_LINE_TAKEN,
    AEGIS_LINE_WRITTEN, /* `sent` bytes of the request left, at least one */
    AEGIS_LINE_UNSENT   /* none did */
};

enum {
    AEGIS_LINE_BYTES = 2048, /* longest request; a longer one is left to the executor */
    AEGIS_LINE_REFUSED = -1, /* the system gave no duplicate of the descriptor, or not EMPTY */
    AEGIS_LINE_NO_REQUEST = -1 /* the command makes none, or one that is too long */
};

/* The venue's clock as engine/clock.py has learned it. */
struct aegis_venue_clock {
    int64_t anchor_ns; /* monotonic */
    int64_t venue_ns;  /* at the anchor */
    int64_t rate_ppb;  /* minus one */
    int64_t last_ms;   /* what was said last; no step back inside a burst */
};

/* Writes the request of a command record's payload; returns its size, or a negative number when
 * there is no such request or no room. Runs on the kernel thread, without Python. */
typedef int64_t aegis_line_build(const void *wire, const char *payload, int64_t venue_ms, char *to,
                                 int64_t room);

struct aegis_order_line {
    _Atomic int64_t state;
    int64_t descriptor; /* our duplicate; -1: none */
    aegis_line_build *build;
    const void *wire;
    struct aegis_venue_clock clock;
    int64_t venue_ms; /* what the request says */
    int64_t write_ns; /* monotonic, when its write began */
    int64_t size;
    int64_t sent; /* bytes that left, or AEGIS_LINE_NO_REQUEST */
    char request[AEGIS_LINE_BYTES];
};

/* The venue time in ms at a monotonic time, exactly as VenueClock.now_ms. Any thread. */
int64_t aegis_venue_ms(const struct aegis_venue_clock *clock, int64_t monotonic_ns);

/* Lend a connection; executor. The line is EMPTY. Returns 0 or AEGIS_LINE_REFUSED. */
int aegis_line_arm(struct aegis_order_line *line, int descriptor, aegis_line_build *build,
                   const void *wire, const struct aegis_venue_clock *clock);

/* Take the connection back; executor. Returns 1 when the line is EMPTY now, 0 when the kernel
 * thread was first: the command is or will be in the command ring. */
int aegis_line_disarm(struct aegis_order_line *line);

/* Whether the kernel thread is done with what it took; executor. */
int aegis_line_settled(const struct aegis_order_line *line);

/* Make a WRITTEN or UNSENT line EMPTY; executor. */
void aegis_line_clear(struct aegis_order_line *line);

/* Numbers in and out, as a compiled loop calls a function by address; `line` is an address. */

/* Take an ARMED line; kernel thread. Returns 1, or 0 when there is none to take. */
int64_t aegis_line_take(int64_t line, int64_t unused);

/* Build and write the request of a command record on a TAKEN line, then settle it; kernel thread.
 * `record` is the address of an event record. The command is in the command ring already. Returns 1
 * when bytes left, 0 when none did. */
int64_t aegis_line_write(int64_t line, int64_t record);

#endif
