-- The view `orders` knows the kind that follows the price.

DROP VIEW orders;

CREATE VIEW orders AS
SELECT o.order_id AS id,
       o.instrument AS symbol,
       CASE o.side WHEN 1 THEN 'BUY' WHEN -1 THEN 'SELL' ELSE 'NONE' END AS side,
       1.0 * o.qty_lots * i.lot_scaled / q.power AS quantity,
       CASE o.order_type WHEN 1 THEN 'MARKET' WHEN 2 THEN 'LIMIT' WHEN 3 THEN 'STOP_MARKET'
            WHEN 4 THEN 'TAKE_PROFIT_MARKET' WHEN 5 THEN 'TRAILING_STOP_MARKET'
            ELSE 'OTHER' END AS order_type,
       CASE o.status WHEN 1 THEN 'PENDING_NEW' WHEN 2 THEN 'NEW' WHEN 3 THEN 'PARTIALLY_FILLED'
            WHEN 4 THEN 'FILLED' WHEN 5 THEN 'PENDING_CANCEL' WHEN 6 THEN 'PENDING_REPLACE'
            WHEN 7 THEN 'CANCELED' WHEN 8 THEN 'REJECTED' WHEN 9 THEN 'EXPIRED'
            WHEN 10 THEN 'UNKNOWN' ELSE 'NONE' END AS status,
       utc_text(o.created_ns) AS timestamp,    -- when it was asked for, or first seen
       o.state_key AS account
FROM order_states o
JOIN instruments i ON i.state_key = o.state_key AND i.instrument = o.instrument
JOIN powers_of_ten q ON q.exponent = i.qty_exponent;
