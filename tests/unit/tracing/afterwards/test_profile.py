"""What a trace is said to have opened."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from proctor.tracing.afterwards.profile import Profile
from proctor.tracing.tables.columns import SCHEMA

CALL = {"kind": "syscall", "abi": "x86_64", "number": 257, "name": "openat", "path": "/a"}


def files(**row: Any) -> list[str]:
    profile = Profile()
    profile.feed(pa.RecordBatch.from_pylist([CALL | row], SCHEMA))
    return sorted(profile.files.at(0))


def test_what_succeeded_did() -> None:
    assert files(result=3) == ["/a"]
    assert files(result=3, kernel_path="/b") == ["/b"]


@pytest.mark.parametrize(
    "row",
    [
        {"result": -2, "error": "ENOENT"},
        {"kind": "under_way"},
        {"kind": "no_return"},
        {"kind": "io_uring", "number": None, "name": None},
    ],
)
def test_what_did_not_or_is_not_known_to_have_did_not(row: dict[str, Any]) -> None:
    assert files(**row) == []
