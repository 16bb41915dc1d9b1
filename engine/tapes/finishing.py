"""What becomes of a tape once it was ended: Parquet, a verified copy, its place given up.

One tape after another, in a thread beside the recorder; the tapes themselves are the queue, so
nothing is held in memory and a killed recorder's tapes are found again. Each step that was done is
in the tape's note, and a step that fails is tried again with the next round.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from engine.tapes.errors import TapeError, UploadError
from engine.tapes.folder import TapeFolder, read_note, retain, write_note
from engine.tapes.parquet import export_parquet
from engine.tapes.upload import Destination

ROUND_S: Final = 5.0


class Policy(NamedTuple):
    """What is to be done with tapes that were ended."""

    parquet_root: Path | None = None  # None: no Parquet
    destination: Destination | None = None  # None: no copies
    keep_days: float | None = None
    keep_bytes: int | None = None


class Finishing:
    """The thread that finishes tapes."""

    def __init__(
        self, folder: TapeFolder, policy: Policy, say: Callable[[str], None] = lambda _text: None
    ) -> None:
        """Take the folder over; nothing is done before `start` or `work`.

        Args:
            folder: whose tapes are finished.
            policy: what is done with them.
            say: takes one sentence for each thing done or refused.
        """
        self._folder = folder
        self._policy = policy
        self._say = say
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._failures: dict[Path, str] = {}
        self.parquet_files = 0
        self.copies = 0
        self.removed = 0

    @property
    def failures(self) -> list[str]:
        """Why the last try to finish a tape failed, for each that is not finished."""
        return list(self._failures.values())

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="finishing")
        self._thread.start()

    def hurry(self) -> None:
        """Say that a tape was ended."""
        self._wake.set()

    def stop(self) -> None:
        """Finish what was ended until now, then end the thread."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def work(self) -> None:
        """Finish every tape that was ended; failures are kept and told, never raised."""
        finished = self._folder.finished()
        for path in finished:
            try:
                self._finish(path)
                self._failures.pop(path, None)
            except (TapeError, UploadError) as error:
                if self._failures.get(path) != str(error):
                    self._say(str(error))
                self._failures[path] = str(error)
        policy = self._policy
        if policy.keep_days is None and policy.keep_bytes is None:
            return
        try:
            gone = retain(
                [path for path in finished if path not in self._failures],
                keep_days=policy.keep_days,
                keep_bytes=policy.keep_bytes,
                is_safe=policy.destination is None,
            )
        except OSError as error:
            self._say(f"{error.filename}: {error.strerror}")
            return
        self.removed += len(gone)
        for path in gone:
            self._say(f"{path.name}: removed, beyond what is kept")

    def _finish(self, path: Path) -> None:
        note = read_note(path)
        policy = self._policy
        if policy.parquet_root is not None and "parquet" not in note:
            files = export_parquet(path, policy.parquet_root)
            names = [str(file.relative_to(policy.parquet_root)) for file in files]
            note = self._noted(path, note, "parquet", names)
            self.parquet_files += len(files)
            self._say(f"{path.name}: {len(files)} Parquet files")
        if policy.destination is None or "copy" in note:
            return
        if policy.parquet_root is not None:
            for name in note.get("parquet", []):
                policy.destination.put(policy.parquet_root / name, f"parquet/{name}")
                self.copies += 1
        copy = policy.destination.put(path, f"tapes/{path.name}")
        self.copies += 1
        self._noted(path, note, "copy", copy)
        self._say(f"{path.name}: copied to {copy['url']} and read back")

    def _noted(self, path: Path, note: dict[str, Any], name: str, found: object) -> dict[str, Any]:
        made = {**note, name: found}
        write_note(path, made)
        return made

    def _run(self) -> None:
        while True:
            is_last = self._stopping.is_set()
            self._wake.clear()
            self.work()
            if is_last:
                return
            self._wake.wait(ROUND_S)
