"""A whole engine: the thread that decides writes its orders, and the books agree in the end."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.engine_process import Engine, wait_for
from tests.order_api_client import pem_of

COUNT = re.compile(r"^(\w*orders_(?:on_line|sent)_total)\S* (\d+)$", re.MULTILINE)
ORDERS = 3


def counts(engine: Engine) -> dict[str, int]:
    """Return both counts of orders."""
    with urlopen(f"{engine.url}/metrics", timeout=10) as answer:
        found = COUNT.findall(answer.read().decode())
    return {name.split("orders_")[1]: int(number) for name, number in found}


# WHY: a connection of HTTP is never lent where a key pair signs (`order_context`), so with one an
# order on the line is a frame of a session that was logged on.
@pytest.mark.slow
@pytest.mark.parametrize("environment", [{}, {"BINANCE_API_SECRET": pem_of()}], ids=("http", "ws"))
def test_an_engine_writes_orders_on_the_line(tmp_path: Path, environment: dict[str, str]) -> None:
    words = ("--generate", "2", "--seed", "7", "--speed", "5", "--json")
    name = f"line{os.getpid()}"
    engine = Engine(tmp_path, *words, "--name", name, environment=environment)
    try:
        engine.wait_ready()
        wait_for("orders on the line", lambda: counts(engine)["on_line_total"] >= ORDERS)
        found = counts(engine)
        assert found["sent_total"] >= found["on_line_total"]
        code, output, errors = engine.terminate()
    finally:
        engine.kill()
    assert code == 0, f"{output}\n{errors}"
    assert '"exchange_agrees": true' in output
