-- The feature vectors of ended bars, where `journal.feature_rows` asks for them, and which column of
-- a vector is which feature, plan by plan.

CREATE TABLE feature_vectors (
    state_key TEXT NOT NULL,
    session_id TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    instrument TEXT NOT NULL,
    timeframe_s BIGINT NOT NULL,
    number BIGINT NOT NULL,             -- of the bar: 0, 1, 2 ... since the session began
    start_ns BIGINT NOT NULL,           -- of the bar, wall clock
    open_ticks BIGINT NOT NULL,
    high_ticks BIGINT NOT NULL,
    low_ticks BIGINT NOT NULL,
    close_ticks BIGINT NOT NULL,
    volume_lots BIGINT NOT NULL,
    buy_lots BIGINT NOT NULL,
    plan BIGINT NOT NULL,               -- first eight bytes of the plan hash
    vector TEXT NOT NULL,               -- a JSON array of its columns; null: no finite number
    PRIMARY KEY (state_key, session_id, sequence)
);

CREATE INDEX feature_vectors_by_bar ON feature_vectors (state_key, instrument, timeframe_s, start_ns);

CREATE TABLE feature_columns (
    plan BIGINT NOT NULL,
    place BIGINT NOT NULL,              -- in the array, from 0
    name TEXT NOT NULL,
    PRIMARY KEY (plan, place)
);
