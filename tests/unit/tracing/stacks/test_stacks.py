"""Addresses of real binaries, of the kernel and of made-up memory become frames."""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.tracing.stacks.mappings import AddressSpace, Mappings, Region, parse_maps, read_maps
from proctor.tracing.stacks.perf_map import parse_perf_map
from proctor.tracing.stacks.stacks import Folded, Frame, Stacks, addresses, lines
from proctor.tracing.stacks.symbols import FileSymbols, Symbol, demangled

PROGRAM = """
namespace shop { struct Cart { __attribute__((noinline)) int total(int n) { return n * 3; } }; }
int main(int argc, char **) { shop::Cart cart; return cart.total(argc); }
"""


def address_of(function: str) -> int:
    pointer = ctypes.cast(getattr(ctypes.CDLL(None), function), ctypes.c_void_p).value
    assert pointer
    return pointer


def symbols_of(path: Path) -> FileSymbols:
    with path.open("rb") as file:
        return FileSymbols(file.fileno())


def test_a_function_of_the_c_library_in_this_process() -> None:
    (frame,) = Stacks().frames(os.getpid(), [address_of("getpid") + 3])
    assert frame.symbol is not None
    assert (frame.symbol.name, frame.symbol.offset) == ("getpid", 3) or "getpid" in frame.name
    assert "libc" in Path(frame.path).name
    assert lines([frame])[0].startswith(f" > {frame.path}(")


def test_a_caller_is_looked_up_where_it_called() -> None:
    """Its return address may be the first of the next function."""
    start = address_of("getpid")
    callee, caller = Stacks().frames(os.getpid(), [start, start])
    assert callee.symbol is not None
    assert callee.symbol.offset == 0
    assert caller.symbol is None or caller.symbol.name != callee.symbol.name


@pytest.mark.needs("c++", "nm", "strip")
@pytest.mark.parametrize("flags", [["-g"], [], ["-no-pie"]])
def test_names_of_a_cpp_program(tmp_path: Path, flags: list[str]) -> None:
    path = tmp_path / "program"
    subprocess.run(
        ["c++", "-x", "c++", "-", "-O1", *flags, "-o", path], input=PROGRAM, text=True, check=True
    )
    table = subprocess.run(["nm", path], capture_output=True, text=True, check=True).stdout
    (start,) = (int(row.split()[0], 16) for row in table.splitlines() if "4Cart5total" in row)
    base = 0x400000 if "-no-pie" in flags else 0
    assert symbols_of(path).at(start - base + 1) == Symbol("shop::Cart::total(int)", 1)
    subprocess.run(["strip", path], check=True)
    stripped = symbols_of(path).at(start - base + 1)
    assert stripped is None or "total" not in stripped.name


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\x7fELF" + b"\xff" * 200])
def test_what_is_no_elf_file_has_no_symbols(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert symbols_of(path).at(0) is None


def test_rust_names() -> None:
    mangled = (
        "_ZN60_$LT$alloc..string..String$u20$as$u20$core..fmt..Display$GT$3fmt17h0123456789abcdefE"
    )
    assert demangled(mangled) == "<alloc::string::String as core::fmt::Display>::fmt"
    assert demangled("main") == "main"
    assert demangled("_Znonsense") == "_Znonsense"


def test_a_later_mapping_covers_the_earlier() -> None:
    space = AddressSpace([Region(0x1000, 0x5000, 0, "/a")])
    space.map(Region(0x2000, 0x3000, 0x100, "/b"))
    found = [space.at(address) for address in (0xFFF, 0x1000, 0x2000, 0x2FFF, 0x3000, 0x5000)]
    assert [region and (region.path, region.file_offset) for region in found] == [
        None, ("/a", 0), ("/b", 0x100), ("/b", 0x100), ("/a", 0x2000), None,
    ]  # fmt: skip


def test_a_gone_process_has_addresses_only() -> None:
    told: list[bytes | None] = [b"1000-2000 r-xp 00000000 00:00 0 /x y (deleted)\n", None]
    stacks = Stacks(Mappings(lambda _: told.pop(0)))
    assert str(stacks.frames(7, [0x1234])[0]) == "/x y() [0x234]"
    assert str(stacks.frames(8, [0x1234])[0]) == "?() [0x1234]"
    assert not told


def test_a_stack_ends_before_address_0() -> None:
    stacks = Stacks(Mappings(lambda _: None))
    assert [frame.address for frame in stacks.frames(1, (0x1000, 0x2000, 0, 0x3000))] == [
        *(0x1000, 0x2000)
    ]


MAPS = b"1000-2000 r-xp 00000000 00:00 0 /x\n7000-8000 rw-p 00000000 00:00 0 [stack]\n"


@pytest.mark.parametrize("astray", [0x3000, 0x7100, 0x687361622F6E69, 1 << 63])
def test_a_stack_ends_where_no_code_can_lie(astray: int) -> None:
    """A word that was taken for a frame pointer: beyond any mapping, in one of data, in none."""
    stacks = Stacks(Mappings(lambda _: MAPS))
    for _ in range(2):
        found = stacks.frames(7, (0x1100, 0x1200, astray, 0x1300))
        assert [frame.address for frame in found] == [0x1100, 0x1200]


def test_of_a_process_that_told_nothing_a_stack_ends_at_what_is_no_address() -> None:
    stacks = Stacks(Mappings(lambda _: None))
    found = stacks.frames(7, (0x1100, 0x3000, 0x687361622F6E69, 0x1200))
    assert [frame.address for frame in found] == [0x1100, 0x3000]


def test_of_a_process_that_was_there_before_what_was_read_then_counts() -> None:
    stacks = Stacks(Mappings(lambda _: None, {7: MAPS}))
    assert [frame.address for frame in stacks.frames(7, (0x1100, 0x3000, 0x1200))] == [0x1100]


def test_where_a_program_is_that_place_is_shown() -> None:
    (found,) = Stacks(Mappings(lambda _: MAPS)).frames(7, (0x3000, 0x3000))
    assert str(found) == "?() [0x3000]"


def test_code_made_at_run_time(tmp_path: Path) -> None:
    (tmp_path / "perf-7.map").write_text("1100 20 py::main:/app.py\nnonsense\n")
    stacks = Stacks(
        Mappings(lambda _: b"1000-2000 r-xp 00000000 00:00 0 \n"),
        perf_maps=tmp_path,
    )
    made, beyond = stacks.frames(7, [0x1110, 0x1121])
    assert (made.name, beyond.symbol) == ("py::main:/app.py", None)


def test_folded_stacks_add_up_outermost_first(tmp_path: Path) -> None:
    (tmp_path / "perf-7.map").write_text("1000 10 leaf\n1100 10 main;odd\n")
    stacks = Stacks(
        Mappings(lambda _: b"1000-2000 r-xp 00000000 00:00 0 \n"),
        perf_maps=tmp_path,
    )
    folded = Folded()
    for _ in range(2):
        folded.add("prog", stacks.frames(7, [0x1001, 0x1101]), "read", 3)
    assert folded.lines() == ["prog;main:odd;leaf;read 6"]


ODD = "/a\n > /b\x1b[2J\x85\udcff"
ESCAPED = "/a\\n > /b\\33[2J\\302\\205\\377"


@pytest.mark.parametrize("symbol", [Symbol(ODD, 1), None])
def test_names_reach_no_terminal_as_they_are(symbol: Symbol | None) -> None:
    frame = Frame(1, ODD, 1, symbol)
    assert str(frame) == f"{ESCAPED}({f'{ESCAPED}+0x1' if symbol else ''}) [0x1]"
    folded = Folded()
    folded.add(ODD, [frame], "read")
    (line,) = folded.lines()
    assert line.isascii()
    assert line.isprintable()
    assert line.startswith(f"{ESCAPED};")


@given(st.binary(), st.binary(max_size=64))
def test_any_bytes_are_maps_or_passed_over(raw: bytes, chunk: bytes) -> None:
    AddressSpace(parse_maps(raw)).at(5)
    parse_perf_map(raw).at(5)
    assert len(addresses(chunk)) == len(chunk) // 8


def test_this_process_has_maps() -> None:
    assert any(region.path for region in parse_maps(read_maps(os.getpid()) or b""))
