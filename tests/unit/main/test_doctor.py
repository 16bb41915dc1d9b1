"""`aegis doctor` on the machine and on what earlier runs left: each line by itself."""

from __future__ import annotations

import ast
import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import Config
from engine.processes.commands import STATE_FILE
from engine.processes.doctor_machine import (
    MEMORY_WANTED_BYTES,
    free_memory_bytes,
    look_at_machine,
    memory,
)
from engine.processes.doctor_state import look_at_state
from engine.processes.finding import Finding, any_failed, document, line
from engine.processes.segments import InstanceLock, lock_holder
from engine.store.database import migrate
from engine.store.session import SessionDocument, write_document
from engine.store.sqlite import SqliteDatabase
from native_ext import _native
from tests.architecture.tree import ROOT

STATE = "binance-main-live"
INSTANCE = f"d{os.getpid()}"  # no engine of another test


def found_in(home: Path, **changed: object) -> dict[str, Finding]:
    config = msgspec.structs.replace(Config(name=INSTANCE, home=str(home)), **changed)
    return {finding.name: finding for finding in look_at_state(config)}


def session(home: Path, *, ended_ns: int, pid: int, start_ticks: int) -> Path:
    """Leave a session as an engine of this process would."""
    name = "20260101t000000-1"
    directory = home / "state" / STATE / "journal" / name
    known = SessionDocument(
        session_id=name,
        instance=INSTANCE,
        state_key=STATE,
        epoch=1,
        engine_tag="a",
        started_realtime_ns=time.time_ns(),
        started_monotonic_ns=time.monotonic_ns(),
        main_pid=pid,
        main_start_ticks=start_ticks,
        version="0",
        kernel_key="0",
        market_journal="all",
        config={},
        ended_realtime_ns=ended_ns,
    )
    write_document(directory, known)
    return directory


# -- what a finding says ---------------------------------------------------------------------------


@given(good=st.booleans(), fatal=st.booleans())
def test_a_line_shows_its_level_and_a_remedy_only_where_one_is_needed(
    *, good: bool, fatal: bool
) -> None:
    finding = Finding("disk", good, "1 GB free", "make room", fatal)
    level = "ok" if good else "fail" if fatal else "warn"
    assert finding.level == document(finding)["level"] == level
    assert line(finding).lower().startswith(level)
    assert ("make room" in line(finding)) is not good
    assert any_failed([Finding("x", good=True, found=""), finding]) is (level == "fail")


# -- memory ----------------------------------------------------------------------------------------


@given(free_kb=st.integers(0, 2**40), limit=st.integers(0, 2**50), used=st.integers(0, 2**50))
def test_a_container_bounds_the_memory_and_never_adds_to_it(
    tmp_path_factory: pytest.TempPathFactory, free_kb: int, limit: int, used: int
) -> None:
    folder = tmp_path_factory.getbasetemp() / "memory"
    folder.mkdir(exist_ok=True)
    table = folder / "meminfo"
    table.write_text(f"MemTotal:  1 kB\nMemAvailable:  {free_kb} kB\n", encoding="ascii")
    (folder / "memory.max").write_text("max\n", encoding="ascii")
    (folder / "memory.current").write_text(f"{used}\n", encoding="ascii")
    assert free_memory_bytes(table, folder) == free_kb * 1024
    assert free_memory_bytes(table, folder / "none") == free_kb * 1024
    (folder / "memory.max").write_text(f"{limit}\n", encoding="ascii")
    bounded = free_memory_bytes(table, folder)
    assert 0 <= bounded <= free_kb * 1024
    assert bounded == free_kb * 1024 or bounded == max(limit - used, 0)


def test_a_home_that_takes_no_file_is_fatal_whatever_its_mode_says(tmp_path: Path) -> None:
    homes = (tmp_path / "not" / "there" / "yet", Path("/proc/aegis"))
    found = [
        next(it for it in look_at_machine(Config(home=str(home))) if it.name == "AEGIS_HOME")
        for home in homes
    ]
    assert [it.level for it in found] == ["ok", "fail"]
    assert list(tmp_path.iterdir()) == [], "a look leaves nothing"


def test_memory_that_cannot_be_read_is_none_and_a_warning(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("nothing of use\n", encoding="ascii")
    assert free_memory_bytes(tmp_path / "meminfo", tmp_path) == 0
    assert memory(0).level == "warn"
    assert memory(MEMORY_WANTED_BYTES).level == "ok"


# -- what earlier runs left ------------------------------------------------------------------------


def test_an_empty_home_is_in_order(tmp_path: Path) -> None:
    found = found_in(tmp_path)
    assert {name: each.level for name, each in found.items()} == dict.fromkeys(
        ("instance", "lease", "leftovers"), "ok"
    )


def test_a_lock_that_is_held_names_its_holder_and_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    path = tmp_path / "run" / f"{INSTANCE}.lock"
    lock = InstanceLock(path)
    instance = found_in(tmp_path)["instance"]
    assert instance.level == "warn"
    assert f"process {os.getpid()}" in instance.found
    lock.close()
    before = path.read_bytes()
    assert found_in(tmp_path)["instance"].level == "ok"
    assert path.read_bytes() == before, "a look writes nothing"


def test_a_lock_of_another_process_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    path.write_text("4711\n", encoding="ascii")
    script = (
        f"import fcntl, sys; f = open({str(path)!r}); fcntl.flock(f, {fcntl.LOCK_EX})\n"
        "print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert lock_holder(path) == "4711"
    assert lock_holder(path) == ""
    assert lock_holder(tmp_path / "absent") == ""


@pytest.mark.parametrize(
    ("ended_ns", "lives", "level", "words"),
    [
        (1, False, "ok", "ended in order"),
        (0, True, "ok", "runs"),
        (0, False, "warn", "crashed or was killed"),
    ],
)
def test_how_the_last_run_ended_is_said(
    tmp_path: Path, ended_ns: int, level: str, words: str, *, lives: bool
) -> None:
    pid = os.getpid()
    ticks = _native.process_start_ticks(pid) if lives else 1
    directory = session(tmp_path, ended_ns=ended_ns, pid=pid, start_ticks=ticks)
    last = found_in(tmp_path)["last run"]
    assert (last.level, words in last.found) == (level, True), last
    if level == "warn":
        assert str(directory) in last.remedy


def test_a_damaged_session_fails(tmp_path: Path) -> None:
    directory = session(tmp_path, ended_ns=0, pid=1, start_ticks=1)
    (directory / "session.json").write_text("{", encoding="ascii")
    assert found_in(tmp_path)["last run"].level == "fail"


@pytest.mark.parametrize(
    ("text", "level", "words"),
    [
        ('{"name": "ENABLED", "who": "cli", "reason": "x"}', "ok", "ENABLED"),
        ('{"name": "HALTED", "who": "cli", "reason": "bad fills"}', "warn", "by cli: bad fills"),
        ("{", "warn", "the next start is HALTED"),
        ("[]", "warn", "the next start is HALTED"),
    ],
)
def test_a_halt_that_survives_is_said(tmp_path: Path, text: str, level: str, words: str) -> None:
    folder = tmp_path / "state" / STATE
    folder.mkdir(parents=True)
    (folder / STATE_FILE).write_text(text, encoding="ascii")
    trading = found_in(tmp_path)["trading"]
    assert trading.level == level
    assert words in trading.found


def test_a_database_is_opened_read_only_and_its_schema_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "state" / STATE
    folder.mkdir(parents=True)
    database = SqliteDatabase(folder / "aegis.db")
    count = migrate(database, 1)
    database.close()
    assert found_in(tmp_path)["database"].found == f"{STATE}: schema {count}"
    (folder / "aegis.db").write_bytes(b"no database at all" * 100)
    assert found_in(tmp_path)["database"].level == "warn"


def test_a_database_that_is_away_is_a_warning_without_its_password(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    away = "postgresql://u:secret-in-clear@127.0.0.1:1/d"
    finding = found_in(tmp_path, database_url=away)["database"]
    assert finding.level == "warn", "trading goes on without it"
    assert "in-clear" not in json.dumps(document(finding))


def test_of_practice_runs_only_the_newest_is_looked_at(tmp_path: Path) -> None:
    for number in range(3):
        folder = tmp_path / "state" / f"practice-run-{number}-paper"
        folder.mkdir(parents=True)
        os.utime(folder, ns=(number, number))
    assert found_in(tmp_path)["last run"].found.startswith("practice-run-2-paper")


def test_whatever_may_not_be_good_has_a_remedy() -> None:
    bare = []
    for path in sorted((ROOT / "engine/processes").glob("doctor*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and ast.unparse(node.func) == "Finding"):
                continue
            given = {word.arg: word.value for word in node.keywords}
            good = given.get("good", node.args[1] if len(node.args) > 1 else None)
            is_good = isinstance(good, ast.Constant) and good.value is True
            if not is_good and len(node.args) < 4 and "remedy" not in given:
                bare.append(f"{path.name}:{node.lineno}")
    assert bare == []
