/* feed_heal.c: trades that wait until those before them are there.
 *
 *     ring  ... 41 42 |  43 44 missing  | 45 46 47 wait (held, by id)
 *                     `- next_id = 43
 *
 * Aggregated trades are numbered without holes. Where one is passed over, what follows waits: a
 * second connection, or an answer of the venue's history, may bring what is missing, and then all
 * leave in order. A hole that is not filled by its deadline, or behind which too many wait, is
 * given up: a gap record says what is missing, and what waited leaves. While a hole is open its
 * channel is not live, so nothing is entered on half a history.
 *
 * The lane of firewall.c follows what is received, `next_id` what was published.
 */
#include "feed.h"

#include <string.h>

int aegis_heal_open(struct aegis_core *core, struct aegis_instrument *instrument, int64_t first_id,
                    int64_t lost_count, int32_t gap_reason) {
    struct aegis_heal *heal = &instrument->heal;
    if (core->heal_deadline_ns == 0)
        return 0;
    if (heal->is_open)
        return 1; /* one more hole behind the first */
    if (lost_count > AEGIS_HOLE_MAX)
        return 0;
    heal->is_open = 1;
    heal->next_id = first_id;
    heal->since_ns = core->now_ns;
    heal->gap_reason = gap_reason;
    heal->count = 0;
    core->counters[AEGIS_FEED_HOLES]++;
    aegis_set_liveness(core, instrument, AEGIS_CHANNEL_TRADE, AEGIS_LIVENESS_SYNCING);
    return 1;
}

/* Where a trade stands among those held, or would stand. */
static int32_t place_of(const struct aegis_heal *heal, int64_t trade_id) {
    int32_t low = 0, high = heal->count;
    if (high > 0 && heal->held[high - 1].trade_id < trade_id)
        return high; /* as a rule */
    while (low < high) {
        int32_t middle = (low + high) / 2;
        if (heal->held[middle].trade_id < trade_id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int aegis_heal_misses(const struct aegis_instrument *instrument, int64_t trade_id) {
    const struct aegis_heal *heal = &instrument->heal;
    if (!heal->is_open || trade_id < heal->next_id || heal->count == 0)
        return 0;
    int32_t place = place_of(heal, trade_id);
    return place < heal->count && heal->held[place].trade_id != trade_id;
}

static void close_hole(struct aegis_core *core, struct aegis_instrument *instrument) {
    const struct aegis_channel_state *state = &instrument->channels[AEGIS_CHANNEL_TRADE];
    instrument->heal.is_open = 0;
    /* A connection that was lost meanwhile says so itself. */
    if (state->liveness == AEGIS_LIVENESS_SYNCING)
        aegis_set_liveness(core, instrument, AEGIS_CHANNEL_TRADE, AEGIS_LIVENESS_LIVE);
}

/* Publish what nothing is missing before; the hole is closed when none waits any more. */
static void publish_whole(struct aegis_core *core, struct aegis_instrument *instrument) {
    struct aegis_heal *heal = &instrument->heal;
    int32_t done = 0;
    for (; done < heal->count && heal->held[done].trade_id == heal->next_id; done++) {
        heal->next_id++;
        aegis_emit(core, instrument, &heal->held[done]);
    }
    heal->count -= done;
    if (heal->count == 0)
        close_hole(core, instrument);
    else if (done > 0) {
        memmove(heal->held, heal->held + done, (size_t)heal->count * sizeof *heal->held);
        heal->since_ns = core->now_ns; /* the next hole has a deadline of its own */
    }
}

void aegis_heal_emit(struct aegis_core *core, struct aegis_instrument *instrument,
                     union aegis_market_record *record) {
    struct aegis_heal *heal = &instrument->heal;
    int32_t place = place_of(heal, record->trade_id);
    if (place < heal->count || record->trade_id == heal->next_id)
        core->counters[AEGIS_FEED_TRADES_HEALED]++;
    if (record->trade_id == heal->next_id) { /* needs no place */
        heal->next_id++;
        aegis_emit(core, instrument, record);
        publish_whole(core, instrument);
        return;
    }
    memmove(heal->held + place + 1, heal->held + place,
            (size_t)(heal->count - place) * sizeof *heal->held);
    heal->held[place] = *record;
    if (++heal->count == AEGIS_HELD_MAX)
        aegis_heal_give_up(core, instrument);
}

void aegis_heal_give_up(struct aegis_core *core, struct aegis_instrument *instrument) {
    struct aegis_heal *heal = &instrument->heal;
    while (heal->is_open && heal->count > 0) {
        int64_t first_held = heal->held[0].trade_id, lost = first_held - heal->next_id;
        core->counters[AEGIS_FEED_TRADES_LOST] += lost;
        aegis_emit_gap(core, instrument, AEGIS_CHANNEL_TRADE, (int32_t)heal->gap_reason,
                       heal->next_id, first_held - 1, lost);
        heal->next_id = first_held;
        publish_whole(core, instrument);
    }
    heal->is_open = 0;
}
