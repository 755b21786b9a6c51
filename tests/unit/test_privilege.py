"""Rights: who called, acting as another, giving up for good (in a child process)."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from proctor.privilege import NOBODY, Identity, acting_as, caller_identity, unprivileged

SOURCE = Path(__file__).parents[2] / "src"
ROOT = Identity(0, 0, (0,), "root", "/root")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it gives root's rights up")


def in_child(code: str) -> str:
    text = "import os, resource\nfrom proctor.privilege import *\n" + code
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run(
        [sys.executable, "-c", text], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def as_uid(monkeypatch: pytest.MonkeyPatch, uid: int) -> None:
    monkeypatch.setattr(os, "getuid", lambda: uid)


def test_under_sudo_the_caller_is_who_typed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    as_uid(monkeypatch, 0)
    caller = caller_identity({"SUDO_UID": "54321", "SUDO_GID": "54322"})
    assert caller == Identity(54321, 54322, (54322,), "54321", "/")


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"SUDO_UID": "54321"},
        {"SUDO_UID": "x", "SUDO_GID": "1"},
        {"SUDO_UID": "-1", "SUDO_GID": "1"},
        {"SUDO_UID": "5", "SUDO_GID": str(1 << 32)},
    ],
)
def test_without_all_of_sudo_s_words_it_is_this_user(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    as_uid(monkeypatch, 0)
    assert caller_identity(environment).uid == 0


def test_nobody_but_root_believes_sudo_s_words(monkeypatch: pytest.MonkeyPatch) -> None:
    as_uid(monkeypatch, 54321)
    assert caller_identity({"SUDO_UID": "0", "SUDO_GID": "0"}).uid == 54321


def test_for_root_nobody_parses() -> None:
    assert unprivileged(ROOT).uid == NOBODY
    other = Identity(5, 5, (), "x", "/")
    assert unprivileged(other) is other


@needs_root
def test_dropped_for_good() -> None:
    code = """
drop_to(identity_of(65534, 65534))
lock_down()
try:
    os.setuid(0)
except PermissionError:
    print(os.getresuid(), os.getresgid(), os.getgroups())
status = open("/proc/self/status").read()
print([line.split()[1] for line in status.splitlines()
       if line.split(":")[0] in ("CapPrm", "CapEff", "CapAmb", "NoNewPrivs")])
print(resource.getrlimit(resource.RLIMIT_CORE))
"""
    zero = "0" * 16
    assert in_child(code).splitlines() == [
        "(65534, 65534, 65534) (65534, 65534, 65534) [65534]",
        str([zero, zero, zero, "1"]),
        "(0, 0)",
    ]


def test_locked_down_without_root() -> None:
    code = """
lock_down()
print(resource.getrlimit(resource.RLIMIT_CORE), end=" ")
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))  # PR_GET_DUMPABLE
"""
    assert in_child("import ctypes\n" + code) == "(0, 0) 0"


@needs_root
def test_acting_as_another_files_are_theirs() -> None:
    # pytest's own folders are closed to others, however deep this one lies in them.
    with tempfile.TemporaryDirectory(prefix="proctor-test-") as made:
        files_of_another(Path(made))


def files_of_another(folder: Path) -> None:
    folder.chmod(0o777)
    code = f"""
with acting_as(Identity(54321, 54322, (54322,), "x", "/")):
    os.close(os.open("{folder}/theirs", os.O_CREAT | os.O_WRONLY))
    denied = not os.access("/etc/shadow", os.R_OK, effective_ids=True)
print(denied, os.geteuid(), os.getegid())
"""
    assert in_child(code) == "True 0 0"
    status = (folder / "theirs").stat()
    assert (status.st_uid, status.st_gid) == (54321, 54322)


def test_acting_as_oneself_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "seteuid", None)
    with acting_as(Identity(os.geteuid(), 7, (), "me", "/")):
        assert os.getegid() != 7
