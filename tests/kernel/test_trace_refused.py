"""What is refused to `proctor trace`, and what it says of it: room, files, rights, odd wishes."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Final

import pyarrow as pa
import pytest

from tests.kernel.trace_command import NOBODY, run
from tests.kernel.trace_command import program as program
from tests.kernel.watching import PROCTOR, TIMEOUT_S, environment


def test_a_full_disk_cuts_the_output_to_whole_lines(tmp_path: Path, program: str) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], check=True)
    try:
        traced = run(small, "--", program, "flood", "100000")
    finally:
        subprocess.run(["umount", str(small)], check=True)
    assert traced.status == 0
    assert "no space left on device" in traced.stderr
    assert all(re.match(r"\d+ |\*\*\*", line) for line in traced.lines)


def test_a_full_disk_leaves_an_arrow_stream_that_can_be_read(tmp_path: Path, program: str) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(small)], check=True)
    try:
        output = small / "run.arrow"
        command = ["sh", "-c", f"sleep 2; {program} flood 20000"]
        with output.open("wb") as file:
            done = subprocess.run(
                [*PROCTOR, "trace", "--format", "arrow", "-o", "-", "--", *command],
                env=environment() | {"TMPDIR": str(tmp_path)},  # where the spool is then
                stdout=file,
                stderr=subprocess.PIPE,
                text=True,
                timeout=TIMEOUT_S,
            )
        with pa.OSFile(str(output)) as read, pa.ipc.open_stream(read) as stream:
            rows = sum(batch.num_rows for batch in stream)
    finally:
        subprocess.run(["umount", str(small)], check=True)
    assert ": no space left on device: what follows is not in it; free some" in done.stderr
    found = re.search(r" ([\d,]+) lost \(disk_full .*\); kernel counted ([\d,]+)$", done.stderr)
    assert found, done.stderr
    lost, counted = (int(word.replace(",", "")) for word in found.groups())
    assert rows + lost == counted


def test_a_full_disk_of_the_spool_is_named(tmp_path: Path, program: str) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(small)], check=True)
    try:
        done = subprocess.run(
            [*PROCTOR, "trace", "-o", "-", "--", program, "flood", "20000"],
            env=environment() | {"TMPDIR": str(small)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=TIMEOUT_S,
        )
    finally:
        subprocess.run(["umount", str(small)], check=True)
    assert done.stderr.splitlines()[0] == (
        f"proctor: the spool, in {small}: no space left on device: not all could be kept; "
        "free some space"
    )
    assert done.returncode == 0


@pytest.mark.parametrize("form", ["text", "parquet", "arrow"])
def test_where_a_limit_is_reached_it_is_the_limit_that_is_to_be_raised(
    tmp_path: Path, program: str, form: str
) -> None:
    command = [*PROCTOR, "trace", "-o", str(tmp_path / "out"), "--format", form, "--", program]
    done = subprocess.run(
        ["sh", "-c", 'ulimit -f 512; exec "$@"', "sh", *command, "flood", "20000"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    said = done.stderr.splitlines()
    assert [line for line in said if line.endswith("; raise the limit of a file's size: ulimit -f")]
    assert "free some" not in done.stderr
    assert re.search(r"lost \(\w+ [\d,]+(, \w+ [\d,]+)*\); kernel counted", said[-1]), done.stderr
    assert "unaccounted" not in said[-1]


@pytest.mark.parametrize(
    "options", [[], ["--format", "jsonl"], ["-k"], ["--folded"], ["--format", "arrow"]]
)
def test_what_a_full_disk_takes_is_lost_and_not_there(options: list[str], program: str) -> None:
    done = subprocess.run(
        [*PROCTOR, "trace", "-o", "/dev/full", *options, "--", program, "flood", "100"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    last = done.stderr.splitlines()[-1]
    found = re.search(r" 0 calls, .*(\d+) lost \(disk_full \1\); kernel counted \d+$", last)
    assert found, done.stderr
    assert ": no space left on device" in done.stderr
    assert done.stderr.splitlines()[-2].endswith("; free some space")


@pytest.mark.parametrize("place", ["pipe", "/dev/null", "/dev/full"])
def test_what_cannot_become_a_parquet_file_is_refused_before_command_runs(
    tmp_path: Path, place: str
) -> None:
    ran, output = tmp_path / "ran", tmp_path / place
    if place == "pipe":
        os.mkfifo(output)
    traced = run(tmp_path, "--format", "parquet", "--", "touch", str(ran), output=str(output))
    assert traced.status == 1
    assert traced.stderr == (
        f"proctor: {output}: cannot become a Parquet file: is a pipe, a device or a folder; "
        "name a file with -o FILE.parquet\n"
    )
    assert not ran.exists()


def test_what_was_counted_goes_into_a_pipe_as_parquet(tmp_path: Path) -> None:
    done = subprocess.run(
        [*PROCTOR, "trace", "-c", "--format", "parquet", "-o", "/dev/stdout", "--", "true"],
        env=environment(),
        capture_output=True,
        timeout=TIMEOUT_S,
    )
    assert done.stdout[:4] == done.stdout[-4:] == b"PAR1"


WRONG: Final = [
    (["-e", "opennat", "--", "true"], 2, "openat"),
    (["-e", "%nonsense", "--", "true"], 2, "%"),
    (["--result", "x", "--", "true"], 2, "--result x"),
    ([], 2, "what to trace: missing"),
    (["-p", "4194304"], 1, "process 4194304: no such process"),
    (["-p", "2"], 1, "process 2: is a thread of the kernel"),
    (["--cgroup", "/nope"], 1, "cgroup /nope"),
    (["--no-loss", "-p", "1"], 2, "--no-loss"),
    ([*(f"--fd={fd}" for fd in range(1025)), "--", "true"], 1, "descriptors: more are asked for"),
]


@pytest.mark.parametrize(("arguments", "status", "said"), WRONG)
def test_what_is_wrong_is_said(
    tmp_path: Path, arguments: list[str], status: int, said: str
) -> None:
    traced = run(tmp_path, *arguments)
    assert traced.status == status
    assert said in traced.stderr
    assert "Traceback" not in traced.stderr
    assert len(traced.stderr.splitlines()) <= 2


def test_an_output_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    traced = run(tmp_path, "--", "true", output="no/such/folder")
    assert traced.status == 1
    assert "no/such/folder: no such file or directory; name another place" in traced.stderr


def test_without_root(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    done = subprocess.run(
        [*NOBODY, *PROCTOR, "trace", "--", "true"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    if "No module named" in done.stderr or "Permission denied" in done.stderr:
        pytest.skip("the checkout cannot be read by nobody")
    assert done.returncode == 1
    assert "privilege: loading kernel programs needs root" in done.stderr
