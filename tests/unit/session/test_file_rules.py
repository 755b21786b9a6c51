"""The rules that the kernel gets: which argument of which syscall is what."""

from __future__ import annotations

import pytest

from proctor.records._layout import ffi, lib
from proctor.session.file_rules import OPERATIONS, file_rules
from proctor.syscalls.table import table_of

NONE = lib.FILE_NO_ARGUMENT


def rules(abi: str, *, reads: bool = False) -> dict[str, dict[str, int]]:
    names = table_of(abi).by_number
    fields = [name for name, _ in ffi.typeof("struct file_rule").fields]
    found = {}
    for number, raw in file_rules(abi, reads=reads):
        rule = ffi.from_buffer("struct file_rule *", raw)
        found[names[number].name] = {name: getattr(rule, name) for name in fields}
    return found


@pytest.mark.parametrize("abi", ["x86_64", "arm64"])
def test_every_syscall_is_known_and_has_what_its_operation_needs(abi: str) -> None:
    known = {name for names in OPERATIONS.values() for name in names}
    found = rules(abi, reads=True)
    assert known - found.keys() == known - table_of(abi).by_name.keys()
    assert "openat" in found
    for name, rule in found.items():
        assert rule["operation"] > 0
        if rule["operation"] >= lib.FILE_PATH_ATTRIBUTES:
            assert rule["path"] != NONE, name
        elif rule["operation"] != lib.FILE_OPEN:
            assert rule["file"] != NONE, name
    assert all(number < lib.FILE_SYSCALLS for number, _ in file_rules(abi, reads=True))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("open", {"file": NONE, "path": 0, "flags": 1}),
        ("openat", {"file": 0, "path": 1, "flags": 2}),
        ("openat2", {"file": 0, "path": 1, "flags": 2, "options": lib.FILE_RULE_FLAGS_IN_MEMORY}),
        ("creat", {"path": 0, "flags": NONE, "options": lib.FILE_RULE_TRUNCATES}),
        ("write", {"file": 0, "path": NONE}),
        ("sendfile", {"file": 0, "other": 1}),
        ("splice", {"file": 2, "other": 0}),
        ("copy_file_range", {"file": 2, "other": 0}),
        ("mmap", {"file": 4, "flags": 3}),
        ("renameat2", {"file": 0, "path": 1, "other": 2, "other_path": 3, "flags": 4}),
        ("link", {"file": NONE, "path": 0, "other": NONE, "other_path": 1}),
        ("symlinkat", {"file": 1, "path": 2, "other_path": 0}),
        ("unlinkat", {"file": 0, "path": 1, "flags": 2}),
        ("utimensat", {"file": 0, "path": 1, "flags": 3}),
        ("linkat", {"file": 0, "path": 1, "other": 2, "other_path": 3, "flags": 4}),
        ("chown", {"path": 0, "flags": NONE, "options": 0}),
        ("lchown", {"path": 0, "flags": NONE, "options": lib.FILE_RULE_NO_FOLLOW}),
    ],
)
def test_arguments(name: str, wanted: dict[str, int]) -> None:
    rule = rules("x86_64")[name]
    assert {field: rule[field] for field in wanted} == wanted


def test_reads_only_where_asked_for() -> None:
    assert "read" not in rules("x86_64")
    assert rules("x86_64")["splice"]["options"] == 0
    assert rules("x86_64", reads=True)["splice"]["options"] == lib.FILE_RULE_READS
