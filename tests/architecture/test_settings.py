"""Every setting from the environment is documented, with the default the code has."""

import importlib
import re
from itertools import pairwise
from pathlib import Path

from tests.architecture.tree import modules, text

EXAMPLE = Path(".env.example")
DOCUMENTED = re.compile(r"^(?:# )?([A-Z][A-Z0-9_]*)=(.*)$", flags=re.MULTILINE)
# What the operator relies on; a name may be added, none may go.
CONTRACT = {
    "PORT", "AEGIS_HOME", "TRADING_MODE", "BINANCE_API_KEY", "BINANCE_API_SECRET", "DATABASE_URL",
    "ALLOW_ORDERS", "DRY_RUN", "ENABLE_ORDER_EXEC", "DECISION_LATENCY_MS", "MAX_MEMORY_MB",
    "MAX_DAILY_LOSS_PCT", "MAX_TRADES_PER_DAY", "MAX_POSITION_EXPOSURE", "MAX_ORDER_SIZE",
    "AWS_REGION", "S3_BUCKET", "VENUE", "INSTRUMENTS",
}  # fmt: skip


def documented() -> dict[str, str]:
    with_default = {}
    for name, default in DOCUMENTED.findall(text(EXAMPLE)):
        assert name not in with_default, f"{name} is documented twice"
        with_default[name] = default
    return with_default


def test_contract_is_documented() -> None:
    assert CONTRACT - set(documented()) == set()


def test_each_setting_states_its_consequence() -> None:
    lines = text(EXAMPLE).splitlines()
    bare = [
        line
        for before, line in pairwise(lines)
        if DOCUMENTED.match(line) and not (before.startswith("# ") or DOCUMENTED.match(before))
    ]
    assert bare == []


def test_documented_settings_are_the_ones_read() -> None:
    loader = importlib.import_module("engine.config_load")
    # The command line reads PORT: it belongs to the API, not to the configuration of the roles.
    assert set(documented()) == {*loader.ENVIRONMENT, "PORT"}


def test_documented_defaults_are_the_ones_used() -> None:
    loader = importlib.import_module("engine.config_load")
    defaults = importlib.import_module("engine.config").Config()
    different = {}
    for name, (path, convert) in loader.ENVIRONMENT.items():
        written = documented()[name]
        used = defaults
        for part in path.split("."):
            used = getattr(used, part)
        if written and convert(written) != used:
            different[name] = (written, used)
        if not written and used not in {"", None, ()}:
            different[name] = (written, used)
    assert different == {}


def test_secrets_have_no_default() -> None:
    secrets = {n: d for n, d in documented().items() if re.search("KEY|SECRET|URL|TOKEN", n)}
    assert set(secrets.values()) == {""}


# The name of the kernel cache says what CPU Numba compiles for, without importing Numba.
READ_BY_NUMBA = {"NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES"}


def test_no_setting_is_read_behind_the_table() -> None:
    names = set(documented())
    read = {
        found
        for module in modules("engine")
        for found in re.findall(r"environ(?:\.get\(|\[)[\"']([A-Z_]+)", text(module.path))
    }
    assert read <= names | READ_BY_NUMBA
