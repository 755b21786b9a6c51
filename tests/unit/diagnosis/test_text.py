from __future__ import annotations

import io
import re

import pytest

from proctor.diagnosis.findings import Check, Host, ProcessFinding, TlsFinding
from proctor.diagnosis.text import print_diagnosis
from proctor.kernel.loading import FEATURES

UNSUPPORTED = TlsFinding(
    "/opt/\x1b[31magent", "rustls", "unsupported", reason="not understood", advice="wait"
)
ATTACHABLE = TlsFinding("/lib/libssl.so.3", "OpenSSL", "attachable", ["SSL_read"])


def host(*checks: Check) -> Host:
    return Host("6.1.0", "x86_64", list(checks), [])


def printed(host: Host, processes: list[ProcessFinding], *, one: bool = False) -> str:
    stream = io.StringIO()
    print_diagnosis(stream, host, processes, 0, one=one)
    return stream.getvalue()


def test_what_is_missing_is_said_with_since_when_and_what_to_do() -> None:
    dns = FEATURES[-1]
    text = printed(
        host(
            Check("rings", "ok", "4 MiB"),
            Check(dns.name, "missing", "dns_egress: refused", dns.name, "5.8", "mount it"),
        ),
        [],
    )
    assert "✓ rings" in text
    assert "✗ DNS queries and answers: dns_egress: refused\n    since Linux 5.8; mount it" in text


def test_without_root_the_features_take_one_line() -> None:
    checks = [Check(each.name, "unknown", "not tried: rights") for each in FEATURES]
    text = printed(host(*checks), [])
    assert text.count("not tried") == 1


def test_processes_that_need_a_word_come_first_and_alike_ones_together() -> None:
    processes = [
        ProcessFinding(10 + n, "python3", "attachable", tls=[ATTACHABLE]) for n in range(9)
    ]
    processes += [
        ProcessFinding(5, "agent", "unsupported", tls=[UNSUPPORTED], connections=["[::1]:443"]),
        ProcessFinding(6, "mystery", "unknown", reason="nobody knows", advice="tell us"),
        ProcessFinding(7, "cat", "no_tls"),
        ProcessFinding(8, "init", "unreadable"),
    ]
    text = printed(host(), processes)
    order = [text.index(word) for word in ("mystery [6]", "agent [5]", "python3 [10")]
    assert order == sorted(order)
    assert "python3 [10 11 12 13 14 15 16 17 and 1 more]" in text
    assert text.count("libssl.so.3") == 1
    assert "agent [5]  connected to [::1]:443" in text
    assert "1 without TLS" in text
    assert "1 that may not be looked into" in text


def test_no_control_character_of_theirs_is_printed() -> None:
    for one in (False, True):
        for state in ("unsupported", "no_tls"):
            process = ProcessFinding(
                1,
                "\x1b]0;x\x07",
                state,
                tls=[UNSUPPORTED],
                connections=["[::1]:443"],
                reason="\x1b",
            )
            text = printed(host(Check("kernel", "ok", "\x1b[2J")), [process], one=one)
            assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)


@pytest.mark.parametrize("state", ["no_tls", "unreadable"])
def test_one_process_gets_an_answer_whatever_it_has(state: str) -> None:
    process = ProcessFinding(7, "cat", state, reason="may not be looked into")  # type: ignore[arg-type]  # a str of the Literal
    text = printed(host(), [process], one=True)
    assert "cat [7]" in text
    assert "Other processes" not in text
