"""`aegis journal verify`: is a journal what was written, byte for byte? Reads, never changes.

Sessions are looked for in a session's directory, or anywhere below one; segments whose session has
no document are a problem too, for somebody took it away.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from engine import exit_codes
from engine.processes.progress import progressing
from engine.store.errors import StoreError
from engine.store.journal import SEGMENT_SUFFIX
from engine.store.session import DOCUMENT_NAME
from engine.store.verify import SessionReport, SourceReport, verify_session


class Finding(NamedTuple):
    """What was found of one session."""

    directory: Path
    report: SessionReport | None  # None: it could not be read, for the one problem said
    problems: tuple[str, ...]


def session_directories(place: Path) -> list[Path]:
    """Return every directory at or below a place that holds a session, sorted."""
    files = [*place.rglob(DOCUMENT_NAME), *place.rglob(f"*{SEGMENT_SUFFIX}")]
    return sorted({path.parent for path in files})


def verify_directory(directory: Path) -> Finding:
    """Check one session's journal."""
    try:
        report = verify_session(directory)
    except (StoreError, OSError) as error:
        return Finding(directory, None, (exit_codes.sentence(error),))
    return Finding(directory, report, report.problems)


def verify_command(place: Path, *, as_json: bool) -> int:
    """Check every session at or below a place and print what was found; return the exit code."""
    directories = session_directories(place)
    if not directories:
        return exit_codes.fail(f"no journal in {place}", exit_codes.ENVIRONMENT)
    with progressing(directories, "sessions", quiet=as_json) as each_directory:
        findings = [verify_directory(directory) for directory in each_directory]
    intact = not any(finding.problems for finding in findings)
    if as_json:
        document = {"intact": intact, "sessions": [_document(finding) for finding in findings]}
        print(json.dumps(document))  # noqa: T201  the command's own output
    else:
        print("\n".join(_text(finding) for finding in findings))  # noqa: T201
    return exit_codes.DONE if intact else exit_codes.ENVIRONMENT


def _document(finding: Finding) -> dict[str, Any]:
    sources = finding.report.sources if finding.report is not None else ()
    return {
        "directory": str(finding.directory),
        "intact": not finding.problems,
        "problems": list(finding.problems),
        "sources": [source._asdict() for source in sources],
    }


def _text(finding: Finding) -> str:
    sources = finding.report.sources if finding.report is not None else ()
    lines = [f"{'intact ' if not finding.problems else 'DAMAGED'}  {finding.directory}"]
    lines += [f"         {_source_text(source)}" for source in sources]
    lines += [f"         problem: {problem}" for problem in finding.problems]
    return "\n".join(lines)


def _source_text(source: SourceReport) -> str:
    remarks = [f"{source.source:<20} {source.record_count:>12,} records"]
    if source.lost_count:
        remarks.append(f"{source.lost_count:,} never journaled")
    if source.removed_segment_count:
        remarks.append(f"{source.removed_segment_count} segments removed by retention")
    if source.torn_bytes:
        remarks.append(f"torn tail of {source.torn_bytes} bytes")
    remarks.append("closed in order" if source.is_closed else "not closed in order")
    return ", ".join(remarks)
