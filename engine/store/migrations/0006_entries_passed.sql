-- How many entries passed since a time is asked with every look at the limits: without this index
-- each asks every decision there ever was. Refused ones, which are most, are not in it.

CREATE INDEX entries_passed ON decisions (state_key, time_ns)
    WHERE is_entry = 1 AND refusal_mask = 0;
