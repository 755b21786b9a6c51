"""Expressions of -e."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.syscalls.classes import CLASSES
from proctor.syscalls.select import SelectionError, select
from proctor.syscalls.table import ABIS, table_of
from tests.fuzz import fuzz_select


def names(expression: str, abi: str = "x86_64") -> set[str]:
    table = table_of(abi)
    return {table.by_number[number].name for number in select(expression, (abi,))[abi]}


@pytest.mark.parametrize(
    ("expression", "selected"),
    [
        ("openat,read", {"openat", "read"}),
        (" openat , read ", {"openat", "read"}),
        ("trace=openat", {"openat"}),
        ("t=openat", {"openat"}),
        ("none", set()),
        ("!all", set()),
        ("0", {"read"}),
        ("%lstat", {"lstat"}),
        ("%%statfs", {"statfs", "fstatfs", "ustat"}),
        ("/^pidfd_open$|^memfd_s", {"pidfd_open", "memfd_secret"}),
        ("?nonesuch,read", {"read"}),
        ("?%nonesuch", set()),
        ("read@64,write@32", {"read"}),
    ],
)
def test_what_is_selected(expression: str, selected: set[str]) -> None:
    assert names(expression) == selected


def test_all_others() -> None:
    assert names("!read,%network") == names("all") - {"read"} - names("%network")
    assert names("all") == set(table_of("x86_64").by_name)


@pytest.mark.parametrize("word", ["file", "desc", "network", "process", "memory", "signal", "ipc"])
def test_classes_without_percent(word: str) -> None:
    assert names(word) == names(f"%{word}") != set()


def test_a_name_of_one_abi_only() -> None:
    selection = select("mmap2")
    assert {abi for abi in ABIS if selection[abi]} == {"i386", "arm"}
    assert selection["i386"] == {192}
    with pytest.raises(SelectionError):
        select("mmap2", ("x86_64", "x32"))


@pytest.mark.parametrize("expression", ["openat,!read", "openat, !%file", "!openat,!read"])
def test_others_are_asked_for_at_the_beginning_alone(expression: str) -> None:
    with pytest.raises(SelectionError, match=r"! stands before all of it, once; .* `-e '!"):
        select(expression)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("opanat", "opanat: no such syscall; openat"),
        ("OPENAT", "OPENAT: no such syscall; openat"),
        ("%netwrk", "%netwrk: no such class; %network"),
        ("%", "%: no such class; there are .*%creds, %desc, %file, "),
        ("read,/zzz", "/zzz: no syscall's name has this in it"),
        ("read,", "a name is missing"),
        ("", "a name is missing"),
        ("!", "a name is missing"),
        ("/(", r"/\(: not a regular expression: "),
        ("9999", "9999: no syscall has this number"),
        ("read@65", "read@65: no such syscall; read"),
        ("status=failed", "-e status=: means nothing here; -Z shows what failed"),
        ("trace-fd=!3", "-e trace-fd=: means nothing here; --fd N"),
        ("abbrev=none", "-e abbrev=: means nothing here; -e takes syscalls"),
    ],
)
def test_what_means_nothing(expression: str, message: str) -> None:
    with pytest.raises(SelectionError, match=message) as error:
        select(expression)
    assert error.value.exit_status == 2


words = st.sampled_from(fuzz_select.WORDS)


@given(st.one_of(st.text(max_size=40), st.lists(words, max_size=6).map("".join)))
def test_any_text_selects_or_is_refused(expression: str) -> None:
    fuzz_select.run(expression.encode("utf-8", "surrogatepass"))


@given(st.sets(st.sampled_from(sorted(CLASSES)), min_size=1, max_size=3))
def test_classes_add_up_and_turn_round(classes: set[str]) -> None:
    expression = ",".join(f"%{word}" for word in sorted(classes))
    chosen = select(expression, ("x86_64",))["x86_64"]
    assert chosen == set().union(*(select(f"%{word}", ("x86_64",))["x86_64"] for word in classes))
    others = select(f"!{expression}", ("x86_64",))["x86_64"]
    assert chosen | others == table_of("x86_64").by_number.keys()
    assert not chosen & others
