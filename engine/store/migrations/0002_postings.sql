-- The double-entry ledger: what changed the wallet, and why. The amounts of an entry sum to zero;
-- those on WALLET sum to balances.wallet_e8. Money in 1e-8 of the quote currency.

CREATE TABLE postings (
    state_key TEXT NOT NULL,
    entry_id TEXT NOT NULL,             -- fill-<instrument>-<trade id>, funding-..., cash-<session>-<sequence>
    account TEXT NOT NULL,              -- WALLET, TRADING, FEES, FUNDING, ADJUSTMENT, OPENING
    instrument TEXT NOT NULL,           -- empty: none
    strategy TEXT NOT NULL,             -- empty: none
    amount_e8 BIGINT NOT NULL,
    session_id TEXT NOT NULL,
    venue_time_ns BIGINT NOT NULL,
    time_ns BIGINT NOT NULL,
    PRIMARY KEY (state_key, entry_id, account)
);
CREATE INDEX postings_by_account ON postings (state_key, account, time_ns);
