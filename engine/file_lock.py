"""Locks on open files, which the kernel drops with the process that holds them."""

from __future__ import annotations

import fcntl


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Take the lock of an open file or folder; return whether nobody else holds it.

    Args:
        descriptor: the file's; the lock is given back where it is closed.
        shared: only look: others may have it shared at the same time.

    Raises:
        OSError: the file cannot be locked at all.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
