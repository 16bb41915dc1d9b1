/* firewall.c: see firewall.h. */
#include "firewall.h"

#define BPS 10000
#define STEPS_ALLOWED 2 /* so near is never far, however coarse the tick is */
#define MOVES_SMOOTHED 64 /* over so many moves a variance follows its market */
#define SPIKE_WIDENS 1.5625 /* the variance, by a refused spike: 1.25 squared */

static int is_further(int64_t price, int64_t reference, int64_t bound_bps) {
    int64_t distance = price > reference ? price - reference : reference - price;
    return distance > STEPS_ALLOWED && (__int128)distance * BPS > (__int128)reference * bound_bps;
}

int32_t aegis_law_quote(const struct aegis_core *core, int64_t bid_price_ticks,
                        int64_t ask_price_ticks, int64_t bid_qty_lots, int64_t ask_qty_lots) {
    if (bid_qty_lots == 0 || ask_qty_lots == 0)
        return AEGIS_REJECT_QTY_ZERO;
    if (bid_price_ticks > ask_price_ticks)
        return AEGIS_REJECT_QUOTE_CROSSED;
    if (bid_price_ticks == ask_price_ticks)
        return AEGIS_REJECT_QUOTE_LOCKED;
    if (is_further(ask_price_ticks, bid_price_ticks, core->laws.spread_bps))
        return AEGIS_REJECT_SPREAD_WIDE;
    return AEGIS_REJECT_NONE;
}

int32_t aegis_law_bar(const int64_t prices[4], int64_t volume_lots, int64_t trade_count,
                      int64_t open_time_ns, int64_t close_time_ns, int64_t interval_ns) {
    int64_t open = prices[0], high = prices[1], low = prices[2], close = prices[3];
    if (high < low)
        return AEGIS_REJECT_BAR_RANGE;
    if (open > high || open < low || close > high || close < low)
        return AEGIS_REJECT_BAR_OPEN_CLOSE;
    if (high - open > INT32_MAX || open - low > INT32_MAX || trade_count > INT32_MAX)
        return AEGIS_REJECT_NUMBER_RANGE;
    if (trade_count < 0 || (volume_lots == 0) != (trade_count == 0))
        return AEGIS_REJECT_BAR_VOLUME;
    if (open_time_ns % interval_ns != 0 ||
        close_time_ns - open_time_ns != interval_ns - AEGIS_NS_PER_MS)
        return AEGIS_REJECT_BAR_TIME;
    return AEGIS_REJECT_NONE;
}

static int says_the_same(const struct aegis_best *a, const struct aegis_best *b) {
    return a->price_ticks[0] == b->price_ticks[0] && a->price_ticks[1] == b->price_ticks[1] &&
           a->qty_lots[0] == b->qty_lots[0] && a->qty_lots[1] == b->qty_lots[1];
}

int32_t aegis_law_standstill(const struct aegis_core *core, struct aegis_standstill *standstill,
                             const struct aegis_best *quote) {
    /* A repetition, or a quote from before: ids have a law of their own. */
    if (quote->update_id <= standstill->quote.update_id ||
        !says_the_same(&standstill->quote, quote))
        return AEGIS_REJECT_NONE;
    int is_long = core->now_ns - standstill->since_ns >= AEGIS_FROZEN_NS;
    int is_frozen = ++standstill->count >= AEGIS_FROZEN_QUOTES && is_long;
    return is_frozen ? AEGIS_REJECT_QUOTE_FROZEN : AEGIS_REJECT_NONE;
}

void aegis_standstill_note(const struct aegis_core *core, struct aegis_standstill *standstill,
                           const struct aegis_best *quote) {
    if (!says_the_same(&standstill->quote, quote)) {
        standstill->since_ns = core->now_ns;
        standstill->count = 0;
    }
    standstill->quote = *quote;
}

static int follows_bar(const struct aegis_bar *kept, const struct aegis_bar *bar) {
    if (kept->interval_ns != bar->interval_ns || bar->open_time_ns > kept->open_time_ns)
        return 1;
    if (bar->open_time_ns < kept->open_time_ns)
        return 0;
    int grows = bar->prices[0] == kept->prices[0] && bar->prices[1] >= kept->prices[1] &&
                bar->prices[2] <= kept->prices[2] && bar->volume_lots >= kept->volume_lots &&
                bar->trade_count >= kept->trade_count;
    int is_over = kept->is_final && (!bar->is_final || bar->volume_lots != kept->volume_lots ||
                                     bar->prices[3] != kept->prices[3]);
    return (grows || kept->trade_count == 0) && !is_over;
}

int32_t aegis_law_bar_history(struct aegis_bar *kept, const struct aegis_bar *bar) {
    int is_late_end = bar->is_final && kept->interval_ns == bar->interval_ns &&
                      bar->open_time_ns == kept->open_time_ns - kept->interval_ns;
    if (is_late_end)
        return AEGIS_REJECT_NONE; /* the bar before ends late: true, and nothing to go on from */
    if (!follows_bar(kept, bar) && ++kept->refused_run < AEGIS_RUN_TO_ACCEPT)
        return AEGIS_REJECT_BAR_HISTORY;
    *kept = *bar;
    return AEGIS_REJECT_NONE;
}

/* What is wrong with `claim` after a record with this id and price; `is_fresh`: a jump may be
 * judged, because the reference is recent and no reconnect lies between. */
static int32_t continuity(const struct aegis_core *core, int64_t id, int64_t price, int is_fresh,
                          const struct aegis_claim *claim) {
    if (claim->id >= 0 && id >= 0) {
        if (claim->id == id)
            return AEGIS_REJECT_ID_DUPLICATE;
        if (claim->id < id)
            return AEGIS_REJECT_ID_OUT_OF_ORDER;
        if (is_fresh && claim->id - id > claim->id_jump_max)
            return AEGIS_REJECT_ID_JUMP;
    }
    if (is_fresh && price > 0 && claim->price > 0 &&
        is_further(claim->price, price, core->laws.price_jump_bps))
        return AEGIS_REJECT_PRICE_JUMP;
    return AEGIS_REJECT_NONE;
}

/* The square of a move in bps. */
static double move_squared(int64_t from, int64_t to) {
    double bps = (double)(to - from) * BPS / (double)from;
    return bps * bps;
}

static int32_t judge_spike(const struct aegis_core *core, struct aegis_lane *lane, int64_t price) {
    int64_t sigmas = core->laws.spike_sigmas, floor_bps = core->laws.spike_floor_bps;
    if (sigmas == 0 || lane->move_count < AEGIS_MOVES_WARM ||
        !is_further(price, lane->last_price, floor_bps))
        return AEGIS_REJECT_NONE;
    double floor_variance = (double)(floor_bps * floor_bps) / (double)(sigmas * sigmas);
    if (lane->move_variance < floor_variance)
        lane->move_variance = floor_variance;
    if (move_squared(lane->last_price, price) <= (double)(sigmas * sigmas) * lane->move_variance)
        return AEGIS_REJECT_NONE;
    lane->move_variance *= SPIKE_WIDENS;
    return AEGIS_REJECT_PRICE_SPIKE;
}

static void note_move(struct aegis_lane *lane, int64_t price) {
    double squared = move_squared(lane->last_price, price);
    lane->move_count++;
    lane->move_variance +=
        (squared - lane->move_variance) /
        (double)(lane->move_count < MOVES_SMOOTHED ? lane->move_count : MOVES_SMOOTHED);
}

/* An exchange that plays a tape as fast as it is read has no rate: its events are its clock. */
static void follow_stream(struct aegis_core *core, int64_t time_ns) {
    if (time_ns <= core->newest_time_ns)
        return;
    core->newest_time_ns = time_ns;
    if (core->laws.follows_stream && time_ns + core->laws.time_future_ns > core->venue_high_ns)
        core->venue_high_ns = time_ns + core->laws.time_future_ns;
}

static void accept_claim(struct aegis_core *core, struct aegis_lane *lane,
                         const struct aegis_claim *claim) {
    follow_stream(core, claim->time_ns);
    lane->last_id = claim->id;
    lane->last_time_ns = claim->time_ns;
    if (claim->price > 0)
        lane->last_price = claim->price;
    lane->last_receive_ns = core->now_ns;
    lane->run_count = 0;
    lane->accepted_count++;
}

int32_t aegis_law_filling(const struct aegis_core *core, const struct aegis_lane *lane,
                          const struct aegis_claim *claim) {
    int is_fresh = core->now_ns - lane->last_receive_ns <= AEGIS_REFERENCE_AGE_NS;
    return is_fresh && is_further(claim->price, lane->last_price, core->laws.price_jump_bps)
               ? AEGIS_REJECT_PRICE_JUMP
               : AEGIS_REJECT_NONE;
}

static int is_nearer(int64_t witness, int64_t to, int64_t than) {
    int64_t near = witness > to ? witness - to : to - witness;
    int64_t far = witness > than ? witness - than : than - witness;
    return near < far;
}

/* Whether the instrument's book, or without one its other streams, stayed where this lane was. */
static int is_contradicted(const struct aegis_core *core, const struct aegis_lane *lane,
                           const struct aegis_claim *claim) {
    const struct aegis_instrument *instrument = claim->instrument;
    if (instrument == NULL || lane->last_price <= 0)
        return 0;
    if (instrument->channels[AEGIS_CHANNEL_BOOK].liveness == AEGIS_LIVENESS_LIVE) {
        const struct aegis_book_level *bid = aegis_book_best(&instrument->book.sides[1]);
        if (bid != NULL)
            return is_nearer(bid->key, lane->last_price, claim->price);
    }
    for (int stream = AEGIS_STREAM_TRADE; stream <= AEGIS_STREAM_BOOK_TICKER; stream++) {
        const struct aegis_lane *other = &instrument->lanes[stream];
        if (other != lane && other->last_price > 0 &&
            core->now_ns - other->last_receive_ns <= AEGIS_WITNESS_AGE_NS)
            return is_nearer(other->last_price, lane->last_price, claim->price);
    }
    return 0;
}

int32_t aegis_law_lane(struct aegis_core *core, struct aegis_lane *lane,
                       const struct aegis_claim *claim, int64_t *hole, int *resynced) {
    int is_fresh =
        !lane->reconnected && core->now_ns - lane->last_receive_ns <= AEGIS_REFERENCE_AGE_NS;
    int32_t reason = continuity(core, lane->last_id, lane->last_price, is_fresh, claim);
    int has_move = is_fresh && lane->last_price > 0 && claim->price > 0;
    *hole = 0;
    *resynced = 0;
    if (reason == AEGIS_REJECT_NONE && has_move)
        reason = judge_spike(core, lane, claim->price);
    if (reason == AEGIS_REJECT_NONE) {
        if (has_move)
            note_move(lane, claim->price);
        if (claim->id >= 0 && lane->last_id >= 0)
            *hole = claim->id - lane->last_id - 1;
        accept_claim(core, lane, claim);
        return reason;
    }
    /* What the other of two connections delivered before agrees with itself too. */
    if (core->is_shared && claim->time_ns <= lane->last_time_ns &&
        (reason == AEGIS_REJECT_ID_DUPLICATE || reason == AEGIS_REJECT_ID_OUT_OF_ORDER))
        return reason;
    lane->rejected_count++;
    /* A lagging connection repeats what is past: those records agree with each other too, but
     * their times lie before the last accepted one. */
    int agrees = lane->run_count > 0 && claim->time_ns >= lane->last_time_ns &&
                 continuity(core, lane->run_id, lane->run_price, 1, claim) == AEGIS_REJECT_NONE;
    lane->run_count = agrees ? lane->run_count + 1 : 1;
    lane->run_id = claim->id;
    lane->run_time_ns = claim->time_ns;
    lane->run_price = claim->price;
    int is_of_price = reason == AEGIS_REJECT_PRICE_JUMP || reason == AEGIS_REJECT_PRICE_SPIKE;
    if (lane->run_count < AEGIS_RUN_TO_ACCEPT ||
        (is_of_price && is_contradicted(core, lane, claim)))
        return reason;
    accept_claim(core, lane, claim);
    core->counters[AEGIS_FEED_RESYNCS]++;
    *resynced = 1;
    return AEGIS_REJECT_NONE;
}
