from __future__ import annotations

import os
import subprocess
import sys

import pytest

from proctor.diagnosis.findings import ProcessFinding, TlsFinding
from proctor.diagnosis.processes import _explain, _state, examine_processes
from proctor.errors import ProctorError

ATTACHABLE = TlsFinding("/lib/libssl.so.3", "OpenSSL", "attachable", ["SSL_read", "SSL_write"])
UNSUPPORTED = TlsFinding("/opt/agent", "rustls", "unsupported", reason="why", advice="what")


@pytest.mark.parametrize(
    ("tls", "connections", "state"),
    [
        ([], [], "no_tls"),
        ([], ["192.0.2.1:80"], "no_tls"),
        ([], ["192.0.2.1:80", "[2001:db8::1]:443"], "unknown"),
        ([ATTACHABLE], ["192.0.2.1:443"], "attachable"),
        ([UNSUPPORTED], [], "unsupported"),
        ([ATTACHABLE, UNSUPPORTED], [], "partly"),
    ],
)
def test_state(tls: list[TlsFinding], connections: list[str], state: str) -> None:
    assert _state(tls, connections) == state


def test_what_is_not_known_is_said_with_advice() -> None:
    reason, advice = _explain("unknown", ["192.0.2.1:443", "192.0.2.1:80"], sys.executable)
    assert reason == "1 connection to an HTTPS port, and no TLS library that we know is mapped"
    assert advice is not None
    assert "report" in advice
    assert _explain("attachable", ["192.0.2.1:443"], None) == (None, None)


def one(pid: int) -> ProcessFinding:
    (finding,), _ = examine_processes(pid)
    return finding


def test_a_python_that_imported_ssl_is_attachable() -> None:
    code = "import ssl; print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        finding = one(child.pid)
        child.communicate(b"\n")
    assert finding.state == "attachable"
    openssl = [each for each in finding.tls if each.implementation == "OpenSSL"]
    assert openssl
    assert all(each.functions for each in openssl)
    assert finding.uid == os.getuid()


def test_processes_that_are_not_there() -> None:
    with pytest.raises(ProctorError, match="process 4194305: no such process"):
        examine_processes(4194305)
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(ProctorError, match="has ended"):
        examine_processes(child.pid)
    child.wait()


def test_all_processes_but_this_one() -> None:
    findings, _ = examine_processes(None)
    pids = [finding.pid for finding in findings]
    assert os.getpid() not in pids
    assert len(pids) == len(set(pids))
