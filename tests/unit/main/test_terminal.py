"""What a run says: repeated notices come seldom, and a reader that is gone never ends it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from engine.processes.terminal import REPEAT_S, Terminal

SPEAKER = """
import sys
from engine.processes.terminal import Terminal
terminal = Terminal(json_only=False)
sys.stdin.readline()  # until the test has closed its end of our standard output
for number in range(100):
    terminal.say(f"line {number}")
terminal.document("{}")
print("went on", file=sys.stderr)
"""


def test_a_closed_pipe_does_not_end_the_engine() -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", SPEAKER], stdin=pipe, stdout=pipe, stderr=pipe, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.write("\n")
        process.stdin.close()
        assert process.stderr.read() == "went on\n"
        assert process.wait(30) == 0


def test_lines_leave_standard_output_to_the_object(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(json_only=True)
    terminal.say("a line")
    terminal.document("{}")
    said = capsys.readouterr()
    assert said.out == "{}\n"
    assert said.err == "a line\n"


def test_a_notice_repeats_seldom_but_a_changed_one_comes_at_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal = Terminal(json_only=False)
    for now_s in (30.0, 35.0, 40.0):
        terminal.notice("waiting", now_s)
    terminal.notice("", 41.0)
    terminal.notice("refused", 45.0)
    terminal.notice("refused", 45.0 + REPEAT_S)
    assert capsys.readouterr().out.split() == ["waiting", "refused", "refused"]
