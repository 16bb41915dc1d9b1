"""Books of an account and the session of an engine that agree with them."""

from pathlib import Path

import pytest

from tests.agreement_rig import Ledger, ledger_rows, trades
from tests.store_builders import write_session


@pytest.fixture
def ledger() -> Ledger:
    return ledger_rows()


@pytest.fixture
def session(tmp_path: Path) -> Path:
    return write_session(tmp_path / "practice-practice-paper", *trades())
