"""This machine's clock as engines of one run read it: set by hand, without setting the machine's.

A library that is loaded before all others (`bench/native/set_clock.c`) adds what a file says to
every reading of the wall clock. The exchange, the kernel's file times and the monotonic clock stay.
"""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).resolve().parents[1] / "native/set_clock.c"
NS_PER_S: Final = 1_000_000_000


class MachineClock:
    """The clock of one run, as far as its engines can tell."""

    def __init__(self, folder: Path) -> None:
        """Compile the library into a folder; the clock is right."""
        self._library = folder / "set_clock.so"
        self._offset = folder / "set_clock"
        self._offset.write_bytes(bytes(8))
        words = ["cc", "-std=c11", "-O2", "-fPIC", "-shared", "-o", str(self._library), str(SOURCE)]
        subprocess.run([*words, "-ldl"], check=True)

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that have a process read this clock."""
        return {"LD_PRELOAD": str(self._library), "SET_CLOCK": str(self._offset)}

    def set(self, offset_s: float) -> None:
        """Set it so far ahead of the machine's; below 0: behind it."""
        with self._offset.open("r+b") as file:  # in place: it is mapped
            file.write(struct.pack("q", round(offset_s * NS_PER_S)))
