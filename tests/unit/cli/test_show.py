"""`proctor show` as a user meets it: recordings whole, cut and none, outputs that are refused."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from proctor import schema


def test_show_json_lines(proctor: Any, recording: Path) -> None:
    done = proctor("show", str(recording), "--format", "jsonl")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["type"] for line in lines] == ["process", "process", "summary"]
    assert lines[0]["argv"] == ["true", "x\\xff"]
    assert lines[0]["escaped"] == ["/process/argv/1", "/argv/1"]
    assert lines[1]["exit_code"] == 3
    assert lines[2]["lost"] == {}


def test_show_one_type_ends_with_the_summary(proctor: Any, recording: Path) -> None:
    done = proctor("show", str(recording), "--format", "jsonl", "--type", "call")
    assert [json.loads(line)["type"] for line in done.stdout.splitlines()] == ["summary"]


def test_show_text(proctor: Any, recording: Path) -> None:
    done = proctor("show", str(recording))
    assert (done.returncode, done.stderr) == (0, "")
    assert "true 'x\\xff'  exit 3" in done.stdout
    assert "✓ nothing" in done.stdout
    typed = proctor("show", str(recording), "--type", "process")
    assert [line.split()[2] for line in typed.stdout.splitlines()] == ["exec", "exit", "summary"]


def test_show_calls(proctor: Any, call_recording: Path) -> None:
    told = [
        "user       Which kernel?",
        'assistant  ⚙ run_shell {"command": "uname -sr"}',
        "tool       Linux 6.12",
        "assistant  It is Linux 6.12.",
        "gpt-5-mini  openai      2        200       -   40",
        "✓ nothing",
    ]
    text = proctor("show", str(call_recording)).stdout
    positions = [text.find(line) for line in told]
    assert -1 not in positions, text
    assert positions == sorted(positions)


def test_what_the_analysis_gives_meets_the_schema(proctor: Any, call_recording: Path) -> None:
    done = proctor("show", str(call_recording), "--format", "jsonl")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["type"] for line in lines if line["type"] == "call"] == ["call", "call"]
    for line in lines:
        Draft202012Validator(schema.load()).validate(line)


def test_show_a_cut_recording_says_so(proctor: Any, recording: Path) -> None:
    os.truncate(recording, recording.stat().st_size - 1)
    done = proctor("show", str(recording), "--format", "jsonl")
    assert done.returncode == 0
    assert json.loads(done.stdout.splitlines()[-1])["lost"] == {"recording_cut": 1}
    assert "recording_cut" in proctor("show", str(recording)).stdout


def test_show_a_recording_that_goes_on_says_so(proctor: Any, recording: Path) -> None:
    """Its end is not lost, it is to come."""
    assert proctor("show", str(recording)).stderr == ""
    with recording.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as its writer does
        done = proctor("show", str(recording))
    assert done.returncode == 0
    assert done.stderr == (
        f"proctor: {recording}: is being written: shown is what it holds so far\n"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "is empty"),
        (b"\x7fELF" * 100, "is not a recording"),
        (b"PROC", "cut inside its header: nothing can be read"),
    ],
)
def test_show_what_is_no_recording(
    content: bytes | None, message: str, proctor: Any, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    done = proctor("show", str(path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"proctor: {path}: {message}\n"


def test_show_the_last_recording(proctor: Any, recording: Path, tmp_path: Path) -> None:
    environment = {
        "PYTHONPATH": ":".join(sys.path),
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }
    shelf = tmp_path / "state" / "proctor" / "recordings"
    shelf.mkdir(parents=True)
    assert proctor("show", env=environment).stderr.startswith(
        f"proctor: {shelf}: holds no recording yet; "
    )
    (shelf / "20260101T000000.000000Z-old.rec").write_bytes(b"")
    recording.rename(shelf / "20270101T000000.000000Z-new.rec")
    assert "exit 3" in proctor("show", env=environment).stdout


def test_names_of_files_are_said_as_they_are(proctor: Any, recording: Path, tmp_path: Path) -> None:
    missing = proctor("show", "a\nb\udcff.rec")
    assert missing.stderr == "proctor: a\u240ab\\xff.rec: no such file\n"
    written = recording.rename(tmp_path / "a\nb.rec")
    with written.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = proctor("show", str(written))
    assert done.stderr.startswith(f"proctor: {tmp_path}/a\u240ab.rec: is being written")


@pytest.mark.parametrize("form", ["text", "jsonl"])
def test_show_to_a_reader_that_went_away_is_quiet(form: str, proctor: Any, recording: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = proctor("show", str(recording), "--format", form, stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("form", ["text", "jsonl"])
def test_show_to_a_full_disk_is_one_line(form: str, proctor: Any, recording: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = proctor("show", str(recording), "--format", form, stdout=full)
    assert done.returncode == 1
    assert done.stderr.startswith("proctor: standard output: no space left on device")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("form", ["text", "jsonl"])
def test_show_to_a_closed_output_is_one_line(form: str, proctor: Any, recording: Path) -> None:
    done = proctor("show", str(recording), "--format", form, preexec_fn=lambda: os.close(1))
    assert done.returncode == 1
    assert done.stderr == "proctor: standard output: is closed\n"


@pytest.mark.parametrize("form", ["text", "jsonl"])
def test_show_where_a_limit_is_reached(
    form: str, proctor: Any, recording: Path, tmp_path: Path
) -> None:
    limit = (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    with (tmp_path / "out").open("wb") as output:
        done = proctor(
            *("show", str(recording), "--format", form),
            stdout=output,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
        )
    advice = "raise the limit of a file's size: ulimit -f"
    assert done.stderr == f"proctor: standard output: file too large; {advice}\n"


def test_show_on_a_full_disk_leaves_whole_json_lines(
    proctor: Any, recording: Path, tmp_path: Path
) -> None:
    whole = proctor("show", str(recording), "--format", "jsonl").stdout
    room = whole.index("\n") + 10
    limit = (room, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    with (tmp_path / "out").open("wb") as output:
        proctor(
            *("show", str(recording), "--format", "jsonl"),
            stdout=output,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
        )
    assert (tmp_path / "out").read_text() == whole[: whole.index("\n") + 1]


def test_show_of_an_empty_name_is_not_of_the_folder(proctor: Any) -> None:
    done = proctor("show", "")
    assert done.stderr == "proctor: REC: is empty; name a file, or leave it out for the last\n"


def test_show_interrupted_says_nothing(recording: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)  # opening it waits for a writer, so that the signal comes in the midst
    child = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, "show", str(pipe)],
        env={"PYTHONPATH": ":".join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell's background job, as a test run may be, inherits it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=30)
    assert (child.returncode, said.strip()) == (130, b"")


INTERRUPTED = """
import sys
from proctor import cli, show
from proctor.analysis import pipeline
import proctor.records.reading as reading
def waits(path):
    print("ready", flush=True)
    open(path).read()
reading.open_recording = waits
cli.main()
"""
