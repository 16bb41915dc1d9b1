"""Do the compiled extensions belong to the C sources beside them?

`setup.py` compiles the stamp of all sources into both extensions. A checkout that moved on without
`make native` would run new Python over an old build, and what that does is not defined: `aegis run`
asks here first. An installed package has no sources beside it: it was built as a whole.
"""

from __future__ import annotations

import zlib
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def stamp(folder: Path = FOLDER) -> int:
    """Return a number that any change of a C source changes; 0: there are none."""
    found = 0
    for path in sorted(folder.glob("*.[ch]")):
        found = zlib.crc32(path.read_bytes(), zlib.crc32(path.name.encode(), found))
    return found


def difference(folder: Path = FOLDER) -> str:
    """Return what is wrong with the build, in one sentence; empty: nothing is."""
    try:
        from native_ext import _feed, _native
    except ImportError as error:
        return f"native_ext does not load ({error})"
    sources = stamp(folder)
    stale = [m.__name__ for m in (_native, _feed) if getattr(m, "BUILT_FROM", 0) != sources]
    return f"built from other C sources: {', '.join(stale)}" if sources and stale else ""
