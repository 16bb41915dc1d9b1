"""The main process: binds first, then segments, spawn, watch, stop.

        bind -> API thread's first turn -> the feed's interpreter -> configuration -> segments
             -> practice exchange -> roles side by side
             -> watch until a signal, --for, the tape's end or a fault
             -> stop feed, brain, orchestrator -> summary -> segments removed

Standard library and small code only: one long call that keeps the GIL would stall health and
watchdog. Trading logic has no place here.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time

from engine import exit_codes
from engine.processes.api import ApiThread, BindError, bind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

PORT_DEFAULT = 8080
PORT_MAX = 65_535
NS_PER_TICK = 10_000_000  # of /proc: USER_HZ is 100 on every Linux


def run(arguments: list[str], environment: Mapping[str, str]) -> int:
    """Run an engine until it stops; return the documented exit code.

    Args:
        arguments: the words after `aegis run`.
        environment: the variables, read by the command line only.
    """
    exec_start_ns = _exec_ns()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)  # until the engine takes them
    try:
        host, port = _address(arguments, environment.get("PORT", ""))
        api = ApiThread(bind(host, port))
    except ValueError as error:
        _say(f"aegis: {error}")
        return exit_codes.USAGE
    except BindError as error:
        from engine.cli import build_parser

        build_parser().parse_args(["run", *arguments])  # a word that is wrong is said first
        _say(f"aegis: {error}")
        return exit_codes.ENVIRONMENT
    bound_ns = time.monotonic_ns()
    api.start()
    # From here on the socket answers; imports may take their time.
    from native_ext import build

    if difference := build.difference():
        _say(f"aegis: {difference}; make native")
        return exit_codes.ENVIRONMENT
    faulthandler.enable()  # an end in native code says where each thread was
    # The feed's are done beside ours: the first market record is what a start waits for.
    from engine.processes.control import RolePage
    from engine.processes.roles import waiting_interpreter

    with waiting_interpreter(RolePage.FEED) as feed:
        from engine.cli import build_parser
        from engine.processes.engine_run import EngineRun
        from engine.processes.engine_start import StartError

        options = build_parser().parse_args(["run", *arguments])
        try:
            engine = EngineRun(
                options,
                environment,
                api,
                exec_start_ns=exec_start_ns,
                bound_ns=bound_ns,
                feed=feed,
            )
        except StartError as error:
            _say(f"aegis: {error}")
            return error.exit_code
        return engine.run()


def _leave(_number: int, _frame: object) -> NoReturn:
    # Nothing is there yet that needs an end: the kernel closes the socket, and with our end of its
    # pipe the waiting interpreter ends. An exception would rise amid somebody's import.
    os.write(sys.stderr.fileno(), b"aegis: interrupted\n")  # a print may be what was interrupted
    os._exit(exit_codes.DONE)


def _exec_ns() -> int:
    """Return when this process was started, CLOCK_MONOTONIC; exact to the kernel's 10 ms tick."""
    # WHY: pathlib is not imported yet.
    with open("/proc/self/stat", encoding="ascii") as file:  # noqa: PTH123
        start_ticks = int(file.read().rpartition(")")[2].split()[19])
    since_boot_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    age_ns = since_boot_ns - start_ticks * NS_PER_TICK
    return time.monotonic_ns() - max(age_ns, 0)


def _address(arguments: list[str], port_variable: str) -> tuple[str, int]:
    host = _option(arguments, "--host")
    port = _option(arguments, "--port") or port_variable
    if not port.isdecimal() and port:
        message = f"port {port!r} is not a number"
        raise ValueError(message)
    if port and int(port) > PORT_MAX:
        message = f"port {port} is above {PORT_MAX}"
        raise ValueError(message)
    # A platform that sets PORT routes traffic to it from outside; otherwise stay on loopback.
    default_host = "0.0.0.0" if port_variable else "127.0.0.1"  # noqa: S104
    return host or default_host, int(port) if port else PORT_DEFAULT


def _option(arguments: list[str], name: str) -> str:
    for position, word in enumerate(arguments):
        if word == name and position + 1 < len(arguments):
            return arguments[position + 1]
        if word.startswith(name + "="):
            return word.split("=", 1)[1]
    return ""


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201  the command's own output
