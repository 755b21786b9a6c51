"""What every test here must leave as it was."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel import programs, watching

DETACH_S = 20.0 * watching.SLOW
"""Before 6.6 the kernel takes probes out one after the other, some 60 ms each, and more under load;
a session with Node, curl and Python has forty."""
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


@pytest.fixture(scope="module", autouse=True)
def ending(leftovers: programs.Leftovers) -> Iterator[dict[int, str]]:
    """Processes that a test left, with its name: what is over for the user goes on for seconds in
    the kernel, beside the tests that follow. At the end of a file all are gone, and no program
    is left in the kernel."""
    left_by: dict[int, str] = {}
    yield left_by
    try:
        watching.wait_until(lambda: not watching.ours_alive(), "no process left", DETACH_S)
    except AssertionError:
        left = [
            (left_by.get(each.pid, ""), each, watching.kernel_stacks(each.pid))
            for each in watching.ours_alive()
        ]
        watching.kill_ours()
        pytest.fail(f"left running: {left}")
    assert not leftovers.now(DETACH_S)


@pytest.fixture(autouse=True)
def nothing_left(ending: dict[int, str], request: pytest.FixtureRequest) -> Iterator[None]:
    """No process of the test is left stopped, and none for longer than the kernel takes."""
    yield
    left = watching.ours_alive()
    for process in left:
        ending.setdefault(process.pid, request.node.nodeid)
    assert not [process for process in left if process.state in "Tt"], "left stopped"
