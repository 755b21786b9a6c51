"""The numbers that files of years ago hold are those of trace.h; to know them takes no NumPy."""

from __future__ import annotations

import subprocess
import sys

from proctor.records import trace_numbers
from proctor.syscalls.table import ABIS


def test_what_files_hold_keeps_its_numbers() -> None:
    kinds = ("SYSCALL", "NO_RETURN", "JOINED", "UNDER_WAY", "FORK", "EXEC", "EXIT", "SIGNAL")
    assert {name: n for n, name in enumerate((*kinds, "IO_URING"))} == trace_numbers.KINDS
    assert ABIS == ("x86_64", "i386", "x32", "arm64", "arm")
    chunks = ("BYTES", "STRING", "IOVEC", "MSGHDR", "STRINGS", "KERNEL_FILE", "USER_STACK")
    assert [trace_numbers.CHUNK_KINDS[name] for name in chunks] == [*range(7)]
    assert trace_numbers.CHUNK_FLAGS == {"AT_EXIT": 1, "FAULT": 2, "MORE": 4}


def test_the_last_of_an_enum_is_not_one_of_it() -> None:
    assert "ABIS" not in trace_numbers.ABIS
    assert "COUNTS" not in trace_numbers.COUNTS


def test_numbers_alone_need_no_numpy() -> None:
    program = "import sys, proctor.records.trace_numbers; print('numpy' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert out.stdout == b"False\n"
