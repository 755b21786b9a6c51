"""Instructions one after another: what Capstone's own binding says of any bytes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from capstone import CS_ARCH_X86, CS_GRP_CALL, CS_GRP_JUMP, CS_GRP_RET, CS_MODE_64, Cs
from hypothesis import given
from hypothesis import strategies as st

from proctor.kernel import instructions
from proctor.kernel.instructions import decode

Told = list[tuple[int, bytes, bool, set[str]]]


def ours(code: bytes) -> Told:
    return [(each.at, each.code, each.leaves(), each.written()) for each in decode(code)]


def theirs(code: bytes) -> Told:
    decoder = Cs(CS_ARCH_X86, CS_MODE_64)
    decoder.detail = True
    return [
        (
            each.address,
            bytes(each.bytes),
            any(each.group(kind) for kind in (CS_GRP_JUMP, CS_GRP_CALL, CS_GRP_RET)),
            {each.reg_name(register) for register in each.regs_access()[1]},
        )
        for each in decoder.disasm(code, 0)
    ]


def test_a_function_s_beginning() -> None:
    code = bytes.fromhex("f30f1efa 55 4889e5 31d2 e805000000 c3 eb")
    assert ours(code) == [
        (0, bytes.fromhex("f30f1efa"), False, set()),
        (4, b"\x55", False, {"rsp"}),
        (5, bytes.fromhex("4889e5"), False, {"rbp"}),
        (8, bytes.fromhex("31d2"), False, {"edx", "rflags"}),
        (10, bytes.fromhex("e805000000"), True, {"rsp"}),
        (15, b"\xc3", True, {"rsp"}),
    ]


@given(st.binary(max_size=40))
def test_any_bytes_are_what_they_are_for_the_binding(code: bytes) -> None:
    assert ours(code) == theirs(code)


def test_a_real_program_s_code() -> None:
    code = Path(sys.executable).resolve().read_bytes()
    for start in range(0x1000, min(len(code), 0x200000), 0x8000):
        assert ours(code[start : start + 96]) == theirs(code[start : start + 96])


def test_left_in_the_middle() -> None:
    assert next(decode(b"\x90\x55")).code == b"\x90"


def test_without_a_library_that_we_know_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instructions, "_VERSIONS", ())
    instructions._library.cache_clear()
    try:
        assert list(decode(b"\x90")) == []
    finally:
        instructions._library.cache_clear()
