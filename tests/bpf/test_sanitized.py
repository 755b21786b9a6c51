"""These tests once more under AddressSanitizer.

Of each ring record, each map value and each piece of memory the programs may touch its own bytes
only, and only while it is there. The sanitizer must be in a process from its start, hence another.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bpf.build import CHECKOUT, has_address_sanitizer
from tests.surroundings import lacking

FOLDER = Path(__file__).parent
SLOW = "longest or too_long"  # thousands of large allocations, alike to the others
OVERFLOW = """
from tests.bpf.machine import Machine
from tests.bpf.world import World
machine = Machine()
task = World(machine).task(1)
machine.watch(task)
machine.lib.stub_shrink(b"processes", 4)
machine.probe("ssl_read_enter", 1, 2, 3, by=task)
"""

pytestmark = pytest.mark.skipif(has_address_sanitizer(), reason="runs under it already")


def sanitized(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Python leaks on purpose, and allocates by a way of its own unless told."""
    command = ["gcc", "-print-file-name=libasan.so"]
    library = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    if not Path(library).is_absolute():
        lacking("gcc has no AddressSanitizer here (Debian: libgcc-N-dev; Fedora: libasan)")
    more = {"LD_PRELOAD": library, "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=CHECKOUT,
        env={**os.environ, **more},
        capture_output=True,
        text=True,
    )


def test_no_step_beyond_what_is_theirs() -> None:
    options = ("-q", "-s", "-p", "no:cacheprovider", "-k", f"not ({SLOW})")
    result = sanitized("-m", "pytest", *options, str(FOLDER))
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]


def test_a_step_beyond_is_seen() -> None:
    """Or the test above could not fail: here a map's values are smaller than they should be."""
    result = sanitized("-c", OVERFLOW)
    assert result.returncode != 0
    assert "AddressSanitizer: heap-buffer-overflow" in result.stderr
