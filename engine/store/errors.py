"""Errors of the store: operating errors at the edge, each a sentence a person can act on."""

from __future__ import annotations


class StoreError(Exception):
    """Something under the state directory cannot be used; the message says what and why."""


class JournalError(StoreError):
    """A journal cannot be opened, read or written."""


class JournalCorruptError(JournalError):
    """Bytes in the middle of a journal are not what was written: never cut, never guessed."""


class JournalWriteError(JournalError):
    """The file system refused an append; the journal ends at its last whole frame."""


class SessionError(JournalError):
    """A session's document is missing or does not fit this engine."""


class ProjectionError(StoreError):
    """The database cannot take rows now; the journal has them and they will be taken later."""
