"""ELF files: functions found by name; any bytes are a file, or none, and raise nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.kernel.elf import Elf, ElfError, Symbol
from proctor.kernel.tls_probes import Site, sites_of
from tests.fuzz import fuzz_elf
from tests.fuzz.fuzz_elf import OPENSSL, an_elf


@contextmanager
def opened(data: bytes) -> Iterator[int]:
    fd = os.memfd_create("file")
    try:
        os.write(fd, data)
        yield fd
    finally:
        os.close(fd)


def functions(data: bytes, *names: str) -> dict[str, Symbol]:
    with opened(data) as fd:
        return Elf(fd).functions([*names])


@pytest.mark.parametrize("hashed", [False, True])
def test_functions_by_name(hashed: bool) -> None:
    data = an_elf({"SSL_read": (0x1100, 9), "SSL_read_ex": (0x1200, 7)}, hashed=hashed)
    assert functions(data, "SSL_read", "SSL_read_ex", "SSL_write", "read") == {
        "SSL_read": Symbol("SSL_read", 0x100, 9),
        "SSL_read_ex": Symbol("SSL_read_ex", 0x200, 7),
    }


def test_a_function_outside_of_what_is_loaded_is_none() -> None:
    assert functions(an_elf({"SSL_read": (0x900000, 9)}), "SSL_read") == {}


def test_sites_of_a_file_without_openssl() -> None:
    with opened(an_elf({"main": (0x1100, 9)})) as fd:
        assert sites_of(fd) == []


@pytest.mark.parametrize("data", [b"", b"\x7fELF", bytes(100), b"#!/bin/sh\n" * 10])
def test_what_is_no_elf_file(data: bytes) -> None:
    with opened(data) as fd:
        with pytest.raises(ElfError):
            Elf(fd)
        assert sites_of(fd) == []


def test_a_name_that_is_the_end_of_another() -> None:
    """The linker lets `SSL_read` share the end of `_cffi_f_SSL_read`."""
    data = an_elf({"SSL_read": (0x1100, 9)}, before="_cffi_f_")
    assert functions(data, "SSL_read") == {"SSL_read": Symbol("SSL_read", 0x100, 9)}
    assert functions(data, "_cffi_f_SSL_read", "read") == {}


@pytest.mark.parametrize("length", range(1, 25))
def test_names_and_symbols_across_windows(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    fill = {f"other_{number:03}": (0x1100, 9) for number in range(100)}
    data = an_elf(fill | {"SSL_read": (0x1200, 7)}, before="x" * length)
    monkeypatch.setattr("proctor.kernel.elf.WINDOW_BYTES", 10 * 24)
    assert functions(data, "SSL_read", "other_007") == {
        "SSL_read": Symbol("SSL_read", 0x200, 7),
        "other_007": Symbol("other_007", 0x100, 9),
    }


def test_a_real_library_by_its_hash_table_and_without() -> None:
    """Of the C library: one look-up finds what the search of the whole table does."""
    names = ["malloc", "free", "sendto", "getaddrinfo", "SSL_read", "no_such_function"]
    data = next(path for path in mapped_paths() if path.name.startswith("libc.so")).read_bytes()
    assert (0x6FFFFFF6).to_bytes(4, "little") in data
    found = functions(data, *names)
    assert found.keys() == {"malloc", "free", "sendto", "getaddrinfo"}
    unhashed = data.replace((0x6FFFFFF6).to_bytes(4, "little"), bytes(4))
    assert functions(unhashed, *names) == found


def mapped_paths() -> set[Path]:
    return {Path(word) for word in Path("/proc/self/maps").read_text().split() if word[0] == "/"}


@pytest.mark.parametrize("hashed", [False, True])
@pytest.mark.parametrize("left", [0, 100, 0x1010, 0x1100, 0x1180])
def test_a_file_that_shrinks_is_what_is_left_of_it(
    monkeypatch: pytest.MonkeyPatch, hashed: bool, left: int
) -> None:
    """Its owner truncates it after one read, two, ...: sites or none, and we live."""
    data = an_elf(OPENSSL, hashed=hashed)
    whole = sites_after(monkeypatch, data, reads=1000, left=left)
    assert whole
    found = [sites_after(monkeypatch, data, reads=reads, left=left) for reads in range(40)]
    assert found[0] == []
    assert all(0 <= site.offset < len(data) for sites in found for site in sites)


def sites_after(
    monkeypatch: pytest.MonkeyPatch, data: bytes, *, reads: int, left: int
) -> list[Site]:
    """Sites of a file of which only `left` bytes are there after so many reads."""
    count = iter(range(1000))

    def read(fd: int, length: int, offset: int) -> bytes:
        if next(count) == reads:
            os.ftruncate(fd, left)
        return pread(fd, length, offset)

    pread = os.pread
    with opened(data) as fd, monkeypatch.context() as patched:
        patched.setattr(os, "pread", read)
        return sites_of(fd)


@pytest.mark.parametrize("hashed", [False, True])
@pytest.mark.parametrize("value", [1 << 63, (1 << 64) - 1, 1 << 40, 1 << 12, 0])
def test_numbers_that_are_not_what_they_say(value: int, hashed: bool) -> None:
    """Each place that holds one, after the other: a hostile file must not end the recorder."""
    data = an_elf(OPENSSL, hashed=hashed)
    for at in (*range(16, 120, 4), *range(0x1000, len(data) - 8, 4)):  # around the code
        changed = data[:at] + value.to_bytes(8, "little") + data[at + 8 :]
        with opened(changed) as fd:
            sites = sites_of(fd)
        assert all(0 <= site.offset < len(changed) for site in sites)


def test_a_file_made_to_take_long_does_not() -> None:
    """Every name a thousand times, in a thousand tables that lead nowhere."""
    data = an_elf(dict.fromkeys(OPENSSL, (0x900000, 9)), tables=1000, times=1000)
    began = time.process_time()
    with opened(data) as fd:
        sites_of(fd)
    assert time.process_time() - began < 1


@given(st.binary(max_size=600) | st.sampled_from(fuzz_elf.SEEDS))
def test_any_bytes(data: bytes) -> None:
    fuzz_elf.run(data)
