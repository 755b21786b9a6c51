"""What several tests of the tracer stand on."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture
def spool() -> Iterator[int]:
    fd = os.memfd_create("spool")
    yield fd
    os.close(fd)
