"""The `aegis` command. `run` binds before it parses; everything else is imported when asked for.

Exit codes, stable: 0 done, 1 a role died or hung or a check failed, 2 usage or configuration,
3 environment (port, /dev/shm, disk, data), 4 halted by a limit or books that differ.
"""

from __future__ import annotations

import os
import sys

from engine import cli_streams, exit_codes

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from pathlib import Path

DESCRIPTION = """\
Aegis: a multiprocess shared-memory trading engine.

  aegis run                       trade practice money on a generated market; page at 127.0.0.1:8080
  aegis run --tape FILE.gz        the same on a recorded market
  aegis run --for 60 --json       stop after 60 s and end with one JSON object
  aegis record --parquet          write a running engine's market to tapes
  aegis status                    what it does; `aegis top` shows it live
  aegis why                       the newest orders; with an id, why it was sent and what came of it
  aegis halt "why"                stop new orders now and cancel what rests
  aegis resume --reason "why"     undo a halt or a tripped limit
"""
EPILOG = """\
Exit codes: 0 done; 1 a role died or hung, or a check failed; 2 usage or configuration; 3
environment (port, /dev/shm, disk, data); 4 halted by a limit or books that differ from the
venue's; 130 Ctrl-C in a command other than `run`, or nobody reads what it prints any more.
`aegis COMMAND --help` explains a command with examples.
"""


TOP_EXAMPLE = "example: aegis top --every 2\n         aegis top --json | jq .pnl  a line each look"
DOCTOR_EXAMPLE = """\
example: aegis doctor
         aegis doctor --venue binance        is it reached, is the key good, may it trade
         aegis doctor --warm                 compile every kernel into the cache

Each line is ok, warn or FAIL, with what to do. Exit code 0: nothing failed; 3: something did, and
the engine would not start or not trade.
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    cli_streams.open_closed()
    is_run = arguments[:1] in (["run"], ["demo"])
    try:
        code = _perform(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        cli_streams.mute()  # `aegis why | head`: nobody is left to tell
        return exit_codes.INTERRUPTED
    except KeyboardInterrupt:
        # A run installs its own signals before it starts anything; until then there is no engine.
        print("aegis: interrupted", file=sys.stderr)  # noqa: T201  the command's own output
        return exit_codes.DONE if is_run else exit_codes.INTERRUPTED
    except OSError as error:
        if is_run:
            raise  # no exit code of an engine is guessed
        cli_streams.mute()  # it may be the output that is full
        return exit_codes.fail(exit_codes.sentence(error), exit_codes.ENVIRONMENT)
    return code


def _perform(arguments: list[str]) -> int:
    if sys.platform != "linux":
        print(  # noqa: T201  the command's own output
            "aegis needs Linux (shared memory and futexes); on macOS and Windows run the "
            "container: docker run -p 8080:8080 aegis",
            file=sys.stderr,
        )
        return exit_codes.ENVIRONMENT
    if arguments[:1] == ["run"] and not {"-h", "--help"} & set(arguments):
        from engine.processes import supervisor

        return supervisor.run(arguments[1:], os.environ)
    if arguments[:1] == ["demo"] and not {"-h", "--help"} & set(arguments):
        from engine import cli_demo

        return cli_demo.demo(build_parser().parse_args(arguments), os.environ)
    if arguments[:1] == ["exchange"]:
        # The exchange reads its own words, --help too, and is stopped by its own signals.
        os.execv(sys.executable, [sys.executable, "-m", "exchange", *arguments[1:]])  # noqa: S606
    from engine import cli_commands

    if arguments[:1] == ["chart"]:
        return cli_commands.chart(arguments[1:], os.environ)
    parser = build_parser()
    if not arguments:
        parser.print_help()
        return exit_codes.USAGE
    from engine import cli_help

    if not arguments[0].startswith("-") and not cli_help.is_command(arguments[0]):
        return exit_codes.fail(cli_help.no_command(arguments[0]), exit_codes.USAGE)
    options = parser.parse_args(arguments)
    return cli_commands.perform(options, os.environ)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of every command, with help that teaches."""
    import argparse

    from engine.cli_alert import add_alert_command
    from engine.cli_demo import DEMO_EXAMPLE
    from engine.cli_features import add_feature_commands
    from engine.cli_help import listing
    from engine.cli_orders import add_order_commands
    from engine.cli_panel import add_panel_commands
    from engine.cli_reports import add_report_commands
    from engine.cli_tapes import add_tape_commands

    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "aegis", usage="aegis COMMAND ...", epilog=EPILOG, formatter_class=formatter
    )
    commands = parser.add_subparsers(
        dest="command", prog="aegis", required=True, help=argparse.SUPPRESS
    )
    summaries: dict[str, str] = {}

    def add(name: str, summary: str, example: str) -> argparse.ArgumentParser:
        """Add a command whose help ends with an example."""
        summaries[name] = summary
        return commands.add_parser(
            name, description=summary, epilog=example, formatter_class=formatter
        )

    add_run_options(
        add(
            "run",
            "Run the engine.",
            "example: aegis run --tape market.gz --speed 2 --for 60 --json",
        )
    )
    demo = add("demo", "Show an engine that trades, with practice money.", DEMO_EXAMPLE)
    demo.add_argument("--for", dest="seconds", type=_seconds, help="stop after SECONDS")
    demo.add_argument("--port", type=int, help="port of the page (PORT or 8080)")
    add("exchange", "Run the practice exchange alone.", "example: aegis exchange --port 9001")
    add(
        "chart",
        "Draw an instrument's bars, structure, decisions and fills as a page.",
        "example: aegis chart BTCUSDT --timeframe 5 --output btc.html",
    )
    _add_looking_commands(add)
    _add_control_commands(add)
    _add_journal_commands(add)
    add_tape_commands(add)
    add_feature_commands(add)
    add_report_commands(add)
    add_alert_command(add)
    add_order_commands(add)
    add_panel_commands(add)
    _add_machine_commands(add)
    parser.description = DESCRIPTION + listing(summaries)
    return parser


def _add_looking_commands(add: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add what looks at a running engine."""
    for name, summary in (
        ("status", "Show a running engine."),
        ("orders", "List the orders of a running engine that may still fill."),
        ("positions", "List the positions of a running engine, by strategy."),
    ):
        _instance(add(name, summary, f"example: aegis {name} --name main"))
    top = add("top", "Watch a running engine in the terminal.", TOP_EXAMPLE)
    top.add_argument("--every", type=_seconds, default=1.0, help="seconds between looks (1)")
    top.add_argument("--once", action="store_true", help="print one screen and end")
    top.add_argument("--json", action="store_true", help="print one JSON object a line, each look")
    top.add_argument("--name", default="main", help="instance name (main)")


def _add_machine_commands(add: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add what is asked of this machine and this build."""
    doctor = add("doctor", "Check machine, venue and state.", DOCTOR_EXAMPLE)
    doctor.add_argument("--warm", action="store_true", help="compile every kernel into the cache")
    doctor.add_argument("--config", default=None, help="TOML file; default aegis.toml here")
    doctor.add_argument("--venue", default=None, choices=("practice", "binance"))
    _instance(doctor)
    config = add("config", "Write or show the configuration.", "example: aegis config init")
    config.add_argument("action", choices=("init", "show"))
    config.add_argument("--config", help="TOML file; default aegis.toml here")
    config.add_argument("--json", action="store_true", help="print one JSON object")
    version = add("version", "Show version and build.", "example: aegis version --json")
    version.add_argument("--json", action="store_true", help="print one JSON object")


def _add_control_commands(add: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add what tells a running engine what to do, and who may."""
    from engine.cli_access import add_access_command

    for name, summary in (
        ("halt", "Refuse every new order, cancel what rests, wait for the venue's word on it."),
        ("pause", "Stop entries; exits and cancels go on."),
        ("reduce", "Let only orders pass that close positions."),
        ("flatten", "Cancel all orders and close all positions."),
        ("cancel-all", "Cancel every resting order; the trading state stays."),
        ("reconcile", "Compare orders, positions and balances with the venue now."),
        ("stop", "Stop a running engine in order (SIGTERM through its pid file)."),
    ):
        told = add(name, summary, f'example: aegis {name} "bad fills"')
        told.add_argument("reason", nargs="?", default="command line", help="why; it is journaled")
        _instance(told)
    resume = add(
        "resume",
        "Check roles, market and books in order, then re-arm.",
        'example: aegis resume --reason "checked the fills"',
    )
    resume.add_argument("--reason", required=True, help="why; it is journaled")
    _instance(resume)
    add_access_command(add)


def _add_journal_commands(add: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add the commands that read journals."""
    replay = add(
        "replay",
        "Run the brain again from a journal and compare every decision byte.",
        "example: aegis replay ~/.local/state/aegis/state/practice-.../journal/SESSION",
    )
    replay.add_argument("journal", help="a session's journal directory")
    replay.add_argument(
        "--until", type=int, metavar="NUMBER", help="end with the step that wrote this event"
    )
    replay.add_argument("--json", action="store_true", help="print one JSON object")
    why = add(
        "why",
        "Tell the whole story of an order: record, decision, gates, messages, fills.",
        "example: aegis why                    the newest orders and their ids\n"
        "         aegis why a1-2-5-9k          by client order id\n"
        "         aegis why 1-5                by epoch and number, as the tables name it\n"
        "         aegis why 8389765            by the venue's id",
    )
    why.add_argument("order", nargs="?", default=None, help="an order; default: list the newest")
    why.add_argument("--state", default=None, help="VENUE-ACCOUNT-MODE, where several know it")
    why.add_argument("--json", action="store_true", help="print one JSON object")
    _add_shadow(add)
    _add_ledger(add)
    _add_journal(add)


def _add_ledger(add: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    ledger = add(
        "ledger",
        "The double-entry ledger of an account: what was made by whom, and that it sums to zero.",
        "example: aegis ledger --state practice-practice-paper\n\n"
        "Exit code 0: every entry, and all of them together, sum to zero, and the wallet is what\n"
        "was posted to it; 4: they do not; 3: there is no ledger.",
    )
    ledger.add_argument("--state", default=None, help="VENUE-ACCOUNT-MODE; default: the last used")
    ledger.add_argument("--json", action="store_true", help="print one JSON object")


def _add_journal(add: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    journal = add(
        "journal",
        "Check that a journal is what was written, or write its audit trail.",
        "example: aegis journal verify\n"
        "         aegis journal export --format csv --output trades.csv\n"
        "         aegis journal verify ~/.local/state/aegis/state/practice-.../journal/SESSION\n\n"
        "Exit code 0: every checksum, link and sequence holds; a torn tail that a killed writer\n"
        "left, and market segments that retention removed, are reported and not blamed.\n"
        "3: something is damaged, missing or was changed (file and byte are named), or no journal.",
    )
    journal.add_argument("action", choices=("verify", "export"))
    journal.add_argument(
        "place", nargs="?", default=None, help="a session, or a folder of them; default AEGIS_HOME"
    )
    journal.add_argument("--json", action="store_true", help="verify: print one JSON object")
    journal.add_argument(
        "--format",
        choices=("jsonl", "csv", "parquet"),
        default="jsonl",
        help="export: how rows are written",
    )
    journal.add_argument(
        "--output", type=_path, metavar="FILE", help="export: a file that is not there yet"
    )


def _add_shadow(add: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    shadow = add(
        "shadow",
        "Every decision, sent or refused: what it saw, which gates failed, what came of it.",
        "example: aegis shadow                    the newest decisions\n"
        "         aegis shadow grade              fill in what came of them since\n"
        "         aegis shadow show SESSION/77    one of them, with its plan and its window\n"
        "         aegis shadow trades             closed trades: were rules and regime right\n"
        "         aegis shadow performance        what strategies made by regime",
    )
    actions = ("list", "show", "grade", "trades", "performance")
    shadow.add_argument("action", nargs="?", default="list", choices=actions)
    shadow.add_argument("decision", nargs="?", default=None, help="show: SESSION/NUMBER")
    shadow.add_argument("--state", default=None, help="VENUE-ACCOUNT-MODE; default: the last used")
    shadow.add_argument("--limit", type=int, default=20, help="list, trades: how many (20)")
    shadow.add_argument("--json", action="store_true", help="print one JSON object")


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `aegis run`."""
    market = parser.add_argument_group("market (practice exchange)")
    market.add_argument(
        "--tape", nargs="+", default=[], help="recorded tapes or captures, files or a folder"
    )
    market.add_argument(
        "--generate", type=_count, default=0, metavar="N", help="N generated instruments (4)"
    )
    market.add_argument("--seed", type=int, default=1, help="seed of the generated market")
    market.add_argument(
        "--rate", type=int, default=0, help="generated messages per second, all together"
    )
    market.add_argument("--speed", default="1", help="tape speed: 0.1, 1, 10, max")
    market.add_argument("--loop", action="store_true", help="start the tape again at its end")
    market.add_argument(
        "--exchange", type=_url, metavar="URL", help="use a practice exchange that runs already"
    )
    run = parser.add_argument_group("run")
    run.add_argument("--name", default=None, help="instance name; one engine per name (main)")
    run.add_argument("--resume", action="store_true", help="go on with the last practice account")
    run.add_argument(
        "--for", dest="seconds", type=_seconds, default=None, help="stop after SECONDS"
    )
    run.add_argument("--json", action="store_true", help="end standard output with one JSON object")
    run.add_argument("--host", default=None, help="address of the API (127.0.0.1)")
    run.add_argument("--port", type=int, default=None, help="port of the API (PORT or 8080)")
    run.add_argument("--config", default=None, help="TOML file; default aegis.toml here")
    run.add_argument("--profile", default=None, choices=("dev", "staging", "production"))
    run.add_argument(
        "--venue", default=None, choices=("practice", "binance"), help="where to trade"
    )
    run.add_argument("--mode", default=None, choices=("paper", "live"), help="whose money (paper)")
    run.add_argument("--account", default=None, help="account tag; state is kept per account")
    run.add_argument("--strategies", nargs="+", default=None, help="strategies to run, by name")
    run.add_argument(
        "--instruments",
        nargs="+",
        default=None,
        metavar="WORD",
        help="what to trade: BTC, ETH-USDT, BTC/USDT:USDT ..., or top:N for the N most traded",
    )
    run.add_argument(
        "--unready",
        default="",
        metavar="REASON",
        help="trade live without `aegis readiness`; the audit keeps who and why",
    )
    run.add_argument("--on-role-death", default=None, choices=("exit", "restart"))


def _path(text: str) -> Path:
    from pathlib import Path

    return Path(text)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise ValueError(text)
    return seconds


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError(text)
    return count


def _url(text: str) -> str:
    from urllib.parse import urlsplit

    parts = urlsplit(text)
    if parts.scheme != "http" or not parts.hostname or parts.port is None:
        raise ValueError(text)
    return text


# In argparse's sentence.
_seconds.__name__, _url.__name__ = "number of seconds", "http://HOST:PORT"
_count.__name__ = "number of instruments"


def _instance(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", default="main", help="instance name (main)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


if __name__ == "__main__":
    sys.exit(main())
