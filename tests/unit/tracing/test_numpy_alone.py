"""Whoever waits for signals has no threads that could take them."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import os
from proctor.tracing.numpy_alone import import_numpy
import_numpy()
import sys
assert "numpy" in sys.modules
print(len(os.listdir("/proc/self/task")), os.environ.get("OPENBLAS_NUM_THREADS"))
"""


@pytest.mark.parametrize("given", [None, "3"])
def test_numpy_comes_without_threads_and_leaves_no_trace(given: str | None) -> None:
    environment = {**os.environ, **({"OPENBLAS_NUM_THREADS": given} if given else {})}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"1 {given}\n"
