/* feed_lag.c: how late the frames of a connection are, as sums of an interval and as quantiles.
 *
 * Buckets are those of every latency histogram. They are halved when they hold AEGIS_LAG_SAMPLES,
 * so that old samples fade; a lag below zero (the venue's clock is known to some ms only) counts in
 * the sums as it is and in the buckets as zero.
 */
#include "feed.h"

#define LAG_SAMPLES 65536
#define LAG_BUCKETS ((int)(sizeof((struct aegis_lag *)0)->buckets / sizeof(int64_t)))

void aegis_lag_note(struct aegis_lag *lag, int64_t lag_ns) {
    if (lag->count == 0 || lag_ns > lag->max_ns)
        lag->max_ns = lag_ns;
    lag->count++;
    lag->sum_ns += lag_ns;
    lag->buckets[aegis_histogram_bucket(lag_ns)]++;
    if (++lag->sampled < LAG_SAMPLES)
        return;
    lag->sampled = 0;
    for (int i = 0; i < LAG_BUCKETS; i++)
        lag->sampled += lag->buckets[i] /= 2;
}

/* The least number that a bucket holds. */
static int64_t bucket_floor(int64_t bucket) {
    if (bucket < 16)
        return bucket;
    int64_t exponent = bucket / 16 + 3;
    return (16 + bucket % 16) << (exponent - 4);
}

int64_t aegis_lag_quantile(const struct aegis_lag *lag, int64_t per_mille) {
    int64_t wanted = (lag->sampled * per_mille + 999) / 1000, seen = 0;
    for (int i = 0; i < LAG_BUCKETS && lag->sampled > 0; i++) {
        seen += lag->buckets[i];
        if (seen >= wanted && seen > 0)
            return bucket_floor(i + 1) - 1;
    }
    return 0;
}
