"""The instruments as numpy rows, for kernels: the same table as `engine.domain.instrument_row`.

`INSTRUMENT_DTYPE` is the 256-byte row; `read_instruments` copies the published rows of an
instruments segment, so that the result outlives it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.domain.instrument_row import (
    INSTRUMENT_BYTES,
    INSTRUMENT_FIELDS,
    SEGMENT_COUNT_OFFSET,
    SEGMENT_ROWS_OFFSET,
    ContractType,
    Instrument,
    InstrumentError,
    InstrumentFlag,
    Rounding,
    pack_row,
    unpack_row,
)

INSTRUMENT_DTYPE: np.dtype[np.void] = np.dtype(
    {
        "names": [name for name, _, _ in INSTRUMENT_FIELDS],
        "formats": [form for _, form, _ in INSTRUMENT_FIELDS],
        "offsets": [offset for _, _, offset in INSTRUMENT_FIELDS],
        "itemsize": INSTRUMENT_BYTES,
    }
)


def instrument_rows(instruments: Sequence[Instrument]) -> NDArray[np.void]:
    """Return a fresh row per instrument, in the given order."""
    raw = bytearray(SEGMENT_ROWS_OFFSET + len(instruments) * INSTRUMENT_BYTES)
    for row, instrument in enumerate(instruments):
        pack_row(instrument, raw, row)
    return np.frombuffer(raw, INSTRUMENT_DTYPE, len(instruments), SEGMENT_ROWS_OFFSET).copy()


def read_instruments(buffer: memoryview) -> NDArray[np.void]:
    """Return a copy of the rows published in an instruments segment; length 0 before that."""
    count = int(np.frombuffer(buffer, np.int64, 1, SEGMENT_COUNT_OFFSET)[0])
    return np.frombuffer(buffer, INSTRUMENT_DTYPE, count, SEGMENT_ROWS_OFFSET).copy()


__all__ = [
    "INSTRUMENT_DTYPE",
    "ContractType",
    "Instrument",
    "InstrumentError",
    "InstrumentFlag",
    "Rounding",
    "instrument_rows",
    "pack_row",
    "read_instruments",
    "unpack_row",
]
