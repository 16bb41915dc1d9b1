"""Errors of the shared-memory rooms.

Operating errors (`SegmentError` and below) are raised at the edge, when a segment is opened,
checked or registered with, and carry a sentence a person can act on. Programmer errors are
`InvariantError`. The message path raises neither: full, empty, evicted and lapped are values.
"""

from __future__ import annotations


class SegmentError(Exception):
    """A shared segment cannot be used; the message says why and what to do."""


class SegmentMissingError(SegmentError):
    """No segment of that name exists."""


class SegmentExistsError(SegmentError):
    """A segment of that name exists already."""


class SegmentLayoutError(SegmentError):
    """A segment, or the C extension, was made for another layout than this code's."""


class SegmentGenerationError(SegmentError):
    """The segment was recreated since the caller learned its generation."""


class SegmentBusyError(SegmentError):
    """The segment cannot be closed, because views of its memory are still alive."""


class ReaderTakenError(SegmentError):
    """The reader or producer place belongs to a process that is alive."""


class SegmentSpaceError(SegmentError):
    """The shared-memory file system has too little room.

    Attributes:
        needed_bytes: what the segment asked for.
        available_bytes: what was free at that moment.
    """

    def __init__(self, message: str, needed_bytes: int, available_bytes: int) -> None:
        """Keep both numbers beside the sentence."""
        super().__init__(message)
        self.needed_bytes = needed_bytes
        self.available_bytes = available_bytes


class SpinRefusedError(SegmentError):
    """Pure spin was asked for on a machine with too few cores for it."""


class InvariantError(AssertionError):
    """The program broke one of its own laws; the role that sees it must die."""
