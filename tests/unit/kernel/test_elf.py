"""ELF files: functions found by name; any bytes are a file, or none, and raise nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.kernel.elf import Elf, ElfError, Symbol
from proctor.kernel.tls_probes import sites_of
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
        elf = Elf(fd)
        try:
            return elf.functions([*names])
        finally:
            elf.close()


def test_functions_by_name() -> None:
    data = an_elf({"SSL_read": (0x1100, 9), "SSL_read_ex": (0x1200, 7)})
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


@pytest.mark.parametrize("value", [1 << 63, (1 << 64) - 1, 1 << 40])
def test_numbers_larger_than_any_file(value: int) -> None:
    """Each place that holds one, after the other: a hostile file must not end the recorder."""
    data = an_elf(OPENSSL)
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
