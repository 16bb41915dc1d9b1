/* book.c: one instrument's book: sorted sides, the U/u/pu chain, snapshots merged by update id.
 *
 * While a book waits for its snapshot it takes diffs at once instead of keeping their bytes: every
 * level carries the update id that last changed it, and a removed level stays as a zero. When the
 * snapshot of id L comes, levels changed after L are ours, all others are the snapshot's. That is
 * the same book as replaying kept diffs over it, in bounded memory.
 *
 *     diffs:    |pu U..u|pu U..u|pu U..u|        chain: pu == u of the one before
 *                   floor_id = pu of the first
 *     snapshot: L < floor_id          too old: there may be changes we never saw; fetch again
 *               floor_id <= L <= u    merged; the book is live
 *               u < L                 merged; live with the diff that reaches L
 *
 * A side knows every level from the best to `known_key`, and keeps none beyond: a snapshot ends
 * somewhere, and a full side drops its worst quarter. When the top levels come near that key the
 * book asks for another snapshot and stays live meanwhile.
 */
#include "feed.h"

#include <string.h>

static void side_clear(struct aegis_book_side *side) {
    side->count = 0;
    side->known_key = INT64_MIN;
}

/* First level whose key is not below `key`. The levels of a diff come sorted, so each is looked for
 * outwards from where the one before was found. */
static int32_t side_find(struct aegis_book_side *side, int64_t key) {
    const struct aegis_book_level *levels = side->levels;
    int32_t low = 0, high = side->count, step = 1;
    int32_t from = side->finger < side->count ? side->finger : side->count;
    if (from < side->count && levels[from].key < key) {
        low = from + 1;
        for (; low + step < side->count && levels[low + step].key < key; step *= 2)
            low += step;
        if (low + step < side->count)
            high = low + step;
    } else {
        high = from;
        for (; high - step >= 0 && levels[high - step].key >= key; step *= 2)
            high -= step;
        if (high - step >= 0)
            low = high - step + 1;
    }
    /* INVARIANT: the answer is in [low, high]. */
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (levels[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    side->finger = low;
    return low;
}

static void side_remove(struct aegis_book_side *side, int32_t place) {
    side->count--;
    memmove(&side->levels[place], &side->levels[place + 1],
            (size_t)(side->count - place) * sizeof *side->levels);
}

/* Drop the worst quarter of a full side, at once so that it costs little per level; where a level
 * of this key goes now, or -1 when it would be among the dropped. */
static int32_t side_cut(struct aegis_core *core, struct aegis_book_side *side, int32_t place,
                        int64_t key) {
    const int32_t cut = AEGIS_LEVELS_MAX / 4;
    core->counters[AEGIS_FEED_LEVELS_CUT] += cut;
    side->known_key = side->levels[cut - 1].key + 1;
    side->count -= cut;
    memmove(side->levels, side->levels + cut, (size_t)side->count * sizeof *side->levels);
    return key < side->known_key ? -1 : place - cut;
}

static void side_apply(struct aegis_core *core, struct aegis_book_side *side, int64_t key,
                       int64_t qty_lots, int64_t update_id, int keeps_zeros) {
    if (key < side->known_key)
        return; /* out there not every level is known, so none is kept */
    int32_t place = side_find(side, key);
    int is_there = place < side->count && side->levels[place].key == key;
    if (qty_lots == 0 && !keeps_zeros) {
        if (is_there)
            side_remove(side, place);
        return; /* removing an unknown level is normal */
    }
    if (!is_there) {
        if (side->count == AEGIS_LEVELS_MAX && (place = side_cut(core, side, place, key)) < 0)
            return;
        memmove(&side->levels[place + 1], &side->levels[place],
                (size_t)(side->count - place) * sizeof *side->levels);
        side->count++;
    }
    side->levels[place] = (struct aegis_book_level){key, qty_lots, update_id};
}

static void apply_frame(struct aegis_core *core, struct aegis_book *book, int64_t update_id) {
    for (int is_bid = 0; is_bid < 2; is_bid++) {
        const struct aegis_level *levels = core->frame_levels[is_bid];
        for (int32_t i = 0; i < core->frame_level_count[is_bid]; i++) {
            int64_t price = levels[i].price_ticks;
            side_apply(core, &book->sides[is_bid], is_bid ? price : -price, levels[i].qty_lots,
                       update_id, book->keeps_zeros);
        }
    }
}

/* Begin anew: no chain, no levels, a snapshot wanted. Readers get a fresh book when it is live. */
void aegis_book_start(struct aegis_book *book) {
    side_clear(&book->sides[0]);
    side_clear(&book->sides[1]);
    book->state = AEGIS_BOOK_SYNCING;
    book->crossed_run = 0;
    book->diverged_run = 0;
    book->standing_run = 0;
    book->is_doubted = 0;
    book->is_held = 0;
    book->behind_since_ns = 0;
    book->wants_snapshot = 1;
    book->keeps_zeros = 1;
    book->is_published = 0;
    book->is_dirty = 0;
    book->chain_id = -1;
    book->floor_id = -1;
    book->snapshot_id = -1;
}

/* Ask a live book for another snapshot: it stays live and keeps what the merge will need. */
void aegis_book_refresh(struct aegis_book *book) {
    book->wants_snapshot = 1;
    book->keeps_zeros = 1;
    book->floor_id = book->chain_id;
}

/* Take the diff in core->frame_levels. 1: the book is live and changed, 0: not live yet, -1: the
 * diff does not follow the last one, and a new chain begins with it. */
int aegis_book_diff(struct aegis_core *core, struct aegis_book *book, int64_t first_id,
                    int64_t last_id, int64_t before_id) {
    (void)first_id; /* pu < U <= u was checked; the chain holds by pu */
    int is_broken = book->chain_id >= 0 && before_id != book->chain_id;
    /* A snapshot came before any diff: the first one must reach back to it. */
    is_broken |=
        book->chain_id < 0 && book->state == AEGIS_BOOK_LOADED && before_id > book->snapshot_id;
    if (is_broken)
        aegis_book_start(book);
    if (book->chain_id < 0 && book->floor_id < 0)
        book->floor_id = before_id;
    book->chain_id = last_id;
    if (last_id > book->snapshot_id)
        apply_frame(core, book, last_id);
    if (book->state == AEGIS_BOOK_LOADED && last_id >= book->snapshot_id)
        book->state = AEGIS_BOOK_LIVE;
    if (is_broken)
        return -1;
    return book->state == AEGIS_BOOK_LIVE;
}

/* Merge the snapshot side in core->frame_levels with what changed after it. */
static void side_merge(struct aegis_core *core, struct aegis_book_side *side, int is_bid,
                       int64_t snapshot_id, int64_t limit) {
    struct aegis_book_level *kept =
        core->levels + 2 * core->capacity * AEGIS_LEVELS_MAX; /* scratch side */
    int32_t kept_count = 0;
    for (int32_t i = 0; i < side->count; i++)
        if (side->levels[i].update_id > snapshot_id)
            kept[kept_count++] = side->levels[i];
    side_clear(side);
    const struct aegis_level *levels = core->frame_levels[is_bid];
    int32_t count = core->frame_level_count[is_bid];
    for (int32_t i = count - 1; i >= 0; i--) { /* best last: each level is appended */
        int64_t key = is_bid ? levels[i].price_ticks : -levels[i].price_ticks;
        side_apply(core, side, key, levels[i].qty_lots, snapshot_id, 0);
    }
    if (count >= limit && side->count > 0)
        side->known_key = side->levels[0].key;
    for (int32_t i = 0; i < kept_count; i++)
        side_apply(core, side, kept[i].key, kept[i].qty_lots, kept[i].update_id, 0);
}

/* Take the snapshot in core->frame_levels. 0: merged, 1: too old, fetch again. */
int aegis_book_load(struct aegis_core *core, struct aegis_book *book, int64_t snapshot_id,
                    int64_t limit) {
    if (snapshot_id < book->floor_id)
        return 1;
    for (int is_bid = 0; is_bid < 2; is_bid++)
        side_merge(core, &book->sides[is_bid], is_bid, snapshot_id, limit);
    book->snapshot_id = snapshot_id;
    book->wants_snapshot = 0;
    book->keeps_zeros = 0;
    book->floor_id = -1;
    if (book->state != AEGIS_BOOK_LIVE)
        book->state = book->chain_id >= snapshot_id ? AEGIS_BOOK_LIVE : AEGIS_BOOK_LOADED;
    return 0;
}

/* Copy the best levels, best first; zeros kept for a merge are not levels. */
int32_t aegis_book_top(const struct aegis_book_side *side, struct aegis_book_level *top) {
    int32_t count = 0;
    for (int32_t i = side->count - 1; i >= 0 && count < AEGIS_TOP_LEVELS; i--)
        if (side->levels[i].qty_lots > 0)
            top[count++] = side->levels[i];
    return count;
}

/* The best level, NULL on an empty side. */
const struct aegis_book_level *aegis_book_best(const struct aegis_book_side *side) {
    for (int32_t i = side->count - 1; i >= 0; i--)
        if (side->levels[i].qty_lots > 0)
            return &side->levels[i];
    return NULL;
}

/* Whether the best bid is at or above the best ask. */
int aegis_book_is_crossed(const struct aegis_book *book) {
    const struct aegis_book_level *ask = aegis_book_best(&book->sides[0]);
    const struct aegis_book_level *bid = aegis_book_best(&book->sides[1]);
    return ask != NULL && bid != NULL && bid->key >= -ask->key;
}

/* Whether the top levels reach where the book does not know every level. */
int aegis_book_wants_more(const struct aegis_book *book) {
    for (int is_bid = 0; is_bid < 2; is_bid++) {
        const struct aegis_book_side *side = &book->sides[is_bid];
        if (side->known_key == INT64_MIN)
            continue;
        if (side->count < AEGIS_TOP_LEVELS ||
            side->levels[side->count - AEGIS_TOP_LEVELS].key < side->known_key)
            return 1;
    }
    return 0;
}
