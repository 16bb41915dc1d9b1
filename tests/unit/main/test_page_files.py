"""The page's files: each at an address that changes with its content, and nothing else."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.web.page_files import FOLDER, TYPES, PageFiles
from tests.api_rig import Served, serving

FILES = sorted(path.name for path in FOLDER.iterdir() if path.suffix in TYPES)
MODULES = {name for name in FILES if name.endswith(".js") and name != "theme.js"}
PAGE = (FOLDER / "index.html").read_text("utf-8")
LONGEST_LINES = 260  # of a file that engineers read
LONGEST_LINE = 100


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("files")) as made:
        yield made


@pytest.fixture(scope="module")
def version() -> str:
    return PageFiles().version


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_there_for_anybody_and_is_kept(
    served: Served, version: str, name: str
) -> None:
    answer = served.ask("GET", f"/page/{version}/{name}", headers={"Host": "rebound.example"})
    assert (answer.status, answer.body) == (200, (FOLDER / name).read_bytes())
    kind = {".js": "text/javascript", ".css": "text/css"}[Path(name).suffix]
    assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/page/{version}/index.html",
        "/page/{version}/",
        "/page/{version}/../page/{version}/page.js",
        "/page/{version}/..%2fpage%2fpage.js",
        "/page/{version}/%2e%2e%2froutes.py",
        "/page/{version}/%2fetc%2fpasswd",
        "/page/{version}/page.js%00",
        "/page/{version}/PAGE.JS",
        "/page/{version}/./page.js",
        "/page/0000000000000000/page.js",
        "/page/{{version}}/page.js",
        "/page//page.js",
        "/page/page.js",
        "/page.js",
    ],
)
def test_any_other_path_is_none(served: Served, version: str, path: str) -> None:
    answer = served.ask("GET", path.replace("{version}", version))
    assert answer.status == 404
    assert answer.headers.get("cache-control") == "no-store", "another engine may have it"


def test_a_version_is_that_of_every_name_and_byte(tmp_path: Path) -> None:
    folder = tmp_path / "page"
    shutil.copytree(FOLDER, folder)
    first = PageFiles(folder).version
    assert first == PageFiles().version
    (folder / "theme.css").write_bytes((folder / "theme.css").read_bytes() + b" ")
    second = PageFiles(folder).version
    (folder / "theme.css").rename(folder / "colours.css")
    assert len({first, second, PageFiles(folder).version}) == 3


def test_the_page_names_its_own_version(served: Served, version: str) -> None:
    page = served.ask("GET", "/").body.decode()
    named = re.findall(r'(?:href|src)="/page/([^/"]*)/([^/"]*)"', page)
    assert {found for found, _ in named} == {version}
    assert {name for _, name in named} == set(FILES)


def test_every_module_is_loaded_beside_the_others() -> None:
    preloaded = re.findall(r'rel="modulepreload" href="/page/{{version}}/([^"]*)"', PAGE)
    assert sorted(preloaded) == sorted(MODULES)


def test_a_module_imports_what_is_there() -> None:
    for name in MODULES:
        for imported in re.findall(r'from "([^"]*)"', (FOLDER / name).read_text("utf-8")):
            assert imported.startswith("./"), "of the same version"
            assert imported[2:] in MODULES


def test_no_script_and_no_style_stands_in_the_page() -> None:
    assert re.findall(r"<style|\son[a-z]+=|\sstyle=|javascript:", PAGE) == []
    scripts = re.findall(r"<script([^>]*)>", PAGE)
    assert [found for found in scripts if "src=" not in found] == [
        ' type="application/json" id="first"'
    ]


@pytest.mark.parametrize("name", ["index.html", *FILES])
def test_a_file_of_the_page_is_there_to_be_read(name: str) -> None:
    lines = (FOLDER / name).read_text("utf-8").splitlines()
    assert len(lines) <= LONGEST_LINES
    assert [line for line in lines if len(line) > LONGEST_LINE] == []
