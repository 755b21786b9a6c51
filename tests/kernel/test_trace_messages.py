"""What `proctor trace` says where something is wrong."""

from __future__ import annotations

import subprocess

import pytest

from tests.kernel.watching import PROCTOR, TIMEOUT_S, environment


def trace(*arguments: str, wrapper: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*wrapper, *PROCTOR, "trace", *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


@pytest.mark.parametrize("form", ["text", "jsonl", "parquet"])
def test_a_count_that_cannot_be_written(form: str) -> None:
    done = trace("-c", "-o", "/dev/full", "--format", form, "--", "true")
    assert done.stderr == (
        "proctor: /dev/full: the count could not be written: no space left on device; "
        "name another place with -o\n"
    )
    assert done.returncode == 1
