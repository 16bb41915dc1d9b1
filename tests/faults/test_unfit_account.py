"""An account that cannot be traded ends the start with a sentence, whatever else is under way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import exit_codes
from tests.engine_process import share_kernels
from tests.exchange_process import PracticeExchange
from tests.faults.test_start import run

UNFIT = {
    "hedge": ("/fapi/v1/positionSide/dual", 200, '{"dualSidePosition":true}', "hedge mode"),
    "fees": ("/fapi/v1/feeBurn", 200, '{"feeBurn":true}', "fees of the account are paid in BNB"),
    "key": (
        "/fapi/v1/positionSide/dual",
        401,
        '{"code":-2015,"msg":"Invalid API-key, IP, or permissions for action."}',
        "code -2015",
    ),
}


@pytest.fixture(scope="module")
def exchange() -> Iterator[PracticeExchange]:
    made = PracticeExchange("--generate", "2", "--seed", "5")
    yield made
    made.stop()


@pytest.mark.parametrize("unfit", list(UNFIT))
def test_an_account_that_cannot_be_traded_ends_the_start(
    tmp_path: Path, exchange: PracticeExchange, unfit: str
) -> None:
    path, status, body, said = UNFIT[unfit]
    exchange.fault("rest", path=path, method="GET", status=status, body=body, count=1_000)
    home = tmp_path / "home"
    share_kernels(home)
    try:
        done = run(home, f"u{os.getpid()}-{unfit}", "--exchange", exchange.url)
    finally:
        exchange.fault("clear")
    assert done.returncode == exit_codes.ENVIRONMENT, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    (sentence,) = [row for row in done.stdout.splitlines() if row.startswith("aegis")]
    assert sentence.startswith("aegis: brain cannot go on: ")
    assert said in sentence
