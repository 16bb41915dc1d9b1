/* feed_liveness.c: the state of every (instrument, channel), from that channel's own cadence.
 *
 *     connecting --subscribed--> syncing --record--> live --too quiet--> stale --record--> live
 *                                   `--deadline--> silent or unsupported --record--> live
 *
 * A channel's own cadence is its smoothed time between records; how quiet is too quiet is a
 * multiple of it, between a floor and a ceiling. A book is live when it is synchronised, and
 * invalid when it contradicts itself. Trades with a hole in their ids are syncing until it is
 * filled or given up. A held channel is invalid until it is let go. A change is a record on the
 * ring.
 */
#include "feed.h"

#define QUIET_INTERVALS 32 /* mean intervals without a record that make a channel stale */
#define SMOOTHING 16       /* records over which the interval is smoothed */

void aegis_set_liveness(struct aegis_core *core, struct aegis_instrument *instrument,
                        int32_t channel, int32_t liveness) {
    struct aegis_channel_state *state = &instrument->channels[channel];
    if (state->is_held)
        liveness = AEGIS_LIVENESS_INVALID;
    if (!state->is_enabled || (state->liveness == liveness && state->published == liveness))
        return;
    if (state->liveness != liveness) {
        state->liveness = liveness;
        state->since_ns = core->now_ns;
    }
    aegis_emit_liveness(core, instrument, channel);
}

void aegis_hold_channel(struct aegis_core *core, struct aegis_instrument *instrument,
                        int32_t channel, int32_t is_held) {
    struct aegis_channel_state *state = &instrument->channels[channel];
    if (state->is_held == is_held)
        return;
    state->is_held = is_held;
    state->last_receive_ns = core->now_ns; /* the deadline of a channel let go begins here */
    aegis_set_liveness(core, instrument, channel, AEGIS_LIVENESS_SYNCING);
}

void aegis_channel_received(struct aegis_core *core, struct aegis_instrument *instrument,
                            int32_t channel) {
    struct aegis_channel_state *state = &instrument->channels[channel];
    int64_t interval = core->now_ns - state->last_receive_ns;
    if (state->liveness == AEGIS_LIVENESS_LIVE)
        state->interval_ns += (interval - state->interval_ns) / SMOOTHING;
    state->last_receive_ns = core->now_ns;
    if (core->first_record_ns == 0)
        core->first_record_ns = core->now_ns;
    if (channel == AEGIS_CHANNEL_TRADE && instrument->heal.is_open)
        return; /* live when what is missing is there, or was given up */
    if (state->liveness != AEGIS_LIVENESS_LIVE)
        aegis_set_liveness(core, instrument, channel, AEGIS_LIVENESS_LIVE);
}

void aegis_channel_disconnected(struct aegis_core *core, struct aegis_instrument *instrument,
                                int32_t channel) {
    static const int8_t channel_of[AEGIS_STREAM_COUNT] = {
        [AEGIS_STREAM_TRADE] = AEGIS_CHANNEL_TRADE,
        [AEGIS_STREAM_AGG_TRADE] = AEGIS_CHANNEL_TRADE,
        [AEGIS_STREAM_BOOK_TICKER] = AEGIS_CHANNEL_QUOTE,
        [AEGIS_STREAM_DEPTH] = AEGIS_CHANNEL_BOOK,
        [AEGIS_STREAM_KLINE] = AEGIS_CHANNEL_BAR,
        [AEGIS_STREAM_MARK_PRICE] = AEGIS_CHANNEL_MARK,
        [AEGIS_STREAM_FORCE_ORDER] = AEGIS_CHANNEL_LIQUIDATION,
    };
    for (int stream = 0; stream < AEGIS_STREAM_COUNT; stream++)
        if (channel_of[stream] == channel)
            instrument->lanes[stream].reconnected = 1;
    if (channel == AEGIS_CHANNEL_BOOK && instrument->book.state != AEGIS_BOOK_IDLE)
        aegis_book_start(&instrument->book);
    if (channel == AEGIS_CHANNEL_QUOTE)
        instrument->book.quote_count = 0; /* which quote stands is not known over a loss */
    aegis_set_liveness(core, instrument, channel, AEGIS_LIVENESS_CONNECTING);
}

void aegis_channel_enabled(struct aegis_core *core, struct aegis_instrument *instrument,
                           int32_t channel) {
    int is_dropped = instrument->book.state == AEGIS_BOOK_IDLE;
    if (channel == AEGIS_CHANNEL_BOOK && is_dropped &&
        instrument->row.flags & AEGIS_INSTRUMENT_BOOK)
        aegis_book_start(&instrument->book);
    instrument->channels[channel].is_enabled = 1;
    aegis_set_liveness(core, instrument, channel, AEGIS_LIVENESS_CONNECTING);
}

void aegis_channel_disabled(struct aegis_core *core, struct aegis_instrument *instrument,
                            int32_t channel) {
    if (channel == AEGIS_CHANNEL_TRADE)
        aegis_heal_give_up(core, instrument);
    if (channel == AEGIS_CHANNEL_BOOK)
        instrument->book.state = AEGIS_BOOK_IDLE;
    aegis_set_liveness(core, instrument, channel, AEGIS_LIVENESS_UNSUPPORTED);
    /* What readers were not told for want of room they are told when there is some. */
    if (instrument->channels[channel].published == instrument->channels[channel].liveness)
        instrument->channels[channel].is_enabled = 0;
}

void aegis_channel_subscribed(struct aegis_core *core, struct aegis_instrument *instrument,
                              int32_t channel) {
    struct aegis_channel_state *state = &instrument->channels[channel];
    state->last_receive_ns = core->now_ns;
    /* A channel that may rightly say nothing for hours is live as soon as it could speak. */
    int is_sporadic = core->cadence[channel].first_deadline_ns == 0;
    aegis_set_liveness(core, instrument, channel,
                       is_sporadic ? AEGIS_LIVENESS_LIVE : AEGIS_LIVENESS_SYNCING);
}

static int64_t stale_after_ns(const struct aegis_cadence *cadence,
                              const struct aegis_channel_state *state) {
    int64_t quiet = QUIET_INTERVALS * state->interval_ns;
    if (quiet < cadence->stale_floor_ns)
        return cadence->stale_floor_ns;
    return quiet > cadence->stale_ceiling_ns ? cadence->stale_ceiling_ns : quiet;
}

int64_t aegis_check_liveness(struct aegis_core *core, int64_t now_ns) {
    int64_t changed_count = 0;
    aegis_core_set_now(core, now_ns);
    for (int64_t i = 0; i < core->instrument_count; i++) {
        struct aegis_instrument *instrument = &core->instruments[i];
        if (instrument->heal.is_open && now_ns - instrument->heal.since_ns > core->heal_deadline_ns)
            aegis_heal_give_up(core, instrument);
        for (int32_t channel = 0; channel < AEGIS_CHANNEL_COUNT; channel++) {
            struct aegis_channel_state *state = &instrument->channels[channel];
            const struct aegis_cadence *cadence = &core->cadence[channel];
            if (!state->is_enabled)
                continue;
            int32_t liveness = state->liveness;
            int64_t age = now_ns - state->last_receive_ns;
            if (liveness == AEGIS_LIVENESS_SYNCING && cadence->first_deadline_ns > 0 &&
                age > cadence->first_deadline_ns)
                liveness = (int32_t)cadence->at_deadline;
            else if (liveness == AEGIS_LIVENESS_LIVE && cadence->stale_ceiling_ns > 0 &&
                     age > stale_after_ns(cadence, state))
                liveness = AEGIS_LIVENESS_STALE;
            if (liveness == state->liveness)
                continue;
            aegis_set_liveness(core, instrument, channel, liveness);
            changed_count++;
        }
    }
    aegis_emit_flush(core);
    return changed_count;
}
