"""What does not go together in `proctor trace` and `trace show`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from proctor.errors import ProctorError, UsageError
from proctor.tracing.options import TraceOptions
from proctor.tracing.refusals import check_shown_together, check_together

WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "what to trace: missing"),
    ({"command": ("ls",), "host": True}, "--host"),
    ({"pids": (1,), "host": True}, "--host"),
    ({"failures": True, "successes": True}, "-Z and -z"),
    ({"paths": ("",)}, "-P: is empty"),
    ({"by": "process"}, "--by: is of -c and --hist"),
    ({"errors": True}, "--errors: is of -c"),
    ({"sort": "calls"}, "-S: is of -c"),
    ({"sort": "calls", "histogram": "read"}, "-S: is of -c"),
    ({"containers": ("",)}, "--container: is empty"),
    ({"cgroups": ("/a", "")}, "--cgroup: is empty"),
    ({"count": True, "durations": True}, "-t, -r and -T: are of lines"),
    ({"output": "a.parquet", "clock": "time"}, "-t, -r and -T: are of lines"),
    ({"folded": True, "durations": True}, "-t, -r and -T: are of lines"),
    ({"output": "a.jsonl", "folded": True}, "--folded: is text, not jsonl"),
    ({"output": "a.parquet", "rotate": "5x"}, "--rotate 5x: is no size"),
    ({"output": ""}, "-o: is empty; name a file"),
    ({"histogram": " "}, "--hist: is empty; name a syscall"),
    ({"histogram": "read", "syscalls": ("write",)}, "--hist: says which syscalls"),
    ({"count": True, "no_times": True, "sort": "p50"}, "--no-times: leaves no time to sort by"),
    ({"count": True, "rotate": "1M", "output": "a.parquet"}, "--rotate: is of single calls"),
    ({"count": True, "histogram": "read"}, "-c and --hist"),
    ({"count": True, "stacks": True}, "-k and --folded"),
    ({"count": True, "format": "arrow", "output": "-"}, "--format arrow"),
    ({"folded": True, "format": "jsonl"}, "--folded"),
    ({"format": "parquet"}, "--format parquet: needs a file"),
    ({"format": "arrow"}, "--format arrow"),
    ({"rotate": "1M"}, "--rotate"),
    (
        {"command": (), "pids": (1,), "no_loss": True},
        "--no-loss: freezes what it traces in a cgroup made for it; what runs",
    ),
    ({"command": (), "pids": (1,), "follow": True}, "--follow: waits for descendants of COMMAND"),
    ({"pids": (1,), "follow": True}, "--follow: waits for descendants of COMMAND"),
    ({"pids": (1,), "no_loss": True}, "--no-loss: can freeze COMMAND alone"),
    ({"min_duration": ""}, "--min-duration: is empty; give a time"),
    ({"command": (), "pids": (1,), "as_root": True}, "--as-root: is of a COMMAND"),
]


@pytest.mark.parametrize(("fields", "message"), WRONG)
def test_what_does_not_go_together_is_said(fields: dict[str, Any], message: str) -> None:
    options = TraceOptions(**({"command": ("ls",)} | fields if fields else {}))
    with pytest.raises(ProctorError) as caught:
        check_together(options)
    assert str(caught.value).startswith(message)
    assert caught.value.exit_status == 2


def test_a_terminal_is_sent_no_arrow(monkeypatch: pytest.MonkeyPatch) -> None:
    options = TraceOptions(command=("ls",), format="arrow", output="-")
    check_together(options)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with pytest.raises(UsageError, match="--format arrow: no terminal shows it"):
        check_together(options)


def test_everything_else_goes_together() -> None:
    check_together(TraceOptions(command=("ls",), pids=(1,), output="a.parquet", rotate="1M"))
    check_together(TraceOptions(host=True, count=True, format="jsonl"))
    check_together(TraceOptions(host=True, count=True, no_times=True, sort="errors"))
    check_together(TraceOptions(command=("ls",), folded=True, output="stacks"))
    check_together(TraceOptions(command=("ls",), durations=True, clock="time", output="a.log"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"sort": "calls"}, "-S: is of -c"), ({"by": "process"}, "--by: is of -c")],
)
def test_what_does_not_go_together_when_shown(fields: dict[str, Any], message: str) -> None:
    check_shown_together(TraceOptions(**fields, count=True))
    with pytest.raises(ProctorError, match=message) as caught:
        check_shown_together(TraceOptions(**fields))
    assert caught.value.exit_status == 2


def test_a_path_is_refused_that_counts_from_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    here.rmdir()
    with pytest.raises(UsageError, match="-P a: the working directory is gone; name an absolute"):
        check_together(TraceOptions(command=("ls",), paths=("/c", "a")))
