"""A run that cannot start says why in one sentence, with its exit code, and leaves nothing behind.

The real `aegis run` each time; what needs a full disk or a small /dev/shm mounts one in a namespace
of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.processes.segments import FIXED_KINDS, RING_ROWS
from tests.engine_process import AEGIS, DEADLINE_S, Engine, aegis, alive, wait_for
from tests.ring_builders import ROOT

SHM = Path("/dev/shm")
NOBODY = "http://127.0.0.1:9"  # the discard port: nothing listens
SEGMENT_COUNT = len(FIXED_KINDS) + len(RING_ROWS)
IMPORTED_MIN = 20_000  # objects that are there as long as the engine
TELL_FROZEN = """
import atexit, gc, os, pathlib, sys
if "run" in sys.orig_argv:
    told = pathlib.Path(os.environ["TELL_FROZEN"])
    atexit.register(lambda: told.write_text(str(gc.get_freeze_count())))
"""
MOUNT = 'mount -t tmpfs -o "$0" tmpfs "$1" && shift && exec "$@"'


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    made = f"s{os.getpid()}-{abs(hash(request.node.name)) % 10**8}"
    yield made
    for left in segments(made):
        (SHM / left).unlink()


def segments(name: str) -> list[str]:
    return sorted(path.name for path in SHM.glob(f"aegis-{name}-*"))


def run(
    home: Path, name: str, *words: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*AEGIS, "run", "--name", name, *words, "--port", "0"],
        capture_output=True,
        check=False,
        text=True,
        timeout=DEADLINE_S,
        env={**os.environ, "AEGIS_HOME": str(home), **(environment or {})},
    )


def refused(done: subprocess.CompletedProcess[str], code: int, *said: str) -> None:
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    sentences = [line for line in done.stderr.splitlines() if line.startswith("aegis")]
    assert len(sentences) == 1, done.stderr
    for words in said:
        assert words in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"[limits]\nmax_entries_per_day = 'x'\n", "limits.max_entries_per_day"),
        (b"name = 'open", "not valid TOML"),
        (b"\xff\xfe", "byte 0 is no UTF-8"),
        (b"[limits]\nmax_order_size = inf\n", "limits.max_order_size: must be finite"),
        (b"[nosuch]\nx = 1\n", "nosuch"),
        (b"strategies = ['nosuch']\n", "strategies: no row is named nosuch"),
        (b"[[strategy]]\nname = 'x'\nkind = 'nosuch'\n", "kind 'nosuch'"),
    ],
)
def test_a_wrong_file_is_named_with_its_field(
    tmp_path: Path, name: str, text: bytes, said: str
) -> None:
    path = tmp_path / "wrong.toml"
    path.write_bytes(text)
    refused(run(tmp_path / "home", name, "--config", str(path)), 2, said)


@pytest.mark.parametrize(
    ("variable", "text", "said"),
    [
        ("ALLOW_ORDERS", "maybe", "ALLOW_ORDERS='maybe'"),
        ("TRADING_MODE", "demo", "TRADING_MODE='demo'"),
        ("TRADING_MODE", "live", "BINANCE_API_KEY"),
        ("MAX_ORDER_SIZE", "-1", "MAX_ORDER_SIZE in the environment: limits.max_order_size"),
        ("MAX_ORDER_SIZE", "nan", "limits.max_order_size"),
        ("MAX_DAILY_LOSS_PCT", "inf", "limits.max_daily_loss_ratio"),
        ("MAX_TRADES_PER_DAY", "2.5", "MAX_TRADES_PER_DAY='2.5'"),
    ],
)
def test_a_wrong_variable_is_named(
    tmp_path: Path, name: str, variable: str, text: str, said: str
) -> None:
    refused(run(tmp_path, name, environment={variable: text}), 2, said)


def test_live_trading_on_the_practice_venue_is_exit_code_2(tmp_path: Path, name: str) -> None:
    path = tmp_path / "live.toml"
    path.write_text('[venue]\nrest_url = "https://fapi.binance.com"\n', encoding="ascii")
    keys = {"BINANCE_API_KEY": "k", "BINANCE_API_SECRET": "s"}
    words = ("--config", str(path), "--mode", "live")
    refused(run(tmp_path / "home", name, *words, environment=keys), 2, "venue.name", "practice")


def test_a_secret_is_never_part_of_the_sentence(tmp_path: Path, name: str) -> None:
    done = run(
        tmp_path,
        name,
        *("--venue", "binance", "--mode", "live"),
        environment={"BINANCE_API_SECRET": "hush-hush", "MAX_ORDER_SIZE": "-1"},
    )
    assert done.returncode == 2
    assert "hush-hush" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--for", "nan"), "--for"),
        (("--for", "-1"), "--for"),
        (("--exchange", "nonsense"), "--exchange"),
        (("--speed", "0"), "--speed 0"),
        (("--generate", "501"), "--generate 501"),
        (("--name", "../x"), "the command line: name"),
        (("--strategies", "nosuch"), "no row is named nosuch"),
        (("--port", "65536"), "port 65536"),
        (("--venue", "binance", "--mode", "live"), "BINANCE_API_KEY"),
        (("--generate", "1", "--instruments", "NOSUCHUSDT"), "no NOSUCHUSDT; it has BTCUSDT"),
    ],
)
def test_wrong_use_is_exit_code_2(
    tmp_path: Path, name: str, words: tuple[str, ...], said: str
) -> None:
    refused(run(tmp_path, name, *words), 2, said)
    assert segments(name) == []


@pytest.mark.parametrize("content", [None, b"", b"no capture\n", b"\x1f\x8b\x08garbage"])
def test_a_tape_that_is_missing_or_none_is_exit_code_3(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    tape = tmp_path / "tape.gz"
    if content is not None:
        tape.write_bytes(content)
    refused(run(tmp_path, name, "--tape", str(tape)), 3, str(tape))


def test_an_address_of_another_host_is_exit_code_3(tmp_path: Path, name: str) -> None:
    refused(run(tmp_path, name, "--host", "203.0.113.1"), 3, "cannot listen on 203.0.113.1")


@pytest.mark.parametrize("place", ["", "state", "run"])
def test_no_data_directory_is_exit_code_3(tmp_path: Path, name: str, place: str) -> None:
    home = tmp_path / "home"
    (home / place).parent.mkdir(parents=True, exist_ok=True)
    (home / place).write_text("a file where a directory must be", encoding="ascii")
    refused(run(home, name), 3, str(home))
    assert segments(name) == []


def run_mounted(
    home: Path, name: str, place: Path, options: str
) -> subprocess.CompletedProcess[str]:
    """Run with a tmpfs of these options over a place, in a mount namespace; skip without one."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("unshare is not installed")
    place.mkdir(parents=True, exist_ok=True)
    words = [*AEGIS, "run", "--port", "0", "--name", name]
    done = subprocess.run(
        [unshare, "--map-root-user", "--mount", "sh", "-c", MOUNT, options, str(place), *words],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
        timeout=DEADLINE_S,
        env={**os.environ, "AEGIS_HOME": str(home)},
    )
    if done.stderr.startswith(("unshare:", "mount:")):
        pytest.skip(f"no mount namespace for this user: {done.stderr.strip()}")
    return done


@pytest.mark.parametrize("size", ["64k", "4m", "20m"])
def test_a_full_shared_memory_is_exit_code_3_with_the_remedy(
    tmp_path: Path, name: str, size: str
) -> None:
    done = run_mounted(tmp_path / "home", name, SHM, f"size={size}")
    refused(done, 3, "/dev/shm", "--shm-size")


@pytest.mark.parametrize("options", ["ro", "nr_inodes=1", "nr_inodes=2", "nr_inodes=6", "size=4k"])
def test_a_home_without_room_is_exit_code_3(tmp_path: Path, name: str, options: str) -> None:
    home = tmp_path / "home"
    refused(run_mounted(home, name, home, options), 3, str(home))
    assert segments(name) == []


def started(home: Path, name: str, *words: str) -> Engine:
    """Return an engine that waits for an exchange which is not there, with its journal begun."""
    engine = Engine(home, "--exchange", NOBODY, "--name", name, *words)
    try:
        wait_begun(engine, home, name)
    except AssertionError:
        engine.kill()
        raise
    return engine


def wait_begun(engine: Engine, home: Path, name: str) -> None:
    def journal_begun() -> bool:
        assert engine.process.poll() is None, "it ended"
        try:
            document = json.loads((home / "run" / f"{name}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        session = Path(document["state_dir"]) / "journal" / document["session_id"]
        return document["pid"] == engine.process.pid and (session / "session.json").exists()

    wait_for("its journal", journal_begun)


def killed(home: Path, name: str) -> Path:
    """Leave what an engine leaves whose main process was killed; return its session document."""
    engine = started(home, name)
    children = wait_for("its roles", lambda: child_pids(engine.process.pid))
    engine.process.send_signal(signal.SIGKILL)
    engine.process.communicate()
    wait_for("children to end", lambda: not [pid for pid in children if alive(pid)])
    (document,) = home.glob("state/*/journal/*/session.json")
    return document


def child_pids(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(word) for word in text.split()]


def stopped(engine: Engine) -> str:
    code, output, errors = engine.terminate()
    assert code == 4, f"nothing was compared: {output}{errors}"
    assert "Traceback" not in errors
    return output


@pytest.mark.parametrize("host", ["127.0.0.2", "0.0.0.0", "localhost", "::1", "::"])
def test_commands_reach_an_engine_wherever_it_listens(tmp_path: Path, name: str, host: str) -> None:
    if ":" in host and not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    engine = started(tmp_path, name, "--host", host)
    try:
        wait_for("the API", lambda: aegis(tmp_path, "status", "--name", name).returncode == 0)
        halted = aegis(tmp_path, "halt", "--name", name, "test")
        assert halted.returncode == 1
        # Nothing plays for it: the word holds, and nobody can confirm it or look yet.
        assert "books: the venue did not confirm" in halted.stdout, "through the API"
        assert halted.stdout.endswith("now HALTED\n")
        resumed = aegis(tmp_path, "resume", "--name", name, "--reason", "test")
        assert resumed.returncode == 1
        assert "not resumed, roles: " in resumed.stderr
        assert aegis(tmp_path, "stop", "--name", name).returncode == 0
        code, output, errors = engine.finish()
        assert code == 4, f"nothing was compared: {output}{errors}"
        shown = {"0.0.0.0": "127.0.0.1", "localhost": "127.0.0.1", "::1": "[::1]", "::": "[::1]"}
        assert f"http://{shown.get(host, host)}:" in output + errors
    finally:
        engine.kill()


def test_no_collection_looks_through_what_main_has_imported(tmp_path: Path, name: str) -> None:
    site, told = tmp_path / "site", tmp_path / "frozen"
    site.mkdir()
    (site / "sitecustomize.py").write_text(TELL_FROZEN, encoding="utf-8")
    path = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))
    environment = {"PYTHONPATH": path, "TELL_FROZEN": str(told)}
    words = ("--exchange", NOBODY, "--name", name)
    engine = Engine(tmp_path / "home", *words, environment=environment)
    try:
        wait_for("the routes", engine.status)
        stopped(engine)
    finally:
        engine.kill()
    assert int(told.read_text("ascii")) > IMPORTED_MIN


def test_stale_segments_of_a_dead_engine_are_replaced(tmp_path: Path, name: str) -> None:
    killed(tmp_path, name)
    before = {each: (SHM / each).stat().st_ino for each in segments(name)}
    assert len(before) == SEGMENT_COUNT
    torn = SHM / f"aegis-{name}-market"
    torn.write_bytes(b"killed before its header was complete")
    os.utime(torn, (0, 0))  # one that is seconds old may be in the making
    engine = started(tmp_path, name)
    try:
        after = {each: (SHM / each).stat().st_ino for each in segments(name)}
        assert set(after) == set(before)
        stopped(engine)
    finally:
        engine.kill()
    assert segments(name) == []


def test_a_dead_engine_whose_journal_is_damaged_is_not_thrown_away(
    tmp_path: Path, name: str
) -> None:
    document = killed(tmp_path, name)
    whole = document.read_bytes()
    document.write_bytes(whole[: len(whole) // 2])
    refused(run(tmp_path, name, "--exchange", NOBODY), 3, "cannot be journaled", str(document))
    assert len(segments(name)) == SEGMENT_COUNT, "they wait for another try"
    document.write_bytes(whole)
    engine = started(tmp_path, name)
    try:
        stopped(engine)
    finally:
        engine.kill()


@pytest.mark.parametrize("other_home", [False, True])
def test_a_second_engine_of_a_name_is_exit_code_3_and_disturbs_nobody(
    tmp_path: Path, name: str, other_home: bool
) -> None:
    engine = started(tmp_path / "first", name)
    try:
        before = {each: (SHM / each).stat().st_ino for each in segments(name)}
        home = tmp_path / ("second" if other_home else "first")
        refused(run(home, name, "--exchange", NOBODY), 3, "runs already")
        assert {each: (SHM / each).stat().st_ino for each in segments(name)} == before
        assert aegis(tmp_path / "first", "status", "--name", name).returncode == 0
        stopped(engine)
    finally:
        engine.kill()
    assert segments(name) == []
