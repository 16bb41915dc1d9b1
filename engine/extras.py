"""Packages of an extra: whether one is there, and how it is installed beside this engine."""

from __future__ import annotations

import importlib.util
import sys


def install(extra: str) -> str:
    """Return the command that adds an extra to the environment this engine runs in."""
    return f"{sys.prefix}/bin/pip install 'aegis-engine[{extra}]'"


def lacking(package: str, extra: str) -> str:
    """Return the sentence for a package that is not installed; empty: it is. Imports nothing."""
    if importlib.util.find_spec(package) is not None:
        return ""
    return f"{package} is not installed; it comes with the extra {extra}: {install(extra)}"
