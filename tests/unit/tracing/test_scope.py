"""Of which processes the tracer hands out mappings and files."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from proctor.kernel.process_table import cgroup_path, cgroup_root
from proctor.tracing.scope import Targets


@pytest.fixture
def cgroup() -> Iterator[Path]:
    root = cgroup_root()
    if root is None or not os.access(root, os.W_OK):
        pytest.skip("makes a cgroup: needs cgroup v2, and root")
    made = root / f"proctor-scope-{os.getpid()}"
    made.mkdir()
    try:
        yield made
    finally:
        made.rmdir()


@pytest.fixture
def sleeping() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def test_with_cgroups_traced_is_who_is_below_one(
    cgroup: Path, sleeping: subprocess.Popen[bytes]
) -> None:
    targets = Targets(None, (), (f"{cgroup}/",), False)
    assert not targets.has(sleeping.pid)
    assert not targets.maps()
    below = cgroup / "below\r0::" / "more"
    below.mkdir(parents=True)
    (below / "cgroup.procs").write_text(str(sleeping.pid))
    try:
        assert targets.has(sleeping.pid)
        assert not targets.has(os.getpid())
        assert set(targets.maps()) == {sleeping.pid}
        assert cgroup_path(sleeping.pid) == f"/{below.relative_to(cgroup.parent)}"
        assert Targets(None, (os.getpid(),), targets.cgroups, False).has(os.getpid())
    finally:
        sleeping.kill()
        sleeping.wait()
        below.rmdir()
        below.parent.rmdir()


def test_without_them_it_is_a_tree_or_the_host(sleeping: subprocess.Popen[bytes]) -> None:
    ours = Targets(None, (os.getpid(),), (), False)
    assert {os.getpid(), sleeping.pid} <= set(ours.maps())
    assert ours.has(sleeping.pid)
    assert not ours.has(os.getppid())
    host = Targets(None, (), (), True)
    assert host.has(os.getppid())
    assert set(ours.maps()) <= set(host.maps())
