"""The decoder under sanitizers: millions of mutated frames, none of which reads a byte too far."""

from __future__ import annotations

import gzip
import itertools
import json
import subprocess
from pathlib import Path

import pytest

from tests.feed_rig import BTC, ETH, VENUE_START_MS, Frames, packed

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "native_ext"
SOURCES = [
    *sorted(NATIVE.glob("decode*.c")),
    *(NATIVE / f"{stem}.c" for stem in ("feed_core", "feed_emit", "feed_liveness", "feed_frames")),
    *(NATIVE / f"{stem}.c" for stem in ("firewall", "book", "ring", "clock")),
]
FLAGS = [
    "-O1",
    "-g",
    "-std=c11",
    "-D_GNU_SOURCE",
    "-Wall",
    "-Wextra",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
]
DEADLINE_S = 400


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("fuzz") / "feed_fuzz"
    command = ["cc", *FLAGS, f"-I{NATIVE}", str(ROOT / "tests/native/feed_fuzz.c")]
    done = subprocess.run(
        [*command, *map(str, SOURCES), "-o", str(target)],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, done.stderr
    return target


def made_frames() -> list[bytes]:
    frames, bare = Frames(), Frames("ETHUSDT", 2_681.62, wrapped=False)
    levels = [("61800.00", "1.000"), ("61799.50", "0.000")]
    made = [
        method(VENUE_START_MS)
        for source in (frames, bare)
        for method in (
            source.book_ticker,
            source.trade,
            source.agg_trade,
            source.kline,
            source.mark_price,
            source.force_order,
        )
    ]
    made += [frames.depth(VENUE_START_MS, levels, levels) for _ in range(4)]
    made.append({"lastUpdateId": frames.update_id, "bids": [["61800.00", "1"]], "asks": []})
    return [json.dumps(frame, separators=(",", ":")).encode() for frame in made]


def fuzz(program: Path, folder: Path, frames: list[bytes], count: int, seed: int) -> list[int]:
    """Run the program; return how many were accepted, refused, and heard as messages."""
    (folder / "seeds").write_bytes(b"\n".join(frames) + b"\n")
    (folder / "rows").write_bytes(packed([BTC, ETH]))
    done = subprocess.run(
        [str(program), str(folder / "seeds"), str(folder / "rows"), str(count), str(seed)],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, done.stderr[-4_000:]
    return [int(word) for word in done.stdout.split()]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_mutated_frames_stay_inside_their_bytes(program: Path, tmp_path: Path, seed: int) -> None:
    accepted, refused, heard = fuzz(program, tmp_path, made_frames(), 400_000, seed)
    assert accepted > 20_000
    assert refused > 100_000
    assert heard > 5_000


@pytest.mark.slow
def test_mutated_recorded_frames_stay_inside_their_bytes(
    program: Path, tmp_path: Path, captures: list[Path]
) -> None:
    with gzip.open(captures[0]) as lines:
        frames = [line.rstrip(b"\n").split(b" ", 1)[1] for line in itertools.islice(lines, 20_000)]
    accepted, refused, _ = fuzz(program, tmp_path, frames, 400_000, 3)
    assert accepted > 20_000
    assert refused > 100_000
