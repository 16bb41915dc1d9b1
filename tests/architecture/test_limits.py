"""Files fit in one sitting, functions on a screen, and tests weigh as much as the source."""

import ast
from pathlib import Path

from tests.architecture.tree import PACKAGES, ROOT, body_lines, files, modules, text

PYTHON_LINES_MAX = 400
TEST_LINES_MAX = 480  # a suite of one law after another reads in pieces
TEST_WEIGHT_MIN = 0.8  # of the source, in lines; the aim is 1.0 and this floor only rises
C_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
FUNCTION_LINES_P90 = 30
LINE_COLUMNS_MAX = 100
ROOT_ENTRIES_MAX = 28
TRACKED_BYTES_MAX = 1024 * 1024
C_SUFFIXES = {".c", ".h", ".pyx", ".pxd", ".cpp"}


def with_suffix(*suffixes: str) -> list[Path]:
    return [path for path in files() if path.suffix in suffixes]


def test_python_files_fit_in_one_sitting() -> None:
    lengths = {str(path): len(text(path).splitlines()) for path in with_suffix(".py")}
    limits = {
        name: TEST_LINES_MAX if name.startswith("tests/") else PYTHON_LINES_MAX for name in lengths
    }
    assert {name: n for name, n in lengths.items() if n > limits[name]} == {}


def test_c_files_fit_in_one_sitting() -> None:
    lengths = {str(path): len(text(path).splitlines()) for path in with_suffix(*C_SUFFIXES)}
    assert {name: n for name, n in lengths.items() if n > C_LINES_MAX} == {}


def test_functions_fit_on_a_screen() -> None:
    found = {
        f"{module.path}:{node.lineno} {node.name}": body_lines(node)
        for module in modules(*PACKAGES, "bench", "tests")
        for node in module.definitions()
    }
    assert {name: n for name, n in found.items() if n > FUNCTION_LINES_MAX} == {}


def test_nine_functions_in_ten_are_short() -> None:
    lengths = sorted(body_lines(node) for module in modules() for node in module.definitions())
    assert lengths[int(len(lengths) * 0.9)] <= FUNCTION_LINES_P90


def test_lines_fit_beside_each_other() -> None:
    long = [
        f"{path}:{number}"
        for path in with_suffix(".py", ".pyi", *C_SUFFIXES)
        for number, line in enumerate(text(path).splitlines(), start=1)
        if len(line) > LINE_COLUMNS_MAX
    ]
    assert long == []


def test_root_folder_is_readable_at_a_glance() -> None:
    entries = {path.parts[0] for path in files()}
    assert len(entries) <= ROOT_ENTRIES_MAX, sorted(entries)


def test_no_large_file_is_tracked() -> None:
    large = [str(path) for path in files() if (ROOT / path).stat().st_size > TRACKED_BYTES_MAX]
    assert large == []


def test_tests_weigh_as_much_as_the_source() -> None:
    def weight(*folders: str) -> int:
        lines = (line for module in modules(*folders) for line in text(module.path).splitlines())
        return sum(1 for line in lines if line.strip())

    assert weight("tests") >= TEST_WEIGHT_MIN * weight(*PACKAGES)


def test_body_lines_leave_the_docstring_out() -> None:
    node = ast.parse('def f():\n    """One.\n\n    Two.\n    """\n    return 1\n').body[0]
    assert isinstance(node, ast.FunctionDef)
    assert body_lines(node) == 2
