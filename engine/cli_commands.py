"""What the commands other than `run` do. Each returns a documented exit code."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine import cli_alert, cli_orders, cli_panel, cli_reports, cli_views, exit_codes
from engine.api_client import call, find, silent
from engine.cli_control import COMMANDS, control, stop
from engine.config import shown
from engine.config_load import ConfigError, load_config
from engine.processes.runfile import RunningEngine
from engine.version import describe

WIDE = 400  # characters and lines where no terminal sets a bound


def perform(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Run the command that was parsed."""
    try:
        return _COMMANDS[options.command](options, environment)
    except ConfigError as error:
        return exit_codes.fail(str(error), exit_codes.USAGE)


def chart(words: list[str], environment: Mapping[str, str]) -> int:
    """Become `research.chart`: offline work imports the engine, never the other way round."""
    try:
        home = load_config(environment).home
    except ConfigError as error:
        return exit_codes.fail(str(error), exit_codes.USAGE)
    command = [sys.executable, "-m", "research.chart", "--home", str(home), *words]
    os.execv(sys.executable, command)  # noqa: S606  no shell
    raise AssertionError("execv does not return")


def _status(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Show a running engine, or the part of its status that the command names."""
    engine = find(options, environment)
    if engine is None:
        return exit_codes.ENVIRONMENT
    status = call(engine, "GET", "/status")
    if status is None:
        return silent(engine)
    part, text = {
        "status": (None, _status_text),
        "orders": ("orders_open", cli_views.orders_text),
        "positions": ("positions", cli_views.positions_text),
    }[options.command]
    _show(status[part] if part else status, as_json=options.json, text=text(status))
    return exit_codes.DONE


def _top(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Show a running engine until somebody has seen enough; once where nobody can press a key.

    As JSON it goes on for a program too, a line each time, until the engine or the reader ends.
    """
    engine = find(options, environment)
    if engine is None:
        return exit_codes.ENVIRONMENT
    if options.json:
        return _top_lines(engine, options.every, once=options.once)

    def lines(width: int, height: int) -> list[str] | None:
        status = call(engine, "GET", "/status")
        return None if status is None else cli_views.top_lines(status, width, height)

    if options.once or not (sys.stdin.isatty() and sys.stdout.isatty()):
        found = lines(WIDE, WIDE)
        if found is None:
            return silent(engine)
        print("\n".join(found).rstrip())  # noqa: T201  the command's own output
        return exit_codes.DONE
    from engine.cli_screen import show

    return exit_codes.DONE if show(lines, options.every) else silent(engine)


def _top_lines(engine: RunningEngine, every_s: float, *, once: bool) -> int:
    try:
        while (status := call(engine, "GET", "/status")) is not None:
            print(json.dumps(status), flush=True)  # noqa: T201  the command's own output
            if once:
                return exit_codes.DONE
            time.sleep(every_s)
    except KeyboardInterrupt:
        return exit_codes.DONE
    return silent(engine)


def _replay(options: argparse.Namespace, _environment: Mapping[str, str]) -> int:
    from engine.processes.replay import replay_command

    return replay_command(Path(options.journal), as_json=options.json, until=options.until)


def _why(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    from engine.processes.why import why_command

    home = Path(load_config(environment).home)
    return why_command(home, options.order, options.state, as_json=options.json)


def _ledger(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    from engine.processes.ledger_page import ledger_command

    return ledger_command(Path(load_config(environment).home), options.state, as_json=options.json)


def _shadow(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    from engine.processes.shadow import shadow_command

    config = load_config(environment)
    return shadow_command(
        Path(config.home),
        options.action,
        options.decision,
        options.state,
        limit=options.limit,
        as_json=options.json,
        database_url=config.database_url,
    )


def _journal(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    place = Path(options.place or Path(load_config(environment).home) / "state")
    if options.action == "export":
        from engine.processes.journal_export import export_command

        return export_command(place, options.output, form=options.format)
    from engine.processes.journal_verify import verify_command

    return verify_command(place, as_json=options.json)


def _record(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    from engine.processes.record_command import record_command

    return record_command(options, load_config(environment))


def _tape(options: argparse.Namespace, _environment: Mapping[str, str]) -> int:
    from engine.processes.tape_commands import tape_command

    return tape_command(options)


def _features(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    from engine.processes.feature_commands import features_command

    return features_command(options, Path(load_config(environment).home))


def _strategies(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    from engine.processes.strategy_shadow import strategies_command

    return strategies_command(options, load_config(environment))


def _download(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    from engine.processes.download import download_command

    return download_command(options, load_config(environment))


def _access(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    from engine.cli_access import access_command

    return access_command(options, Path(load_config(environment).home))


def _doctor(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    from engine.processes.doctor import examine

    chosen = {"name": options.name, **({"venue.name": options.venue} if options.venue else {})}
    config = load_config(environment, options.config, chosen)
    return examine(config, warm=options.warm, as_json=options.json)


def _config(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    from engine.config_docs import example_file

    if options.action == "show":
        document = shown(load_config(environment, options.config))
        print(json.dumps(document, indent=None if options.json else 2))  # noqa: T201
        return exit_codes.DONE
    path = Path(options.config or "aegis.toml")
    if path.exists():
        return exit_codes.fail(
            f"{path} exists already; remove it or name another with --config", exit_codes.USAGE
        )
    path.write_text(example_file(), encoding="utf-8")
    _show({"written": str(path)}, as_json=options.json, text=f"wrote {path}")
    return exit_codes.DONE


def _version(options: argparse.Namespace, _environment: Mapping[str, str]) -> int:
    document = describe()
    text = "  ".join(f"{key} {entry}" for key, entry in document.items())
    _show(document, as_json=options.json, text=text)
    return exit_codes.DONE


_COMMANDS: dict[str, Callable[[argparse.Namespace, Mapping[str, str]], int]] = {
    "status": _status,
    "top": _top,
    "orders": _status,
    "positions": _status,
    "access": _access,
    **dict.fromkeys(COMMANDS, control),
    "stop": stop,
    "replay": _replay,
    "why": _why,
    "ledger": _ledger,
    "shadow": _shadow,
    "journal": _journal,
    "record": _record,
    "tape": _tape,
    "features": _features,
    "strategies": _strategies,
    "download": _download,
    "report": cli_reports.report_command,
    "verify": cli_reports.verify_command,
    "readiness": cli_reports.readiness_command,
    "audit": cli_reports.audit_command,
    "completion": cli_reports.completion_command,
    "alert": cli_alert.alert_command,
    "order": cli_orders.order_command,
    "mode": cli_panel.mode_command,
    "approvals": cli_panel.approvals_command,
    "onboard": cli_panel.onboard_command,
    "offboard": cli_panel.offboard_command,
    "lines": cli_panel.lines_command,
    "gaps": cli_panel.gaps_command,
    "cancel": cli_orders.cancel_command,
    "execute": cli_orders.execute_command,
    "executions": cli_orders.executions_command,
    "routes": cli_orders.routes_command,
    "doctor": _doctor,
    "config": _config,
    "version": _version,
}


def _status_text(status: dict[str, Any]) -> str:
    roles = ", ".join(f"{role['name']} {role['state'].lower()}" for role in status["roles"])
    counts = status["counts"]
    pnl = status["pnl"]
    return (
        f"{status['name']}: {status['trading_state']}, {status['mode']['source']}\n"
        f"roles     {roles}\n"
        f"records   {counts['records']:,} ({status['rates']['records_per_s']:,.0f}/s)\n"
        f"orders    {counts['orders']:,}   fills {counts['fills']:,}   "
        f"decisions {counts['decisions']:,}   refusals {counts['refusals']:,}\n"
        f"PnL       realised {pnl['realised']:+.2f} after fees   open {pnl['unrealised']:+.2f} "
        f"{pnl['currency']}"
    )


def _show(document: object, *, as_json: bool, text: str) -> None:
    print(json.dumps(document) if as_json else text)  # noqa: T201  the command's own output
