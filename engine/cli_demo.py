"""`aegis demo`: an engine that trades on a generated market, whatever is configured here."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from typing import Final

from engine import exit_codes

WORDS: Final = ("--venue", "practice", "--mode", "paper", "--generate", "4", "--name", "demo")
READ: Final = ("AEGIS_HOME", "HOME", "PORT", "XDG_STATE_HOME")  # of the environment, nothing else
DEMO_EXAMPLE: Final = """\
example: aegis demo
         aegis demo --for 120 --port 0

A generated market of four instruments, a practice exchange and an engine that trades on it, all on
this machine. No configuration file is read and no order leaves it. Ctrl-C ends it in order.
"""
BEFORE: Final = """\
demo     open the page that is named below; every figure on it comes from the engine
         in another terminal: aegis top --name demo, aegis halt --name demo, aegis why
         Ctrl-C ends it"""
AFTER: Final = """\
demo     what happened: aegis report; why an order was sent: aegis why; your own: aegis run"""


def demo(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Run the engine with practice money; return its exit code."""
    from engine.processes import supervisor

    words = [*WORDS, "--config", os.devnull]
    if options.seconds is not None:
        words += ["--for", str(options.seconds)]
    if options.port is not None:
        words += ["--port", str(options.port)]
    print(BEFORE, file=sys.stderr, flush=True)  # noqa: T201  the command's own output
    known = {name: environment[name] for name in READ if name in environment}
    code = supervisor.run(words, known)
    if code == exit_codes.DONE:
        print(AFTER, file=sys.stderr)  # noqa: T201  the command's own output
    return code
