"""A package of an extra that is missing is one sentence, with a command that works here."""

from __future__ import annotations

import sys

from engine.extras import install, lacking


def test_a_package_that_is_there_lacks_nothing() -> None:
    assert lacking("json", "research") == ""


def test_a_missing_one_names_the_pip_of_this_environment() -> None:
    said = lacking("no_such_package_at_all", "research")
    assert said.startswith("no_such_package_at_all is not installed")
    assert said.endswith(install("research"))
    assert install("research") == f"{sys.prefix}/bin/pip install 'aegis-engine[research]'"
