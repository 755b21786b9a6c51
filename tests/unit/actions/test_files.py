"""File records to actions: their kinds, their paths, what adds up, and any bytes."""

from __future__ import annotations

import errno
import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.actions.files import RENAME_EXCHANGE, Files, joined
from proctor.actions.processes import Processes
from proctor.events import ActionEvent, to_json
from proctor.records.layout import FILE_OPERATIONS, FLAG_MAPPED_TO_READ, FLAG_UNREADABLE
from tests.fuzz import fuzz_files
from tests.made_records import Program, path_components, record
from tests.unit.story import feed

OFFSET_NS = 7
O_WRONLY, O_CREAT = 1, 0o100


def make() -> tuple[Files, Processes, Program]:
    processes = Processes(OFFSET_NS)
    return Files(OFFSET_NS, processes), processes, Program()


def file(program: Program, use: int, path: str) -> list[bytes]:
    return [record("RECORD_FILE", path_components(path), **program.head, use=use)]


def use_of(program: Program, use: int, time_ns: int = 50, **counts: int) -> list[bytes]:
    return [record("RECORD_FILE_USE", **program.head, use=use, time_ns=time_ns, **counts)]


def change(
    program: Program,
    operation: str,
    path: bytes,
    base: str = "/home/me",
    new_path: bytes = b"",
    new_base: str = "/home/me",
    **fields: int,
) -> list[bytes]:
    texts = [path, path_components(base), new_path, path_components(new_base) if new_path else b""]
    names = ("path_bytes", "base_bytes", "new_path_bytes", "new_base_bytes")
    sizes = dict(zip(names, map(len, texts), strict=True))
    number = FILE_OPERATIONS[operation]
    tail = b"".join(texts)
    return [record("RECORD_FILE_CHANGE", tail, **program.head, operation=number, **sizes, **fields)]


def said(event: ActionEvent) -> dict[str, object]:
    beside = ("schema", "type", "time", "process", "first_time")
    return {name: value for name, value in to_json(event).items() if name not in beside}


@pytest.mark.parametrize(
    ("counts", "wanted"),
    [
        (
            {"creations": 1, "writes": 3, "bytes_written": 9},
            [{"kind": "file_create", "count": 3, "bytes": 9}],
        ),
        ({"creations": 1}, [{"kind": "file_create", "count": 0, "bytes": 0}]),
        (
            {"writes": 2, "bytes_written": 9},
            [{"kind": "file_write", "count": 2, "bytes": 9}],
        ),
        ({"resizes": 1}, [{"kind": "file_write", "count": 0, "bytes": 0, "truncated": True}]),
        (
            {"mappings": 1, "writes": 1, "bytes_written": 9},
            [{"kind": "file_write", "count": 1, "mapped": True}],
        ),
        (
            {"reads": 2, "bytes_read": 9, "attributes": 4, "writes": 1, "bytes_written": 1},
            [
                {"kind": "file_write", "count": 1, "bytes": 1},
                {"kind": "file_read", "count": 2, "bytes": 9},
                {"kind": "file_attributes", "count": 4},
            ],
        ),
        ({"flags": FLAG_MAPPED_TO_READ}, [{"kind": "file_read", "count": 0, "mapped": True}]),
        (
            {"flags": FLAG_MAPPED_TO_READ, "reads": 1, "bytes_read": 9},
            [{"kind": "file_read", "count": 1, "mapped": True}],
        ),
        ({}, []),
    ],
)
def test_a_use(counts: dict[str, int], wanted: list[dict[str, object]]) -> None:
    files, _, program = make()
    assert feed(files.feed, file(program, 1, "/a/b")) == []
    found = feed(files.feed, use_of(program, 1, first_ns=40, **counts))
    assert [said(event) for event in found] == [{**each, "path": "/a/b"} for each in wanted]
    assert {(event.first_time_ns, event.time_ns) for event in found} <= {(47, 57)}


def test_a_use_is_told_in_parts_and_without_its_path_where_that_was_lost() -> None:
    files, _, program = make()
    told = [
        *file(program, 1, "/a"),
        *use_of(program, 1, creations=1),
        *use_of(program, 1, writes=1),
    ]
    told += use_of(program, 2, writes=1)
    found = [(event.kind, event.path) for event in feed(files.feed, told)]
    assert found == [("file_create", "/a"), ("file_write", "/a"), ("file_write", None)]


def test_whose_program_it_was_when_it_did_it() -> None:
    files, processes, program = make()
    feed(processes.feed, program.exec("/bin/sh", "sh"))
    between_ns = program.clock.time_ns + 1
    feed(processes.feed, program.exec("/bin/cat", "cat"))
    feed(files.feed, file(program, 1, "/a"))
    (event,) = feed(files.feed, use_of(program, 1, time_ns=between_ns, writes=1))
    assert event.process is not None
    assert event.process.exe == "/bin/sh"


def test_paths_are_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proctor.actions.files.USES_REMEMBERED", 9)
    files, _, program = make()
    for use in range(9 + 1):
        feed(files.feed, file(program, use, f"/{use}"))
    first, second = feed(files.feed, use_of(program, 0, writes=1), use_of(program, 1, writes=1))
    assert (first.path, second.path) == (None, "/1")


@pytest.mark.parametrize(
    ("operation", "fields", "wanted"),
    [
        ("FILE_DELETE", {}, {"kind": "file_delete"}),
        ("FILE_DELETE_DIRECTORY", {}, {"kind": "directory_delete"}),
        ("FILE_MAKE", {}, {"kind": "file_create"}),
        ("FILE_MAKE_DIRECTORY", {}, {"kind": "directory_create"}),
        ("FILE_PATH_ATTRIBUTES", {}, {"kind": "file_attributes"}),
        ("FILE_PATH_RESIZE", {}, {"kind": "file_write", "truncated": True}),
        (
            "FILE_ATTRIBUTES",
            {"error": errno.EPERM},
            {"kind": "file_attributes", "error": "EPERM"},
        ),
        (
            "FILE_OPEN",
            {"error": errno.EROFS, "flags_given": O_CREAT},
            {"kind": "file_write", "error": "EROFS"},
        ),
        ("FILE_OPEN", {"error": errno.EACCES}, {"kind": "file_read", "error": "EACCES"}),
    ],
)
def test_a_call_by_path(operation: str, fields: dict[str, int], wanted: dict[str, object]) -> None:
    files, _, program = make()
    told = change(program, operation, b"a/b", "/home/me", b"", "/home/me", **fields)
    (event,) = feed(files.feed, told)
    assert said(event) == {**wanted, "path": "/home/me/a/b"}


def test_calls_with_two_names() -> None:
    files, _, program = make()
    told = change(program, "FILE_RENAME", b"a", new_path=b"/b", new_base="/jail")
    told += change(program, "FILE_LINK", b"a", new_path=b"b")
    told += change(program, "FILE_SYMLINK", b"a", new_path=b"../x")
    assert [said(event) for event in feed(files.feed, told)] == [
        {"kind": "file_rename", "path": "/home/me/a", "new_path": "/jail/b"},
        {"kind": "file_link", "path": "/home/me/a", "new_path": "/home/me/b"},
        {"kind": "file_symlink", "path": "/home/me/a", "target": "../x"},
    ]


def test_an_exchange_is_two_renames() -> None:
    files, _, program = make()
    told = change(program, "FILE_RENAME", b"a", new_path=b"b", flags_given=RENAME_EXCHANGE)
    found = [(event.path, event.new_path) for event in feed(files.feed, told)]
    assert found == [("/home/me/a", "/home/me/b"), ("/home/me/b", "/home/me/a")]


def test_what_could_not_be_read_is_absent() -> None:
    files, _, program = make()
    told = change(program, "FILE_DELETE", b"", base="/", flags=FLAG_UNREADABLE)
    told += change(program, "FILE_DELETE", b"a", base="/", flags=FLAG_UNREADABLE)
    told += change(program, "FILE_RENAME", b"a", flags=FLAG_UNREADABLE)
    found = [(event.path, event.new_path) for event in feed(files.feed, told)]
    assert found == [(None, None), (None, None), ("/home/me/a", None)]


def test_an_operation_of_a_newer_version_is_passed_over() -> None:
    files, _, program = make()
    assert feed(files.feed, [record("RECORD_FILE_CHANGE", **program.head, operation=999)]) == []


@pytest.mark.parametrize(
    ("base", "path", "wanted"),
    [
        ("/", "a", "/a"),
        ("/", "", "/"),
        ("/x", "", "/x"),
        ("/x", ".", "/x"),
        ("/x/y", "../a", "/x/a"),
        ("/x", "../../../a", "/a"),
        ("/x", "a//b/./c/", "/x/a/b/c"),
        ("/", "/a/../b", "/b"),
        ("/", "//a", "/a"),
        ("/jail", "/../a", "/jail/a"),
        ("/jail", "/", "/jail"),
        (".../deep", "a", ".../deep/a"),
        (None, "a", None),
        ("/", None, None),
    ],
)
def test_joined(base: str | None, path: str | None, wanted: str | None) -> None:
    assert joined(base, path) == wanted


@given(st.text("/.ab", max_size=12), st.lists(st.text("ab", min_size=1, max_size=3), max_size=3))
def test_joined_as_python_has_it(path: str, folders: list[str]) -> None:
    base = "/" + "/".join(folders)
    found = joined(base, path)
    assert found is not None
    if not path.startswith("/"):
        assert found == posixpath.normpath(f"{base}/{path}").replace("//", "/")
    else:
        assert found.startswith(base)
    assert "/../" not in f"{found}/"


@given(st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    fuzz_files.run(data)
