"""The configuration described from its own types: the reference page and the example file.

`python -m engine.config_docs` prints docs/configuration.md; a test compares the two.
"""

from __future__ import annotations

import msgspec

from engine.config import Config
from engine.config_load import ENVIRONMENT, PROFILES

DERIVED = frozenset({"session_id", "onboarded", "engine_tag", "epoch"})


def reference_page() -> str:
    """Return docs/configuration.md."""
    variables = {path: name for name, (path, _) in ENVIRONMENT.items()}
    lines = [
        "# Configuration",
        "",
        "One typed TOML file (`aegis config init` writes an example), then the environment, then",
        "the command line; the stronger wins. `aegis config show` prints what is in force.",
        "Everything wrong ends in one sentence that names the field, and exit code 2.",
        "",
        f"Profiles: {', '.join(PROFILES)}; `[profiles.NAME]` tables in the file overlay it.",
        "",
        "| setting | default | variable | what it does |",
        "| --- | --- | --- | --- |",
    ]
    for path, default, text in settings():
        variable = f"`{variables[path]}`" if path in variables else ""
        lines.append(f"| `{path}` | `{default}` | {variable} | {text} |")
    return "\n".join(lines) + "\n"


def settings() -> list[tuple[str, object, str]]:
    """Return every setting as (dotted path, default, description)."""
    found: list[tuple[str, object, str]] = []
    _collect(Config, "", found)
    return found


def example_file() -> str:
    """Return an example aegis.toml in which every line is commented out."""
    lines = [
        "# Aegis settings. Every line shows a default; remove the '#' to change it.",
        "# Secrets belong in the environment, not here.",
        "",
    ]
    table = ""
    for path, default, text in settings():
        name, _, leaf = path.rpartition(".")
        if leaf.startswith("api_") or path == "strategy":
            continue
        if name != table:
            table = name
            lines += ["", f"[{table}]"]
        lines += [f"# {text}", f"# {leaf} = {_toml(default)}"]
    lines += [
        "",
        "# Your own strategy rows; see docs/first_strategy.md.",
        "# [[strategy]]",
        '# name = "my_rule"',
        '# kind = "orderflow"',
        "# timeframe_s = 1",
        '# bars = "volume:2.5"     # instead of timeframe_s; see docs/bars.md',
        "# notional = 200.0",
        "# parameters = { enter_score = 0.6 }",
        "",
        "# What staging changes on top:",
        "# [profiles.staging.limits]",
        "# max_entries_per_day = 20",
    ]
    return "\n".join(lines) + "\n"


def _collect(kind: type[msgspec.Struct], prefix: str, found: list[tuple[str, object, str]]) -> None:
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType), kind
    nested = []
    for field in info.fields:
        if field.name in DERIVED:
            continue
        if isinstance(field.type, msgspec.inspect.StructType):
            nested.append((field.name, field.type.cls))
            continue
        text = ""
        if isinstance(field.type, msgspec.inspect.Metadata) and field.type.extra_json_schema:
            text = str(field.type.extra_json_schema.get("description", ""))
        default = "" if field.default is msgspec.NODEFAULT else field.default
        if default == "" and field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        found.append((prefix + field.name, default, text))
    for name, inner in nested:
        _collect(inner, f"{prefix}{name}.", found)


def _toml(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, str):
        return f'"{default}"'
    if isinstance(default, tuple):
        return "[" + ", ".join(_toml(entry) for entry in default) + "]"
    if isinstance(default, dict):
        return "{ " + ", ".join(f"{key} = {_toml(entry)}" for key, entry in default.items()) + " }"
    return str(default)


if __name__ == "__main__":
    print(reference_page(), end="")  # noqa: T201  the page itself
