/* book_check.c: a book against itself and against the quotes of its instrument.
 *
 * The venue numbers quotes and diffs from one counter, so a quote and a diff of the same update id
 * must show the same best bid and ask, price and quantity. Whichever comes second is compared:
 *
 *     quotes  ..12 15 18 21..        diff 11..18 meets the kept quote 18
 *     diffs   ....11..18..19..21     quote 21 meets the book whose last diff ended at 21
 *
 * Between two quotes the first of them stands, so a diff that ends between their ids must show it
 * too: that is known when the second has come. A venue may leave a quote out, and the firewall may
 * have refused one, so here only AEGIS_STANDING_MAX contradictions in a row say something: a diff
 * stream that repeats itself.
 *
 * What contradicts at one id is held back. After AEGIS_DIVERGED_MAX contradictions in a row the
 * book is fetched again, at most once per AEGIS_DIVERGED_SPACING_NS: if the quotes are what is
 * wrong, a fetch does not help, and the book stays invalid until a quote agrees or the spacing is
 * over. A diff stream that stands while the quotes move on makes the book stale.
 */
#include "feed.h"

static int is_equal(const struct aegis_book *book, const struct aegis_best *quote) {
    for (int is_bid = 0; is_bid < 2; is_bid++) {
        const struct aegis_book_level *best = aegis_book_best(&book->sides[is_bid]);
        int64_t key = is_bid ? quote->price_ticks[is_bid] : -quote->price_ticks[is_bid];
        if (best == NULL || best->key != key || best->qty_lots != quote->qty_lots[is_bid])
            return 0;
    }
    return 1;
}

void aegis_book_refute(struct aegis_core *core, struct aegis_instrument *instrument) {
    struct aegis_book *book = &instrument->book;
    int64_t chain_id = book->chain_id;
    int was_published = book->is_published;
    aegis_book_start(book);
    core->counters[AEGIS_FEED_BOOK_RESYNCS]++;
    if (was_published) /* readers forget the levels they have */
        aegis_emit_gap(core, instrument, AEGIS_CHANNEL_BOOK, AEGIS_GAP_SEQUENCE, chain_id, chain_id,
                       0);
    aegis_set_liveness(core, instrument, AEGIS_CHANNEL_BOOK, AEGIS_LIVENESS_INVALID);
}

static void refute_diverged(struct aegis_core *core, struct aegis_instrument *instrument) {
    instrument->book.diverged_ns = core->now_ns;
    aegis_book_refute(core, instrument);
}

/* Whether a fetch for divergence is due again. */
static int may_fetch(const struct aegis_core *core, const struct aegis_book *book) {
    return book->diverged_ns == 0 || core->now_ns - book->diverged_ns >= AEGIS_DIVERGED_SPACING_NS;
}

/* Fetch the book again; where it was fetched for that reason lately, it is in doubt instead. */
static void contradict(struct aegis_core *core, struct aegis_instrument *instrument) {
    if (may_fetch(core, &instrument->book)) {
        refute_diverged(core, instrument);
        return;
    }
    instrument->book.is_doubted = 1;
    aegis_set_liveness(core, instrument, AEGIS_CHANNEL_BOOK, AEGIS_LIVENESS_INVALID);
}

/* Compare a book with the quote that stood when its last diff ended, once per diff. */
static void compare_standing(struct aegis_core *core, struct aegis_instrument *instrument,
                             const struct aegis_best *standing) {
    struct aegis_book *book = &instrument->book;
    core->counters[AEGIS_FEED_BOOKS_STANDING]++;
    if (is_equal(book, standing)) {
        book->standing_run = 0;
        return;
    }
    core->counters[AEGIS_FEED_BOOKS_STANDING_DIVERGED]++;
    if (++book->standing_run < AEGIS_STANDING_MAX)
        return;
    book->standing_run = 0;
    contradict(core, instrument);
}

/* Compare a book and a quote of one update id. */
static int32_t compare(struct aegis_core *core, struct aegis_instrument *instrument,
                       const struct aegis_best *quote) {
    struct aegis_book *book = &instrument->book;
    core->counters[AEGIS_FEED_BOOKS_COMPARED]++;
    if (is_equal(book, quote)) {
        book->diverged_run = 0;
        book->standing_run = 0;
        book->is_doubted = 0;
        return AEGIS_REJECT_NONE;
    }
    core->counters[AEGIS_FEED_BOOKS_DIVERGED]++;
    if (++book->diverged_run >= AEGIS_DIVERGED_MAX)
        contradict(core, instrument);
    return AEGIS_REJECT_BOOK_DIVERGED;
}

/* Quotes that move while no diff comes: the book shows what is no more. */
static void note_behind(struct aegis_core *core, struct aegis_instrument *instrument,
                        const struct aegis_best *quote) {
    struct aegis_book *book = &instrument->book;
    if (quote->update_id <= book->chain_id || is_equal(book, quote))
        return;
    if (book->behind_since_ns == 0)
        book->behind_since_ns = core->now_ns;
    if (core->now_ns - book->behind_since_ns < AEGIS_BEHIND_NS ||
        instrument->channels[AEGIS_CHANNEL_BOOK].liveness != AEGIS_LIVENESS_LIVE)
        return;
    core->counters[AEGIS_FEED_BOOKS_BEHIND]++;
    aegis_set_liveness(core, instrument, AEGIS_CHANNEL_BOOK, AEGIS_LIVENESS_STALE);
}

/* A kept quote by its number, NULL when it is not kept (any more). */
static const struct aegis_best *kept_quote(const struct aegis_book *book, int64_t number) {
    if (number < 0 || number < book->quote_count - AEGIS_QUOTES_KEPT)
        return NULL;
    return &book->quotes[number & (AEGIS_QUOTES_KEPT - 1)];
}

int32_t aegis_book_take_quote(struct aegis_core *core, struct aegis_instrument *instrument,
                              const struct aegis_best *quote) {
    struct aegis_book *book = &instrument->book;
    if (book->state == AEGIS_BOOK_IDLE)
        return AEGIS_REJECT_NONE;
    const struct aegis_best *before = kept_quote(book, book->quote_count - 1);
    book->quotes[book->quote_count++ & (AEGIS_QUOTES_KEPT - 1)] = *quote;
    if (book->state != AEGIS_BOOK_LIVE)
        return AEGIS_REJECT_NONE;
    if (quote->update_id == book->chain_id)
        return compare(core, instrument, quote);
    if (before != NULL && before->update_id < book->chain_id && book->chain_id < quote->update_id)
        compare_standing(core, instrument, before);
    if (book->state == AEGIS_BOOK_LIVE)
        note_behind(core, instrument, quote);
    return AEGIS_REJECT_NONE;
}

/* The last kept quote whose id is not above an update id, NULL when there is none; `*is_last` says
 * that no newer one is known. Ids rise, so the newest come first. */
static const struct aegis_best *find_quote(const struct aegis_book *book, int64_t update_id,
                                           int *is_last) {
    const struct aegis_best *quote;
    for (int64_t i = book->quote_count - 1; (quote = kept_quote(book, i)) != NULL; i--) {
        *is_last = i == book->quote_count - 1;
        if (quote->update_id <= update_id)
            return quote;
    }
    return NULL;
}

int32_t aegis_book_judge(struct aegis_core *core, struct aegis_instrument *instrument) {
    struct aegis_book *book = &instrument->book;
    book->behind_since_ns = 0;
    if (aegis_book_is_crossed(book)) {
        if (++book->crossed_run > AEGIS_CROSSED_MAX)
            aegis_book_refute(core, instrument);
        return AEGIS_REJECT_BOOK_CROSSED;
    }
    book->crossed_run = 0;
    int is_last = 0;
    int32_t reason = AEGIS_REJECT_NONE;
    const struct aegis_best *quote = find_quote(book, book->chain_id, &is_last);
    if (quote != NULL && quote->update_id == book->chain_id)
        reason = compare(core, instrument, quote);
    else if (quote != NULL && !is_last)
        compare_standing(core, instrument, quote);
    if (book->state != AEGIS_BOOK_LIVE) /* fetched again */
        return AEGIS_REJECT_BOOK_DIVERGED;
    if (reason != AEGIS_REJECT_NONE || !book->is_doubted)
        return reason;
    if (may_fetch(core, book))
        refute_diverged(core, instrument);
    return AEGIS_REJECT_BOOK_DIVERGED;
}
