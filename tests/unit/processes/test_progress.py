"""What takes long and cannot say how far it is tells that it goes on, and for how long."""

import io
import itertools
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine.processes import journal_verify, progress, shadow, why
from engine.processes.progress import progressing, ticking
from tests.engine_process import wait_for
from tests.journal_homes import PAPER, add_session, sound_rows

TICKS = 3


def test_what_takes_long_tells_how_long_until_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "TICK_S", 0.001)
    clock = itertools.count()
    clock_of = SimpleNamespace(monotonic=lambda: float(next(clock)))
    monkeypatch.setattr(progress, "time", clock_of)
    told: list[str] = []
    ticked = threading.Event()

    def tell(text: str) -> None:
        told.append(text)
        if len(told) > TICKS:
            ticked.set()

    with ticking(tell, "loading"):
        ticked.wait()
    assert told[: TICKS + 1] == ["loading", *(f"loading: {second} s" for second in (1, 2, 3))]
    with pytest.raises(ValueError, match="broken"), ticking(tell, "again"):
        raise ValueError("broken")
    assert "again" in told
    assert "aegis-ticking" not in {thread.name for thread in threading.enumerate()}


class Terminal(io.StringIO):
    """Where standard error goes."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self.is_terminal = is_terminal

    def has(self, words: str) -> bool:
        return words in self.getvalue()

    def isatty(self) -> bool:
        return self.is_terminal


@pytest.fixture(params=[True, False], ids=["terminal", "plain"])
def said(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    made = Terminal(is_terminal=request.param)
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=made))
    for name in ("QUIET_S", "TICK_S", "TERMINAL_S", "PLAIN_S"):
        monkeypatch.setattr(progress, name, 0.001)
    return made


def test_a_long_loop_says_at_which_of_its_items_it_is(said: Terminal) -> None:
    seen = []
    with progressing(["a", "b", "c", "d"], "sessions") as each:
        for place, item in enumerate(each):
            seen.append(item)
            wait_for("a line", partial(said.has, f"{place} of 4, "))
    assert seen == ["a", "b", "c", "d"]
    assert "sessions [######..................]  25% 1 of 4, 0 s" in said.getvalue()
    assert said.getvalue().endswith("\n"), "what is printed next begins a line"
    assert "aegis-progress" not in {thread.name for thread in threading.enumerate()}


def test_a_loop_that_fails_leaves_no_thread(said: Terminal) -> None:
    with pytest.raises(ValueError, match="broken"), progressing([1], "things"):
        raise ValueError("broken")
    assert "aegis-progress" not in {thread.name for thread in threading.enumerate()}
    assert said.getvalue() == "" or said.getvalue().startswith(("\rthings", "things"))


def test_what_is_over_soon_says_nothing(said: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "QUIET_S", 3_600.0)
    with progressing(range(5), "things") as each:
        assert list(each) == [0, 1, 2, 3, 4]
    assert said.getvalue() == ""


def verify(home: Path, *, as_json: bool) -> int:
    return journal_verify.verify_command(home / "state", as_json=as_json)


def tell_why(home: Path, *, as_json: bool) -> int:
    return why.why_command(home, "1-1", None, as_json=as_json)


def list_orders(home: Path, *, as_json: bool) -> int:
    return why.why_command(home, None, None, as_json=as_json)


def grade(home: Path, *, as_json: bool) -> int:
    made = SimpleNamespace(close=lambda: None)
    return shadow._grade([made], home / "state" / PAPER, as_json=as_json)  # type: ignore[list-item]


COMMANDS = [
    (verify, journal_verify, "verify_directory", "sessions "),
    (tell_why, why, "find_story", "accounts "),
    (list_orders, why, "newest_orders", "accounts "),
    (grade, shadow, "grade", "sessions "),
]


@pytest.mark.parametrize(("command", "module", "slow", "words"), COMMANDS)
@pytest.mark.parametrize("as_json", [False, True])
def test_commands_that_read_journals_say_how_far_they_are_and_not_to_programs(
    said: Terminal,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Callable[..., int],
    module: object,
    slow: str,
    words: str,
    *,
    as_json: bool,
) -> None:
    """Once each stood still without a word for as long as it took."""
    add_session(tmp_path, sound_rows())
    found = {"verify_directory": journal_verify.Finding(tmp_path, None, ())}
    found |= {"find_story": None, "newest_orders": [], "grade": 3}  # type: ignore[dict-item]

    def take_long(*_: object) -> object:
        if not as_json:
            wait_for("a line of progress", lambda: words in said.getvalue())
        return found[slow]

    monkeypatch.setattr(module, slow, take_long)
    command(tmp_path, as_json=as_json)
    assert (words in said.getvalue()) is not as_json
