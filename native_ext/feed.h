/* feed.h: the feed's core: what is known of every instrument, and the way from bytes to slots.
 *
 *     bytes -> decode_json.c, decode_layout.c   spans of the members of one frame
 *           -> decode_binance.c                 numbers in ticks and lots, the laws of firewall.c
 *           -> book.c                           diffs become changes of the top levels
 *           -> feed_emit.c                      ring slots, or conflation when the ring is full
 *
 * One process, one thread: nothing here is shared but the ring. Nothing allocates after
 * aegis_core_open. The core knows no Python; the bindings are feed_module.c and its neighbours.
 */
#ifndef AEGIS_FEED_H
#define AEGIS_FEED_H

#include "records.h"
#include "ring.h"

#define AEGIS_NS_PER_MS INT64_C(1000000)
#define AEGIS_NS_PER_S INT64_C(1000000000)
#define AEGIS_E8_EXPONENT 8

#define AEGIS_LEVELS_MAX 4096    /* levels per side of a book, and per side of one frame */
#define AEGIS_TOP_LEVELS 20      /* levels per side whose changes reach the ring */
#define AEGIS_PUBLISH_BATCH 64   /* records claimed before they are published */
#define AEGIS_KEPT_BYTES 1024    /* of the last rejected frame, per reason */
#define AEGIS_RUN_TO_ACCEPT 8    /* consistent rejects in a row that move the reference */
#define AEGIS_WITNESS_AGE_NS (5 * AEGIS_NS_PER_S) /* older prices bear no witness */
#define AEGIS_MOVES_WARM 64      /* moves before a price can be a spike */
#define AEGIS_FROZEN_QUOTES 32   /* equal quotes with ids of their own, and ... */
#define AEGIS_FROZEN_NS (2 * AEGIS_NS_PER_S) /* ... over so long, that make a stream frozen */
#define AEGIS_CROSSED_MAX 3      /* crossed diffs in a row before the book is fetched again */
#define AEGIS_REFERENCE_AGE_NS (60 * AEGIS_NS_PER_S) /* an older price refuses no other */
#define AEGIS_QUOTES_KEPT 64     /* a power of two; quotes that a diff of the same id may meet */
#define AEGIS_DIVERGED_MAX 3     /* contradictions in a row before a book is in doubt */
#define AEGIS_STANDING_MAX 16    /* contradictions in a row with the quotes that stood */
#define AEGIS_DIVERGED_SPACING_NS (10 * AEGIS_NS_PER_S) /* between two fetches for that reason */
#define AEGIS_BEHIND_NS (2 * AEGIS_NS_PER_S) /* quotes moved on for so long without a diff */
#define AEGIS_HELD_MAX 1024 /* trades of one instrument that wait behind a hole in their ids */
#define AEGIS_HOLE_MAX 20000 /* ids; a longer hole is said, not waited for */

/* A kind of stream; each has its own ids, so continuity is kept per (instrument, stream). */
enum aegis_stream {
    AEGIS_STREAM_TRADE = 0,
    AEGIS_STREAM_AGG_TRADE = 1,
    AEGIS_STREAM_BOOK_TICKER = 2,
    AEGIS_STREAM_DEPTH = 3,
    AEGIS_STREAM_KLINE = 4,
    AEGIS_STREAM_MARK_PRICE = 5,
    AEGIS_STREAM_FORCE_ORDER = 6,
    AEGIS_STREAM_COUNT = 7
};

/* What aegis_core_decode returns beside AEGIS_REJECT_NONE (0) and the other reasons. */
enum aegis_decoded {
    AEGIS_DECODED_ANSWER = -1, /* the answer to a SUBSCRIBE: for the connection */
    AEGIS_DECODED_SHUTDOWN = -2, /* the venue is about to close: rotate now */
    AEGIS_DECODED_STALE = -3 /* a snapshot older than the kept diffs: fetch again */
};

/* Order is the order of CORE_COUNTERS in engine/telemetry.py; a test compares the counts. */
enum aegis_feed_counter {
    AEGIS_FEED_READS = 0,
    AEGIS_FEED_BYTES,
    AEGIS_FEED_FRAMES,
    AEGIS_FEED_RECORDS,
    AEGIS_FEED_REJECTED,
    AEGIS_FEED_GENERAL_PATH, /* frames whose layout was not the usual one */
    AEGIS_FEED_CONFLATED, /* records merged because the ring was full */
    AEGIS_FEED_RESYNCS, /* references moved after a run of consistent rejects */
    AEGIS_FEED_BOOK_RESYNCS, /* books that had to be fetched again */
    AEGIS_FEED_LEVELS_CUT,   /* levels dropped at the far end of a full side */
    AEGIS_FEED_DIFFS_HELD,   /* diffs taken while a book waited for its snapshot */
    AEGIS_FEED_GAPS,         /* gap records */
    AEGIS_FEED_BOOKS_COMPARED, /* books and quotes that met at one update id */
    AEGIS_FEED_BOOKS_DIVERGED, /* of these, where the best levels differed */
    AEGIS_FEED_BOOKS_BEHIND,   /* books called stale because the quotes moved on without them */
    AEGIS_FEED_DUPLICATES, /* frames that another connection had delivered before */
    AEGIS_FEED_HOLES, /* holes in trade ids that were waited for */
    AEGIS_FEED_TRADES_HEALED, /* trades that filled a hole */
    AEGIS_FEED_TRADES_LOST, /* trades that holes were given up for */
    AEGIS_FEED_BOOKS_STANDING, /* books compared with the quote that stood at their last diff */
    AEGIS_FEED_BOOKS_STANDING_DIVERGED, /* of these, where the best levels differed */
    AEGIS_FEED_COUNTER_COUNT
};

struct aegis_level {
    int64_t price_ticks;
    int64_t qty_lots;
};

/* One side of a book, worst first, best last: the many changes near the top move few levels.
 * `key` is the price for bids and minus the price for asks, so that best is highest on both. */
struct aegis_book_level {
    int64_t key;
    int64_t qty_lots;
    int64_t update_id; /* of the last change; decides against a snapshot */
};

struct aegis_book_side {
    struct aegis_book_level *levels;
    int32_t count;
    int32_t top_count;
    int32_t finger; /* where the last level was found */
    int32_t reserved;
    int64_t known_key; /* levels with a lower key are not all known; INT64_MIN: all are */
    struct aegis_book_level top[AEGIS_TOP_LEVELS]; /* as published, best first */
};

enum aegis_book_state {
    AEGIS_BOOK_IDLE = 0, /* no book of this instrument is kept */
    AEGIS_BOOK_SYNCING = 1, /* diffs are taken, a snapshot is wanted */
    AEGIS_BOOK_LOADED = 2, /* a snapshot newer than every diff is in; the diff covering it is not */
    AEGIS_BOOK_LIVE = 3
};

/* The best of both sides at an update id. */
struct aegis_best {
    int64_t update_id; /* 0: none */
    int64_t price_ticks[2]; /* 0 ask, 1 bid, as the sides of a book */
    int64_t qty_lots[2];
};

struct aegis_book {
    struct aegis_book_side sides[2]; /* 0 asks, 1 bids */
    struct aegis_best quotes[AEGIS_QUOTES_KEPT]; /* the last ones, by count */
    int64_t quote_count;
    int64_t diverged_ns; /* when it was fetched again for that reason; 0: never */
    int64_t behind_since_ns; /* quotes moved on without a diff since then; 0: they did not */
    int32_t diverged_run;
    int32_t standing_run;
    int32_t is_held; /* contradicted itself or a quote after its last diff: not to be shown */
    int32_t is_doubted; /* nothing is published until a quote agrees, or it is fetched again */
    int32_t state;
    int32_t crossed_run;
    int32_t wants_snapshot;
    int32_t keeps_zeros; /* removed levels stay as zeros until the next snapshot is merged */
    int32_t is_published; /* the ring's readers have a book of this generation */
    int32_t is_dirty; /* the published top is behind: the ring was full */
    int64_t chain_id; /* `u` of the last diff; -1: none */
    int64_t floor_id; /* an older snapshot does not reach the kept diffs */
    int64_t snapshot_id;
    int64_t venue_time_ns;
};

/* Continuity of one stream of one instrument: the last accepted record, and the run of rejected
 * records that agree with each other. */
struct aegis_lane {
    int64_t last_id; /* -1: none */
    int64_t last_time_ns;
    int64_t last_price;
    int64_t last_receive_ns;
    int64_t run_id;
    int64_t run_time_ns;
    int64_t run_price;
    int32_t run_count;
    int32_t reconnected; /* the next accepted record follows a hole of unknown size */
    int64_t accepted_count;
    int64_t rejected_count;
    double move_variance; /* of moves from one price to the next, bps squared */
    int64_t move_count;
};

/* How long a quote has stood still while its ids went on. */
struct aegis_standstill {
    struct aegis_best quote;
    int64_t since_ns;
    int64_t count;
};

/* A bar as its stream last said it. */
struct aegis_bar {
    int64_t open_time_ns;
    int64_t interval_ns; /* 0: none yet */
    int64_t prices[4]; /* open, high, low, close */
    int64_t volume_lots;
    int64_t trade_count;
    int32_t is_final;
    int32_t refused_run;
};

struct aegis_channel_state {
    int64_t since_ns;
    int64_t last_receive_ns;
    int64_t interval_ns; /* smoothed time between records: this channel's own cadence */
    int32_t liveness;
    int32_t published; /* liveness the ring's readers know; -1: none yet */
    int32_t is_enabled;
    int32_t is_held; /* invalid whatever arrives: the instrument takes no entries */
};

/* Records merged while the ring was full. */
enum aegis_pending {
    AEGIS_PENDING_QUOTE = 0,
    AEGIS_PENDING_TRADE_SELL,
    AEGIS_PENDING_TRADE_BUY,
    AEGIS_PENDING_BAR_FINAL,
    AEGIS_PENDING_BAR,
    AEGIS_PENDING_MARK,
    AEGIS_PENDING_LIQUIDATION_SELL,
    AEGIS_PENDING_LIQUIDATION_BUY,
    AEGIS_PENDING_GAP_FIRST, /* one per channel */
    AEGIS_PENDING_COUNT = AEGIS_PENDING_GAP_FIRST + AEGIS_CHANNEL_COUNT
};

/* A hole in the aggregated trades of an instrument, and those that wait behind it. */
struct aegis_heal {
    union aegis_market_record *held; /* by id, AEGIS_HELD_MAX of them */
    int64_t next_id; /* the first trade the ring's readers have not */
    int64_t since_ns;
    int64_t gap_reason; /* of the gap record, if it comes to that */
    int32_t count;
    int32_t is_open;
};

struct aegis_instrument {
    union aegis_instrument_row row;
    struct aegis_heal heal;
    struct aegis_lane lanes[AEGIS_STREAM_COUNT];
    struct aegis_channel_state channels[AEGIS_CHANNEL_COUNT];
    struct aegis_book book;
    struct aegis_standstill standstill;
    struct aegis_bar bar;
    union aegis_market_record pending[AEGIS_PENDING_COUNT];
    uint32_t pending_mask;
    int32_t is_listed_dirty;
    int32_t symbol_length;
    int32_t reserved;
    int64_t reject_counts[AEGIS_REJECT_COUNT];
};

struct aegis_kept_frame {
    int64_t receive_time_ns;
    int32_t instrument_index; /* -1: not known */
    int32_t length; /* of the frame; AEGIS_KEPT_BYTES of it are kept */
    uint8_t bytes[AEGIS_KEPT_BYTES];
};

/* Bounds of the laws; set once from Python, see `limits` in _feed.pyi. Order is part of it. */
struct aegis_laws {
    int64_t time_future_ns;
    int64_t time_past_ns;
    int64_t id_jump_max; /* update ids; trade ids use trade_jump_max */
    int64_t trade_jump_max;
    int64_t price_jump_bps;
    int64_t spread_bps;
    int64_t funding_e8_max;
    int64_t spike_sigmas; /* 0: no price is a spike */
    int64_t spike_floor_bps; /* moves below it never are */
    int64_t follows_stream; /* the time bounds reach at least as far from the newest event */
};

/* Per channel: when a subscription without a record is silent, and when a record is stale. */
struct aegis_cadence {
    int64_t first_deadline_ns; /* 0: never */
    int64_t at_deadline; /* AEGIS_LIVENESS_SILENT or _UNSUPPORTED */
    int64_t stale_floor_ns;
    int64_t stale_ceiling_ns; /* 0: never stale */
};

struct aegis_core {
    struct aegis_ring ring;
    struct aegis_instrument *instruments;
    struct aegis_book_level *levels; /* every book's two sides, then a scratch side */
    union aegis_market_record *held; /* every instrument's trades behind a hole */
    int32_t *symbol_slots; /* hash table of symbols: instrument index or -1 */
    int32_t *dirty; /* instruments with pending records, oldest first */
    int64_t instrument_count;
    int64_t capacity; /* instruments there is memory for */
    int64_t symbol_mask;
    int64_t dirty_count;
    int64_t unpublished_count;
    int64_t has_ring;

    struct aegis_laws laws;
    struct aegis_cadence cadence[AEGIS_CHANNEL_COUNT];

    /* The venue's clock: venue = clock_venue_ns + (mono - clock_anchor_ns) * (1 + ppb / 1e9). */
    int64_t clock_anchor_ns;
    int64_t clock_venue_ns;
    int64_t clock_rate_ppb;
    int64_t clock_error_ns;

    /* Of the read in progress. */
    int64_t now_ns;
    int64_t venue_low_ns;
    int64_t venue_high_ns;
    int64_t newest_time_ns; /* of all accepted events */
    int32_t last_instrument;
    int32_t frame_instrument; /* -1 until the frame's symbol is known */
    int32_t frame_channel; /* known with it */
    int32_t is_shared; /* another connection delivers the same: duplicates are no refusals */
    int64_t frame_event_ms; /* event time of the frame in progress; 0: it has none */
    int64_t heal_deadline_ns; /* how long a hole is waited for; 0: not at all */

    int64_t first_record_ns; /* receive time of the first record of any channel; 0: none yet */
    int64_t counters[AEGIS_FEED_COUNTER_COUNT];
    int64_t reject_counts[AEGIS_REJECT_COUNT];
    struct aegis_kept_frame kept[AEGIS_REJECT_COUNT];

    struct aegis_level frame_levels[2][AEGIS_LEVELS_MAX]; /* of the frame in progress: asks, bids */
    int32_t frame_level_count[2];
};

/* ---- latency histogram: the words and buckets of ringbuffer/counters.py; a test compares ---- */

#define AEGIS_HISTOGRAM_WORDS 648
#define AEGIS_HISTOGRAM_COUNT 0
#define AEGIS_HISTOGRAM_SUM 1
#define AEGIS_HISTOGRAM_MAX 2
#define AEGIS_HISTOGRAM_BUCKETS 8

static inline int64_t aegis_histogram_bucket(int64_t number) {
    if (number < 16)
        return number < 0 ? 0 : number;
    int exponent = 63 - __builtin_clzll((unsigned long long)number);
    int64_t bucket = (int64_t)(exponent - 3) * 16 + (number >> (exponent - 4) & 15);
    return bucket < 639 ? bucket : 639;
}

/* ---- feed_core.c ---- */

/* Prepare a zeroed core for the given rows, and room for `capacity` in all; 0, or -1 when memory is
 * short. Ring: see below. */
int aegis_core_open(struct aegis_core *core, const union aegis_instrument_row *rows, int64_t count,
                    int64_t capacity);
void aegis_core_close(struct aegis_core *core);

/* Publish into the ring mapped at `base` from now on; AEGIS_INVALID when it is no ring of 64-byte
 * slots. Applies the recovery rule, as the ring's only producer. */
int64_t aegis_core_attach(struct aegis_core *core, void *base, int64_t size_bytes, int64_t pid,
                          int64_t start_ticks);

/* Set the receive time of what is decoded next, and the venue-time bounds that follow from it. */
void aegis_core_set_now(struct aegis_core *core, int64_t now_ns);

/* Take one more instrument, under the next index; -1 when there is no room or its symbol is taken.
 * No channel of it is enabled. */
int32_t aegis_core_add(struct aegis_core *core, const union aegis_instrument_row *row);

/* Find a symbol as the venue spells it; -1 when it was not subscribed. */
int32_t aegis_core_find(struct aegis_core *core, const uint8_t *symbol, int64_t length);

/* Count a refusal and keep the frame; returns the reason. */
int32_t aegis_core_reject(struct aegis_core *core, int32_t reason, int32_t instrument,
                          const uint8_t *frame, int64_t length);

/* ---- decode_binance.c ---- */

/* Decode one text frame, publish what it says; a reason, or one of aegis_decoded. */
int32_t aegis_core_decode(struct aegis_core *core, const uint8_t *frame, int64_t length);

/* Take the answer of the depth endpoint. 0: the book is live or waits for its diff; STALE: fetch
 * again; else a reason, counted by the caller. */
int32_t aegis_core_load_snapshot(struct aegis_core *core, int32_t instrument, const uint8_t *body,
                                 int64_t length, int64_t limit);

/* ---- book.c ---- */

void aegis_book_start(struct aegis_book *book);
void aegis_book_refresh(struct aegis_book *book);
int aegis_book_diff(struct aegis_core *core, struct aegis_book *book, int64_t first_id,
                    int64_t last_id, int64_t before_id);
int aegis_book_load(struct aegis_core *core, struct aegis_book *book, int64_t snapshot_id,
                    int64_t limit);
int aegis_book_is_crossed(const struct aegis_book *book);
int aegis_book_wants_more(const struct aegis_book *book);
int32_t aegis_book_top(const struct aegis_book_side *side, struct aegis_book_level *top);
const struct aegis_book_level *aegis_book_best(const struct aegis_book_side *side);

/* ---- book_check.c: the book against the quotes of the same instrument ---- */

/* A quote that is about to be taken: BOOK_DIVERGED when the book of the same id says otherwise. */
int32_t aegis_book_take_quote(struct aegis_core *core, struct aegis_instrument *instrument,
                              const struct aegis_best *quote);

/* The live book after a diff: BOOK_CROSSED or BOOK_DIVERGED when it must not be published. */
int32_t aegis_book_judge(struct aegis_core *core, struct aegis_instrument *instrument);

/* Begin a book anew because it contradicts itself or the quotes; readers learn it is invalid. */
void aegis_book_refute(struct aegis_core *core, struct aegis_instrument *instrument);

/* ---- feed_emit.c ---- */

/* Publish a record of an instrument, or merge it into what waits for room. Fills the sequence and
 * the receive time. */
void aegis_emit(struct aegis_core *core, struct aegis_instrument *instrument,
                union aegis_market_record *record);

/* Publish how a book's top differs from what the ring's readers have. */
void aegis_emit_book(struct aegis_core *core, struct aegis_instrument *instrument);

/* Publish the whole top of a live book again, as a fresh one: for readers that came late. A book
 * that is held back, or not whole, says nothing. Returns whether it was published or waits. */
int aegis_emit_book_again(struct aegis_core *core, struct aegis_instrument *instrument);

/* Publish a new bound of an instrument, `offset` bytes into its row; 0 when the ring is full:
 * nothing was published, try again. */
int aegis_emit_filter(struct aegis_core *core, struct aegis_instrument *instrument, int32_t offset,
                      int64_t number);

/* Publish a channel's liveness if readers know another one. */
void aegis_emit_liveness(struct aegis_core *core, struct aegis_instrument *instrument,
                         int32_t channel);

/* Make everything claimed visible and wake readers; end of a read, and from a timer, so that what
 * waited for room leaves when traffic stops. */
void aegis_emit_flush(struct aegis_core *core);

/* ---- feed_liveness.c ---- */

/* Move a channel to a state and say so on the ring when it changed. */
void aegis_set_liveness(struct aegis_core *core, struct aegis_instrument *instrument,
                        int32_t channel, int32_t liveness);

/* Hold a channel invalid until it is let go; then its next record makes it live again. Its records
 * go on to the ring. */
void aegis_hold_channel(struct aegis_core *core, struct aegis_instrument *instrument,
                        int32_t channel, int32_t is_held);

/* Keep a channel's liveness from now on: it is to be subscribed. A book that was dropped begins. */
void aegis_channel_enabled(struct aegis_core *core, struct aegis_instrument *instrument,
                           int32_t channel);

/* Keep a channel's liveness no longer: it is not subscribed any more. Readers learn UNSUPPORTED, or
 * INVALID while it is held; its book is dropped. */
void aegis_channel_disabled(struct aegis_core *core, struct aegis_instrument *instrument,
                            int32_t channel);

/* A record of a channel arrived: it is live (a book: when it is synchronised). */
void aegis_channel_received(struct aegis_core *core, struct aegis_instrument *instrument,
                            int32_t channel);

/* Compare every enabled channel with its deadline; a few times a second. Returns the changes. */
int64_t aegis_check_liveness(struct aegis_core *core, int64_t now_ns);

/* The streams of a channel lost their connection, or got a fresh one. */
void aegis_channel_disconnected(struct aegis_core *core, struct aegis_instrument *instrument,
                                int32_t channel);
void aegis_channel_subscribed(struct aegis_core *core, struct aegis_instrument *instrument,
                              int32_t channel);

/* ---- feed_heal.c ---- */

/* Wait for the trades from `first_id` on that were passed over; 0: they are not waited for. */
int aegis_heal_open(struct aegis_core *core, struct aegis_instrument *instrument, int64_t first_id,
                    int64_t lost_count, int32_t gap_reason);

/* Whether a trade is one of those missing, and not one of those that wait. */
int aegis_heal_misses(const struct aegis_instrument *instrument, int64_t trade_id);

/* Publish a trade behind all that are missing, or let it wait for them. */
void aegis_heal_emit(struct aegis_core *core, struct aegis_instrument *instrument,
                     union aegis_market_record *record);

/* Wait no longer: say what is missing, and publish what waited. */
void aegis_heal_give_up(struct aegis_core *core, struct aegis_instrument *instrument);

/* ---- feed_lag.c ---- */

/* How late the frames of one connection are: receive time less event time, on the venue's clock. */
struct aegis_lag {
    int64_t count; /* of the reads since it was last taken */
    int64_t sum_ns;
    int64_t max_ns;
    int64_t
        sampled; /* in the buckets; halved when they are many, so that they follow the present */
    int64_t buckets[640];
};

void aegis_lag_note(struct aegis_lag *lag, int64_t lag_ns);
int64_t aegis_lag_quantile(const struct aegis_lag *lag, int64_t per_mille);

/* Publish a gap record: what is missing before the next record of a channel. */
void aegis_emit_gap(struct aegis_core *core, struct aegis_instrument *instrument, int32_t channel,
                    int32_t gap_reason, int64_t first_id, int64_t last_id, int64_t lost_count);

#endif
