-- The shadow store: every decision that reached risk, sent or refused, with what it was decided by
-- (which plan, which kernels, which scores, which gates), where the journal holds what it saw, and,
-- once it was graded, what came of it.

ALTER TABLE decisions ADD COLUMN window_first BIGINT NOT NULL DEFAULT -1;   -- market records from
ALTER TABLE decisions ADD COLUMN window_last BIGINT NOT NULL DEFAULT -1;    -- .. to here; -1: none kept

CREATE TABLE plans (
    state_key TEXT NOT NULL,
    session_id TEXT NOT NULL,
    strategy TEXT NOT NULL,
    plan_hash TEXT NOT NULL,            -- SHA-256 of `plan`
    plan TEXT NOT NULL,                 -- the strategy's whole row as JSON
    PRIMARY KEY (state_key, session_id, strategy)
);

CREATE TABLE shadow_outcomes (
    state_key TEXT NOT NULL,
    session_id TEXT NOT NULL,
    sequence BIGINT NOT NULL,           -- of the decision
    graded_ns BIGINT NOT NULL,
    mid DOUBLE PRECISION,               -- price between bid and ask when it was decided
    after_10s_bps DOUBLE PRECISION,     -- how far mid went in its direction; NULL: not known
    after_60s_bps DOUBLE PRECISION,
    after_300s_bps DOUBLE PRECISION,
    filled_lots BIGINT NOT NULL,        -- of its order; 0: none, or refused
    exit_ns BIGINT,                     -- when its strategy was flat again; NULL: it is not, or was no entry
    pnl_e8 BIGINT,                      -- what the strategy made from its first fill to that exit, after fees
    PRIMARY KEY (state_key, session_id, sequence)
);

CREATE VIEW shadow AS
SELECT d.session_id AS session_id,
       d.sequence AS sequence,
       utc_text(d.time_ns) AS timestamp,
       d.instrument AS symbol,
       d.strategy AS strategy,
       CASE d.side WHEN 1 THEN 'BUY' WHEN -1 THEN 'SELL' ELSE 'NONE' END AS side,
       d.is_entry AS is_entry,
       CASE WHEN d.refusal_mask <> 0 THEN 'REFUSED'
            WHEN COALESCE(x.filled_lots, 0) > 0 THEN 'EXECUTED' ELSE 'SENT' END AS verdict,
       d.refusal_names AS filters,      -- every gate that failed
       d.reason_name AS reason,
       d.score AS probability,
       d.input_1 AS input_1,
       d.input_2 AS input_2,
       d.input_3 AS input_3,
       d.input_4 AS input_4,
       s.kernel_key AS model_version,   -- of the code that scored and decided
       p.plan_hash AS plan_hash,
       d.window_first AS window_first,
       d.window_last AS window_last,
       x.after_10s_bps AS after_10s_bps,
       x.after_60s_bps AS after_60s_bps,
       x.after_300s_bps AS after_300s_bps,
       x.exit_ns AS exit_ns,
       1.0 * x.pnl_e8 / 100000000 AS pnl,
       d.state_key AS account
FROM decisions d
JOIN sessions s ON s.state_key = d.state_key AND s.session_id = d.session_id
LEFT JOIN plans p ON p.state_key = d.state_key AND p.session_id = d.session_id
    AND p.strategy = d.strategy
LEFT JOIN shadow_outcomes x ON x.state_key = d.state_key AND x.session_id = d.session_id
    AND x.sequence = d.sequence;
