"""`proctor doctor` on this kernel."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from proctor.kernel.object import KernelObject
from tests.kernel.watching import PROCTOR, TIMEOUT_S, ended, environment

AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


def doctor(*options: str, wrapper: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*wrapper, *PROCTOR, "doctor", *options],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


def diagnosis(*options: str) -> dict[str, Any]:
    told = doctor("--json", *options)
    assert (told.returncode, told.stderr) == (0, "")
    return dict(json.loads(told.stdout))


@contextmanager
def ready(*command: str) -> Iterator[int]:
    """A program that says so when it is ready, and waits; its pid."""
    process = subprocess.Popen(
        command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with ended(process):
        assert process.stdout
        process.stdout.readline()
        yield process.pid


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_this_host_is_tried_for_real() -> None:
    told = diagnosis("--pid", str(os.getpid()))
    assert told["schema"] == 1
    assert told["host"]["usable"] is True
    with KernelObject() as kernel:
        assert [each["name"] for each in told["host"]["programs"]] == kernel.programs
    wrong = [each for each in told["host"]["programs"] if each["state"] != "ok"]
    assert wrong == []
    essential = [each for each in told["host"]["checks"] if each["essential"]]
    assert {each["state"] for each in essential} == {"ok"}


def test_a_process_with_a_library(listener: int) -> None:
    code = (
        "import socket, ssl, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1])));"
        "print(flush=True); input()"
    )
    with ready(sys.executable, "-c", code, str(listener)) as pid:
        (process,) = diagnosis("--pid", str(pid))["processes"]
        text = doctor("--pid", str(pid)).stdout
    assert (process["pid"], process["state"]) == (pid, "attachable")
    assert process["connections"] == [f"127.0.0.1:{listener}"]
    assert "TLS that a session sees" in text
    assert process["tls"][0]["library"] in text


def test_a_process_whose_tls_is_not_understood(listener: int, tmp_path: Path) -> None:
    """Found among all processes, since it has a connection; a deleted program's file, too."""
    agent = tmp_path / "agent"
    shutil.copy("/bin/bash", agent)
    with agent.open("ab") as file:
        file.write(b"/registry/src/rustls-0.23.5/src/conn.rs\0")
    code = f"exec 3<>/dev/tcp/127.0.0.1/{listener}; echo; read line"
    with ready(str(agent), "-c", code) as pid:
        agent.unlink()
        processes = diagnosis()["processes"]
        text = doctor().stdout
    (process,) = [each for each in processes if each["pid"] == pid]
    assert process["state"] == "unsupported"
    (finding,) = process["tls"]
    assert (finding["library"], finding["implementation"]) == (str(agent), "rustls")
    assert f"agent [{pid}]  connected to 127.0.0.1:{listener}" in text


def test_a_process_without_tls() -> None:
    with ready("sh", "-c", "echo; read line") as pid:
        (process,) = diagnosis("--pid", str(pid))["processes"]
        text = doctor("--pid", str(pid)).stdout
    assert (process["state"], process["tls"], process["connections"]) == ("no_tls", [], [])
    assert "no TLS library that we know is mapped" in text


def test_who_is_not_there() -> None:
    told = doctor("--pid", "4194304")
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr == "proctor: process 4194304: no such process\n"


@pytest.mark.needs("setpriv")
def test_without_root() -> None:
    told = doctor("--json", wrapper=AS_NOBODY)
    if "PermissionError" in told.stderr or "No module named" in told.stderr:
        pytest.skip("nobody may not read this checkout")
    assert told.returncode == 0, told.stderr
    host = json.loads(told.stdout)["host"]
    assert "usable" not in host
    rights = next(each for each in host["checks"] if each["name"] == "rights")
    assert rights["state"] == "unknown"
    assert "sudo" in rights["advice"]


@pytest.mark.needs("unshare")
def test_in_another_pid_namespace() -> None:
    wrapper = ("unshare", "--pid", "--fork", "--mount-proc")
    told = doctor("--json", wrapper=wrapper)
    assert told.returncode == 1
    assert "cannot be watched: pid namespace" in told.stderr
    assert json.loads(told.stdout)["host"]["usable"] is False


def test_without_libbpf(tmp_path: Path) -> None:
    """The library is hidden, as on a machine where it is not installed."""
    with KernelObject():
        maps = Path("/proc/self/maps").read_text().splitlines()
    library = next(line.split()[-1] for line in maps if "/libbpf.so" in line)
    hidden = tmp_path / "empty"
    hidden.touch()
    script = f'mount --bind {hidden} "$1" && shift && exec "$@"'
    wrapper = ("unshare", "-m", "sh", "-c", script, "sh", library)
    for command in (("doctor",), ("run", "--", "true"), ("watch", "--for", "1", "--pid", "1")):
        told = subprocess.run(
            [*wrapper, *PROCTOR, *command], env=environment(), capture_output=True, text=True
        )
        assert (told.returncode, told.stdout) == (1, "")
        assert told.stderr.startswith("proctor: libbpf: ")
        assert "libbpf.so.1" in told.stderr
        assert "apt install libbpf1" in told.stderr
        assert told.stderr.count("\n") == 1
