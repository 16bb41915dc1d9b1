"""The words of the commands about what strategies see and would have done."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from engine.cli_tapes import seconds

Add = Callable[[str, str, str], argparse.ArgumentParser]

FEATURES_EXAMPLE = """\
example: aegis features write                        every session of AEGIS_HOME, as Parquet
         aegis features verify ~/.local/state/aegis/state/practice-.../journal/SESSION

`verify` runs the session's market again and compares every feature vector, bit for bit, with the
journal and with the files that `write` made of it.
Exit code 0: written, or equal; 1: different; 2: a package of the extra `history` is missing;
3: no journal, one that cannot be run again, or features of another version of the engine.
"""


STRATEGIES_EXAMPLE = """\
example: aegis strategies                            every strategy, and why it is there
         aegis strategies "smart.sweep*" --shadow    what they would have made of the newest session
         aegis strategies orderflow --shadow --session 20261121T103205-1 --fee-bps 2 --json
         aegis strategies --record                   what they have made where they ran

A shadow record has no orders: every want is filled at once at the touch, with the fee, whether or
not the strategy ran in that session. No latency, no queue, no limits of risk. `--record` is kept
while an account trades, paper or live: positions from flat to flat, after fees, of all sessions.
Exit code 0: printed; 2: no such strategy; 3: no journal, or none that holds its market; no account.
"""


def add_feature_commands(add: Add) -> None:
    """Add the parsers of these commands."""
    features = add("features", "Store feature vectors, or check stored ones.", FEATURES_EXAMPLE)
    features.add_argument("action", choices=("write", "verify"))
    features.add_argument(
        "place", nargs="?", default=None, help="a session, or a folder of them; default AEGIS_HOME"
    )
    features.add_argument(
        "--store", default=None, metavar="DIR", help="of Parquet files; default AEGIS_HOME/features"
    )
    features.add_argument("--json", action="store_true", help="print one JSON object")
    strategies = add("strategies", "List strategies and their shadow records.", STRATEGIES_EXAMPLE)
    strategies.add_argument(
        "names", nargs="*", metavar="NAME", help="names or patterns with *; default: all"
    )
    strategies.add_argument("--shadow", action="store_true", help="what they would have made")
    strategies.add_argument("--record", action="store_true", help="what they have made")
    strategies.add_argument("--state", default=None, help="VENUE-ACCOUNT-MODE; default: the newest")
    strategies.add_argument("--session", default=None, help="id or journal; default: the newest")
    strategies.add_argument("--fee-bps", type=seconds, default=None, help="of a fill (paper's)")
    strategies.add_argument("--json", action="store_true", help="print one JSON object")
