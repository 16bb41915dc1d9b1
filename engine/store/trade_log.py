"""How many fills of each session the audit trail's files hold, for comparing with the journal."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Final

from engine.store.rotation import rotated

FILE_NAME: Final = "trade_audit_log.jsonl"
FILLS: Final = frozenset({"BUY", "SELL"})


def rows_in_log(home: Path) -> Counter[str]:
    """Return the number of distinct fills per session; a line that was cut is no row."""
    path = home / FILE_NAME
    seen: set[tuple[str, int]] = set()
    for each in (*rotated(path), path):
        if not each.exists():
            continue
        with each.open("rb") as file:
            for line in file:
                try:
                    row = json.loads(line)
                    if row["action"] in FILLS:
                        seen.add((str(row["session"]), int(row["sequence"])))
                except (ValueError, KeyError, TypeError):
                    continue
    return Counter(session for session, _ in seen)
