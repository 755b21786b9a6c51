"""What is told of a kernel, by its version."""

from __future__ import annotations

import platform

import pytest

from proctor.diagnosis.host import check_seccomp


def on_kernel(monkeypatch: pytest.MonkeyPatch, release: str, machine: str = "x86_64") -> None:
    monkeypatch.setattr(platform, "release", lambda: release)
    monkeypatch.setattr(platform, "machine", lambda: machine)


@pytest.mark.parametrize(
    "release",
    ["6.11.0", "6.11.0-29-generic", "6.11-rc1", "6.12.13+deb13-amd64", "6.12-rc3", "6.13.2-arch1"],
)
def test_kernels_whose_uretprobes_a_filter_stops(
    release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_kernel(monkeypatch, release)
    check = check_seccomp()
    assert (check.state, check.essential) == ("missing", False)
    assert release in check.detail
    assert "seccomp filter" in check.detail
    assert check.advice
    assert "6.12.14" in check.advice


@pytest.mark.parametrize(
    "release",
    [
        "5.10.0-32-amd64",
        "6.1.0",
        "6.10.11",
        "6.12.14",
        "6.12.38+deb13-amd64",
        "6.13.3",
        "6.14.0",
        "6.18.44",
        "7.0.0",
        "odd",
    ],
)
def test_kernels_whose_are_let_through(release: str, monkeypatch: pytest.MonkeyPatch) -> None:
    on_kernel(monkeypatch, release)
    assert check_seccomp().state == "ok"


def test_other_machines_have_no_such_system_call(monkeypatch: pytest.MonkeyPatch) -> None:
    on_kernel(monkeypatch, "6.11.0", "aarch64")
    assert check_seccomp().state == "ok"
