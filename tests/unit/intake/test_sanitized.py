"""Tests of the intake once more, its C compiled with AddressSanitizer and UBSan.

What it reads are bytes of strangers, in the process that sees credentials.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from proctor.intake import lane_build
from proctor.records import layout_build
from tests.surroundings import lacking

CHECKOUT = Path(__file__).resolve().parents[3]
CACHE = CHECKOUT / ".cache" / "intake"
BUILDERS = {
    "proctor.records._layout": layout_build.make_ffibuilder,
    "proctor.intake._lane": lane_build.make_ffibuilder,
}
TESTS = (
    "intake/test_lane.py",
    "intake/test_repeats.py",
    "intake/test_keeper.py",
    "intake/test_admission.py",
    "records/test_places.py",
)
# Whoever imports these modules later gets the ones that were compiled here.
PRELUDE = """
import sys
from importlib.util import module_from_spec, spec_from_file_location
for name, path in zip(sys.argv[1:5:2], sys.argv[2:5:2], strict=True):
    spec = spec_from_file_location(name, path)
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
"""
RUN = "import pytest; sys.exit(pytest.main(sys.argv[5:]))"
OVERFLOW = """
from proctor.intake._lane import ffi, lib
from proctor.intake.lane import Lane
lane = Lane(1)
short = bytearray(100)
lib.proctor_lane_add(lane._lane, ffi.from_buffer(short), 1000)
"""


def compiled(name: str, library: str) -> Path:
    """The extension, built once for each state of its source."""
    CACHE.mkdir(parents=True, exist_ok=True)
    source = CACHE / f"{name}.c"
    BUILDERS[name]().emit_c_code(str(source))
    flags = ["-shared", "-fPIC", "-g", "-O1", "-fno-omit-frame-pointer", "-fwrapv"]
    flags += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    flags += [f"-I{sysconfig.get_path('include')}", "-DPy_LIMITED_API=0x030b0000"]
    state = hashlib.sha256(source.read_bytes() + " ".join([*flags, library]).encode()).hexdigest()
    path = CACHE / f"{name}-{state[:16]}.abi3.so"
    if not path.exists():
        for old in CACHE.glob(f"{name}-*.so"):
            old.unlink(missing_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        subprocess.run(["gcc", *flags, "-o", str(partial), str(source)], check=True)
        partial.replace(path)
    return path


def sanitized(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python leaks on purpose, and allocates by a way of its own unless told."""
    command = ["gcc", "-print-file-name=libasan.so"]
    library = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    if not Path(library).is_absolute():
        lacking("gcc has no AddressSanitizer here (Debian: libgcc-N-dev; Fedora: libasan)")
    modules = [text for name in BUILDERS for text in (name, str(compiled(name, library)))]
    more = {"LD_PRELOAD": library, "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc"}
    return subprocess.run(
        [sys.executable, "-c", PRELUDE + script, *modules, *arguments],
        cwd=CHECKOUT,
        env={**os.environ, **more},
        capture_output=True,
        text=True,
    )


@pytest.mark.timeout(300)
def test_no_step_beyond_what_is_theirs() -> None:
    tests = [str(Path(__file__).parents[1] / name) for name in TESTS]
    result = sanitized(RUN, "-q", "-p", "no:cacheprovider", *tests)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]


def test_a_step_beyond_is_seen() -> None:
    """Or the test above could not fail: here a record is longer than its memory."""
    result = sanitized(OVERFLOW)
    assert result.returncode != 0
    assert "AddressSanitizer: heap-buffer-overflow" in result.stderr
