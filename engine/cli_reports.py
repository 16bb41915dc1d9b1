"""`aegis report`, `verify`, `readiness`, `audit` and `completion`: what the journals prove."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine import exit_codes
from engine.config_load import load_config

if TYPE_CHECKING:
    from engine.config import Config
    from engine.processes.finding import Finding
    from engine.processes.known_sessions import Known

Add = Callable[[str, str, str], argparse.ArgumentParser]
DAYS: Final = 7.0
REPORT_EXAMPLE: Final = """\
example: aegis report                        the last seven days
         aegis report --days 1 --state binance-main-live
         aegis report --session 20260101t000000-1 --json
         aegis report --execution            with slippage and markouts, from the market
"""
VERIFY_EXAMPLE: Final = """\
example: aegis verify

Six core checks, from the journals of the last days and by trying: RL implementation, trading
environment, decision making, learning capability, paper trading, memory management. A part that is
not built fails by name. Exit code 0: all pass; 1: one does not.
"""
READINESS_EXAMPLE: Final = """\
example: aegis readiness
         aegis run --venue binance --mode live --unready "first order by hand"

One line for each criterion, all of it from the journals: verify, decision latency below 100 ms on
average, memory below 6 GB, an hour of unbroken connections, 24 h on paper with ten closed trades,
no crash, a paper result that does not fall, every fill in the audit trail. The result is kept for
24 h: a run that is armed for live trading needs it, or --unready with a reason.
Exit code 0: ready; 1: not.
"""
AUDIT_EXAMPLE: Final = """\
example: aegis audit --daily
         aegis audit --weekly --json

Gaps, drift, grave log lines, unexplained decisions, crashes, trails. Exit code 0: nothing failed
(warnings are for a person to read); 1: something did.
"""
COMPLETION_EXAMPLE: Final = """\
example: aegis completion bash > /etc/bash_completion.d/aegis
         aegis completion zsh > "${fpath[1]}/_aegis"
         aegis completion fish > ~/.config/fish/completions/aegis.fish
"""


def add_report_commands(add: Add) -> None:
    """Add the parsers of these commands."""
    report = add("report", "Say what the last days came to.", REPORT_EXAMPLE)
    report.add_argument("--session", default=None, help="one session, whatever its age")
    report.add_argument("--execution", action="store_true", help="add what orders cost to execute")
    verify = add("verify", "Check the six core parts.", VERIFY_EXAMPLE)
    ready = add("readiness", "Say whether it may trade real money.", READINESS_EXAMPLE)
    audit = add("audit", "Say what a person should look at.", AUDIT_EXAMPLE)
    span = audit.add_mutually_exclusive_group()
    span.add_argument("--daily", action="store_true", help="of the last 24 hours")
    span.add_argument("--weekly", action="store_true", help="of the last seven days (default)")
    for parser in (report, verify, ready):
        parser.add_argument("--days", type=_days, default=DAYS, help="how far back (7)")
    for parser in (report, verify, ready, audit):
        parser.add_argument("--state", default=None, help="VENUE-ACCOUNT-MODE; default: all")
        parser.add_argument("--json", action="store_true", help="print one JSON object")
    completion = add("completion", "Print the completion of a shell.", COMPLETION_EXAMPLE)
    completion.add_argument("shell", choices=("bash", "zsh", "fish"))


def report_command(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Print what the sessions came to."""
    from engine.processes.session_report import report, report_text

    _, known = _read(options, environment, options.days)
    if not known.facts and not known.problems:
        return exit_codes.fail("no session in this span", exit_codes.ENVIRONMENT)
    found = report(known)
    text = report_text(found)
    if options.execution:
        from engine.processes.execution_report import execution_report, execution_text

        found["execution"] = execution_report(known)
        text += "\n\n" + execution_text(found["execution"])
    print(json.dumps(found) if options.json else text)  # noqa: T201
    return exit_codes.DONE


def verify_command(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Print the six core checks; where one fails, a readiness that was found stands no longer."""
    from engine.processes.core_checks import core_checks
    from engine.processes.ready_record import withdraw

    config, known = _read(options, environment, options.days)
    findings = core_checks(config, known)
    passed = all(each.good for each in findings)
    try:
        if not passed:
            withdraw(Path(config.home), "verify")
    except OSError as error:
        text = f"{config.home}: a readiness that was found still stands ({error.strerror})"
        return exit_codes.fail(text, exit_codes.ENVIRONMENT)
    return _conclude(findings, passed, as_json=options.json)


def readiness_command(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Print each criterion, and keep the result for a start that is armed."""
    from engine.processes.readiness import keep, readiness

    config, known = _read(options, environment, options.days)
    findings = readiness(config, known)
    try:
        passed = keep(config, findings)
    except OSError as error:
        text = f"{config.home}: the result cannot be kept ({error.strerror})"
        return exit_codes.fail(text, exit_codes.ENVIRONMENT)
    return _conclude(findings, passed, as_json=options.json)


def audit_command(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Print what a person should look at."""
    from engine.processes.finding import any_failed
    from engine.processes.journal_audit import DAILY_DAYS, WEEKLY_DAYS, audit

    days = DAILY_DAYS if options.daily else WEEKLY_DAYS
    config, known = _read(options, environment, days)
    findings = audit(config, known, days)
    return _conclude(findings, not any_failed(findings), as_json=options.json)


def completion_command(options: argparse.Namespace, _environment: Mapping[str, str]) -> int:
    """Print the completion of a shell, made from the parser."""
    from engine.cli_completion import completion

    print(completion(options.shell))  # noqa: T201  the command's own output
    return exit_codes.DONE


def _read(
    options: argparse.Namespace, environment: Mapping[str, str], days: float
) -> tuple[Config, Known]:
    from engine.processes.known_sessions import known_sessions

    config = load_config(environment)
    session = getattr(options, "session", None)
    return config, known_sessions(Path(config.home), days, options.state, session)


def _conclude(findings: list[Finding], passed: bool, *, as_json: bool) -> int:
    from engine.processes.finding import document, lines

    if as_json:
        rows = [document(finding) for finding in findings]
        print(json.dumps({"passed": passed, "checks": rows}))  # noqa: T201
    else:
        print(lines(findings))  # noqa: T201
    return exit_codes.DONE if passed else exit_codes.CHECK_FAILED


def _days(text: str) -> float:
    days = float(text)
    if not 0 < days <= 36_500:
        raise ValueError(text)
    return days


_days.__name__ = "number of days"  # in argparse's sentence
