"""The words of the commands about recorded markets: `record`, `tape`, `download`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Final

Add = Callable[[str, str, str], argparse.ArgumentParser]
_SIZES: Final = {"k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}

RECORD_EXAMPLE = """\
example: aegis record --for 3600 --parquet --json
         aegis record --into /data/tapes --keep-days 30 --upload s3://bucket/desk-1

Attaches to a running engine and writes its market records to tapes; the engine does not wait for
it. Start it before the engine with --wait and the books are whole from the first record.
Exit code 0: done; 2: a package of the extra `history` is missing; 3: no such engine, the disk
refuses, or a finished tape could not be turned into Parquet or copied (nothing is deleted then).
"""
TAPE_EXAMPLE = """\
example: aegis tape info market.tape
         aegis tape verify /data/tapes
         aegis tape import captures/usdm_btcusdt.gz --into btc.tape
         aegis tape export market.tape --into parquet/

Exit code 0: done; 2: a package is missing, or the words do not fit; 3: a tape is damaged, a file is
of no known format, or the disk refuses.
"""
DOWNLOAD_EXAMPLE = """\
example: aegis download klines BTCUSDT ETHUSDT --from 2024-01-01 --to 2024-02-01 --interval 1m
         aegis download agg-trades BTCUSDT --from 2024-01-01 --to 2024-01-02

What is there already is not fetched again, so a download that was interrupted goes on where it was.
Exit code 0: done; 2: a package of the extra `history` is missing; 3: the venue or the disk refuses.
"""


def add_tape_commands(add: Add) -> None:
    """Add the parsers of these commands."""
    _add_record(add("record", "Record a running engine's market.", RECORD_EXAMPLE))
    _add_tape(add("tape", "Look at tapes, make them, turn them into Parquet.", TAPE_EXAMPLE))
    _add_download(add("download", "Fetch history from the venue.", DOWNLOAD_EXAMPLE))


def _add_record(record: argparse.ArgumentParser) -> None:
    record.add_argument("--name", default="main", help="instance name of the engine (main)")
    record.add_argument("--into", default=None, metavar="DIR", help="default AEGIS_HOME/tapes/NAME")
    record.add_argument(
        "--wait", type=seconds, default=0.0, metavar="SECONDS", help="for the engine to start (0)"
    )
    record.add_argument("--for", dest="seconds", type=seconds, default=None, help="stop after")
    record.add_argument("--json", action="store_true", help="end with one JSON object")
    record.add_argument("--parquet", action="store_true", help="finished tapes as Parquet too")
    record.add_argument(
        "--tape-bytes", type=size, default="1G", metavar="N", help="a new tape after so many (1G)"
    )
    record.add_argument(
        "--tape-minutes", type=seconds, default=60.0, metavar="M", help="or after so long (60)"
    )
    record.add_argument(
        "--keep-days", type=seconds, default=None, metavar="D", help="remove older finished tapes"
    )
    record.add_argument(
        "--keep-bytes", type=size, default=None, metavar="N", help="remove the oldest beyond"
    )
    record.add_argument(
        "--upload",
        default=None,
        metavar="URL",
        help="copy finished files there: s3://bucket/folder, file:///folder (S3_BUCKET)",
    )
    record.add_argument(
        "--endpoint", default="", metavar="URL", help="of S3-compatible storage that is not AWS"
    )


def _add_tape(tape: argparse.ArgumentParser) -> None:
    tape.add_argument("action", choices=("info", "verify", "import", "export"))
    tape.add_argument("paths", nargs="+", metavar="PATH", help="tapes, or folders of them; sources")
    tape.add_argument("--into", default=None, metavar="PATH", help="tape or folder to write")
    tape.add_argument("--symbol", default="", help="import: instrument, where the file names none")
    tape.add_argument("--tick", default="", help="import: price step, where it must be known")
    tape.add_argument("--lot", default="", help="import: quantity step, where it must be known")
    tape.add_argument("--json", action="store_true", help="print one JSON object")


def _add_download(download: argparse.ArgumentParser) -> None:
    download.add_argument("what", choices=("klines", "agg-trades"))
    download.add_argument("symbols", nargs="+", metavar="SYMBOL")
    download.add_argument("--from", dest="first", required=True, metavar="DAY", help="2024-01-31")
    download.add_argument("--to", dest="last", required=True, metavar="DAY", help="the day after")
    download.add_argument("--interval", default="1m", help="of klines (1m)")
    download.add_argument("--into", default=None, metavar="DIR", help="AEGIS_HOME/history")
    download.add_argument(
        "--url", default="", help="of a practice exchange or proxy instead of the venue"
    )
    download.add_argument("--json", action="store_true", help="end with one JSON object")


def seconds(text: str) -> float:
    """Return a number that is not negative and not endless.

    Raises:
        ValueError: it is none.
    """
    number = float(text)
    if not 0 <= number < float("inf"):
        raise ValueError(text)
    return number


def size(text: str) -> int:
    """Return a number of bytes such as 500M or 2G.

    Raises:
        ValueError: it is none.
    """
    factor = _SIZES.get(text[-1:], 1)
    number = float(text[:-1] if factor > 1 else text) * factor
    if not 1 <= number < 2**63:
        raise ValueError(text)
    return int(number)


seconds.__name__, size.__name__ = "number", "number of bytes"  # in argparse's sentence
