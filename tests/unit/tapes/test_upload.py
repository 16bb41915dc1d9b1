"""Copies are verified before they count, tried a bounded number of times, and never cost a tape."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.tapes import upload
from engine.tapes.errors import MissingExtraError, UploadError
from engine.tapes.finishing import Finishing, Policy
from engine.tapes.folder import TapeFolder, read_note
from engine.tapes.upload import ATTEMPTS_MAX, Destination
from tests.tape_builders import market, write_tape

pytest.importorskip("fsspec", reason="fsspec is not installed")


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    (tmp_path / "tapes").mkdir()
    return write_tape(tmp_path / "tapes" / "a-main-000000.tape", market(500))


def test_a_copy_in_a_folder_is_the_tape(tape: Path, tmp_path: Path) -> None:
    copy = Destination(f"file://{tmp_path}/away").put(tape, f"tapes/{tape.name}")
    stored = tmp_path / "away" / "tapes" / tape.name
    assert stored.read_bytes() == tape.read_bytes()
    assert copy["bytes"] == tape.stat().st_size
    assert copy["url"] == f"file://{tmp_path}/away/tapes/{tape.name}"


class Flaky:
    """Breaks the first so many copies, by refusing them or by storing something else."""

    def __init__(self, destination: Destination, failures: int, how: str) -> None:
        self._real: Callable[[str, str], None] = destination._files.put_file
        self.left, self.how = failures, how
        self.calls = 0
        destination._files.put_file = self

    def __call__(self, source: str, target: str) -> None:
        self.calls += 1
        if self.left > 0:
            self.left -= 1
            if self.how == "refuse":
                raise ConnectionResetError("reset by peer")
            changed = Path(source).read_bytes()[:-1] + b"?"
            Path(target).write_bytes(changed if self.how == "change" else changed[:10])
            return
        self._real(source, target)


@pytest.mark.parametrize("how", ["refuse", "change", "cut"])
def test_it_is_tried_again_until_the_copy_is_right(how: str, tape: Path, tmp_path: Path) -> None:
    destination = Destination(f"file://{tmp_path}/away")
    flaky = Flaky(destination, 2, how)
    pauses: list[float] = []
    destination.put(tape, tape.name, pause=pauses.append)
    assert (flaky.calls, len(pauses)) == (3, 2)
    assert all(0 < pause <= upload.PAUSE_MAX_S for pause in pauses)
    assert (tmp_path / "away" / tape.name).read_bytes() == tape.read_bytes()


def test_it_gives_up_with_a_reason(tape: Path, tmp_path: Path) -> None:
    destination = Destination(f"file://{tmp_path}/away")
    flaky = Flaky(destination, 100, "refuse")
    with pytest.raises(UploadError, match=r"no verified copy after 5: .*reset by peer"):
        destination.put(tape, tape.name, pause=lambda _: None)
    assert flaky.calls == ATTEMPTS_MAX
    assert tape.exists()


def test_a_copy_that_is_there_is_not_made_again(tape: Path, tmp_path: Path) -> None:
    destination = Destination(f"file://{tmp_path}/away")
    destination.put(tape, tape.name)
    flaky = Flaky(destination, 0, "refuse")
    destination.put(tape, tape.name)
    assert flaky.calls == 0


def test_nothing_is_removed_before_its_copy_is_verified(tape: Path, tmp_path: Path) -> None:
    destination = Destination(f"file://{tmp_path}/away")
    flaky = Flaky(destination, 100, "change")
    said: list[str] = []
    policy = Policy(destination=destination, keep_bytes=1)
    finishing = Finishing(TapeFolder(tape.parent), policy, said.append)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upload, "_pause_s", lambda _: 0.0)
        finishing.work()
        assert tape.exists()
        assert "not what is written" not in finishing.failures[0]
        flaky.left = 0
        finishing.work()
    assert not tape.exists()
    assert finishing.failures == []
    assert (finishing.copies, finishing.removed) == (1, 1)
    assert any("read back" in sentence for sentence in said)


def test_an_unknown_kind_of_storage_is_a_sentence() -> None:
    with pytest.raises(UploadError, match="nowhere://"):
        Destination("nowhere://place")


def test_without_the_package_it_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    with pytest.raises(MissingExtraError, match=r"aegis-engine\[history\]"):
        Destination("file:///nowhere")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tapes_and_parquet_reach_a_bucket(s3: tuple[str, str, Any], tape: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    address, bucket, client = s3
    destination = Destination(f"s3://{bucket}/desk", region="eu-central-1", endpoint=address)
    policy = Policy(tape.parent / "parquet", destination, keep_bytes=1)
    finishing = Finishing(TapeFolder(tape.parent), policy)
    whole = tape.read_bytes()
    finishing.work()
    assert finishing.failures == []
    stored = client.get_object(Bucket=bucket, Key=f"desk/tapes/{tape.name}")["Body"].read()
    assert stored == whole
    names = {row["Key"] for row in client.list_objects_v2(Bucket=bucket)["Contents"]}
    local = {
        f"desk/parquet/{path.relative_to(tape.parent / 'parquet').as_posix()}"
        for path in (tape.parent / "parquet").rglob("*.parquet")
    }
    assert names == local | {f"desk/tapes/{tape.name}"}
    assert not tape.exists()  # copied, verified, and beyond what is kept
    assert finishing.copies == len(names)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_bucket_that_is_not_there_is_a_failure_that_keeps_the_tape(
    s3: tuple[str, str, Any], tape: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "_pause_s", lambda _: 0.0)
    destination = Destination("s3://nobodys", region="eu-central-1", endpoint=s3[0])
    monkeypatch.setattr(destination._files, "makedirs", lambda *_, **__: None)
    finishing = Finishing(TapeFolder(tape.parent), Policy(destination=destination, keep_bytes=1))
    finishing.work()
    assert "no verified copy" in finishing.failures[0]
    assert tape.exists()
    assert "copy" not in read_note(tape)
