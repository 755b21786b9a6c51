"""What every test here must leave as it was."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel import programs, watching

DETACH_S = 20.0 * watching.SLOW
"""The kernel takes probes out one after the other, some 60 ms each, and more under load; a
session with Node, curl and Python has forty."""
KERNEL_TESTS = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
    for item in items:
        if KERNEL_TESTS in item.path.parents:
            item.add_marker(pytest.mark.kernel)
            item.add_marker(needs_root)


@pytest.fixture(scope="session")
def leftovers() -> programs.Leftovers:
    return programs.Leftovers(programs.our_names())


@pytest.fixture(autouse=True)
def nothing_left(leftovers: programs.Leftovers) -> Iterator[None]:
    """No process of the test is left, none stopped, and no program in the kernel."""
    yield
    stopped = [process for process in watching.ours_alive() if process.state in "Tt"]
    try:
        watching.wait_until(lambda: not watching.ours_alive(), "no process left", DETACH_S)
    except AssertionError:
        left = watching.ours_alive()
        watching.kill_ours()
        pytest.fail(f"left running: {left}")
    finally:
        assert not stopped, "left stopped"
    assert not leftovers.now(DETACH_S)
