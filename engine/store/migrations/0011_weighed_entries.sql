-- What an entry was thought to bring stands beside its score, which the view called a probability.

ALTER TABLE decisions ADD COLUMN expected_move_bps DOUBLE PRECISION;    -- NULL: no entry, or not known
ALTER TABLE decisions ADD COLUMN confidence DOUBLE PRECISION;
ALTER TABLE decisions ADD COLUMN cost_bps DOUBLE PRECISION;             -- two fees, spread, slippage
ALTER TABLE decisions ADD COLUMN edge_bps DOUBLE PRECISION;             -- what its row claims, less the cost

DROP VIEW shadow;

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
       d.score AS score,                -- of the strategy's rule, in its own unit
       d.expected_move_bps AS expected_move_bps,
       d.confidence AS confidence,      -- 0 to 1
       d.cost_bps AS cost_bps,
       d.edge_bps AS edge_bps,
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
