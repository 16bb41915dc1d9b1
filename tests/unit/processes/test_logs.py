"""Log lines are JSON, carry what they concern, and cannot flood anybody."""

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.processes import logs
from engine.processes.logs import SUPPRESS_NS, RateLimitedSite, configure, log_fault

pytestmark = pytest.mark.usefixtures("root_as_it_was")


def lines(home: Path, role: str = "feed") -> list[dict[str, Any]]:
    text = (home / "logs" / f"{role}.log").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_is_one_json_object_with_role_level_and_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("feed", tmp_path).warning("STREAM_LOST", instrument="BTCUSDT", sequence=7)

    (line,) = lines(tmp_path)
    assert (line["event"], line["role"], line["level"]) == ("STREAM_LOST", "feed", "warning")
    assert (line["instrument"], line["sequence"]) == ("BTCUSDT", 7)
    assert line["timestamp"].endswith("Z")
    assert json.loads(capsys.readouterr().err) == line


def test_libraries_are_heard_from_warning_on(tmp_path: Path) -> None:
    configure("feed", tmp_path)
    logging.getLogger("somebody.else").info("chatter")
    logging.getLogger("somebody.else").warning("worth %s", "knowing")

    assert logging.getLogger().level == logging.WARNING
    (line,) = lines(tmp_path)
    assert (line["event"], line["logger"]) == ("worth knowing", "somebody.else")


def test_decisions_may_be_kept_off_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("feed", tmp_path, stderr_level=logging.WARNING).info("TRADING_DECISION", score=0.5)

    assert capsys.readouterr().err == ""
    assert lines(tmp_path)[0]["score"] == 0.5


def test_a_caught_error_says_what_it_concerned(tmp_path: Path) -> None:
    logger = configure("brain", tmp_path)
    try:
        int("not a price")
    except ValueError as error:
        log_fault(logger, "BAD", error, instrument="ETHUSDT", sequence=12, request_id=3)

    (line,) = lines(tmp_path, "brain")
    error_text = "ValueError: invalid literal for int() with base 10: 'not a price'"
    keys = ("role", "instrument", "sequence", "request_id", "error", "level")
    told = tuple(line[key] for key in keys)
    assert told == ("brain", "ETHUSDT", 12, 3, error_text, "error")


def test_a_traceback_is_inside_the_json(tmp_path: Path) -> None:
    logger = configure("feed", tmp_path)
    try:
        int("inside")
    except ValueError:
        logger.exception("CAUGHT")

    (line,) = lines(tmp_path)
    assert "ValueError: invalid literal" in line["exception"]


def test_files_rotate_and_their_number_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "FILE_BYTES_MAX", 2_000)
    logger = configure("feed", tmp_path, stderr_level=logging.CRITICAL)
    for number in range(400):
        logger.warning("LINE", number=number, filler="x" * 100)

    files = sorted(path.name for path in (tmp_path / "logs").iterdir())
    assert files == ["feed.log", *(f"feed.log.{number}" for number in range(1, 6))]
    assert all(path.stat().st_size <= 2_000 for path in (tmp_path / "logs").iterdir())
    assert lines(tmp_path)[-1]["number"] == 399


def test_an_unwritable_folder_leaves_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "logs").write_text("in the way")

    configure("feed", tmp_path).warning("STILL_HERE")

    events = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    assert events == ["LOG_FILE_UNWRITABLE", "STILL_HERE"]


def test_configuring_again_does_not_double_lines(tmp_path: Path) -> None:
    configure("feed", tmp_path)
    configure("feed", tmp_path).warning("ONCE")

    assert len(lines(tmp_path)) == 1
    assert len(logging.getLogger().handlers) == 2
    assert sys.stderr is not None


class Clock:
    def __init__(self) -> None:
        self.now_ns = 10**18

    def __call__(self) -> int:
        return self.now_ns


class Sink:
    def __init__(self) -> None:
        self.written: list[tuple[str, dict[str, Any]]] = []

    def warning(self, event: str, **values: object) -> None:
        self.written.append((event, values))


def site() -> tuple[RateLimitedSite, Sink, Clock]:
    sink, clock = Sink(), Clock()
    return RateLimitedSite(sink, "REJECTED", clock=clock), sink, clock  # type: ignore[arg-type]


def test_a_flood_gives_one_line_a_minute_and_the_count_of_the_rest() -> None:
    limited, sink, clock = site()
    for _ in range(100_000):
        limited.warn("PRICE")
    clock.now_ns += SUPPRESS_NS
    limited.warn("PRICE")

    assert [values["suppressed_count"] for _, values in sink.written] == [0, 99_999]


def test_reasons_are_limited_apart() -> None:
    limited, sink, _ = site()
    assert limited.warn("PRICE", sequence=1)
    assert limited.warn("TIME", sequence=2)
    assert not limited.warn("PRICE", sequence=3)

    assert [(v["reason"], v["sequence"]) for _, v in sink.written] == [("PRICE", 1), ("TIME", 2)]


def test_reasons_made_by_a_hostile_peer_are_bounded() -> None:
    limited, sink, _ = site()
    for number in range(10_000):
        limited.warn(f"reason {number}")

    assert len(sink.written) == logs.REASONS_MAX + 1
    assert sink.written[-1][1]["reason"] == "other"


@given(
    steps=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2 * SUPPRESS_NS)), max_size=60)
)
def test_lines_of_one_reason_are_never_closer_than_a_minute(steps: list[tuple[str, int]]) -> None:
    limited, sink, clock = site()
    told: dict[str, int] = {}
    silent = dict.fromkeys("abc", 0)
    for reason, pause_ns in steps:
        clock.now_ns += pause_ns
        if limited.warn(reason):
            assert clock.now_ns - told.get(reason, -(10**30)) >= SUPPRESS_NS
            told[reason] = clock.now_ns
            assert sink.written[-1][1]["suppressed_count"] == silent[reason]
            silent[reason] = 0
        else:
            silent[reason] += 1


ENDS = """
import sys
from pathlib import Path
from engine.processes.logs import RateLimitedSite, configure
logger = configure("feed", Path(sys.argv[1]))
site = RateLimitedSite(logger, "REFUSED")
for _ in range(4):
    logger.warning("STREAM_LOST", instrument="BTCUSDT")
    site.warn("late", instrument="BTCUSDT")
raise SystemExit(1)
"""


def test_what_was_held_back_is_told_when_the_process_ends(tmp_path: Path) -> None:
    words = [sys.executable, "-c", ENDS, str(tmp_path)]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)

    assert ended.returncode == 1, ended.stderr
    said = [
        (line["event"], line.get("repeated"), line.get("suppressed_count"))
        for line in lines(tmp_path)
    ]
    assert said == [
        ("STREAM_LOST", None, None),
        ("REFUSED", None, 0),
        ("REFUSED", None, 3),
        ("STREAM_LOST", 3, None),
    ]
    assert [json.loads(line) for line in ended.stderr.splitlines()] == lines(tmp_path)
