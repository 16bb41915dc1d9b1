"""deploy/entrypoint.sh: what the container starts, with what, and what it says when it cannot."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

ENTRYPOINT = Path(__file__).resolve().parents[2] / "deploy" / "entrypoint.sh"
# Stands in for the engine: says how it was called, then does what the test asks.
PROGRAM = """#!/bin/sh
echo "pid=$$"
echo "arguments=$(basename "$0") $*"
echo "AEGIS_HOME=$AEGIS_HOME"
echo "PORT=$PORT"
eval "${THEN:-:}"
"""


class Container:
    """The files and variables the entry point finds in the image."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "state"
        self.baked = folder / "baked"
        programs = folder / "programs"
        programs.mkdir()
        for name in ("aegis", "look"):
            (programs / name).write_text(PROGRAM)
            (programs / name).chmod(0o755)
        self.environment = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "AEGIS_HOME": str(self.home),
            "AEGIS_BAKED": str(self.baked),
        }

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [str(ENTRYPOINT), *arguments],
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **environment: str) -> dict[str, str]:
        with self.start(*arguments, **environment) as process:
            out, error = process.communicate()
        assert process.returncode == 0, error
        said = dict(line.split("=", 1) for line in out.splitlines())
        assert said["pid"] == str(process.pid), "the program did not replace the shell"
        return said

    def bake(self, name: str, content: str) -> None:
        kernels = self.baked / "cache" / name
        kernels.mkdir(parents=True)
        (kernels / "decide.nbi").write_text(content)


@pytest.fixture
def container(tmp_path: Path) -> Container:
    return Container(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "started"),
    [
        ([], "aegis run"),
        (["--generate", "3"], "aegis run --generate 3"),
        (["run", "--for", "5"], "aegis run --for 5"),
        (["doctor", "--warm"], "aegis doctor --warm"),
        (["aegis", "status"], "aegis status"),
        (["look", "a b"], "look a b"),
    ],
)
def test_arguments_choose_the_program(
    container: Container, arguments: list[str], started: str
) -> None:
    assert container.run(*arguments)["arguments"] == started


def test_every_command_of_aegis_is_known(container: Container) -> None:
    from engine.cli import build_parser

    commands = build_parser()._subparsers._group_actions[0].choices  # type: ignore[union-attr]
    assert commands
    for command in commands:
        assert container.run(command)["arguments"] == f"aegis {command}"


def test_arguments_with_spaces_stay_whole(container: Container) -> None:
    with container.start("look", "two words", THEN='echo "count=$#"') as process:
        out, _ = process.communicate()
    assert "count=1" in out


def test_port_is_set_so_that_the_api_binds_every_address(container: Container) -> None:
    assert container.run()["PORT"] == "8080"
    assert container.run(PORT="9001")["PORT"] == "9001"


def test_home_is_created(container: Container) -> None:
    assert container.run()["AEGIS_HOME"] == str(container.home)
    assert container.home.is_dir()


def test_home_that_cannot_be_written_is_said_in_one_sentence(
    container: Container, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    with container.start(AEGIS_HOME=str(blocked / "home")) as process:
        out, error = process.communicate()
    assert process.returncode == 3
    assert out == ""
    assert len(error.splitlines()) == 1
    assert str(blocked / "home") in error


def test_exit_code_is_the_programs_own(container: Container) -> None:
    with container.start(THEN="exit 4") as process:
        process.communicate()
    assert process.returncode == 4


def test_sigterm_reaches_the_program(container: Container) -> None:
    # No child in the background: before it has become `sleep` it would hear nothing.
    then = "trap 'echo drained; exit 0' TERM; echo waiting; while :; do sleep 0.01; done"
    with container.start(THEN=then) as process:
        assert process.stdout is not None
        while process.stdout.readline() != "waiting\n":
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "drained\n"
    assert process.returncode == 0


def test_kernels_of_the_image_are_put_where_the_engine_looks(container: Container) -> None:
    container.bake("kernels-0123456789abcdef", "compiled")
    container.run()
    copied = container.home / "cache" / "kernels-0123456789abcdef" / "decide.nbi"
    assert copied.read_text() == "compiled"
    assert [path.name for path in (container.home / "cache").iterdir()] == [copied.parent.name]


def test_kernels_that_are_there_already_are_kept(container: Container) -> None:
    container.bake("kernels-0123456789abcdef", "compiled")
    kept = container.home / "cache" / "kernels-0123456789abcdef"
    kept.mkdir(parents=True)
    (kept / "decide.nbi").write_text("mine")
    container.run()
    assert (kept / "decide.nbi").read_text() == "mine"


def test_copied_kernels_keep_their_times(container: Container) -> None:
    container.bake("kernels-0123456789abcdef", "compiled")
    source = container.baked / "cache" / "kernels-0123456789abcdef" / "decide.nbi"
    os.utime(source, (1_767_225_600, 1_767_225_600))
    container.run()
    copied = container.home / "cache" / "kernels-0123456789abcdef" / "decide.nbi"
    assert copied.stat().st_mtime == source.stat().st_mtime
