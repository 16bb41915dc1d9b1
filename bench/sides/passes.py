"""How a child of a bench is asked for passes: a line of words each, answered in JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable

Answer = dict[str, float]
Step = Callable[[int, int], Answer]


def serve(step: Step, core: int) -> None:
    """Answer a line of two numbers per pass, on a core, until standard input ends."""
    os.sched_setaffinity(0, {core})
    serve_words(lambda first, second: step(int(first), int(second)))


def serve_words(step: Callable[..., Answer]) -> None:
    """Answer a line of words per pass until standard input ends; `{}` says that it may begin."""
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(step(*line.split())) + "\n")
        sys.stdout.flush()
