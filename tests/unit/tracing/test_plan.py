"""What the kernel is asked for."""

from __future__ import annotations

import platform

import pytest

from proctor.errors import ProctorError, UsageError
from proctor.records._layout import lib
from proctor.tracing.options import HIGHEST, LOWEST, TraceOptions
from proctor.tracing.plan import names_of, plan_of, result_filter, ring_sizes, selected

INSIDE, OUTSIDE = lib.RESULT_INSIDE, lib.RESULT_OUTSIDE
ON_X86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of x86-64")


@ON_X86
def test_expressions_add_up_and_negative_ones_leave_out() -> None:
    both = selected(("openat", "%network"))
    assert 257 in both["x86_64"]
    assert 41 in both["x86_64"]
    without = selected(("openat,close", "!close"))
    assert without["x86_64"] == {257}
    assert 0 in selected(("!close",))["x86_64"]
    assert selected(("trace=openat", "t=close")) == selected(("openat,close",))
    assert selected(("openat,close", "t=!close")) == without


@ON_X86
def test_own_tracepoints_only_where_every_abi_is_served() -> None:
    assert names_of(selected(("openat",))) == ["openat"]
    assert names_of(selected(("socketcall",))) == []  # of 32-bit calls alone


def test_unknown_names_are_usage_errors() -> None:
    with pytest.raises(ProctorError, match="openat") as caught:
        plan_of(TraceOptions(syscalls=("opennat",)), cgroups=False)
    assert caught.value.exit_status == 2


def test_what_is_left_out_is_known() -> None:
    assert plan_of(TraceOptions(), cgroups=False).everything
    for filtered in (
        TraceOptions(failures=True),
        TraceOptions(syscalls=("read",)),
        TraceOptions(paths=("/etc",)),
        TraceOptions(min_duration="1ms"),
    ):
        assert not plan_of(filtered, cgroups=False).everything


@pytest.mark.parametrize(
    ("result", "wanted"),
    [
        ("0", (INSIDE, 0, 0)),
        ("<0", (INSIDE, LOWEST, -1)),
        (">=4096", (INSIDE, 4096, HIGHEST)),
        ("ENOENT", (INSIDE, -2, -2)),
        ("1..9", (INSIDE, 1, 9)),
        ("!=0", (OUTSIDE, 0, 0)),
        ("!EAGAIN", (OUTSIDE, -11, -11)),
    ],
)
def test_results(result: str, wanted: tuple[int, int, int]) -> None:
    assert result_filter(TraceOptions(result=result)) == wanted


@pytest.mark.parametrize("more", [{"failures": True}, {"successes": True}])
def test_a_result_leaves_no_room_for_others(more: dict[str, bool]) -> None:
    with pytest.raises(UsageError, match="leave -Z and -z out"):
        result_filter(TraceOptions(result=">0", **more))  # type: ignore[arg-type]


def test_failures_and_successes_by_result() -> None:
    assert result_filter(TraceOptions(failures=True)) == (INSIDE, -4095, -1)
    assert result_filter(TraceOptions(successes=True)) == (OUTSIDE, -4095, -1)
    assert result_filter(TraceOptions())[0] == lib.RESULT_ANY


@pytest.mark.parametrize("cpus", [1, 2, 16, 256, 1024])
@pytest.mark.parametrize("no_loss", [False, True])
def test_rings_are_powers_of_two_and_bounded(cpus: int, no_loss: bool) -> None:
    sizes = ring_sizes(cpus, no_loss=no_loss)
    for size in sizes:
        assert size & (size - 1) == 0
        assert size > 0
    if cpus <= 64:
        used = cpus * (sizes[0] * 128 + sizes[1] * (1 << 20))
        assert used <= 1 << 30
