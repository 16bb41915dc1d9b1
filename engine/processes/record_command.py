"""`aegis record` around the recorder: find the engine, obey signals, say how it went."""

from __future__ import annotations

import argparse
import json
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from engine import exit_codes
from engine.config import Config
from engine.processes.progress import ProgressLine, bytes_text
from engine.processes.record import MarketEar, Recorder
from engine.tapes.errors import MissingExtraError, TapeError, UploadError
from engine.tapes.finishing import Finishing, Policy
from engine.tapes.folder import TapeFolder
from engine.tapes.parquet import pyarrow
from engine.tapes.recording import Recording, resume_from
from engine.tapes.upload import Destination
from ringbuffer.errors import SegmentError

WAIT_POLL_S: Final = 0.05


def record_command(options: argparse.Namespace, config: Config) -> int:
    """Record until told to stop; return the exit code."""
    stopping = _obey_signals()
    line = ProgressLine()
    try:
        folder = TapeFolder(Path(options.into or Path(config.home) / "tapes" / options.name))
        policy = policy_of(options, config, folder)
        for sentence in folder.end_left():
            line.say(sentence)
        ear = _attach(options, stopping, line)
        if ear is None:
            return exit_codes.DONE if stopping.is_set() else exit_codes.ENVIRONMENT
        return _record(options, ear, folder, policy, line, stopping)
    except MissingExtraError as error:
        return exit_codes.fail(str(error), exit_codes.USAGE)
    except (TapeError, UploadError) as error:
        line.end()
        return exit_codes.fail(str(error), exit_codes.ENVIRONMENT)


def policy_of(options: argparse.Namespace, config: Config, folder: TapeFolder) -> Policy:
    """Return what is to be done with finished tapes, by command line and settings.

    Raises:
        MissingExtraError: a package of it is not installed.
        UploadError: no such kind of storage.
    """
    url = options.upload
    if url is None and config.s3_bucket:
        url = f"s3://{config.s3_bucket}/{options.name}"
    destination = None
    if url:
        endpoint = options.endpoint or config.aws_endpoint
        destination = Destination(url, region=config.aws_region, endpoint=endpoint)
    if options.parquet:
        pyarrow()  # said now, not after the first tape
    return Policy(
        parquet_root=folder.path / "parquet" if options.parquet else None,
        destination=destination,
        keep_days=options.keep_days,
        keep_bytes=options.keep_bytes,
    )


def _attach(
    options: argparse.Namespace, stopping: threading.Event, line: ProgressLine
) -> MarketEar | None:
    """Return the engine's ring once its instruments are known, or None with the reason said."""
    end_s = time.monotonic() + options.wait
    ear: MarketEar | None = None
    reason = ""
    while not stopping.is_set():
        try:
            ear = ear or MarketEar(options.name)
        except SegmentError as error:
            reason = str(error)
        if ear is not None and not ear.is_engine_alive():
            ear.close()
            ear, reason = None, "its process is gone"
        if ear is not None and len(ear.instruments()):
            return ear
        if ear is None and time.monotonic() >= end_s:
            exit_codes.fail(f"no engine named {options.name!r} to record ({reason})", 0)
            return None
        line.show(f"waiting for engine {options.name!r}")
        stopping.wait(WAIT_POLL_S)
    if ear is not None:
        ear.close()
    return None


def _record(
    options: argparse.Namespace,
    ear: MarketEar,
    folder: TapeFolder,
    policy: Policy,
    line: ProgressLine,
    stopping: threading.Event,
) -> int:
    finishing = Finishing(folder, policy, line.say)
    resumed = resume_from(folder, ear.run)
    is_whole = ear.begin(resumed.last_word)
    recording = Recording(
        folder,
        options.name,
        ear.instruments(),
        source=ear.run,
        books=resumed.books,
        last_word=resumed.last_word,
        tape_bytes=options.tape_bytes,
        tape_seconds=options.tape_minutes * 60.0,
        on_finished=lambda _path: finishing.hurry(),
    )
    line.say(f"recording engine {options.name!r} into {recording.path}")
    if resumed.last_word and is_whole:
        line.say(f"going on behind record {resumed.last_word:,} of an earlier recording")
    elif not is_whole:
        line.say("the ring has lapped: each book is known when the feed repeats it, within 30 s")
    began_s = time.monotonic()
    end_s = began_s + (options.seconds or float("inf"))
    finishing.start()
    try:
        Recorder(ear, recording).run(
            lambda: stopping.is_set() or time.monotonic() >= end_s,
            _shower(recording, line, began_s),
        )
    finally:
        finishing.stop()
        line.end()
        ear.close()
    document = _summary(recording, finishing, folder, time.monotonic() - began_s)
    _show(document, as_json=options.json)
    return exit_codes.ENVIRONMENT if finishing.failures else exit_codes.DONE


def _shower(recording: Recording, line: ProgressLine, began_s: float) -> Callable[[], None]:
    def show() -> None:
        """Show how much was recorded and how fast."""
        elapsed_s = max(time.monotonic() - began_s, 1e-3)
        line.show(
            f"{elapsed_s:,.0f} s  {recording.record_count:,} records "
            f"({recording.record_count / elapsed_s:,.0f}/s)  lost {recording.lost_count:,}  "
            f"{bytes_text(recording.size_bytes)} in {recording.tape_count} tapes"
        )

    return show


def _summary(
    recording: Recording, finishing: Finishing, folder: TapeFolder, elapsed_s: float
) -> dict[str, Any]:
    return {
        "folder": str(folder.path),
        "seconds": round(elapsed_s, 3),
        "records": recording.record_count,
        "lost": recording.lost_count,
        "tapes": recording.tape_count,
        "bytes": recording.size_bytes,
        "parquet_files": finishing.parquet_files,
        "copies": finishing.copies,
        "removed": finishing.removed,
        "failures": finishing.failures,
    }


def _show(document: dict[str, Any], *, as_json: bool) -> None:
    text = (
        f"{document['records']:,} records in {document['tapes']} tapes "
        f"({bytes_text(document['bytes'])}) in {document['folder']}; lost {document['lost']:,}"
    )
    print(json.dumps(document) if as_json else text)  # noqa: T201  the command's own output


def _obey_signals() -> threading.Event:
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    return stopping
