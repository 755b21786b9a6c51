"""What is said where rights are missing: by a process that truly lacks them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from proctor.kernel.requirements import NEEDED, privilege_problem

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it gives root's rights up")

PROBLEM = "from proctor.kernel.requirements import privilege_problem as p; print(p(), end='')"


def problem(*wrapper: str) -> str:
    done = subprocess.run(
        [*wrapper, sys.executable, "-c", PROBLEM],
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.needs("setpriv")
@pytest.mark.parametrize("name", NEEDED)
def test_a_root_that_lacks_one_right(name: str) -> None:
    less = f"--bounding-set=-{name.removeprefix('CAP_').lower()}"
    assert problem("setpriv", less, "--inh-caps=-all").startswith(f"privilege: {name} missing; ")


@pytest.mark.needs("unshare")
def test_a_root_of_a_user_namespace_of_its_own() -> None:
    """It has every right there, and none where kernel programs are loaded."""
    said = problem("unshare", "--user", "--map-root-user")
    assert said.startswith("privilege: root of a user namespace of its own")
    assert said.endswith("; run it as the host's root")


@pytest.mark.needs("setpriv")
def test_no_root() -> None:
    said = problem("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    assert said == "privilege: loading kernel programs needs root; run it with sudo"


def test_nothing_missing() -> None:
    assert privilege_problem() is None
