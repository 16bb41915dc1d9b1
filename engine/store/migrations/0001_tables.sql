-- What the journal says, as tables. Money in 1e-8 of the quote currency, prices in ticks,
-- quantities in lots, times in ns since the epoch (wall clock). Every row is keyed by what the
-- journal gives it, so projecting the same record twice changes nothing. state_key keeps
-- (venue, account, mode) apart.

CREATE TABLE sessions (
    state_key TEXT NOT NULL,
    session_id TEXT NOT NULL,
    instance TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    version TEXT NOT NULL,
    kernel_key TEXT NOT NULL,
    market_journal TEXT NOT NULL,
    started_ns BIGINT NOT NULL,
    ended_ns BIGINT,                    -- NULL: runs, or was not closed in order
    PRIMARY KEY (state_key, session_id)
);

CREATE TABLE journal_cursors (
    state_key TEXT NOT NULL,
    session_id TEXT NOT NULL,
    source TEXT NOT NULL,
    next_sequence BIGINT NOT NULL,
    is_complete BIGINT NOT NULL,        -- 1: the source was closed and is projected to its end
    PRIMARY KEY (state_key, session_id, source)
);

CREATE TABLE instruments (
    state_key TEXT NOT NULL,
    instrument TEXT NOT NULL,
    quote TEXT NOT NULL,
    tick_scaled BIGINT NOT NULL,        -- price = ticks * tick_scaled / 10 ^ price_exponent
    price_exponent BIGINT NOT NULL,
    lot_scaled BIGINT NOT NULL,         -- quantity = lots * lot_scaled / 10 ^ qty_exponent
    qty_exponent BIGINT NOT NULL,
    unit_e8 BIGINT NOT NULL,            -- money of one tick times one lot
    PRIMARY KEY (state_key, instrument)
);

CREATE TABLE orders (
    state_key TEXT NOT NULL,
    order_id TEXT NOT NULL,             -- <epoch>-<order_sequence>, or venue-<instrument>-<venue_order_id>
    session_id TEXT NOT NULL,           -- that saw it first
    client_order_id TEXT NOT NULL,      -- empty: not ours
    venue_order_id BIGINT NOT NULL,     -- 0: not known
    epoch BIGINT NOT NULL,
    order_sequence BIGINT NOT NULL,
    cause_sequence BIGINT NOT NULL,
    instrument TEXT NOT NULL,
    strategy TEXT NOT NULL,             -- empty: no strategy
    side BIGINT NOT NULL,
    order_type BIGINT NOT NULL,
    time_in_force BIGINT NOT NULL,
    flags BIGINT NOT NULL,
    price_ticks BIGINT NOT NULL,        -- 0: MARKET
    qty_lots BIGINT NOT NULL,
    cum_qty_lots BIGINT NOT NULL,       -- filled, by the venue's word or our fills
    filled_lots BIGINT NOT NULL,        -- by our fills alone
    status BIGINT NOT NULL,             -- OrderStatus
    reason BIGINT NOT NULL,
    created_ns BIGINT NOT NULL,
    sent_ns BIGINT,
    updated_ns BIGINT NOT NULL,
    PRIMARY KEY (state_key, order_id)
);
CREATE INDEX orders_by_status ON orders (state_key, status);
CREATE INDEX orders_by_venue_id ON orders (state_key, instrument, venue_order_id);

CREATE TABLE executions (
    state_key TEXT NOT NULL,
    instrument TEXT NOT NULL,
    trade_id BIGINT NOT NULL,
    order_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    strategy TEXT NOT NULL,
    side BIGINT NOT NULL,
    price_ticks BIGINT NOT NULL,
    qty_lots BIGINT NOT NULL,
    fee_e8 BIGINT NOT NULL,
    realised_pnl_e8 BIGINT NOT NULL,        -- ours, average cost per strategy
    venue_realised_pnl_e8 BIGINT NOT NULL,
    liquidity BIGINT NOT NULL,
    flags BIGINT NOT NULL,
    venue_time_ns BIGINT NOT NULL,
    time_ns BIGINT NOT NULL,
    PRIMARY KEY (state_key, instrument, trade_id)
);

CREATE TABLE positions (
    state_key TEXT NOT NULL,
    instrument TEXT NOT NULL,
    strategy TEXT NOT NULL,             -- a name; (external): no strategy of ours; (net): the venue's
    lots BIGINT NOT NULL,
    cost_e8 BIGINT NOT NULL,
    realised_pnl_e8 BIGINT NOT NULL,    -- sum of the executions above, and of adjustments
    fee_e8 BIGINT NOT NULL,
    session_id TEXT NOT NULL,           -- that wrote it last
    updated_ns BIGINT NOT NULL,
    PRIMARY KEY (state_key, instrument, strategy)
);

CREATE TABLE decisions (
    state_key TEXT NOT NULL,
    session_id TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    time_ns BIGINT NOT NULL,
    instrument TEXT NOT NULL,
    strategy TEXT NOT NULL,
    side BIGINT NOT NULL,
    is_entry BIGINT NOT NULL,
    reason BIGINT NOT NULL,
    reason_name TEXT NOT NULL,
    score DOUBLE PRECISION,
    input_1 DOUBLE PRECISION,
    input_2 DOUBLE PRECISION,
    input_3 DOUBLE PRECISION,
    input_4 DOUBLE PRECISION,
    price_ticks BIGINT NOT NULL,
    qty_lots BIGINT NOT NULL,
    position_lots BIGINT NOT NULL,
    cause_sequence BIGINT NOT NULL,
    request_id BIGINT NOT NULL,
    refusal_mask BIGINT NOT NULL,       -- 0: approved
    refusal_names TEXT NOT NULL,
    PRIMARY KEY (state_key, session_id, sequence)
);

CREATE TABLE refusals (
    state_key TEXT NOT NULL,
    session_id TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    time_ns BIGINT NOT NULL,
    instrument TEXT NOT NULL,
    strategy TEXT NOT NULL,
    side BIGINT NOT NULL,
    qty_lots BIGINT NOT NULL,
    reason BIGINT NOT NULL,             -- the first gate that refused
    reason_name TEXT NOT NULL,
    refusal_mask BIGINT NOT NULL,
    suppressed_count BIGINT NOT NULL,   -- alike, before this one, counted and not written
    PRIMARY KEY (state_key, session_id, sequence)
);

CREATE TABLE faults (
    state_key TEXT NOT NULL,
    session_id TEXT NOT NULL,
    source TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    time_ns BIGINT NOT NULL,
    role TEXT NOT NULL,
    kind TEXT NOT NULL,
    reason BIGINT NOT NULL,
    instrument TEXT NOT NULL,
    cause_sequence BIGINT NOT NULL,
    request_id BIGINT NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (state_key, session_id, source, sequence)
);

CREATE TABLE balances (
    state_key TEXT NOT NULL,
    asset TEXT NOT NULL,
    wallet_e8 BIGINT,                   -- by our own books: the opening balance, fills, adjustments
    explained_e8 BIGINT,                -- the same without adjustments: what our own fills explain
    available_e8 BIGINT,                -- the venue's last word
    venue_wallet_e8 BIGINT,             -- the venue's last word
    updated_ns BIGINT NOT NULL,
    PRIMARY KEY (state_key, asset)
);

CREATE TABLE adjustments (
    state_key TEXT NOT NULL,
    session_id TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    adjustment_id BIGINT NOT NULL,      -- from what the venue said: the same state, the same id
    time_ns BIGINT NOT NULL,
    venue_time_ns BIGINT NOT NULL,      -- covers what happened at the venue up to here
    kind TEXT NOT NULL,                 -- POSITION, CASH, OPENING_CASH, FILL (written off)
    instrument TEXT NOT NULL,
    side BIGINT NOT NULL,
    qty_lots BIGINT NOT NULL,
    price_ticks BIGINT NOT NULL,
    position_lots BIGINT NOT NULL,      -- after it
    position_cost_e8 BIGINT NOT NULL,
    realised_pnl_e8 BIGINT NOT NULL,
    amount_e8 BIGINT NOT NULL,          -- CASH: what the wallet changed by
    PRIMARY KEY (state_key, session_id, sequence)
);

CREATE TABLE role_states (
    state_key TEXT NOT NULL,
    session_id TEXT NOT NULL,
    source TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    time_ns BIGINT NOT NULL,
    role TEXT NOT NULL,
    kind TEXT NOT NULL,                 -- ROLE_STATE_CHANGED, TRADING_STATE_CHANGED, RECONCILED, CONTROL_*
    state BIGINT NOT NULL,
    state_name TEXT NOT NULL,
    reason BIGINT NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (state_key, session_id, source, sequence)
);
