"""What tests need of the machine: lacking in CI it is a failure, and no signal is ignored."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.surroundings import lacking, need

CHECKOUT = Path(__file__).resolve().parents[2]
SAY_IGNORED = """
import subprocess
from tests.surroundings import heed_signals
heed_signals()
print(subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True).stdout)
"""


def test_what_lacks_is_skipped_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    need("sh")
    with pytest.raises(pytest.skip.Exception, match="no-such-program: not installed"):
        need("sh", "no-such-program")
    monkeypatch.setenv("CI", "1")
    need("sh")
    with pytest.raises(pytest.fail.Exception, match="no-such-program: not installed"):
        need("no-such-program")
    with pytest.raises(pytest.fail.Exception, match="a header"):
        lacking("a header")


def test_what_tests_start_ignores_no_signal_that_they_were_started_with() -> None:
    ignored = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)

    def as_in_the_background() -> None:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)

    said = subprocess.run(
        [sys.executable, "-c", SAY_IGNORED],
        cwd=CHECKOUT,
        preexec_fn=as_in_the_background,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = re.search(r"^SigIgn:\s*([0-9a-f]+)$", said, re.MULTILINE)
    assert found
    assert int(found[1], 16) == 0
