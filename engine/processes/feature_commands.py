"""`aegis features write | verify`: what the brain saw, as Parquet, and made once more."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from engine import exit_codes
from engine.processes.feature_files import FeatureStoreError, present_plan, write_features
from engine.processes.journal_verify import session_directories
from engine.processes.progress import bytes_text
from engine.store.errors import StoreError
from engine.store.session import read_document
from engine.tapes.errors import MissingExtraError


def features_command(options: argparse.Namespace, home: Path) -> int:
    """Do what was asked with the features of one session or of all; return the exit code."""
    place = Path(options.place) if options.place else home / "state"
    directories = session_directories(place)
    if not directories:
        return exit_codes.fail(f"no journal in {place}", exit_codes.ENVIRONMENT)
    root = Path(options.store) if options.store else home / "features"
    try:
        return _ACTIONS[options.action](directories, root, as_json=options.json)
    except MissingExtraError as error:
        return exit_codes.fail(str(error), exit_codes.USAGE)
    except (FeatureStoreError, StoreError) as error:
        return exit_codes.fail(str(error), exit_codes.ENVIRONMENT)


def _write(directories: list[Path], root: Path, *, as_json: bool) -> int:
    from engine.domain.kernel import leave_plain

    leave_plain()  # only what columns are called is asked of the kernels
    plan = present_plan()
    written = [
        path
        for directory in directories
        for path in write_features(directory, read_document(directory), root, plan)
    ]
    size = sum(path.stat().st_size for path in written)
    document = {"store": str(root), "files": len(written), "bytes": size, "plan": plan.plan_hash}
    _show(document, f"{len(written)} files, {bytes_text(size)}, in {root}", as_json=as_json)
    return exit_codes.DONE


def _verify(directories: list[Path], root: Path, *, as_json: bool) -> int:
    from engine.processes import kernel_cache

    # Kernels come from the cache of the home the journal lies in, as the engine's did.
    kernel_cache.activate(str(directories[0].resolve().parents[3]))
    found = [_verified(directory, root) for directory in directories]
    _show({"sessions": found}, "\n".join(map(_text, found)), as_json=as_json)
    if any(session["differences"] for session in found):
        return exit_codes.ROLE_DIED
    return exit_codes.ENVIRONMENT if any(it["reason"] for it in found) else exit_codes.DONE


def _verified(directory: Path, root: Path) -> dict[str, Any]:
    from engine.processes.feature_check import compare_session
    from engine.processes.replay_journal import NotReplayableError, why_not_replayable

    document = read_document(directory)
    reason = why_not_replayable(directory, document)
    places = []
    if not reason:
        try:
            places = compare_session(directory, root, present_plan())
        except (NotReplayableError, FeatureStoreError) as error:
            reason = str(error)
    return {
        "session": document.session_id,
        "reason": reason,
        "places": [place._asdict() for place in places],
        "differences": [difference for place in places for difference in place.differences],
    }


def _text(session: dict[str, Any]) -> str:
    if session["reason"]:
        return f"{session['session']} cannot be compared: {session['reason']}"
    lines = []
    for place in session["places"]:
        state = "DIFFERENT" if place["differences"] else "equal"
        counts = f"{place['compared']:,} vectors, {place['missing']:,} missing"
        if place["beyond"]:
            counts += f", {place['beyond']:,} behind the last mark: not compared"
        lines.append(f"{state:<9} {session['session']}  {place['place']}: {counts}")
        lines += [f"          {difference}" for difference in place["differences"]]
    return "\n".join(lines)


_ACTIONS: Final[dict[str, Callable[..., int]]] = {"write": _write, "verify": _verify}


def _show(document: dict[str, Any], text: str, *, as_json: bool) -> None:
    print(json.dumps(document) if as_json else text)  # noqa: T201  the command's own output
