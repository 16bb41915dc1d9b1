"""What can go wrong with a tape, a folder of them, or a copy of one."""

from __future__ import annotations

from engine.extras import install


class TapeError(Exception):
    """A tape cannot be read or written; the message names the file."""


class TapeDamagedError(TapeError):
    """Bytes of a tape were changed: more than a killed writer leaves behind."""


class TapeBusyError(TapeError):
    """Another process writes this tape."""


class UploadError(Exception):
    """A copy could not be made or verified; nothing was deleted."""


class ImportFormatError(Exception):
    """A file is of no format that can become a tape; the message says what was looked for."""


class MissingExtraError(Exception):
    """A package of an extra is not installed; the message says which extra brings it."""


def missing_extra(package: str, extra: str) -> MissingExtraError:
    """Return the sentence for a package that is not installed."""
    return MissingExtraError(
        f"{package} is not installed; it comes with the extra {extra}: {install(extra)}"
    )
