"""Records: types against the C header, decoding, and bytes that cannot be."""

from __future__ import annotations

import dataclasses
import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.records import types
from proctor.records._layout import lib
from proctor.records.decode import argument_texts, decode, path_text
from proctor.records.layout import FLAG_SKIPPED, FLAG_UNREADABLE, HEAD, LAYOUTS, RECORD_TYPES
from tests.fuzz import fuzz_records
from tests.made_records import STRUCTS, path_components, record

HEADER = (Path(__file__).parents[3] / "bpf" / "proctor.h").read_text(encoding="utf-8")
AFTER_THE_STRUCT = {
    "exec_record": ("exe", "cwd", "argv"),
    "hello_record": ("data",),
    "dns_record": ("data",),
    "file_record": ("path",),
    "file_change_record": ("path", "base", "new_path", "new_base"),
    "tls_data_record": ("data",),
    "tls_repeat_record": ("repeated", "data"),
}


def class_of(struct_name: str) -> type:
    found = getattr(types, "".join(part.title() for part in struct_name.split("_")))
    assert isinstance(found, type)
    return found


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name != "record_head"])
def test_a_class_has_the_fields_of_its_struct(name: str) -> None:
    fields = tuple(each.name for each in dataclasses.fields(class_of(name)))
    assert fields == LAYOUTS[name].fields + AFTER_THE_STRUCT.get(name, ())


def test_the_head_is_the_base_class() -> None:
    assert tuple(each.name for each in dataclasses.fields(types.Record)) == HEAD.fields


def test_the_extension_was_built_from_this_header() -> None:
    text = re.sub(r"/\*.*?\*/", "", HEADER, flags=re.DOTALL)
    constants = dict(re.findall(r"^\s+([A-Z][A-Z0-9_]+) = (\d+),", text, flags=re.MULTILINE))
    assert constants, "no constants found: the header's form has changed"
    assert {name: getattr(lib, name) for name in constants} == {
        name: int(value) for name, value in constants.items()
    }
    assert set(re.findall(r"^struct (\w+_record|record_head) {", text, re.MULTILINE)) == set(
        LAYOUTS
    )


def test_offsets_are_the_compilers() -> None:
    raw = record("RECORD_TLS_DATA", b"abc", tls=7, total_bytes=3, piece_bytes=3)
    at = LAYOUTS["tls_data_record"].offsets["tls"]
    assert int.from_bytes(raw[at : at + 8], "little") == 7


@pytest.mark.parametrize("type_name", RECORD_TYPES)
def test_every_type_is_decoded_whole_and_nothing_else(type_name: str) -> None:
    tail = b"{}" if STRUCTS.get(type_name) == "record_head" else b""
    raw = record(type_name, tail, pid=42, start_ns=9, time_ns=77)
    decoded = decode(raw)
    assert isinstance(decoded, types.Record)
    assert not isinstance(decoded, types.UnknownRecord)
    assert (decoded.type, decoded.pid) == (RECORD_TYPES[type_name], 42)
    assert decoded == decode(memoryview(raw))
    for end in range(len(raw)):
        assert isinstance(decode(raw[:end]), types.DamagedRecord)
    assert isinstance(decode(raw + b"\0"), types.DamagedRecord)


def test_exec_texts() -> None:
    exe, cwd, argv = path_components("/usr/bin/python3"), b"", b"python3\0-c\0\0x y\0"
    raw = record(
        "RECORD_EXEC",
        exe + cwd + argv,
        exe_bytes=len(exe),
        argv_bytes=len(argv),
        argv_total_bytes=len(argv),
        comm=b"python3",
    )
    decoded = decode(raw)
    assert isinstance(decoded, types.ExecRecord)
    assert (decoded.exe, decoded.cwd) == ("/usr/bin/python3", "/")
    assert decoded.argv == ["python3", "-c", "", "x y"]


def test_exec_texts_longer_than_the_record() -> None:
    raw = record("RECORD_EXEC", b"abc", exe_bytes=4)
    assert decode(raw) == types.DamagedRecord(
        RECORD_TYPES["RECORD_EXEC"], "texts of 4+0+0 bytes: 3 follow"
    )


@pytest.mark.parametrize(
    ("components", "path"),
    [
        (b"", "/"),
        (b"tmp\0", "/tmp"),
        (b"c\0b\0a\0", "/a/b/c"),
        (b"c\0b\0a", ".../a/b/c"),
        (b"\xff\0", "/\udcff"),
    ],
)
def test_paths(components: bytes, path: str) -> None:
    assert path_text(components) == path


@pytest.mark.parametrize(
    ("memory", "arguments"),
    [
        (b"", []),
        (b"\0", [""]),
        (b"a\0b\0", ["a", "b"]),
        (b"a\0b", ["a", "b"]),
        (b"a\0\0", ["a", ""]),
    ],
)
def test_arguments(memory: bytes, arguments: list[str]) -> None:
    assert argument_texts(memory) == arguments


@pytest.mark.parametrize(
    ("tail", "fields", "damage"),
    [
        (b"abc", {"piece_bytes": 4, "total_bytes": 4}, "piece of 4 bytes: 3 follow"),
        (b"", {"piece_bytes": 4, "total_bytes": 4}, "piece of 4 bytes: 0 follow"),
        (b"abc", {"piece_bytes": 3, "total_bytes": 2}, "piece at 0 of 3 bytes: the call had 2"),
        (b"", {"direction": 2}, "direction 2"),
    ],
)
def test_impossible_pieces(tail: bytes, fields: dict[str, int], damage: str) -> None:
    decoded = decode(record("RECORD_TLS_DATA", tail, **fields))
    assert decoded == types.DamagedRecord(RECORD_TYPES["RECORD_TLS_DATA"], damage)


@pytest.mark.parametrize(
    ("runs", "rest", "damage"),
    [
        ([(0, 4)], b"abcd", "piece of 8 bytes: 4 repeated, 4 follow"),
        ([(0, 4)], b"abcde", "piece of 8 bytes: 4 repeated, 5 follow"),
        ([(0, 9)], b"", "piece of 8 bytes: 9 repeated, 0 follow"),
        ([(5, 4)], b"abcd", "piece of 8 bytes: 4 repeated, 4 follow"),
        ([(2, 2), (3, 2)], b"abcd", "run at 3 of 2 bytes: the one before ends at 4"),
        ([(2, 0)], b"abcdefgh", "run at 2 of 0 bytes: the one before ends at 0"),
        ([(2, 2)] * 2, b"abcd", "run at 2 of 2 bytes: the one before ends at 4"),
    ],
)
def test_repeats_that_fit_and_that_do_not(
    runs: list[tuple[int, int]], rest: bytes, damage: str
) -> None:
    table = b"".join(struct.pack("=II", *run) for run in runs)
    decoded = decode(record("RECORD_TLS_REPEAT", table + rest, piece_bytes=8, runs=len(runs)))
    if (runs, rest) == ([(0, 4)], b"abcd"):
        assert isinstance(decoded, types.TlsRepeatRecord)
        assert (decoded.repeated, decoded.data) == (runs, rest)
    else:
        assert decoded == types.DamagedRecord(RECORD_TYPES["RECORD_TLS_REPEAT"], damage)


def test_more_runs_than_bytes() -> None:
    decoded = decode(record("RECORD_TLS_REPEAT", b"abcd", runs=1 << 31))
    assert decoded == types.DamagedRecord(
        RECORD_TYPES["RECORD_TLS_REPEAT"], "2147483648 runs: 4 bytes follow"
    )


@pytest.mark.parametrize("flags", [FLAG_UNREADABLE, FLAG_SKIPPED])
def test_pieces_without_data(flags: int) -> None:
    raw = record("RECORD_TLS_DATA", flags=flags, piece_bytes=4, total_bytes=4)
    decoded = decode(raw)
    assert isinstance(decoded, types.TlsDataRecord)
    assert (decoded.piece_bytes, decoded.data) == (4, b"")


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"[" * 100_000, b'{"a": "\xff"}'])
def test_json_that_is_none(text: bytes) -> None:
    assert isinstance(decode(record("RECORD_LOSS", text)), types.DamagedRecord)


def test_a_type_of_a_newer_version() -> None:
    raw = bytearray(record("RECORD_END", b"{}", pid=5))
    raw[HEAD.offsets["type"]] = 250
    decoded = decode(raw)
    assert isinstance(decoded, types.UnknownRecord)
    assert (decoded.type, decoded.pid) == (250, 5)


@given(st.binary(max_size=300))
def test_garbage_has_declared_outcomes(data: bytes) -> None:
    fuzz_records.run(data)
