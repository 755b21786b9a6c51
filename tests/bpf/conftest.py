"""A machine for each test."""

from __future__ import annotations

import pytest

from tests.bpf.machine import Machine, Task
from tests.bpf.world import World


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def world(machine: Machine) -> World:
    return World(machine)


@pytest.fixture
def agent(machine: Machine, world: World) -> Task:
    """A process in scope."""
    task = world.task(4711)
    machine.watch(task)
    return task
