"""The version of the distribution, readable without importing anything else."""

from __future__ import annotations

VERSION = "0.1.0"


def describe() -> dict[str, str]:
    """Return version, commit where it is known, interpreter and machine."""
    import os
    import platform

    return {
        "version": VERSION,
        "commit": _commit(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": f"{platform.system()} {os.uname().release}",
    }


def _commit() -> str:
    """Return the commit of the checkout this runs from; `unknown` outside one."""
    from pathlib import Path

    root = Path(__file__).resolve().parent.parent
    try:
        stamped = root / "engine" / "COMMIT"  # written by the image build
        if stamped.exists():
            return stamped.read_text(encoding="ascii").strip()[:12]
        head = (root / ".git" / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref: "):
            return head[:12]
        return (root / ".git" / head[5:]).read_text(encoding="utf-8").strip()[:12]
    except OSError:
        return "unknown"
