/* feed_emit.c: records into ring slots; and what happens when the ring is full.
 *
 * The feed never waits. A record that finds no room is merged into what its instrument keeps for
 * later: the latest quote, mark and bar, one sum of trades and of liquidations per side, the gaps,
 * the liveness of every channel, and a mark that the published book is behind. Everything kept
 * leaves before anything newer does, so readers see no instrument out of order. Merged records
 * carry AEGIS_CONFLATED and are counted in the ring and in the core.
 */
#include "feed.h"

static void note_conflated(struct aegis_core *core, int64_t n) {
    core->counters[AEGIS_FEED_CONFLATED] += n;
    if (core->has_ring)
        aegis_count(&core->ring.producer->conflated_count, n);
}

static void publish(struct aegis_core *core) {
    if (core->unpublished_count > 0)
        aegis_ring_publish(&core->ring);
    core->unpublished_count = 0;
}

/* Copy records into claimed slots: all or none. Returns 0 when the ring is full. */
static int put(struct aegis_core *core, const union aegis_market_record *records, int64_t n) {
    core->counters[AEGIS_FEED_RECORDS] += n;
    if (!core->has_ring)
        return 1;
    int64_t first = aegis_ring_claim(&core->ring, n);
    if (first < 0) {
        core->counters[AEGIS_FEED_RECORDS] -= n;
        return 0;
    }
    for (int64_t i = 0; i < n; i++) {
        aegis_copy_in(aegis_ring_begin(&core->ring, first + i), &records[i].words[1], 7);
        aegis_ring_commit(&core->ring, first + i);
    }
    core->unpublished_count += n;
    if (core->unpublished_count >= AEGIS_PUBLISH_BATCH)
        publish(core);
    return 1;
}

static void list_dirty(struct aegis_core *core, struct aegis_instrument *instrument) {
    if (instrument->is_listed_dirty)
        return;
    instrument->is_listed_dirty = 1;
    core->dirty[core->dirty_count++] = (int32_t)(instrument - core->instruments);
}

static int pending_place(const union aegis_market_record *record) {
    switch (record->record_type) {
    case AEGIS_RECORD_QUOTE:
        return AEGIS_PENDING_QUOTE;
    case AEGIS_RECORD_TRADE:
        return record->flags & AEGIS_TRADE_BUYER_AGGRESSOR ? AEGIS_PENDING_TRADE_BUY
                                                           : AEGIS_PENDING_TRADE_SELL;
    case AEGIS_RECORD_BAR:
        return record->flags & AEGIS_BAR_FINAL ? AEGIS_PENDING_BAR_FINAL : AEGIS_PENDING_BAR;
    case AEGIS_RECORD_MARK:
        return AEGIS_PENDING_MARK;
    case AEGIS_RECORD_LIQUIDATION:
        return record->flags & AEGIS_LIQUIDATION_BUY ? AEGIS_PENDING_LIQUIDATION_BUY
                                                     : AEGIS_PENDING_LIQUIDATION_SELL;
    default:
        return AEGIS_PENDING_GAP_FIRST + record->aux;
    }
}

/* The sum of two counts; what no int64 holds stays at the most it does. */
static int64_t sum_of(int64_t a, int64_t b) {
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

/* Fold `record` into what waits; sums for trades, liquidations and gaps, the latest otherwise. */
static void merge(struct aegis_core *core, struct aegis_instrument *instrument,
                  const union aegis_market_record *record) {
    int place = pending_place(record);
    union aegis_market_record *kept = &instrument->pending[place];
    union aegis_market_record merged = *record;
    if (instrument->pending_mask >> place & 1) {
        if (record->record_type == AEGIS_RECORD_TRADE ||
            record->record_type == AEGIS_RECORD_LIQUIDATION) {
            merged.qty_lots += kept->qty_lots; /* neither is above the bound */
            if (merged.qty_lots > AEGIS_QTY_LOTS_MAX)
                merged.qty_lots = AEGIS_QTY_LOTS_MAX; /* what the brain's layer still takes */
            merged.trade_count = sum_of(merged.trade_count, kept->trade_count);
        } else if (record->record_type == AEGIS_RECORD_GAP) {
            merged.lost_count = sum_of(merged.lost_count, kept->lost_count);
            merged.first_id = kept->first_id;
        }
        merged.flags |= AEGIS_CONFLATED;
        note_conflated(core, 1);
    }
    *kept = merged;
    instrument->pending_mask |= 1u << place;
    list_dirty(core, instrument);
}

/* What turns the published top into `top`. Removals first: a reader that keeps as many levels as
 * we publish never has to drop one that stays. */
static int32_t changes_of_side(const struct aegis_book_side *side, int is_fresh,
                               const struct aegis_book_level *top, int32_t top_count,
                               struct aegis_book_level *changes) {
    struct aegis_book_level added[AEGIS_TOP_LEVELS];
    int32_t before_count = is_fresh ? 0 : side->top_count;
    int32_t count = 0, added_count = 0, i = 0, j = 0;
    while (i < before_count || j < top_count) {
        if (j == top_count || (i < before_count && side->top[i].key > top[j].key)) {
            changes[count] = side->top[i++];
            changes[count++].qty_lots = 0;
        } else if (i == before_count || side->top[i].key < top[j].key) {
            added[added_count++] = top[j++];
        } else {
            if (side->top[i].qty_lots != top[j].qty_lots)
                added[added_count++] = top[j];
            i++;
            j++;
        }
    }
    for (int32_t k = 0; k < added_count; k++)
        changes[count++] = added[k];
    return count;
}

static void keep_top(struct aegis_book_side *side, const struct aegis_book_level *top,
                     int32_t count) {
    side->top_count = count;
    for (int32_t i = 0; i < count; i++)
        side->top[i] = top[i];
}

/* Publish the book's differences, all or none; 0 when the ring is full. */
static int put_book(struct aegis_core *core, struct aegis_instrument *instrument, int conflated) {
    struct aegis_book *book = &instrument->book;
    struct aegis_book_level tops[2][AEGIS_TOP_LEVELS], changes[2 * AEGIS_TOP_LEVELS];
    union aegis_market_record records[4 * AEGIS_TOP_LEVELS];
    int32_t counts[2], n = 0;
    for (int is_bid = 0; is_bid < 2; is_bid++) {
        struct aegis_book_side *side = &book->sides[is_bid];
        counts[is_bid] = aegis_book_top(side, tops[is_bid]);
        int32_t changed =
            changes_of_side(side, !book->is_published, tops[is_bid], counts[is_bid], changes);
        for (int32_t i = 0; i < changed; i++, n++) {
            records[n] = (union aegis_market_record){{0}};
            records[n].receive_time_ns = core->now_ns;
            records[n].venue_time_ns = book->venue_time_ns;
            records[n].instrument_index = (uint16_t)(instrument - core->instruments);
            records[n].record_type = AEGIS_RECORD_LEVEL;
            records[n].flags =
                (uint8_t)((is_bid ? AEGIS_LEVEL_BID : 0) | (conflated ? AEGIS_CONFLATED : 0));
            records[n].price_ticks = is_bid ? changes[i].key : -changes[i].key;
            records[n].qty_lots = changes[i].qty_lots;
            records[n].update_id = book->chain_id;
        }
    }
    if (n > 0) {
        records[n - 1].flags |= AEGIS_LEVEL_LAST_OF_DIFF;
        if (!book->is_published)
            records[0].flags |= AEGIS_LEVEL_SNAPSHOT_FIRST;
        if (!put(core, records, n))
            return 0;
        book->is_published = 1;
    }
    for (int is_bid = 0; is_bid < 2; is_bid++)
        keep_top(&book->sides[is_bid], tops[is_bid], counts[is_bid]);
    book->is_dirty = 0;
    return 1;
}

static int put_liveness(struct aegis_core *core, struct aegis_instrument *instrument,
                        int32_t channel) {
    struct aegis_channel_state *state = &instrument->channels[channel];
    if (state->published == state->liveness)
        return 1;
    union aegis_market_record record = {{0}};
    record.receive_time_ns = core->now_ns;
    record.instrument_index = (uint16_t)(instrument - core->instruments);
    record.record_type = AEGIS_RECORD_LIVENESS;
    record.aux = channel;
    record.liveness = state->liveness;
    record.liveness_before = state->published < 0 ? AEGIS_LIVENESS_CONNECTING : state->published;
    record.since_ns = state->since_ns;
    if (!put(core, &record, 1))
        return 0;
    state->published = state->liveness;
    return 1;
}

/* Everything an instrument kept: gaps first, then records, the book, and last the liveness, so
 * that a channel is called live only behind what made it so. */
static int put_pending(struct aegis_core *core, struct aegis_instrument *instrument) {
    for (int i = 0; i < AEGIS_PENDING_COUNT; i++) {
        int place = (i + AEGIS_PENDING_GAP_FIRST) % AEGIS_PENDING_COUNT;
        if (!(instrument->pending_mask >> place & 1))
            continue;
        if (!put(core, &instrument->pending[place], 1))
            return 0;
        instrument->pending_mask &= ~(1u << place);
    }
    /* A book that is held back shows its differences with its next good diff. */
    if (instrument->book.is_held || instrument->book.is_doubted)
        instrument->book.is_dirty = 0;
    if (instrument->book.is_dirty && !put_book(core, instrument, 1))
        return 0;
    for (int32_t channel = 0; channel < AEGIS_CHANNEL_COUNT; channel++)
        if (instrument->channels[channel].is_enabled && !put_liveness(core, instrument, channel))
            return 0;
    instrument->is_listed_dirty = 0;
    return 1;
}

/* Returns whether nothing waits any more. */
static int put_all_pending(struct aegis_core *core) {
    int64_t done = 0;
    while (done < core->dirty_count && put_pending(core, &core->instruments[core->dirty[done]]))
        done++;
    core->dirty_count -= done;
    for (int64_t i = 0; done > 0 && i < core->dirty_count; i++)
        core->dirty[i] = core->dirty[i + done];
    return core->dirty_count == 0;
}

void aegis_emit(struct aegis_core *core, struct aegis_instrument *instrument,
                union aegis_market_record *record) {
    record->receive_time_ns = core->now_ns;
    record->instrument_index = (uint16_t)(instrument - core->instruments);
    int has_way = core->dirty_count == 0 || put_all_pending(core);
    if (!has_way || !put(core, record, 1))
        merge(core, instrument, record);
}

void aegis_emit_book(struct aegis_core *core, struct aegis_instrument *instrument) {
    int has_way = core->dirty_count == 0 || put_all_pending(core);
    if (has_way && put_book(core, instrument, 0))
        return;
    if (instrument->book.is_dirty)
        note_conflated(core, 1);
    instrument->book.is_dirty = 1;
    list_dirty(core, instrument);
}

int aegis_emit_book_again(struct aegis_core *core, struct aegis_instrument *instrument) {
    struct aegis_book *book = &instrument->book;
    if (book->state != AEGIS_BOOK_LIVE || !book->is_published || book->is_held || book->is_doubted)
        return 0;
    book->is_published = 0;
    aegis_emit_book(core, instrument);
    return 1;
}

void aegis_emit_gap(struct aegis_core *core, struct aegis_instrument *instrument, int32_t channel,
                    int32_t gap_reason, int64_t first_id, int64_t last_id, int64_t lost_count) {
    union aegis_market_record record = {{0}};
    record.record_type = AEGIS_RECORD_GAP;
    record.aux = channel;
    record.gap_reason = gap_reason;
    record.first_id = first_id;
    record.last_id = last_id;
    record.lost_count = lost_count;
    core->counters[AEGIS_FEED_GAPS]++;
    aegis_emit(core, instrument, &record);
}

int aegis_emit_filter(struct aegis_core *core, struct aegis_instrument *instrument, int32_t offset,
                      int64_t number) {
    union aegis_market_record record = {{0}};
    record.receive_time_ns = core->now_ns;
    record.instrument_index = (uint16_t)(instrument - core->instruments);
    record.record_type = AEGIS_RECORD_FILTER;
    record.aux = offset;
    record.filter_number = number;
    return (core->dirty_count == 0 || put_all_pending(core)) && put(core, &record, 1);
}

void aegis_emit_liveness(struct aegis_core *core, struct aegis_instrument *instrument,
                         int32_t channel) {
    int has_way = core->dirty_count == 0 || put_all_pending(core);
    if (!has_way || !put_liveness(core, instrument, channel))
        list_dirty(core, instrument);
}

void aegis_emit_flush(struct aegis_core *core) {
    if (core->dirty_count > 0)
        put_all_pending(core);
    if (!core->has_ring)
        return;
    publish(core);
    aegis_ring_wake(&core->ring);
}
