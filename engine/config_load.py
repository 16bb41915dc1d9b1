"""Where settings come from: profile, TOML file, environment, command line, weakest first.

Everything wrong ends in one ConfigError sentence that names the field and the place it came from;
the command line prints it and exits with 2.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from engine.config import SECRET_FIELDS, Config
from engine.domain import typed
from engine.nearest import did_you_mean
from engine.secret_sources import SecretSources
from engine.symbols import UnknownSymbolError, resolve_all
from engine.venues.binance.signing import KeyTextError, signer_of
from engine.wrong_value import NO_FIELD, place_and_reason

DEFAULT_FILE = "aegis.toml"
DEFAULT_HOME = "~/.local/state/aegis"
TOP = "top:"  # instruments = "top:N"

# Orders that stay in the practice world are bounded generously, so that a run shows trades.
PRACTICE_LIMITS: dict[str, Any] = {
    "max_order_size": 1_000_000.0,
    "max_position_exposure": 1_000_000.0,
    "max_order_notional": 5_000.0,
    "max_position_notional": 20_000.0,
    "max_total_notional": 1_000_000.0,
    "max_entries_per_day": 1_000_000,
    "max_daily_loss_ratio": 0.5,
    "max_drawdown_ratio": 0.5,
    "orders_per_10s": 250,
    "orders_per_10s_instrument": 100,
}

# Where a venue is, unless a file says otherwise (a test network, a recorder in between).
ADDRESSES: dict[str, dict[str, str]] = {
    "binance": {
        "rest_url": "https://fapi.binance.com",
        "stream_url": "wss://fstream.binance.com",
        "order_url": "wss://ws-fapi.binance.com",
    }
}

PROFILES: dict[str, dict[str, Any]] = {
    "dev": {},
    "staging": {"drain_budget_s": 20},
    "production": {"drain_budget_s": 30, "reconcile_interval_s": 15},
}


class ConfigError(Exception):
    """A setting is missing or wrong; the message names it and says where it came from."""


def _boolean(text: str) -> bool:
    if text in {"0", "1"}:
        return text == "1"
    message = "must be 0 or 1"
    raise ValueError(message)


def _venue(text: str) -> str:
    if text in {"practice", *ADDRESSES}:
        return text
    message = f"must be {' or '.join(['practice', *ADDRESSES])}"
    raise ValueError(message)


def _trading_mode(text: str) -> str:
    if text == "virtual":
        return "paper"
    if text in {"paper", "live"}:
        return text
    message = "must be paper, virtual or live"
    raise ValueError(message)


# variable -> (path in Config, conversion). PORT belongs to the API and is read by the command line.
ENVIRONMENT: dict[str, tuple[str, Callable[[str], Any]]] = {
    "AEGIS_HOME": ("home", str),
    "VENUE": ("venue.name", _venue),
    "TRADING_MODE": ("trading_mode", _trading_mode),
    "BINANCE_API_KEY": ("venue.api_key", str),
    "BINANCE_API_SECRET": ("venue.api_secret", str),
    "INSTRUMENTS": ("instruments", str.split),
    "DATABASE_URL": ("database_url", str),
    "API_TOKEN": ("access.api_token", str),
    "ALERT_URLS": ("alerts.urls", str),
    "ALLOW_ORDERS": ("arming.allow_orders", _boolean),
    "DRY_RUN": ("arming.dry_run", _boolean),
    "ENABLE_ORDER_EXEC": ("arming.enable_order_exec", _boolean),
    "DECISION_LATENCY_MS": ("limits.decision_latency_ms", int),
    "MAX_MEMORY_MB": ("limits.max_memory_mb", int),
    "MAX_DAILY_LOSS_PCT": ("limits.max_daily_loss_ratio", float),
    "MAX_TRADES_PER_DAY": ("limits.max_entries_per_day", int),
    "MAX_POSITION_EXPOSURE": ("limits.max_position_exposure", float),
    "MAX_ORDER_SIZE": ("limits.max_order_size", float),
    "AWS_REGION": ("aws_region", str),
    "S3_BUCKET": ("s3_bucket", str),
}


def load_config(
    environment: Mapping[str, str],
    file: str | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Config:
    """Read, merge and validate every source of settings.

    Args:
        environment: variables, usually os.environ.
        file: TOML file; None: `aegis.toml` here when it exists.
        overrides: dotted path -> value from the command line; strongest.

    Raises:
        ConfigError: naming the field and its source.
    """
    overrides = dict(overrides or {})
    tree = _read_file(file)
    profiles = tree.pop("profiles", {})
    _check_shape({"profiles": profiles}, "", file or DEFAULT_FILE)
    profile = str(overrides.get("profile") or tree.get("profile") or "dev")
    if profile not in PROFILES:
        message = f"profile: {profile!r} is not one of {', '.join(PROFILES)}"
        raise ConfigError(message)
    overlay = profiles.get(profile, {})
    _check_shape({profile: overlay}, "profiles.", file or DEFAULT_FILE)
    _check_shape(tree, "", file or DEFAULT_FILE)
    _check_shape(overlay, f"profiles.{profile}.", file or DEFAULT_FILE)
    merged: dict[str, Any] = {}
    _merge(merged, PROFILES[profile])
    _merge(merged, tree)
    _merge(merged, overlay)
    merged["profile"] = profile
    origins = _apply_environment(merged, environment)
    for path, entry in overrides.items():
        _set(merged, path, entry)
        origins[path] = "the command line"
    return _conclude(merged, file or DEFAULT_FILE, origins)


def _read_file(file: str | None) -> dict[str, Any]:
    path = Path(file or DEFAULT_FILE)
    if file is None and not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror})"
        raise ConfigError(message) from error
    except tomllib.TOMLDecodeError as error:
        message = f"{path}: not valid TOML: {error}"
        raise ConfigError(message) from error
    except UnicodeDecodeError as error:
        message = f"{path}: not valid TOML: byte {error.start} is no UTF-8"
        raise ConfigError(message) from error


def _apply_environment(merged: dict[str, Any], environment: Mapping[str, str]) -> dict[str, str]:
    """Merge the variables in place; return where each path in Config got its value from."""
    origins: dict[str, str] = {}
    sources = SecretSources(environment.get("AWS_REGION", ""))
    for variable, (path, convert) in ENVIRONMENT.items():
        text = environment.get(variable, "")
        if not text:
            continue
        try:
            is_secret = path.rpartition(".")[2] in SECRET_FIELDS
            _set(merged, path, convert(sources.resolve(text) if is_secret else text))
        except ValueError as error:
            shown = "" if is_secret else f"={text!r}"
            raise ConfigError(f"{variable}{shown} in the environment: {error}") from error
        origins[path] = f"{variable} in the environment"  # its text may be a secret
    return origins


def _conclude(merged: dict[str, Any], source: str, origins: Mapping[str, str]) -> Config:
    merged["home"] = str(Path(merged.get("home") or DEFAULT_HOME).expanduser())
    venue = merged.setdefault("venue", {})
    if not isinstance(venue, dict):
        message = f"{source}: venue: must be a table"
        raise ConfigError(message)
    venue["third_party"] = venue.get("name", "practice") != "practice"
    for field, address in ADDRESSES.get(venue.get("name", ""), {}).items():
        venue[field] = venue.get(field) or address
    _expand_top(merged, origins.get("instruments", source))
    if not venue["third_party"]:
        limits = dict(PRACTICE_LIMITS)
        limits.update(merged.get("limits", {}))
        merged["limits"] = limits
    try:
        config = typed.convert(merged, Config)
    except msgspec.ValidationError as error:
        field, reason = place_and_reason(error)
        message = f"{origins.get(field or 'the file', source)}: {_sentence(field, reason)}"
        raise ConfigError(message) from error
    _check_finite(config, source, origins)
    _check(config)
    return _with_symbols(config, origins.get("instruments", source))


def _expand_top(merged: dict[str, Any], source: str) -> None:
    """Replace the word `top:N` for the instruments by its own setting, in place."""
    words = merged.get("instruments")
    if isinstance(words, str):
        words = [words]
        merged["instruments"] = words
    if not isinstance(words, list) or len(words) != 1 or not str(words[0]).startswith(TOP):
        return
    count = str(words[0]).removeprefix(TOP)
    if not count.isdecimal() or int(count) == 0:
        raise ConfigError(f"{source}: instruments: {words[0]!r} must be top: and a number above 0")
    merged["instruments"], merged["instruments_top"] = [], int(count)


def _with_symbols(config: Config, source: str) -> Config:
    """Return the configuration with the venue's own symbols for the words of the user."""
    if config.instruments and config.instruments_top:
        message = f"{source}: instruments: name them or take the top, not both"
        raise ConfigError(message)
    if config.instruments_top > config.instruments_max:
        message = (
            f"{source}: instruments: the top {config.instruments_top} are more than "
            f"instruments_max = {config.instruments_max}"
        )
        raise ConfigError(message)
    try:
        symbols = resolve_all(config.instruments, config.venue.name)
    except UnknownSymbolError as error:
        raise ConfigError(f"{source}: instruments: {error}") from error
    return msgspec.structs.replace(config, instruments=symbols)


def _check(config: Config) -> None:
    venue = config.venue
    _check_key(venue.api_secret)
    if config.fills_here and config.paper.latency_ms >= config.order_timeout_ms:
        message = "paper.latency_ms: must be below order_timeout_ms, or no order is ever answered"
        raise ConfigError(message)
    if config.trading_mode == "live":
        for field, entry, variable in (
            ("venue.api_key", venue.api_key, "BINANCE_API_KEY"),
            ("venue.api_secret", venue.api_secret, "BINANCE_API_SECRET"),
        ):
            if not entry:
                message = f"{field}: live trading needs it; set {variable}"
                raise ConfigError(message)
        if not venue.third_party:
            # Whatever its rest_url: orders to a practice venue pass without the arming switches.
            message = "venue.name: live trading needs a venue; the practice exchange is for paper"
            raise ConfigError(message)


def _sentence(field: str, reason: str) -> str:
    """Return what is wrong with a field; of a name that is no setting, which one is like it."""
    if reason != NO_FIELD:
        return f"{field or 'the file'}: {reason}"
    holder: Any = Config()
    *tables, name = field.split(".")
    for table in tables:
        holder = getattr(holder, table, None)
    return f"{field}: no such setting{did_you_mean(name, getattr(holder, '__struct_fields__', ()))}"


def _check_finite(config: Config, source: str, origins: Mapping[str, str]) -> None:
    tables: dict[str, Struct] = {"limits": config.limits, "approval": config.approval}
    for kind, rows in (("strategy", config.bounds.strategy), ("venue", config.bounds.venue)):
        tables |= {f"bounds.{kind}.{name}": row for name, row in rows.items()}
    for table, row in tables.items():
        for field, number in msgspec.structs.asdict(row).items():
            if number is not None and not math.isfinite(number):
                path = f"{table}.{field}"
                raise ConfigError(f"{origins.get(path, source)}: {path}: must be finite")


def _check_key(secret: str) -> None:
    try:
        signer_of(secret)
    except KeyTextError as error:
        # Never with the text: it may be all of a key but a line end.
        raise ConfigError(f"venue.api_secret (BINANCE_API_SECRET): {error}") from None


def _check_shape(tree: Mapping[str, Any], prefix: str, source: str) -> None:
    """Refuse what merging could not even read; types and ranges are checked when all is merged."""
    tables = {"profiles", *PROFILES, *_tables()}
    for key, entry in tree.items():
        if key in tables and not isinstance(entry, dict):
            raise ConfigError(f"{source}: {prefix}{key}: must be a table")
    venue = tree.get("venue", {})
    for path, entry in (("home", tree.get("home", "")), ("venue.name", venue.get("name", ""))):
        if not isinstance(entry, str):
            raise ConfigError(f"{source}: {prefix}{path}: must be text")


def _tables() -> list[str]:
    return [
        field.name
        for field in msgspec.structs.fields(Config)
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct)
    ]


def _merge(into: dict[str, Any], layer: Mapping[str, Any]) -> None:
    for key, entry in layer.items():
        if isinstance(entry, dict) and isinstance(into.get(key), dict):
            _merge(into[key], entry)
        else:
            into[key] = dict(entry) if isinstance(entry, dict) else entry


def _set(tree: dict[str, Any], path: str, entry: object) -> None:
    *parents, leaf = path.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
    tree[leaf] = entry
