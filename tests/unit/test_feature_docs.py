"""docs/features.md says what the catalogue says."""

from pathlib import Path

import pytest

from engine import feature_docs
from engine.domain.features.catalogue import catalogue_text, compile_plan

PAGE = Path(__file__).resolve().parents[2] / "docs" / "features.md"
CATALOGUE = compile_plan(catalogue_text())


def test_the_page_is_what_the_catalogue_says() -> None:
    assert PAGE.read_text("utf-8") == feature_docs.markdown(CATALOGUE)


def test_every_row_has_one_line() -> None:
    page = feature_docs.markdown(CATALOGUE)
    for row in (*CATALOGUE.bar_rows, *CATALOGUE.micro_rows):
        assert page.count(f"| `{row.name}`") == 1, row.name


def test_the_page_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    feature_docs.main()
    assert capsys.readouterr().out == feature_docs.markdown(CATALOGUE)
