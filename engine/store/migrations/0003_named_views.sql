-- What people ask for by name: `orders` and `executions` in words and decimals. The rows behind
-- them keep ticks, lots and 1e-8; they are called what they hold. utc_text(ns) stands for each
-- database's own way to write a time: YYYY-MM-DDTHH:MM:SS.ffffffZ.

ALTER TABLE orders RENAME TO order_states;
ALTER TABLE executions RENAME TO fills;

CREATE TABLE powers_of_ten (exponent BIGINT PRIMARY KEY, power BIGINT NOT NULL);
INSERT INTO powers_of_ten VALUES
    (0, 1), (1, 10), (2, 100), (3, 1000), (4, 10000), (5, 100000), (6, 1000000), (7, 10000000),
    (8, 100000000), (9, 1000000000), (10, 10000000000), (11, 100000000000), (12, 1000000000000),
    (13, 10000000000000), (14, 100000000000000), (15, 1000000000000000),
    (16, 10000000000000000), (17, 100000000000000000), (18, 1000000000000000000);

CREATE VIEW orders AS
SELECT o.order_id AS id,
       o.instrument AS symbol,
       CASE o.side WHEN 1 THEN 'BUY' WHEN -1 THEN 'SELL' ELSE 'NONE' END AS side,
       1.0 * o.qty_lots * i.lot_scaled / q.power AS quantity,
       CASE o.order_type WHEN 1 THEN 'MARKET' WHEN 2 THEN 'LIMIT' ELSE 'OTHER' END AS order_type,
       CASE o.status WHEN 1 THEN 'PENDING_NEW' WHEN 2 THEN 'NEW' WHEN 3 THEN 'PARTIALLY_FILLED'
            WHEN 4 THEN 'FILLED' WHEN 5 THEN 'PENDING_CANCEL' WHEN 6 THEN 'PENDING_REPLACE'
            WHEN 7 THEN 'CANCELED' WHEN 8 THEN 'REJECTED' WHEN 9 THEN 'EXPIRED'
            WHEN 10 THEN 'UNKNOWN' ELSE 'NONE' END AS status,
       utc_text(o.created_ns) AS timestamp,    -- when it was asked for, or first seen
       o.state_key AS account
FROM order_states o
JOIN instruments i ON i.state_key = o.state_key AND i.instrument = o.instrument
JOIN powers_of_ten q ON q.exponent = i.qty_exponent;

CREATE VIEW executions AS
SELECT f.order_id AS order_id,
       utc_text(f.time_ns) AS exec_time,
       1.0 * f.price_ticks * i.tick_scaled / p.power AS price,
       1.0 * f.qty_lots * i.lot_scaled / q.power AS quantity,
       1.0 * f.fee_e8 / 100000000 AS commission,
       f.instrument AS symbol,
       1.0 * f.realised_pnl_e8 / 100000000 AS pnl,    -- before commission
       CASE f.side WHEN 1 THEN 'BUY' WHEN -1 THEN 'SELL' ELSE 'NONE' END AS side,
       f.trade_id AS trade_id,
       f.state_key AS account
FROM fills f
JOIN instruments i ON i.state_key = f.state_key AND i.instrument = f.instrument
JOIN powers_of_ten p ON p.exponent = i.price_exponent
JOIN powers_of_ten q ON q.exponent = i.qty_exponent;
