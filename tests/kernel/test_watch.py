"""`proctor watch`: who is watched, and when it ends."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from proctor.kernel.loading import load_programs
from proctor.kernel.process_table import cgroup_root
from proctor.kernel.scope import Scope
from proctor.kernel.scope_maps import anyone_left, enter_scope
from tests.kernel.watching import (
    PROCTOR,
    SLOW,
    TIMEOUT_S,
    Json,
    ended,
    environment,
    exits_of,
    read_events,
    wait_until,
)

NOBODY_S = f"{30 * SLOW}"


@contextmanager
def watch(
    folder: Path, *options: str, under: Sequence[str] = ()
) -> Iterator[subprocess.Popen[str]]:
    """`proctor watch`, started by the command `under`, once it watches."""
    place = ("-o", str(folder / "recording"), "--jsonl", str(folder / "events.jsonl"))
    process = subprocess.Popen(
        [*under, *PROCTOR, "watch", *options, "-q", "-v", *place],
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    with ended(process):
        assert process.stderr
        first = process.stderr.readline()
        assert "kernel programs attached" in first, first + process.stderr.read()
        yield process


def refused(*options: str) -> str:
    """What a watch says that can't begin."""
    told = subprocess.run(
        [*PROCTOR, "watch", *options, "-q"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert told.returncode == 1, told
    assert told.stdout == ""
    assert told.stderr.count("\n") == 1
    return told.stderr


@contextmanager
def started(*command: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, env=environment(), stdin=subprocess.PIPE, text=True)
    with ended(process):
        yield process


def let_end(process: subprocess.Popen[str]) -> None:
    """What it reads to the end ends."""
    assert process.stdin
    process.stdin.close()
    assert process.wait(TIMEOUT_S) == 0


def programs(folder: Path) -> list[list[str]]:
    return [event["argv"] for event in read_events(folder) if event.get("event") == "exec"]


def pids(folder: Path) -> set[int]:
    return {event["process"]["pid"] for event in read_events(folder) if "process" in event}


def summary(folder: Path) -> Json:
    last = read_events(folder)[-1]
    assert last["type"] == "summary"
    return last


def test_ends_with_the_last_of_those_it_watches(tmp_path: Path) -> None:
    last = tmp_path / "last"
    os.mkfifo(last)
    with (
        started("sh", "-c", f"cat {last} & cat; :") as shell,
        started("cat") as other,
        last.open("w") as of_the_last,
        watch(tmp_path, "--pid", str(shell.pid), "-p", str(other.pid)) as watcher,
    ):
        let_end(shell)
        let_end(other)
        with pytest.raises(subprocess.TimeoutExpired):
            watcher.wait(1.0)
        of_the_last.close()
        assert watcher.wait(TIMEOUT_S) == 0
    ends = {event["process"]["pid"] for event in read_events(tmp_path) if "event" in event}
    assert {shell.pid, other.pid} < ends
    assert len(ends) == 4  # the two children of the shell
    assert summary(tmp_path)["still_running"] == []
    assert summary(tmp_path)["lost"] == {}


def test_who_ended_and_waits_for_its_parent_is_not_watched() -> None:
    """Nor does one keep a watch going that ended while it was entered."""
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    scope = Scope(pids=(child.pid,))
    with load_programs(scope.configuration(hold=False)) as kernel:
        assert enter_scope(kernel, scope, {os.getpid()}) == []
        processes = kernel.map("processes", "__u32", "struct process")
        assert not anyone_left(processes)
        processes.put(struct.pack("=I", child.pid), struct.pack("=QII", 1, 0, 0))
        assert not anyone_left(processes)
        processes.put(struct.pack("=I", os.getppid()), struct.pack("=QII", 1, 0, 0))
        assert anyone_left(processes)
    child.wait()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_it_and_harms_nobody(name: str, tmp_path: Path) -> None:
    with started("sleep", NOBODY_S) as sleeper:
        with watch(tmp_path, "--pid", str(sleeper.pid)) as watcher:
            watcher.send_signal(signal.Signals[name])
            assert watcher.wait(TIMEOUT_S) == 0
        assert sleeper.poll() is None
        sleeper.terminate()
    assert [one["pid"] for one in summary(tmp_path)["still_running"]] == [sleeper.pid]
    assert summary(tmp_path)["lost"] == {}


def test_a_signal_that_it_was_started_to_ignore_does_not_end_it(tmp_path: Path) -> None:
    with (
        started("sleep", NOBODY_S) as sleeper,
        watch(tmp_path, "--pid", str(sleeper.pid), under=("nohup",)) as watcher,
    ):
        watcher.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            watcher.wait(1.0)
        sleeper.terminate()
        assert watcher.wait(TIMEOUT_S) == 0
    assert summary(tmp_path)["still_running"] == []


def test_for_seconds(tmp_path: Path) -> None:
    with started("sleep", NOBODY_S) as sleeper:
        begin = time.monotonic()
        with watch(tmp_path, "--pid", str(sleeper.pid), "--for", "0.5") as watcher:
            assert watcher.wait(TIMEOUT_S) == 0
        assert time.monotonic() - begin >= 0.5
        sleeper.terminate()


def test_executable(tmp_path: Path) -> None:
    """Who runs it already, who runs it later, and what these start."""
    mine, true = str(tmp_path / "mine"), shutil.which("true")
    shutil.copy("/bin/sh", mine)
    with (
        started(mine, "-c", "read line; :") as early,
        watch(tmp_path, "--exe", mine) as watcher,
    ):
        with started(mine, "-c", f"{true}; :") as late:
            assert late.wait(TIMEOUT_S) == 0
        subprocess.run(["sleep", "0"], check=True)  # not theirs
        let_end(early)
        wait_until(lambda: exits_of(tmp_path, early.pid), "the early one's end")
        assert watcher.poll() is None  # others may come
        watcher.send_signal(signal.SIGINT)
        assert watcher.wait(TIMEOUT_S) == 0
    assert [mine, "-c", f"{true}; :"] in programs(tmp_path)
    assert [true] in programs(tmp_path)
    assert ["sleep", "0"] not in programs(tmp_path)


@pytest.fixture
def cgroup() -> Iterator[Path]:
    root = cgroup_root()
    if root is None:
        pytest.skip("no cgroup v2 hierarchy")
    place = root / f"proctor-test-{os.getpid()}"
    place.mkdir()
    yield place
    wait_until(lambda: not (place / "cgroup.procs").read_text(), "the cgroup is empty")
    place.rmdir()


JOIN = "echo $$ >{}/cgroup.procs; /bin/true; :"


@pytest.mark.parametrize("how", ["path", "as in /proc", "container"])
def test_cgroup(how: str, cgroup: Path, tmp_path: Path) -> None:
    option = {
        "path": ["--cgroup", str(cgroup)],
        "as in /proc": ["--cgroup", f"/{cgroup.name}"],
        "container": ["--container", cgroup.name],
    }[how]
    below = cgroup / "below"
    below.mkdir()
    with watch(tmp_path, *option) as watcher:
        subprocess.run(["/bin/true", "outside"], check=True)
        subprocess.run(["sh", "-c", JOIN.format(cgroup)], env=environment(), check=True)
        subprocess.run(["sh", "-c", JOIN.format(below)], env=environment(), check=True)
        wait_until(lambda: programs(tmp_path).count(["/bin/true"]) == 2, "both were told")
        watcher.send_signal(signal.SIGINT)
        assert watcher.wait(TIMEOUT_S) == 0
    below.rmdir()
    assert ["/bin/true", "outside"] not in programs(tmp_path)


def test_who_enters_a_cgroup_after_its_exec_has_a_name(cgroup: Path, tmp_path: Path) -> None:
    script = f"read line; echo $$ >{cgroup}/cgroup.procs; /bin/true; read line; exit 3"
    joining = subprocess.Popen(["sh", "-c", script], env=environment(), stdin=subprocess.PIPE)
    with watch(tmp_path, "--cgroup", str(cgroup)) as watcher:
        assert joining.stdin
        joining.stdin.write(b"join\n")
        joining.stdin.flush()
        wait_until(lambda: ["/bin/true"] in programs(tmp_path), "its child was told")
        watcher.send_signal(signal.SIGINT)
        assert watcher.wait(TIMEOUT_S) == 0
    joining.communicate(b"\n")
    assert joining.returncode == 3
    (one,) = summary(tmp_path)["still_running"]
    assert one == {"pid": joining.pid, "comm": "sh", "argv": ["sh", "-c", script]}


def test_executable_on_an_overlay(tmp_path: Path) -> None:
    """There fstat's device is not the kernel's."""
    script = (
        'cd "$1"; mkdir a b m; mount -t tmpfs none a; mount -t tmpfs none b; '
        "mkdir a/l b/u b/w; cp /bin/true a/l/mine; "
        "mount -t overlay overlay -olowerdir=a/l,upperdir=b/u,workdir=b/w m || exit 77; "
        'shift; "$@" 2>said & until grep -q attached said; do sleep 0.1; done; m/mine; wait $!'
    )
    command = [*PROCTOR, "watch", "--exe", f"{tmp_path}/m/mine", "--for", f"{4 * SLOW}", "-v", "-q"]
    command += ["--jsonl", str(tmp_path / "events.jsonl"), "-o", str(tmp_path / "recording")]
    ran = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", str(tmp_path), *command],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    if ran.returncode == 77:
        pytest.skip(f"no overlay here: {ran.stderr}")
    assert ran.returncode == 0, ran.stderr
    assert programs(tmp_path) == [["m/mine"]]


def test_who_is_not_there(tmp_path: Path) -> None:
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert "has ended already" in refused("--pid", str(child.pid))
    child.wait()
    assert "no such process" in refused("--pid", "4194304")
    assert "no cgroup is named after it" in refused("--container", "0123456789abcdef")
    assert "no such directory" in refused("--cgroup", "/none/of/this")
    assert "no directory of cgroup v2" in refused("--cgroup", str(tmp_path))
    assert "no such file" in refused("--exe", str(tmp_path / "none"))
    script = tmp_path / "agent"
    script.write_text("#!/usr/bin/env python3\n")
    assert "is a script, and its processes run `/usr/bin/env python3`" in refused(
        "--exe", str(script)
    )


def test_a_thread_is_no_process() -> None:
    code = (
        "import threading; t = threading.Thread(target=input); t.start(); "
        "print(t.native_id, flush=True)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with ended(child):
        assert child.stdout
        thread = child.stdout.readline().strip()
        assert f"is a thread of process {child.pid}" in refused("--pid", thread)
        child.communicate("\n")


def run_follow(folder: Path, script: str) -> subprocess.Popen[str]:
    command: Sequence[str] = [*PROCTOR, "run", "--follow", "-q", "-o", str(folder / "recording")]
    return subprocess.Popen(
        [*command, "--jsonl", str(folder / "events.jsonl"), "--", "sh", "-c", script],
        env=environment(),
        text=True,
    )


def test_a_signal_ends_following_and_the_status_stays(tmp_path: Path) -> None:
    process = run_follow(tmp_path, "sleep 30 & exit 5")
    with ended(process):
        pid = wait_until(
            lambda: next((e["process"]["pid"] for e in events_of_sleep(tmp_path)), 0), "sleep ran"
        )
        wait_until(lambda: len(ends(tmp_path)) == 1, "COMMAND ended")
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 5
    assert [one["pid"] for one in summary(tmp_path)["still_running"]] == [pid]
    os.kill(pid, signal.SIGKILL)


def events_of_sleep(folder: Path) -> list[Json]:
    return [e for e in read_events(folder) if e.get("event") == "exec" and e["argv"][0] == "sleep"]


def ends(folder: Path) -> list[Json]:
    return [event for event in read_events(folder) if event.get("event") == "exit"]


CONNECTS = """
import select, socket, sys
client = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0.05)[0]:
    client.send(b"x" * 300)
"""


def test_a_host_of_before_is_in_the_text_too(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        client = subprocess.Popen(
            [sys.executable, "-c", CONNECTS, port],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with ended(client):
            assert client.stdout
            assert client.stdout.readline() == "ready\n"
            place = ("-o", str(tmp_path / "recording"), "--jsonl", str(tmp_path / "events.jsonl"))
            told = subprocess.run(
                [*PROCTOR, "watch", "--pid", str(client.pid), "--for", "1", *place],
                env=environment(),
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
            )
    assert told.returncode == 0, told.stderr
    assert summary(tmp_path)["hosts"] == ["127.0.0.1"]
    assert "0 programs · 1 host " in told.stderr
    assert "Hosts\n" in told.stderr
