-- What each strategy has made, kept as it trades: whole positions from flat to flat, after fees.
-- One row per instrument and strategy; the account in the key says whether it was paper or live.

CREATE TABLE strategy_records (
    state_key TEXT NOT NULL,
    instrument TEXT NOT NULL,
    strategy TEXT NOT NULL,
    entries BIGINT NOT NULL,            -- positions opened
    exits BIGINT NOT NULL,              -- positions closed
    wins BIGINT NOT NULL,               -- of those, that made more than their fees
    gross_e8 BIGINT NOT NULL,           -- realised before fees, the open position's parts too
    fee_e8 BIGINT NOT NULL,
    held_ns BIGINT NOT NULL,            -- in closed positions, all together
    entered_ns BIGINT NOT NULL,         -- wall clock, when the open position began; 0: flat
    trade_net_e8 BIGINT NOT NULL,       -- what the open position has made, after fees
    updated_ns BIGINT NOT NULL,
    PRIMARY KEY (state_key, instrument, strategy)
);
