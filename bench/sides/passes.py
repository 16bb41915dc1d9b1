"""How a child of a bench is asked for passes: a line of two numbers each, answered in JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable

Answer = dict[str, float]
Step = Callable[[int, int], Answer]


def serve(step: Step, core: int) -> None:
    """Answer one line per pass on a core until standard input ends; `{}` says that it may begin."""
    os.sched_setaffinity(0, {core})
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        first, second = line.split()
        sys.stdout.write(json.dumps(step(int(first), int(second))) + "\n")
        sys.stdout.flush()
