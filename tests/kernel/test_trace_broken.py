"""A trace whose processes are killed says in every output that it is not whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq
import pytest

import proctor
from tests.kernel.trace_command import VALIDATOR
from tests.kernel.watching import PROCTOR, SLOW, TIMEOUT_S, children_of, environment, wait_until

UNKNOWN: Final = "broke off: what is missing is not known"
KILLED: Final[dict[str, Callable[[int], int]]] = {
    "tracer": lambda tracer: tracer,
    "drainer": lambda tracer: children_of(tracer)[2],
}


def broken(output: Path, killed: str) -> None:
    """A trace of a command whose last calls nobody traces, written to its end."""
    command = ["sh", "-c", "ls /; echo on; read x; ls /; exit 7"]
    tracer = subprocess.Popen(
        [*PROCTOR, "trace", "-o", str(output), "--", *command],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert tracer.stdout
    while tracer.stdout.readline() != "on\n":
        pass
    formatter = children_of(tracer.pid)[1]
    os.kill(KILLED[killed](tracer.pid), signal.SIGKILL)
    said = tracer.communicate("go\n", timeout=TIMEOUT_S)[1]  # to the end of who writes, too
    wait_until(lambda: not Path(f"/proc/{formatter}/exe").exists(), "all is written", 10 * SLOW)
    assert UNKNOWN in said


@pytest.mark.parametrize("killed", KILLED)
def test_every_output_says_that_it_is_not_whole(tmp_path: Path, killed: str) -> None:
    log, lines, table = (tmp_path / name for name in ("run.log", "run.jsonl", "run.parquet"))
    for output in (log, lines, table):
        broken(output, killed)
    assert UNKNOWN in log.read_text().splitlines()[-1]
    summary = json.loads(lines.read_text().splitlines()[-1])
    VALIDATOR.validate(summary)
    assert (summary["type"], summary["broke_off"]) == ("summary", True)
    totals = json.loads(pq.read_metadata(table).metadata[b"proctor"])["totals"]
    assert totals["broke_off"] is True
    for words in (["show"], ["show", "-c"], ["diff", str(table)]):
        done = subprocess.run(
            [*PROCTOR, "trace", *words, str(table)],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        assert done.returncode == 1
        assert done.stderr == f"proctor: {table}: its trace {UNKNOWN}\n"
        if words == ["show"]:
            assert UNKNOWN in done.stdout.splitlines()[-1]


@pytest.mark.parametrize("killed", KILLED)
def test_reading_what_breaks_off_raises(killed: str) -> None:
    broke_off = pytest.raises(proctor.ProctorError, match="broke off")
    with proctor.trace(["sleep", "2"]) as trace, broke_off:
        os.kill(KILLED[killed](trace._started().pid), signal.SIGKILL)
        list(trace.batches())


@pytest.mark.parametrize("more", [[], ["--format", "jsonl"], ["--format", "arrow"]])
def test_a_reader_who_reads_nothing_keeps_nobody(more: list[str]) -> None:
    """Ctrl-C twice ends at once, also where the formatter waits to write."""
    reading, writing = os.pipe()
    command = ["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=60000", "status=none"]
    tracer = subprocess.Popen(
        [*PROCTOR, "trace", "-q", "-o", "-", *more, "--", *command],
        env=environment(),
        stdout=writing,
    )
    os.close(writing)
    try:
        wait_until(lambda: [*map(waits_to_write, children_of(tracer.pid))] == [True], "it is stuck")
        for _ in range(2):
            assert tracer.poll() is None
            tracer.send_signal(signal.SIGINT)
            time.sleep(1)  # two signals at once would be one
        assert tracer.wait(TIMEOUT_S) == 0
    finally:
        tracer.kill()
        os.close(reading)


def waits_to_write(pid: int) -> bool:
    """Whether a process waits to write into a pipe."""
    return "pipe_write" in Path(f"/proc/{pid}/stack").read_text()
