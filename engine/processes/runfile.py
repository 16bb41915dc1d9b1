"""The run file: how `aegis status`, `halt` and `stop` find a running engine.

`<home>/run/<name>.json` names pid, host and port; `<name>.token` (mode 0600) holds the token of
this run. Both go when the engine ends; a dead engine's file is recognised by pid and start time.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from engine.config import Config
from native_ext import _native
from ringbuffer.segment import owner_alive

TLS_FIELDS = ("tls_certificate", "tls_client_certificate", "tls_client_key")


@dataclass(frozen=True)
class RunningEngine:
    """What a run file says."""

    name: str
    pid: int
    host: str  # under which this machine reaches its API
    port: int
    token: str
    state_dir: str
    tls_certificate: str = ""  # empty: it speaks plain HTTP
    tls_client_certificate: str = ""  # what a command shows; empty: nothing
    tls_client_key: str = ""


class RunFile:
    """The two files of one run."""

    def __init__(self, run_dir: Path, name: str) -> None:
        """Name the files; nothing is written yet."""
        self.path = run_dir / f"{name}.json"
        self.token_path = run_dir / f"{name}.token"
        self._name = name

    def write(self, config: Config, host: str, port: int, token: str) -> None:
        """Write both files; the token never has another mode than 0600."""
        with suppress(FileNotFoundError):
            self.token_path.unlink()
        descriptor = os.open(self.token_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, token.encode() + b"\n")
        finally:
            os.close(descriptor)
        pid = os.getpid()
        document = {
            "name": self._name,
            "pid": pid,
            "pid_start_ticks": _native.process_start_ticks(pid),
            "host": host,
            "port": port,
            "session_id": config.session_id,
            "state_dir": config.state_dir,
            # Paths: whoever may read the key is who may use it.
            **{field: getattr(config.access, field) for field in TLS_FIELDS},
        }
        self.path.write_text(json.dumps(document, indent=1), encoding="utf-8")

    def remove(self) -> None:
        """Remove both files."""
        for path in (self.path, self.token_path):
            with suppress(FileNotFoundError):
                path.unlink()


def find_engine(home: str, name: str) -> RunningEngine | None:
    """Return the engine that runs under this name, or None."""
    run_dir = Path(home) / "run"
    try:
        document = json.loads((run_dir / f"{name}.json").read_text(encoding="utf-8"))
        pid, start_ticks = int(document["pid"]), int(document["pid_start_ticks"])
    except (OSError, ValueError, KeyError):
        return None
    if not owner_alive(pid, start_ticks):
        return None
    try:
        token = (run_dir / f"{name}.token").read_text(encoding="ascii").strip()
    except OSError:
        token = ""  # another user's engine: reading is allowed, changing is not
    return RunningEngine(
        name=name,
        pid=pid,
        host=str(document.get("host", "127.0.0.1")),
        port=int(document["port"]),
        token=token,
        state_dir=str(document["state_dir"]),
        **{field: str(document.get(field, "")) for field in TLS_FIELDS},
    )
