"""Where a report goes: a terminal, a pipe, a reader that goes away."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from proctor.events import (
    Event,
)
from proctor.views.report import Report
from proctor.views.terminal import make_console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_where_no_terminal_is(good_events: list[Event]) -> None:
    stream = io.StringIO()
    report = Report(stream, live=True)
    for event in good_events:
        report.feed(event)
    report.close()
    assert "\x1b" not in stream.getvalue()
    assert " \n" not in stream.getvalue()
    assert "Conversation" in stream.getvalue()


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "dumb"}, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"TERM": "xterm", "NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, False),
    ],
)
def test_colours_only_where_they_are_wanted(
    variables: dict[str, str],
    coloured: bool,
    monkeypatch: pytest.MonkeyPatch,
    good_events: list[Event],
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    stream = Terminal()
    report = Report(stream, live=True)
    for event in good_events:
        report.feed(event)
    report.close()
    assert ("\x1b[" in stream.getvalue()) is coloured


def test_a_terminal_without_utf8_gets_ascii_signs(good_events: list[Event]) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    report = Report(stream, live=True)
    for event in good_events:
        report.feed(event)
    report.close()
    stream.flush()
    text = raw.getvalue().decode("ascii")
    assert "-> user: Which kernel" in text
    assert "\\u" not in text


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def test_a_reader_that_goes_away_is_no_error(good_events: list[Event]) -> None:
    report = Report(Broken(), live=True)
    for event in good_events:
        report.feed(event)
    report.close()
    assert isinstance(report.broken, BrokenPipeError)


def test_no_terminal_narrower_than_forty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "3")
    assert make_console(io.StringIO()).width == 40


PRELOAD = """
import importlib.util, io, sys
from proctor import views
from proctor.events import Event
spec = importlib.util.spec_from_file_location("conftest", sys.argv[1])
samples = importlib.util.module_from_spec(spec)
spec.loader.exec_module(samples)
views.preload()
from proctor.views.report import Report
class Terminal(io.StringIO):
    def isatty(self):
        return True
before = set(sys.modules)
for stream in (io.StringIO(), Terminal()):
    for full in (False, True):
        report = Report(stream, live=True, full=full, recording="/tmp/x")
        for event in [*samples.agent_run(), *samples.bad_run()]:
            report.feed(event)
        report.close()
print(sorted(set(sys.modules) - before))
"""


def test_after_preload_printing_imports_nothing(request: pytest.FixtureRequest) -> None:
    conftest = request.config.rootpath / "tests" / "unit" / "conftest.py"
    done = subprocess.run(
        [sys.executable, "-c", PRELOAD, str(conftest)],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path), "TERM": "xterm-256color"},
    )
    assert done.stdout == "[]\n"
