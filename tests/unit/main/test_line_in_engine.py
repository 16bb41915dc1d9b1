"""A whole engine: the thread that decides writes its orders, and the books agree in the end."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.engine_process import Engine, wait_for

COUNT = re.compile(r"^(\w*orders_(?:on_line|sent)_total)\S* (\d+)$", re.MULTILINE)
ORDERS = 3


def counts(engine: Engine) -> dict[str, int]:
    """Return both counts of orders."""
    with urlopen(f"{engine.url}/metrics", timeout=10) as answer:
        found = COUNT.findall(answer.read().decode())
    return {name.split("orders_")[1]: int(number) for name, number in found}


@pytest.mark.slow
def test_an_engine_writes_orders_on_the_line(tmp_path: Path) -> None:
    words = ("--generate", "2", "--seed", "7", "--speed", "5", "--json")
    engine = Engine(tmp_path, *words, "--name", f"line{os.getpid()}")
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
