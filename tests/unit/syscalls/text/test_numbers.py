"""Numbers as each ABI passes them, and what they are called."""

from __future__ import annotations

import pytest

from proctor.syscalls.table import ABIS, table_of
from proctor.syscalls.text.formatter import Formatter, Options
from tests.unit.syscalls.text.calls import Made, batch

TABLES = {abi: table_of(abi) for abi in ABIS}
FAR = 0x5_0000_0003
ALL = (1 << 64) - 1


def arguments(name: str, *args: int, abi: str = "x86_64", result: int = 0) -> str:
    made = batch(Made(args=args, result=result))
    made.records["abi"] = ABIS.index(abi)
    made.records["number"] = TABLES[abi].by_name[name].number
    (line,) = Formatter(TABLES, Options(pids=False)).lines(made)
    begin, _, rest = line.partition("(")
    assert begin == name
    return rest.rpartition(")")[0] if result >= 0 else rest.partition(") ")[0]


@pytest.mark.parametrize(
    ("abi", "offset", "shown"),
    [
        ("x86_64", (FAR, 0), "21474836483"),
        ("x86_64", (ALL, ALL), "-1"),
        ("x86_64", (7, 99), "7"),
        ("arm64", (FAR, 0), "21474836483"),
        ("i386", (3, 5), "21474836483"),
        ("i386", (0xFFFF_FFFE, 0xFFFF_FFFF), "-2"),
        ("arm", (3, 5), "21474836483"),
        ("x32", (FAR,), "21474836483"),
        ("x32", (ALL,), "-1"),
    ],
)
def test_an_offset_is_whole_whatever_it_came_in(
    abi: str, offset: tuple[int, ...], shown: str
) -> None:
    for name in ("preadv", "pwritev"):
        assert arguments(name, 5, 0, 1, *offset, abi=abi) == f"5, NULL, 1, {shown}"
    for name in ("preadv2", "pwritev2"):
        found = arguments(name, 5, 0, 1, *offset, 1, abi=abi)
        assert found == f"5, NULL, 1, {shown}, RWF_HIPRI"


def test_an_offset_of_x32_is_as_wide_as_its_register() -> None:
    assert arguments("pread64", 5, 0, 1, FAR, abi="x32") == "5, NULL, 1, 21474836483"
