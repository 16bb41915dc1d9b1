"""Build the C extensions; everything else about the package is in pyproject.toml.

`native_ext._native` is the ring, the clocks and process facts. `native_ext._feed` is the frame
decoder; it is built when its sources are there, and compiles the ring algorithms into itself, so
that neither extension needs symbols of the other. AEGIS_SANITIZE=address,undefined builds both
with those sanitizers.
"""

import os
import sys
from pathlib import Path

from setuptools import Extension, setup

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))  # a build from pyproject.toml has another folder there

from native_ext.build import stamp  # noqa: E402

NATIVE = (
    "module",
    "layout",
    "port",
    "reader_port",
    "words",
    "process",
    "clock_type",
    "commands",
    "order_wire",
    "order_line",
    "order_line_type",
    "sha256",
)
SHARED = ("ring", "clock")
FEED_PATTERNS = ("feed_*.c", "decode*.c", "book*.c", "firewall*.c")


def flags() -> tuple[list[str], list[str]]:
    """Return compiler and linker arguments, with sanitizers when they are asked for."""
    compiler = ["-O3", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden"]
    sanitizers = os.environ.get("AEGIS_SANITIZE", "")
    if not sanitizers:
        return compiler, []
    chosen = f"-fsanitize={sanitizers}"
    return [*compiler, "-g", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all", chosen], [
        chosen
    ]


def extension(name: str, sources: list[str]) -> Extension:
    """Describe one extension over sources in native_ext."""
    compiler, linker = flags()
    return Extension(
        name,
        sources=sources,
        # All of them: the stamp in each extension is that of all.
        depends=sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("native_ext/*.[ch]")),
        define_macros=[("AEGIS_BUILT_FROM", f"{stamp()}L")],
        extra_compile_args=compiler,
        extra_link_args=linker,
    )


def extensions() -> list[Extension]:
    """Return what the sources in the tree allow to build."""
    shared = [f"native_ext/{stem}.c" for stem in SHARED]
    found = [extension("native_ext._native", [f"native_ext/{stem}.c" for stem in NATIVE] + shared)]
    feed = sorted(
        {path for pattern in FEED_PATTERNS for path in ROOT.glob(f"native_ext/{pattern}")}
    )
    if feed:
        sources = [str(path.relative_to(ROOT)) for path in feed]
        found.append(extension("native_ext._feed", sources + shared))
    return found


setup(ext_modules=extensions())
