"""Files of lines that are rotated by size: `name.jsonl` is written, `name-TIME.jsonl` are older."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path


def rotate(path: Path, bytes_max: int, kept: int) -> None:
    """Set a file that is full aside under the time of now, and remove all but the newest so kept.

    Args:
        path: the file that is written; it may be missing.
        bytes_max: it is full from here on.
        kept: how many older files stay.
    """
    if not path.exists() or path.stat().st_size < bytes_max:
        return
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    path.rename(path.with_name(f"{path.stem}-{stamp}{path.suffix}"))
    for old in rotated(path)[::-1][kept:]:
        old.unlink(missing_ok=True)


def rotated(path: Path) -> list[Path]:
    """Return the older files of one that is written, the oldest first."""
    return sorted(path.parent.glob(f"{path.stem}-*{path.suffix}"))
