"""What arguments point to, around the size that a thread keeps without a look-up (short.h)."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.kernel.trace_command import run

SIZES = (0, 1, 7, 8, 9, 54, 55, 56, 57, 63, 64, 65, 120)
PROGRAM = f"""
import ctypes, os, sys
libc = ctypes.CDLL(None)
sizes = {SIZES}
null, own = os.open("/dev/null", os.O_WRONLY), os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.pwrite(own, b"r" * 200, 0)
for size in sizes:
    os.write(null, b"w" * size)
    os.pread(own, size, 0)
    libc.access(b"/" + b"p" * size, 0)
    libc.rename(b"/no/" + b"o" * size, b"/no/" + b"n" * (120 - size))
    libc.rename(b"/no/" + b"o" * (120 - size), b"/no/" + b"n" * size)
libc.write(own, ctypes.c_void_p(8), 3)
"""


def test_memory_of_all_sizes_is_whole(tmp_path: Path) -> None:
    traced = run(tmp_path, "-s", "200", "--", sys.executable, "-c", PROGRAM, str(tmp_path / "own"))
    assert traced.status == 0
    traced.check_totals()
    written = [line for line in traced.calls("write") if '"w' in line or '""' in line]
    assert [line.count("w") - 1 for line in written] == list(SIZES)
    read = [line for line in traced.calls("pread64") if '"r' in line or '""' in line]
    assert [line.split('"')[1] for line in read] == ["r" * size for size in SIZES]
    asked = [line.split('"')[1] for line in traced.calls("access") if '"/p' in line]
    assert asked == ["/" + "p" * size for size in SIZES if size]
    renamed = [tuple(line.split('"')[1::2]) for line in traced.calls("rename")]
    pairs = [(size, 120 - size) for size in SIZES]
    assert renamed == [
        ("/no/" + "o" * old, "/no/" + "n" * new)
        for first, second in pairs
        for old, new in ((first, second), (second, first))
    ]
    assert any(", 0x8, 3)" in line and "EFAULT" in line for line in traced.calls("write"))


def test_a_short_piece_is_cut_where_s_says(tmp_path: Path) -> None:
    traced = run(tmp_path, "-s", "9", "--", sys.executable, "-c", PROGRAM, str(tmp_path / "own"))
    assert traced.status == 0
    written = [line for line in traced.calls("write") if '"w' in line]
    shown = [line.split('"')[1] + line.split('"')[2][:3] for line in written]
    assert shown == [
        "w" * min(size, 9) + ("..." if size > 9 else f", {size}") for size in SIZES if size
    ]
