"""Settings of every shape: each ends as a configuration or in one sentence, never a traceback."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import Config, shown
from engine.config_docs import example_file, settings
from engine.config_load import ENVIRONMENT, PROFILES, ConfigError, load_config

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-10, 10**7),
    st.floats(allow_nan=True),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text("abc", max_size=2), st.integers(), max_size=2),
)
PATHS = sorted({path for path, _, _ in settings()} | {"profiles", "limits", "venue", "journal"})
TREES = st.dictionaries(st.sampled_from(PATHS), ODD, max_size=4)
VARIABLES = st.dictionaries(
    st.sampled_from(sorted(ENVIRONMENT)), st.text(st.characters(codec="ascii"), max_size=6)
)


def written(tree: Mapping[str, Any]) -> str:
    """Return a TOML file of dotted paths; what TOML cannot say is left out."""
    lines = []
    for path, entry in tree.items():
        if entry is None:
            continue
        if isinstance(entry, dict):
            keys = ", ".join(f'"{key}" = {number}' for key, number in entry.items())
            text = "{" + keys + "}"
        elif isinstance(entry, str):
            text = msgspec.json.encode(entry).decode()
        else:
            text = str(entry).lower() if isinstance(entry, bool) else repr(entry)
        lines.append(f"{path} = {text}")
    return "\n".join(lines) + "\n"


@given(tree=TREES, variables=VARIABLES)
def test_anything_wrong_is_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[str, Any], variables: dict[str, str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "odd.toml"
    path.write_text(written(tree), encoding="utf-8")
    sentence = ""
    try:
        config = load_config(variables, str(path))
    except ConfigError as error:
        sentence = str(error)
    else:
        assert msgspec.json.decode(msgspec.json.encode(config), type=Config) == config
    assert "\n" not in sentence.strip()


@given(
    profile=st.sampled_from(sorted(PROFILES)),
    weak=st.integers(1, 500),
    middle=st.integers(1, 500),
    strong=st.integers(1, 500),
    layers=st.sets(st.sampled_from(["file", "profile", "variable", "words"])),
)
def test_the_stronger_source_wins(
    tmp_path_factory: pytest.TempPathFactory,
    profile: str,
    weak: int,
    middle: int,
    strong: int,
    layers: set[str],
) -> None:
    lines = [f'profile = "{profile}"']
    expected = 100
    if "file" in layers:
        lines += ["[limits]", f"decision_latency_ms = {weak}"]
        expected = weak
    if "profile" in layers:
        lines += [f"[profiles.{profile}.limits]", f"decision_latency_ms = {middle}"]
        expected = middle
    variables = {}
    if "variable" in layers:
        variables["DECISION_LATENCY_MS"] = str(strong)
        expected = strong
    words: dict[str, Any] = {}
    if "words" in layers:
        words["limits.decision_latency_ms"] = weak
        expected = weak
    path = tmp_path_factory.getbasetemp() / "layers.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = load_config(variables, str(path), words)
    assert config.limits.decision_latency_ms == expected
    assert config.profile == profile


@given(key=st.text("abcXYZ012", min_size=4), secret=st.text("ghijk456", min_size=4))
def test_no_secret_is_ever_shown(key: str, secret: str) -> None:
    key, secret = f"Key{key}", f"Secret{secret}"  # nothing that stands there anyway
    variables = {
        "BINANCE_API_KEY": key,
        "BINANCE_API_SECRET": secret,
        "DATABASE_URL": f"postgresql://aegis:{secret}@db.example/aegis",
    }
    text = msgspec.json.encode(shown(load_config(variables))).decode()
    assert secret not in text
    assert key not in text


def test_the_example_file_is_true_when_its_lines_are_taken() -> None:
    from engine.domain.strategy_table import row_from_words

    taken = re.sub(r"(?m)^# (?=\[|[a-z_]+ = )", "", example_file())
    tree = tomllib.loads(taken)
    (row,) = tree["strategy"]
    assert row_from_words(**row).name == row["name"]  # names a kind and parameters that exist
    tree.pop("profiles")
    config = msgspec.convert(tree, type=Config)
    for path, default, _ in settings():
        found: Any = config
        if path == "strategy":
            continue
        for part in path.split("."):
            found = getattr(found, part)
        assert found == default, path
