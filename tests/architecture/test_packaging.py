"""What is installed is what pyproject.toml lists, at the versions the locks hold."""

import re
import subprocess
import sys
import tomllib
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.tree import PACKAGES, ROOT, files, text

RUNTIME, DEVELOPMENT = Path("requirements.lock"), Path("requirements-dev.lock")
IMAGE = Path("requirements-image.lock")
EXTRAS = {
    "alerts", "aws", "bench", "dev", "history", "ibkr", "oracle", "otel", "postgres", "research",
    "train",
}  # fmt: skip
CODE = {".py", ".c", ".h", ".pyx", ".pxd", ".md"}


@cache
def project() -> dict[str, Any]:
    return tomllib.loads(text(Path("pyproject.toml")))


def canonical(requirement: str) -> str:
    name = re.split(r"[\s\[;<>=!~]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(lock: Path) -> dict[str, str]:
    pins = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", text(lock), flags=re.MULTILINE)
    return {canonical(name): version for name, version in pins}


def test_distribution_and_command_keep_their_names() -> None:
    assert project()["project"]["name"] == "aegis-engine"
    assert project()["project"]["scripts"] == {"aegis": "engine.cli:main"}
    assert project()["project"]["requires-python"] == ">=3.11,<3.14"


def test_every_package_is_listed() -> None:
    found = {
        ".".join(path.parent.parts)
        for path in files()
        if path.name == "__init__.py" and path.parts[0] in PACKAGES
    }
    assert found == set(project()["tool"]["setuptools"]["packages"])


def test_no_module_lies_outside_a_package() -> None:
    packages = {Path(*name.split(".")) for name in project()["tool"]["setuptools"]["packages"]}
    stray = [
        str(path)
        for path in files()
        if path.suffix == ".py" and path.parts[0] in PACKAGES and path.parent not in packages
    ]
    assert stray == []


def data_files() -> list[Path]:
    return [path for path in files() if path.parts[0] in PACKAGES and path.suffix not in CODE]


def test_every_data_file_is_installed() -> None:
    globs = project()["tool"]["setuptools"]["package-data"]
    packages = sorted(project()["tool"]["setuptools"]["packages"], key=len, reverse=True)

    def installed(path: Path) -> bool:
        package = next(p for p in packages if path.is_relative_to(Path(*p.split("."))))
        inside = path.relative_to(Path(*package.split(".")))
        return any(inside.match(glob) for glob in [*globs["*"], *globs.get(package, [])])

    assert [str(path) for path in data_files() if not installed(path)] == []


def test_extras_are_the_promised_ones() -> None:
    assert set(project()["project"]["optional-dependencies"]) == EXTRAS


def test_picows_is_pinned_exactly() -> None:
    # WHY: its C structures are read at their offsets; another release may move them.
    assert any(re.fullmatch(r"picows==[0-9.]+", d) for d in project()["project"]["dependencies"])


def test_runtime_lock_holds_every_dependency() -> None:
    wanted = project()["project"]["dependencies"] + project()["build-system"]["requires"]
    assert {canonical(name) for name in wanted} <= set(locked(RUNTIME))


def test_development_lock_holds_every_extra_but_train() -> None:
    extras = project()["project"]["optional-dependencies"]
    wanted = {canonical(d) for name in extras if name != "train" for d in extras[name]}
    assert wanted <= set(locked(DEVELOPMENT))
    assert "torch" not in locked(DEVELOPMENT)


def test_both_locks_agree() -> None:
    assert locked(RUNTIME).items() <= locked(DEVELOPMENT).items()


def offered() -> set[str]:
    """Return the extras that people who run the image are told of."""
    told = "".join(text(Path(f"docs/{name}.md")) for name in ("deployment", "runbook"))
    groups = re.findall(r"extras?\s+((?:`[a-z]+`(?:,\s+|\s+and\s+)?)+)", told)
    return {name for group in groups for name in re.findall(r"`([a-z]+)`", group)}


def test_documents_of_the_image_name_extras_that_there_are() -> None:
    assert {"alerts", "aws", "otel", "research"} <= offered() <= EXTRAS


def test_image_holds_every_extra_that_its_documents_offer() -> None:
    (installed,) = re.findall(r"--requirement (\S+)", text(Path("Dockerfile")))
    extras = project()["project"]["optional-dependencies"]
    wanted = {canonical(d) for name in offered() for d in extras[name]}
    assert wanted <= set(locked(Path(installed)))


def test_image_lock_is_the_runtime_lock_and_a_part_of_the_development_lock() -> None:
    assert locked(RUNTIME).items() <= locked(IMAGE).items() <= locked(DEVELOPMENT).items()
    assert not {"pytest", "mypy", "moto", "matplotlib", "torch"} & set(locked(IMAGE))


@pytest.mark.parametrize("lock", [RUNTIME, DEVELOPMENT, IMAGE], ids=str)
def test_every_pin_has_a_hash_and_no_index_is_named(lock: Path) -> None:
    pins = re.split(r"\n(?=[a-zA-Z])", text(lock))
    assert [pin.split(" ")[0] for pin in pins if "--hash=sha256:" not in pin] == []
    assert not re.search(r"https?:|file:|--index|--find-links|--trusted", text(lock))


def test_every_dependency_has_a_reason() -> None:
    extras = project()["project"]["optional-dependencies"]
    wanted = project()["project"]["dependencies"] + [d for each in extras.values() for d in each]
    table = text(Path("CONTRIBUTING.md")).split("## Dependencies")[1]
    rows = re.findall(r"^\| `([^`]+)` \| [a-z, ]+ \| \S", table, flags=re.MULTILINE)
    assert {canonical(name) for name in wanted} == {canonical(name) for name in rows}


@pytest.mark.slow
def test_wheel_holds_the_packages_and_nothing_else(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for path in files():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes((ROOT / path).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(tmp_path), str(source)], check=True)
    (wheel,) = tmp_path.glob("aegis_engine-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    assert any(re.fullmatch(r"native_ext/_native\..*so", name) for name in names)
    assert {str(path) for path in data_files()} <= set(names)
