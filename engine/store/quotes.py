"""Quotes of a market journal, as whoever looks back at prices reads them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.domain.codes import RecordType


def two_sided(records: NDArray[np.void]) -> NDArray[np.void]:
    """Return the quotes among market records that have a bid and an ask, in their order."""
    is_quote = records["record_type"] == RecordType.QUOTE
    is_whole = (records["bid_price_ticks"] > 0) & (records["ask_price_ticks"] > 0)
    found: NDArray[np.void] = records[is_quote & is_whole]
    return found


def mids(quotes: NDArray[np.void]) -> NDArray[np.float64]:
    """Return the mid of each quote, float64[n], ticks."""
    found: NDArray[np.float64] = (
        quotes["bid_price_ticks"].astype(np.float64) + quotes["ask_price_ticks"]
    ) / 2
    return found
