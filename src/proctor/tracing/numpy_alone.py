"""NumPy without threads of its own.

What it loads for linear algebra (OpenBLAS) starts a thread for each further processor, at once.
We have no use for them; each spins for some 0.1 s, and a signal that the tracer waits for may go
to one of them and end the tracer there and then.
"""

from __future__ import annotations

import os
from typing import Final

_THREADS: Final = "OPENBLAS_NUM_THREADS"
"""Read while it is loaded (OpenBLAS, README.md), and only then."""


def import_numpy() -> None:
    """To be called before any module that imports NumPy. COMMAND sees the environment that the
    caller gave."""
    given = os.environ.get(_THREADS)
    os.environ[_THREADS] = "1"
    try:
        import numpy  # noqa: F401 - for those who import it later
    finally:
        if given is None:
            del os.environ[_THREADS]
        else:
            os.environ[_THREADS] = given
