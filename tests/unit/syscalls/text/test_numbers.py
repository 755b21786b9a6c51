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
    *mode, line = Formatter(TABLES, Options(pids=False)).lines(made)
    assert len(mode) == (abi in ("i386", "arm", "x32"))  # of the process, said before
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


def test_names_that_are_nought_or_negative() -> None:
    assert arguments("pwritev2", 5, 0, 1, 0, 0, 0) == "5, NULL, 1, 0, 0"
    assert arguments("getrusage", 0xFFFFFFFF, 0).startswith("RUSAGE_CHILDREN, ")
    assert arguments("getrusage", ALL, 0).startswith("RUSAGE_CHILDREN, ")
    assert arguments("getrusage", 0xFFFFFFF9, 0).startswith("0xfffffff9 /* RUSAGE_??? */, ")
    assert arguments("fsmount", 5, 0, 6) == "5, 0, MOUNT_ATTR_NOSUID|MOUNT_ATTR_NODEV"


def test_numbers_between_flags() -> None:
    size = 21 << 26
    assert (
        arguments("memfd_create", 0, 4 | size, result=-22) == "NULL, MFD_HUGETLB|21<<MFD_HUGE_SHIFT"
    )
    assert arguments("memfd_create", 0, size, result=-22) == "NULL, 21<<MFD_HUGE_SHIFT"
    found = arguments("mmap", 0, 4096, 1, 0x40022 | size, ALL, 0, abi="arm64")
    assert "MAP_PRIVATE|MAP_ANONYMOUS|MAP_HUGETLB|21<<MAP_HUGE_SHIFT" in found


def test_events_of_fanotify_have_64_bits_where_one_argument_holds_them() -> None:
    mask = 1 << 63 | 0x800_0020
    shown = "5, FAN_MARK_ADD, FAN_OPEN|FAN_EVENT_ON_CHILD|0x8000000000000000, 7, NULL"
    assert arguments("fanotify_mark", 5, 1, mask, 7, 0) == shown
    assert arguments("fanotify_mark", 5, 1, 32, 0, 7, 0, abi="i386").endswith("32, 0, 7, NULL")


def test_what_the_log_was_asked_for_has_all_that_was_given() -> None:
    assert arguments("syslog", 9999, 0, 7) == "0x270f /* SYSLOG_ACTION_??? */, NULL, 7"
    assert arguments("syslog", 9, 0, 7) == "SYSLOG_ACTION_SIZE_UNREAD"
