"""A type that two threads ask for at once, which msgspec alone answers with signal 11."""

import subprocess
import sys

import msgspec
import pytest

from engine.domain import typed
from tests.architecture.tree import ROOT

# The first thread is held in the middle of making the table of Row: msgspec asks the type of a
# field for its origin. The second asks for Row meanwhile.
TWO_THREADS = """
import threading
from msgspec import Struct
from engine.domain import typed

is_making, may_go_on = threading.Event(), threading.Event()

class Held(type):
    def __getattr__(cls, name):
        if name == "__origin__":
            is_making.set()
            may_go_on.wait()
        raise AttributeError(name)

class Slow(metaclass=Held):
    pass

class Row(Struct):
    slow: Slow | None = None
    number: int = 0

found = []

def ask():
    found.append(ASKED)

first, second = (threading.Thread(target=ask) for _ in range(2))
first.start()
is_making.wait()
second.start()
second.join(0.3)  # as far as it comes
may_go_on.set()
first.join()
second.join()
print([row.number for row in found])
"""


class Row(msgspec.Struct):
    number: int = 0


@pytest.mark.parametrize(
    "asked", ["typed.decode(b'{\"number\": 7}', Row)", "typed.convert({'number': 7}, Row)"]
)
def test_a_thread_waits_until_another_has_made_the_table(asked: str) -> None:
    code = TWO_THREADS.replace("ASKED", asked)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[7, 7]\n", "")


def test_values_are_taken_as_msgspec_takes_them() -> None:
    assert typed.decode(b'{"number": 3}', Row) == typed.convert({"number": 3}, Row) == Row(3)
    assert typed.decode("[{}]", list[Row]) == [Row()]
    assert typed.convert({"number": "3"}, Row, strict=False) == Row(3)
    with pytest.raises(msgspec.ValidationError):
        typed.convert({"number": "3"}, Row)
    with pytest.raises(msgspec.DecodeError):
        typed.decode(b"{", Row)
