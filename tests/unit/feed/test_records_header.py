"""C and Python read one table of records, because the header is generated from the table."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from engine.domain.codes import RecordType
from engine.domain.firewall_reasons import FirewallReason
from engine.domain.records import MARKET_FIELDS
from engine.domain.records_header import header

ROOT = Path(__file__).resolve().parents[3]
HEADER = ROOT / "native_ext" / "records.h"


def test_the_header_in_the_tree_is_the_generated_one() -> None:
    assert HEADER.read_text() == header(), "run: python -m engine.domain.records_header > records.h"


def test_every_number_and_field_is_in_the_header() -> None:
    text = HEADER.read_text()
    for reason in FirewallReason:
        assert f"AEGIS_REJECT_{reason.name} = {reason.value}," in text
    for record in RecordType:
        assert f"AEGIS_RECORD_{record.name} = {record.value}," in text
    for field, _, offset in MARKET_FIELDS:
        assert f"offsetof(union aegis_market_record, {field}) == {offset}" in text


def test_a_moved_field_does_not_compile(tmp_path: Path) -> None:
    moved = re.sub(r"(aegis_market_record, qty_lots\)) == 40", r"\1 == 41", HEADER.read_text())
    assert moved != HEADER.read_text()
    for name, text, expected in (("as_is.c", HEADER.read_text(), 0), ("moved.c", moved, 1)):
        source = tmp_path / name
        source.write_text(text + "int main(void) { return 0; }\n")
        command = ["cc", "-std=c11", "-fsyntax-only", str(source)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (result.returncode != 0) == bool(expected), result.stderr
