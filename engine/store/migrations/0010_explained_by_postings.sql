-- What fills and funding explain of a wallet is the sum of their postings.

ALTER TABLE balances DROP COLUMN explained_e8;
