"""Quotes of a market journal: which of them have two sides, and their mids."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.codes import RecordType
from engine.domain.records import MARKET_DTYPE
from engine.store.quotes import mids, two_sided

prices = st.integers(-1, 2**50)
rows = st.lists(st.tuples(st.sampled_from(list(RecordType)), prices, prices), max_size=30)


@given(rows)
def test_only_quotes_with_both_prices_are_kept_in_their_order(
    wanted: list[tuple[RecordType, int, int]],
) -> None:
    records = np.zeros(len(wanted), dtype=MARKET_DTYPE)
    for place, (kind, bid, ask) in enumerate(wanted):
        records["record_type"][place] = kind
        records["bid_price_ticks"][place] = bid
        records["ask_price_ticks"][place] = ask
    kept = [(b, a) for kind, b, a in wanted if kind == RecordType.QUOTE and b > 0 and a > 0]
    found = two_sided(records)
    assert list(zip(found["bid_price_ticks"], found["ask_price_ticks"], strict=True)) == kept
    assert mids(found).tolist() == [(b + a) / 2 for b, a in kept]
