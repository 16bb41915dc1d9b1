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


def test_inputs_that_may_be_missing_are_explained() -> None:
    head = feature_docs.markdown(CATALOGUE).partition("\n## ")[0]
    read = {name for row in CATALOGUE.bar_rows for name in row.inputs}
    may_be_missing = read - {"price", "volume", "takers", "trades", "time"}
    streams = {"mark", "liquidations", "book", "open_interest", "news"}
    assert may_be_missing == streams | {"leader", "others"}
    assert [name for name in may_be_missing if f"`{name}`" not in head] == []


def test_rows_over_bars_made_of_several_say_so() -> None:
    page = feature_docs.markdown(CATALOGUE)
    for row in CATALOGUE.bar_rows:
        is_said = f"over bars made of {row.every}: " in row.meaning
        assert is_said == (row.every > 1) == ("@" in row.name), row.name
    assert page.count("over bars made of 15: ") == 12


def test_the_page_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    feature_docs.main()
    assert capsys.readouterr().out == feature_docs.markdown(CATALOGUE)
