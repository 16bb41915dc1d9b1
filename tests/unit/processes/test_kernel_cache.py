"""The kernel cache's name changes with whatever the code depends on; old directories go."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.processes import kernel_cache, kernel_image

SOURCES = {
    "engine/domain/decide.py": "@kernel\ndef step():\n    pass\n",
    "engine/domain/features/rsi.py": "@cache\ndef rsi():\n    pass\n",
    "engine/domain/features/catalogue.toml": "[feature]\n",
    "engine/processes/brain_loop.py": "@entry\ndef run_slice():\n    pass\n",
    "engine/processes/kernel_image.py": "x = 2\n",
    "engine/processes/replay_loop.py": "x = 3\n",
    "ringbuffer/kernels.py": "x = 1\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in SOURCES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def test_every_kind_of_source_is_part_of_the_key(root: Path) -> None:
    found = {str(path.relative_to(root)) for path in kernel_cache.source_files(root)}
    assert found == set(SOURCES)


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_a_change_in_any_source_changes_the_key(root: Path, name: str) -> None:
    before = kernel_cache.cache_key(root)
    (root / name).write_text(SOURCES[name] + "\n# changed\n", encoding="utf-8")
    assert kernel_cache.cache_key(root) != before


def test_a_renamed_source_changes_the_key(root: Path) -> None:
    before = kernel_cache.cache_key(root)
    (root / "ringbuffer/kernels.py").rename(root / "ringbuffer/other.py")
    assert kernel_cache.cache_key(root) != before


CPUS = (
    "processor\t: 0\nmodel name\t: One 9000\nflags\t\t: sse2 avx2\n\nprocessor\t: 1\n",
    "processor\t: 0\nmodel name\t: Two 700\nflags\t\t: sse2\n\nprocessor\t: 1\n",
    "processor\t: 0\nFeatures\t: fp asimd\nCPU part\t: 0xd0c\n\nprocessor\t: 1\n",
)


def keys_of(root: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return the keys that three machines give the same sources."""
    found = set()
    for place, text in enumerate(CPUS):
        cpu_info = root / f"cpuinfo{place}"
        cpu_info.write_text(text, encoding="utf-8")
        monkeypatch.setattr(kernel_cache, "CPU_INFO", cpu_info)
        found.add(kernel_cache.cache_key(root))
    return found


def test_versions_are_part_of_the_key(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = kernel_cache.cache_key(root)
    monkeypatch.setattr(kernel_cache, "_versions", lambda: ("numba 9.9",))
    assert kernel_cache.cache_key(root) != before


def test_each_cpu_has_a_key_of_its_own(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_CPU_NAME", raising=False)
    monkeypatch.delenv("NUMBA_CPU_FEATURES", raising=False)
    assert len(keys_of(root, monkeypatch)) == len(CPUS)


def test_kernels_for_any_cpu_are_found_on_every_cpu(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = keys_of(root, monkeypatch)
    monkeypatch.delenv("NUMBA_CPU_FEATURES", raising=False)
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    generic = keys_of(root, monkeypatch)
    assert len(generic) == 1
    assert not generic & own


def test_a_named_cpu_still_takes_the_features_of_this_one(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NUMBA_CPU_FEATURES", raising=False)
    monkeypatch.setenv("NUMBA_CPU_NAME", "znver3")
    assert len(keys_of(root, monkeypatch)) == len(CPUS)
    monkeypatch.setenv("NUMBA_CPU_FEATURES", "+avx2")
    assert len(keys_of(root, monkeypatch)) == 1


def test_numba_compiles_for_what_the_key_names() -> None:
    script = (
        "from numba import config\n"
        "from engine.config import compiler_target\n"
        "assert compiler_target() == (config.CPU_NAME, config.CPU_FEATURES), compiler_target()\n"
    )
    told: list[dict[str, str]] = [
        {},
        {"NUMBA_CPU_NAME": "generic"},
        {"NUMBA_CPU_NAME": "znver3"},
        {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "+avx2"},
    ]
    clean = {name: text for name, text in os.environ.items() if not name.startswith("NUMBA_CPU")}
    for variables in told:
        subprocess.run([sys.executable, "-c", script], check=True, env=clean | variables)


def test_the_key_is_stable(root: Path) -> None:
    assert kernel_cache.cache_key(root) == kernel_cache.cache_key(root)
    assert kernel_cache.cache_directory("/h", root).name.startswith("kernels-")
    assert kernel_cache.DIRECTORY_PATTERN.match(kernel_cache.cache_directory("/h", root).name)


def test_progress_counts_kernels_and_entries_but_no_other_function(root: Path) -> None:
    assert kernel_cache.kernel_count(root) == 2


def test_prune_keeps_the_current_and_the_most_recent_directories(tmp_path: Path) -> None:
    directories = [tmp_path / f"kernels-{number:016x}" for number in range(6)]
    for age, directory in enumerate(directories):
        directory.mkdir()
        os.utime(directory, (1_000 + age, 1_000 + age))
    other = tmp_path / "notes"
    other.mkdir()
    current = directories[0]
    removed = kernel_cache.prune(current)
    assert sorted(removed) == directories[1:4]
    assert current.exists()
    assert other.exists()
    assert directories[5].exists()


def test_the_shipped_sources_exist() -> None:
    found = [path.name for path in kernel_cache.source_files()]
    assert {"decide.py", "brain_loop.py", "kernels.py", "catalogue.toml"} <= set(found)
    assert kernel_cache.kernel_count() > 50


def test_activation_after_a_kernel_module_is_refused(tmp_path: Path) -> None:
    script = (
        "import ringbuffer.kernels, sys\n"
        "from engine.processes import kernel_cache\n"
        "kernel_cache.activate(sys.argv[1])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "kernels imported before their cache was chosen: ringbuffer.kernels" in done.stderr


def test_kernels_compiled_after_activation_land_in_the_directory(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from engine.processes import kernel_cache\n"
        "directory = kernel_cache.activate(sys.argv[1])\n"
        "seen = []\n"
        "with kernel_cache.compile_progress(lambda done, total, name: seen.append(name)):\n"
        "    from engine.domain.kernel import entry\n"
        "    from ringbuffer.kernels import bucket_of\n"
        "    assert bucket_of(5) == 5\n"
        "print(len(list(directory.rglob('*.nbi'))), seen)\n"
    )
    words = [sys.executable, "-c", script, str(tmp_path)]
    compiled = {name: text for name, text in os.environ.items() if name != "NUMBA_DISABLE_JIT"}
    cold, warm = (
        subprocess.run(words, capture_output=True, text=True, check=True, env=compiled).stdout
        for _ in range(2)
    )
    assert cold.strip() == "1 ['optimising', 'bucket_index']"
    assert warm.strip() == "1 []"


def test_two_cold_starts_compile_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both compiled into one directory: one took away the files that the other moved, and died."""

    class Image:
        def save(self, directory: Path) -> None:
            (directory / "image").touch()

    compiled, is_waited_for = list[Image](), threading.Event()

    def compile_loop(_home: str, _report: kernel_cache.Progress) -> Image:
        compiled.append(Image())
        is_waited_for.wait(10)
        return compiled[-1]

    def told(_done: int, _total: int, name: str) -> None:
        if name == "by another process":
            is_waited_for.set()

    made = Image()
    monkeypatch.setattr(kernel_cache, "_open_directory", lambda _home: tmp_path)
    monkeypatch.setattr(kernel_cache, "_compile_loop", compile_loop)
    monkeypatch.setattr(kernel_cache, "_try_loop", lambda _image, _directory: None)
    found = (tmp_path / "image").exists
    monkeypatch.setattr(kernel_image, "read", lambda _folder: made if found() else None)
    loaded: list[object] = []

    def start() -> None:
        loaded.append(kernel_cache.load_loop("home", told))

    starts = [threading.Thread(target=start) for _ in range(2)]
    for one in starts:
        one.start()
    for one in starts:
        one.join()
    assert is_waited_for.is_set()
    assert len(compiled) == 1
    assert {id(image) for image in loaded} == {id(made), id(compiled[0])}
