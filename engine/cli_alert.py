"""`aegis alert`: try the addresses that alerts go to."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from typing import Final

from engine import exit_codes
from engine.config_load import load_config

EXAMPLE: Final = """\
example: aegis alert test
         ALERT_URLS="slack://... mailto://..." aegis alert test --severity critical --escalated

Sends one message to each address and says which took it; an address is shown by its service alone.
Exit code 0: all took it; 1: one did not; 2: none is configured, or the extra `alerts` is missing.
"""


def add_alert_command(add: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    alert = add("alert", "Try the addresses that alerts go to.", EXAMPLE)
    alert.add_argument("action", choices=("test",))
    alert.add_argument(
        "--severity", choices=("info", "warning", "critical"), default="warning", help="(warning)"
    )
    alert.add_argument("--escalated", action="store_true", help="to whom nobody's answer goes")
    alert.add_argument("--config", default=None, help="TOML file; default aegis.toml here")
    alert.add_argument("--json", action="store_true", help="print one JSON object")


def alert_command(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Send a message to each address; return a documented exit code."""
    from engine.processes.alert_sender import AlertError, Apprise, rules_of
    from engine.processes.alerts import Message, Severity

    config = load_config(environment, options.config)
    severity = Severity[options.severity.upper()]
    message = Message(severity, "test", "This is a test of the alerts.", options.escalated)
    try:
        rules_of(config.alerts)
        outcomes = Apprise(config.alerts, f"aegis {config.name}").outcomes(message)
    except AlertError as error:
        return exit_codes.fail(str(error), exit_codes.USAGE)
    if not outcomes:
        text = "no address is configured: alerts.urls, or ALERT_URLS in the environment"
        return exit_codes.fail(text, exit_codes.USAGE)
    lines = [f"{'ok  ' if took else 'FAIL'}  {name}" for name, took in outcomes.items()]
    print(json.dumps(outcomes) if options.json else "\n".join(lines))  # noqa: T201
    return exit_codes.DONE if all(outcomes.values()) else exit_codes.CHECK_FAILED
