"""What is said of programs that the kernel does not have."""

from __future__ import annotations

import pytest

from proctor.session.verbose import refused_lines, surprises


def test_what_a_kernel_is_too_old_for_is_no_surprise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proctor.session.verbose.kernel_version", lambda: (5, 10))
    refused = {"exit_mprotect": "needs kernel 5.17", "dns_egress": "not attached"}
    (line,) = surprises(refused)
    assert line.startswith("proctor: kernel program dns_egress: not attached; without it: ")
    assert len(refused_lines(refused)) == 2
