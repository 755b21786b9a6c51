"""What `proctor trace` says where something is wrong."""

from __future__ import annotations

import re
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


@pytest.mark.parametrize("more", [(), ("-k",), ("-c",), ("-e", "openat,read,close,execve")])
def test_a_low_limit_of_open_files_is_the_commands_alone(more: tuple[str, ...]) -> None:
    few = ("sh", "-c", 'ulimit -Sn 12; exec "$@"', "sh")
    done = trace(*more, "-o", "/dev/null", "--", "sh", "-c", "ulimit -n", wrapper=few)
    assert (done.returncode, done.stdout) == (0, "12\n"), done.stderr


def test_too_few_open_files_are_said_where_they_cannot_be_more() -> None:
    bound = ("setpriv", "--bounding-set=-sys_resource", "sh", "-c", 'ulimit -n 12; exec "$@"', "sh")
    done = trace("--", "true", wrapper=bound)
    assert re.fullmatch(
        r"proctor: open files: 12 may be open at once, (\d+) are needed; "
        r"raise the limit: ulimit -n \1\n",
        done.stderr,
    )
    assert done.returncode == 1
