"""What a program tells of the code it makes, in a folder where anybody may put files."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from proctor.tracing.stacks import perf_map
from proctor.tracing.stacks.perf_map import PerfMap, parse_perf_map
from proctor.tracing.stacks.symbols import SortedSymbols, Symbol

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to others: root")
NAMED = b"1000 10 made\n"
STRANGER, OTHER = 54321, 54322
NO_PROCESS = 1 << 30


@pytest.fixture(autouse=True)
def _always_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perf_map, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(perf_map, "PAUSE_SHARE", 0)


def of(folder: Path, pid: int, raw: bytes = NAMED) -> Path:
    path = folder / f"perf-{pid}.map"
    path.write_bytes(raw)
    return path


def test_names_are_read_again_when_there_are_more(tmp_path: Path) -> None:
    known = PerfMap(NO_PROCESS, tmp_path)
    assert known.at(0x1001) is None
    path = of(tmp_path, NO_PROCESS)
    assert known.at(0x1001) == Symbol("made", 1)
    assert known.at(0x2001) is None
    with path.open("ab") as file:
        file.write(b"2000 10 later\x85\r\n")
    assert known.at(0x2001) == Symbol("later\udc85\r", 1)
    path.unlink()
    assert known.at(0x3000) is None
    assert known.at(0x1001) == Symbol("made", 1)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What of files was read."""
    found: list[bytes] = []

    def parse(raw: bytes) -> SortedSymbols:
        found.append(raw)
        return parse_perf_map(raw)

    monkeypatch.setattr(perf_map, "parse_perf_map", parse)
    return found


def test_behind_what_counts_nothing_is_read_again(
    tmp_path: Path, read: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perf_map, "BYTES_MOST", len(NAMED))
    path = of(tmp_path, NO_PROCESS, NAMED + b"2000 10 later\n")
    known = PerfMap(NO_PROCESS, tmp_path)
    assert known.at(0x2001) is None
    with path.open("ab") as file:
        file.write(b"3000 10 last\n")
    assert known.at(0x3001) is None
    assert read == [NAMED]


def test_a_look_that_takes_long_is_not_soon_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perf_map, "PAUSE_SHARE", 20)
    now = iter([100.0, 102.0, 141.0, 143.0, 143.1])  # a look of 2 s, none, a look
    monkeypatch.setattr(perf_map, "monotonic", lambda: next(now))
    path = of(tmp_path, NO_PROCESS)
    known = PerfMap(NO_PROCESS, tmp_path)
    assert known.at(0x2001) is None
    with path.open("ab") as file:
        file.write(b"2000 10 later\n")
    assert known.at(0x2001) is None
    assert known.at(0x2001) == Symbol("later", 1)


def test_an_unchanged_file_is_not_read_again(tmp_path: Path, read: list[bytes]) -> None:
    of(tmp_path, NO_PROCESS)
    known = PerfMap(NO_PROCESS, tmp_path)
    for address in (0x2000, 0x3000, 0x1000):
        known.at(address)
    assert read == [NAMED]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"perf-{NO_PROCESS}.map"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(of(tmp_path, 1))
    else:
        path.mkdir()
    assert PerfMap(NO_PROCESS, tmp_path).at(0x1001) is None


def test_a_file_without_end_is_read_to_a_line_of_its_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = b"1000 10 made\n2000 10 cut_here\n3000 10 behind\n"
    monkeypatch.setattr(perf_map, "BYTES_MOST", raw.index(b"_here"))
    of(tmp_path, NO_PROCESS, raw)
    known = PerfMap(NO_PROCESS, tmp_path)
    assert [known.at(at) for at in (0x1000, 0x2000, 0x3000)] == [Symbol("made", 0), None, None]


@ROOT
def test_a_strangers_file_names_nothing(tmp_path: Path) -> None:
    """The process is another user's, or gone."""
    sleeping = ["setpriv", f"--reuid={STRANGER}", "--clear-groups", "cat"]
    with subprocess.Popen(sleeping, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdin
            assert process.stdout
            process.stdin.write(b".")
            process.stdin.flush()
            assert process.stdout.read(1) == b"."  # it is that user's
            for pid, owner, wanted in (
                (process.pid, STRANGER, True),
                (process.pid, 0, True),
                (process.pid, OTHER, False),
                (NO_PROCESS, OTHER, False),
                (NO_PROCESS, 0, True),
            ):
                os.chown(of(tmp_path, pid), owner, -1)
                assert bool(PerfMap(pid, tmp_path).at(0x1001)) == wanted, (pid, owner)
        finally:
            process.kill()
