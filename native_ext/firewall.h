/* firewall.h: the laws a record must obey before it reaches the ring. A law returns the reason it
 * was broken for, AEGIS_REJECT_NONE otherwise, and changes nothing but a stream's lane. */
#ifndef AEGIS_FIREWALL_H
#define AEGIS_FIREWALL_H

#include "feed.h"

/* What one record says to its lane. */
struct aegis_claim {
    int64_t id; /* -1: this stream has none */
    int64_t time_ns;
    int64_t price; /* 0: none; any unit, the same within a lane */
    int64_t id_jump_max;
    const struct aegis_instrument *instrument; /* whose other streams bear witness; NULL: none */
};

/* A venue time against the venue's clock. */
static inline int32_t aegis_law_time(const struct aegis_core *core, int64_t venue_time_ns) {
    if (venue_time_ns > core->venue_high_ns)
        return AEGIS_REJECT_TIME_FUTURE;
    return venue_time_ns < core->venue_low_ns ? AEGIS_REJECT_TIME_PAST : AEGIS_REJECT_NONE;
}

/* A quote that says for AEGIS_FROZEN_NS what it said before, under ids that go on. */
int32_t aegis_law_standstill(const struct aegis_core *core, struct aegis_standstill *standstill,
                             const struct aegis_best *quote);

/* The quote was taken. */
void aegis_standstill_note(const struct aegis_core *core, struct aegis_standstill *standstill,
                           const struct aegis_best *quote);

/* A bar against what its stream said before: within one bar the open stays, the range widens,
 * volume and count grow, a final bar is over; and bars do not go back, but for the end of the one
 * before. AEGIS_RUN_TO_ACCEPT
 * refusals in a row mean that the kept bar was wrong: the next one replaces it. */
int32_t aegis_law_bar_history(struct aegis_bar *kept, const struct aegis_bar *bar);

/* A price against the venue's own bounds of the instrument. */
static inline int32_t aegis_law_price_bounds(const union aegis_instrument_row *row,
                                             int64_t price_ticks) {
    return price_ticks > row->max_price_ticks ? AEGIS_REJECT_NUMBER_RANGE : AEGIS_REJECT_NONE;
}

/* Best bid and ask of one quote. */
int32_t aegis_law_quote(const struct aegis_core *core, int64_t bid_price_ticks,
                        int64_t ask_price_ticks, int64_t bid_qty_lots, int64_t ask_qty_lots);

/* Open, high, low, close, volume and times of one bar. */
int32_t aegis_law_bar(const int64_t prices[4], int64_t volume_lots, int64_t trade_count,
                      int64_t open_time_ns, int64_t close_time_ns, int64_t interval_ns);

/* The price of a trade that fills a hole behind the lane's last; the lane does not move. */
int32_t aegis_law_filling(const struct aegis_core *core, const struct aegis_lane *lane,
                          const struct aegis_claim *claim);

/* Order, duplicates, jumps and spikes against what the stream said before. A jump is further than a
 * fixed share of the price, a spike further than so many standard deviations of the stream's own
 * moves; each refused spike widens that bound by a quarter, so that a market which moves like this
 * is believed after a few records, whether they agree or not. On acceptance the lane moves
 * and `*hole` is how many ids were passed over. AEGIS_RUN_TO_ACCEPT rejects in a row that agree
 * with each other, and are not older than what was accepted, move it too: one poisoned id or price
 * cannot blind the feed. A price does not move it while a live book, or another stream's price of
 * the last AEGIS_WITNESS_AGE_NS, is nearer to what was accepted. `*resynced` says that this
 * happened. */
int32_t aegis_law_lane(struct aegis_core *core, struct aegis_lane *lane,
                       const struct aegis_claim *claim, int64_t *hole, int *resynced);

#endif
