"""How the command line reaches a running engine: its run file, then its API."""

from __future__ import annotations

import argparse
import http.client
import json
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from engine import exit_codes
from engine.config_load import load_config
from engine.processes.runfile import RunningEngine, find_engine
from engine.processes.tls import own_context

API_TIMEOUT_S = 3.0
LOOK_TIMEOUT_S = 15.0  # of a command that looks before it acts


def find(options: argparse.Namespace, environment: Mapping[str, str]) -> RunningEngine | None:
    """Return the engine that the options name; None, and why on standard error: none runs."""
    config = load_config(environment)
    engine = find_engine(config.home, options.name)
    if engine is None:
        text = f"no engine named {options.name!r} runs (looked in {config.home}/run)"
        exit_codes.fail(text, exit_codes.ENVIRONMENT)
    return engine


def call(
    engine: RunningEngine,
    method: str,
    path: str,
    body: Mapping[str, object] | None = None,
    timeout_s: float = API_TIMEOUT_S,
) -> dict[str, Any] | None:
    """Return an engine's answer, with `error` where it refused; None: it does not answer."""
    if body:
        # A request may wait in the socket of a process that stands still: not to be done later.
        body = {**body, "expires_ms": int((time.time() + timeout_s) * 1_000)}
    headers = {"content-type": "application/json"}
    if engine.token:
        headers["x-aegis-token"] = engine.token
    try:
        with closing(_connection(engine, timeout_s)) as connection:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            document = json.loads(answer.read())
    except (OSError, ValueError, http.client.HTTPException):
        return None
    if not isinstance(document, dict):
        return None
    if answer.status >= http.client.BAD_REQUEST:
        document.setdefault("error", document.get("effect", f"the API answered {answer.status}"))
    return document


def silent(engine: RunningEngine) -> int:
    """Say that an engine does not answer; return the exit code."""
    return exit_codes.fail(
        f"the API of {engine.name!r} (process {engine.pid}) does not answer", exit_codes.ROLE_DIED
    )


def refused(answer: Mapping[str, Any]) -> int:
    """Say why an engine refused a command; return the exit code.

    What it looked at and found wanting (a resume whose books differ, a flatten while HALTED) is a
    check that failed; anything else was asked wrongly.
    """
    code = exit_codes.CHECK_FAILED if "effect" in answer else exit_codes.USAGE
    return exit_codes.fail(str(answer["error"]), code)


def _connection(engine: RunningEngine, timeout_s: float) -> http.client.HTTPConnection:
    if not engine.tls_certificate:
        return http.client.HTTPConnection(engine.host, engine.port, timeout=timeout_s)
    shown = engine.tls_client_certificate, engine.tls_client_key
    context = own_context(engine.tls_certificate, *shown)
    return http.client.HTTPSConnection(engine.host, engine.port, timeout=timeout_s, context=context)
