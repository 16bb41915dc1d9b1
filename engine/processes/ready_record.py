"""What a start that is armed for live trading asks: was readiness found, or is it overridden?

Standard library only: main reads this before anything heavy is imported.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Final

from engine.config import Config
from engine.store.control_audit import ControlAudit, by_command_line
from engine.version import VERSION

FILE_NAME: Final = "readiness.json"
READY_LIFE_S: Final = 86_400.0
REASON_LENGTH_MIN: Final = 3
NS_PER_S: Final = 1_000_000_000


class NotReadyError(Exception):
    """Live trading is armed without readiness; the message is the sentence to show."""


def check_ready(config: Config, override: str) -> str:
    """Return what is to be said of readiness before a run; empty: nothing, it is not armed.

    Args:
        config: of the run, with its state directory made.
        override: why it may trade without; empty: it may not. It is written to the control audit.

    Raises:
        NotReadyError: the run is armed, readiness was not found and nobody overrides that.
        OSError: the override could not be written down, so it is none.
    """
    if not (config.orders_leave and config.arming.armed):
        return ""
    missing = why_not_ready(Path(config.home))
    if not missing:
        return "found by `aegis readiness`"
    if len(override.strip()) < REASON_LENGTH_MIN:
        raise NotReadyError(
            f"live trading is armed, but {missing}: `aegis readiness`, or say why it may trade "
            'without: --unready "REASON", which the audit keeps'
        )
    row = by_command_line("readiness override", override, effect=missing)
    ControlAudit(Path(config.state_dir)).record(row)
    return f"overridden ({missing}): {override}"


def withdraw(home: Path, criterion: str) -> None:
    """Take back a readiness that was found, because what it rests on has failed since.

    Raises:
        OSError: it could not be taken back.
    """
    if why_not_ready(home):
        return
    failed = {"passed": False, "version": VERSION, "time_ns": time.time_ns()}
    criteria = [{"name": criterion, "good": False}]
    staged = home / f"{FILE_NAME}.part"
    staged.write_text(json.dumps({**failed, "criteria": criteria}), encoding="utf-8")
    staged.replace(home / FILE_NAME)


def why_not_ready(home: Path) -> str:
    """Return why readiness does not stand, in a phrase; empty: it was found lately."""
    try:
        kept = json.loads((home / FILE_NAME).read_text(encoding="utf-8"))
        passed, version, time_ns = kept["passed"], kept["version"], int(kept["time_ns"])
        criteria = [row["name"] for row in kept["criteria"] if not row["good"]]
    except FileNotFoundError:
        return "readiness was never looked at"
    except (OSError, ValueError, KeyError, TypeError):
        return f"{home / FILE_NAME} cannot be read"
    age_s = (time.time_ns() - time_ns) / NS_PER_S
    if passed is not True:
        return f"readiness failed: {', '.join(criteria) or 'no criterion is named'}"
    if version != VERSION:
        return f"readiness was found for version {version}, this is {VERSION}"
    if not 0 <= age_s <= READY_LIFE_S:
        return f"readiness was found {age_s / 3_600:,.0f} h ago, {READY_LIFE_S / 3_600:.0f} h count"
    return ""
