"""`proctor trace` to Parquet on real programs: what comes back, what differs, bad ends."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.kernel.terminal import Terminal
from tests.kernel.trace_command import await_tracing, run, running
from tests.kernel.trace_command import program as program
from tests.kernel.watching import PROCTOR, SLOW, TIMEOUT_S, environment, wait_until


def said_by(*arguments: str, status: int = 0) -> str:
    done = subprocess.run(
        [*PROCTOR, "trace", *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_a_call_that_was_under_way_is_joined(tmp_path: Path) -> None:
    path = tmp_path / "run.parquet"
    with running("cat") as process:
        assert process.stdin
        wait_until(lambda: _waits_in_read(process.pid), "cat reads", 10 * SLOW)
        tracer = subprocess.Popen(
            [*PROCTOR, "trace", "-o", str(path), "-p", str(process.pid)],
            env=environment(),
            stderr=subprocess.PIPE,
        )
        await_tracing(tracer)
        began_ns = time.time_ns()
        process.stdin.write(b"x\n")
        process.stdin.flush()
        time.sleep(0.3)
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=TIMEOUT_S)
    table = pq.read_table(path)
    rows = table.drop_columns(["time"]).to_pylist()
    times = table.column("time").cast("int64").to_pylist()
    first, second = rows[:2]
    assert (first["kind"], first["name"], first["result"]) == ("joined", "read", 2)
    assert first["duration_ns"] == 0
    assert (second["name"], second["data"]) == ("write", b"x\n")
    assert 0 <= times[0] - began_ns < 10**9
    assert times[0] <= times[1]
    assert rows[-1]["kind"] == "under_way"
    lines = said_by("show", str(path)).splitlines()
    assert re.match(rf'{process.pid} +{times[0] // 10**9}\.\d+ read\(0.*"x\\n", \d+\) +=', lines[0])
    event = json.loads(said_by("show", "--format", "jsonl", str(path)).splitlines()[0])
    assert event["state"] == "joined"
    assert "duration_ns" not in event


def _waits_in_read(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/syscall").read_text().startswith("0 ")
    except OSError:
        return False


def test_diff_says_what_a_program_does_otherwise(tmp_path: Path) -> None:
    paths = []
    for place, files in enumerate(("/etc/hostname", "/etc/hostname /etc/hosts /nope")):
        script = f"cat {files}"
        (tmp_path / "script").write_text(f"{script} 2>/dev/null >&2; true")
        run(tmp_path, "--", "sh", str(tmp_path / "script"), output=f"{place}.parquet")
        paths.append(str(tmp_path / f"{place}.parquet"))
    before, after = paths
    found = json.loads(said_by("diff", before, after, "--json"))
    assert found["new"]["files"] == ["/etc/hosts"]
    assert found["gone"] == {"syscalls": [], "files": [], "hosts": [], "errors": []}
    opened = found["syscalls"]["openat"]
    more = {name: opened["after"][name] - opened["before"][name] for name in ("calls", "errors")}
    # cat's own two, one of them in vain, and the catalogues that its message is looked up in
    assert more["calls"] - 1 == more["errors"] >= 1
    errors = {(each["syscall"], each["error"]): each for each in found["errors"]}
    missing = errors["openat", "ENOENT"]
    assert missing["after"] - missing["before"] == more["errors"]
    text = said_by("diff", before, after, "--new", "files,hosts", status=1)
    assert "new files: 1\n  /etc/hosts\n" in text
    assert text.endswith("exceeded: new files: 1\n")
    assert "exceeded: calls: +" in said_by("diff", before, after, "--max-calls", "1", status=1)
    assert "exceeded" not in said_by("diff", after, before, "--max-calls", "1")
    assert "exceeded" not in said_by("diff", before, before, "--max-slower=0", "--new=syscalls")


def test_diff_shows_all_of_a_name(tmp_path: Path) -> None:
    named = tmp_path / "a\nb "
    named.touch()
    before, after = "before.parquet", "after.parquet"
    run(tmp_path, "--", "cat", "/etc/hostname", output=before)
    run(tmp_path, "--", "cat", str(named), output=after)
    assert f"new files: 1\n  {tmp_path}/a\u240ab\u2420\n" in said_by(
        "diff", str(tmp_path / before), str(tmp_path / after)
    )


def test_counts_of_a_file_are_those_of_the_program(tmp_path: Path, program: str) -> None:
    traced = run(tmp_path, "--", program, "flood", "1000", output="run.parquet")
    assert traced.status == 0
    path = tmp_path / "run.parquet"
    said = json.loads(said_by("show", "-c", "--format", "jsonl", str(path)))
    rows = pq.read_table(path, columns=["kind", "error"]).to_pylist()
    assert said["calls"] == sum(row["kind"] == "syscall" for row in rows) >= 1000
    assert sum(row["kind"] == "no_return" for row in rows) == 1  # its end, in no count
    assert said["errors"] == sum(row["error"] is not None for row in rows)


def test_a_full_disk_leaves_a_file_that_can_be_read(tmp_path: Path, program: str) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(small)], check=True)
    try:
        traced = run(small, "--", program, "flood", "300000", output="run.parquet")
        shown = said_by("show", str(small / "run.parquet")).splitlines()
        rows = pq.read_metadata(small / "run.parquet").num_rows
    finally:
        subprocess.run(["umount", str(small)], check=True)
    assert "no space left on device" in traced.stderr
    totals = re.search(r"([\d,]+) lost \(.*\); kernel counted ([\d,]+)$", shown[-1].strip(" *"))
    assert totals, shown[-1]
    lost, counted = (int(word.replace(",", "")) for word in totals.groups())
    assert lost > 0
    assert rows + lost == counted


@pytest.mark.parametrize("pause_seconds", [0.0, 0.3])
def test_interrupting_twice_leaves_a_file_or_says_why(
    tmp_path: Path, program: str, pause_seconds: float
) -> None:
    path = tmp_path / "run.parquet"
    command = [*PROCTOR, "trace", "-o", str(path), "--", program, "flood", "6000000"]
    with Terminal(command) as it:
        wait_until(path.exists, "it begins", 20 * SLOW)
        time.sleep(1)
        it.type("\x03")
        time.sleep(pause_seconds)
        it.type("\x03")
        it.wait()
    last = said_by("show", str(path)).splitlines()[-1]
    assert re.search(r"kernel counted [\d,]+ \*\*\*$", last)


def test_files_are_rotated_at_the_size_asked_for(tmp_path: Path, program: str) -> None:
    """Not where a row group of a million rows happens to end."""
    traced = run(
        tmp_path, "--rotate", "50k", "--", program, "flood", "200000", output="run.parquet"
    )
    assert traced.status == 0
    files = sorted(tmp_path.iterdir())
    assert len(files) > 2
    assert all(file.stat().st_size < 100 << 10 for file in files)
    said = json.loads(
        said_by(
            "show", "-c", "--format", "jsonl", "-e", "/^getppid$", str(tmp_path / "run.parquet")
        )
    )
    assert said["calls"] + said["lost"].get("ring_full", 0) >= 200_000


def test_where_the_next_file_cannot_be_made_the_first_is_whole(
    tmp_path: Path, program: str
) -> None:
    folder = tmp_path / "Folder"
    second = folder / "run-0002.parquet"
    second.mkdir(parents=True)
    traced = run(folder, "--rotate", "50k", "--", program, "flood", "200000", output="run.parquet")
    said, totals = traced.stderr.splitlines()[-2:]
    lost = re.fullmatch(
        rf"proctor: {second}: ([\d,]+) records not written: is a directory; "
        "name another place with -o",
        said,
    )
    assert lost, traced.stderr
    assert f"write_failed {lost[1]}" in totals
    assert "unaccounted" not in totals
    assert pq.read_metadata(folder / "run.parquet").num_rows > 0
    assert said_by("show", str(folder / "run.parquet"), status=1).endswith(
        f"proctor: {second}: cannot be read: is a directory\n"
    )
