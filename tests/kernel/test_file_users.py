"""Who did what to files: many at once, heirs, other roots; and what was refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.kernel.file_actions import SHELL, actions, told
from tests.kernel.watching import Watched, read_events, watched, watching

NOBODY: Final = 65534


def test_a_million_small_writes_are_one_event(tmp_path: Path) -> None:
    place = tmp_path / "many"
    command = ["dd", "if=/dev/zero", f"of={place}", "bs=1", "count=1000000", "status=none"]
    session = watched(command, None, tmp_path)
    assert told(session, place, "bytes", "count") == [("file_create", 1_000_000, 1_000_000)]
    assert session.summary["lost"] == {}


def test_thousands_of_files_are_told_each(tmp_path: Path) -> None:
    """More than the kernel hands over at a time, all at once, at the watch's end."""
    program = (
        "import os, sys\n"
        "for n in range(5000):\n"
        "    fd = os.open(f'{sys.argv[1]}/{n}', os.O_CREAT | os.O_WRONLY)\n"
        "    os.write(fd, b'x' * (n % 7 + 1))\n"
        "    os.close(fd)\n"
    )
    (tmp_path / "many").mkdir()
    session = watched([sys.executable, "-c", program, f"{tmp_path}/many"], None, tmp_path)
    found = {
        event["path"].removeprefix(f"{tmp_path}/many/"): event["bytes"]
        for event in actions(session, kind="file_create", count=1)
        if event["path"].startswith(f"{tmp_path}/many/")
    }
    assert found == {str(n): n % 7 + 1 for n in range(5000)}
    assert session.summary["lost"] == {}


def test_shell_redirection_and_two_programs_on_one_file(tmp_path: Path) -> None:
    script = "cd $0; { echo one; sh -c 'echo two; echo three'; } > out; echo four >> out"
    session = watched([*SHELL, script, str(tmp_path)], None, tmp_path)
    found = actions(session, path=f"{tmp_path}/out")
    by_program = {event["process"]["pid"]: event for event in found}
    assert len(found) == len(by_program) == 2
    outer = by_program.pop(session.pid)
    (inner,) = by_program.values()
    assert (outer["kind"], outer["bytes"], outer["count"]) == ("file_create", 9, 2)
    assert (inner["kind"], inner["bytes"], inner["count"]) == ("file_write", 10, 2)
    assert inner["process"]["argv"][0] == "sh"


def test_exec_in_place_is_another_user_of_the_file(tmp_path: Path) -> None:
    script = "cd $0; exec > out; echo 1; exec /bin/echo 22"
    session = watched([*SHELL, script, str(tmp_path)], None, tmp_path)
    found = [
        (event["process"]["exe"].rsplit("/")[-1], event["bytes"])
        for event in actions(session, path=f"{tmp_path}/out")
    ]
    assert found == [(Path("/bin/sh").resolve().name, 2), ("echo", 3)]


def test_a_forked_child_writes_what_it_inherited(tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "fd = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)\n"
        "child = os.fork()\n"
        "os.write(fd, b'x' * (1 if child else 20))\n"
        "child and os.waitpid(child, 0)\n"
    )
    session = watched([sys.executable, "-c", program, f"{tmp_path}/out"], None, tmp_path)
    found = told(session, tmp_path / "out", "bytes")
    assert sorted(found) == [("file_create", 1), ("file_write", 20)]


def test_processes_that_live_for_a_moment(tmp_path: Path) -> None:
    script = "cd $0; for i in 1 2 3 4 5 6 7 8 9; do (echo $i > f$i; mv f$i g$i); done"
    session = watched([*SHELL, script, str(tmp_path)], None, tmp_path)
    for number in range(1, 10):
        assert ("file_create", 2) in told(session, tmp_path / f"f{number}", "bytes")
        assert ("file_rename", f"{tmp_path}/g{number}") in told(
            session, tmp_path / f"f{number}", "new_path"
        )


def test_reads_where_asked_for(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(bytes(300_000))
    command = [*SHELL, "cat $0/in $0/in > $0/out; cat /proc/self/stat", str(tmp_path)]
    session = watched(command, None, tmp_path, options=["--file-reads"])
    (read,) = actions(session, path=f"{tmp_path}/in")
    (written,) = actions(session, path=f"{tmp_path}/out", kind="file_write")
    assert (read["kind"], read["bytes"], written["bytes"]) == ("file_read", 600_000, 600_000)
    assert not [event for event in actions(session) if event["path"].startswith("/proc")]


def test_what_was_refused(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(0o755)
    (closed / "file").write_text("x")
    program = (
        "import os, sys\n"
        f"os.chdir({str(closed)!r})\n"
        f"os.setuid({NOBODY})\n"
        "fd = os.open('file', os.O_RDONLY)\n"
        "def tried(deed, *given):\n"
        "    try:\n"
        "        deed(*given)\n"
        "    except PermissionError:\n"
        "        return\n"
        "    raise SystemExit('not refused')\n"
        "tried(os.open, 'file', os.O_WRONLY)\n"
        "tried(os.open, 'new', os.O_WRONLY | os.O_CREAT)\n"
        "tried(os.unlink, 'file')\n"
        "tried(os.rename, 'file', 'other')\n"
        "tried(os.mkdir, 'folder')\n"
        "tried(os.rmdir, '../closed')\n"
        "tried(os.chmod, 'file', 0o777)\n"
        "tried(os.fchmod, fd, 0o777)\n"
    )
    for folder in (tmp_path, *tmp_path.parents):
        mode = folder.stat().st_mode
        if mode & 0o111 != 0o111:  # of what is open already, / may be read only
            folder.chmod(mode | 0o111)
    session = watched([sys.executable, "-c", program], None, tmp_path)
    assert session.status == 0, session.stderr
    found = [
        (event["kind"], event["path"].removeprefix(f"{tmp_path}/"), event["error"])
        for event in actions(session)
        if "error" in event and event["path"].startswith(str(tmp_path))
    ]
    assert found == [
        ("file_write", "closed/file", "EACCES"),
        ("file_write", "closed/new", "EACCES"),
        ("file_delete", "closed/file", "EACCES"),
        ("file_rename", "closed/file", "EACCES"),
        ("directory_create", "closed/folder", "EACCES"),
        ("directory_delete", "closed", "EACCES"),
        ("file_attributes", "closed/file", "EPERM"),
        ("file_attributes", "closed/file", "EPERM"),
    ]


def test_a_chroot_is_seen_from_outside(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    program = (
        f"import os\nos.chroot({str(tmp_path / 'root')!r})\nos.chdir('/')\n"
        "os.close(os.open('/made', os.O_CREAT | os.O_WRONLY))\n"
        "os.mkdir('/../folder')\nos.rename('made', '/folder/moved')\n"
    )
    session = watched([sys.executable, "-c", program], None, tmp_path)
    assert session.status == 0, session.stderr
    assert told(session, tmp_path / "root/made", "new_path") == [
        ("file_rename", f"{tmp_path}/root/folder/moved"),
        ("file_create", None),
    ]
    assert told(session, tmp_path / "root/folder") == [("directory_create",)]


def test_a_mount_namespace_is_seen_from_inside(tmp_path: Path) -> None:
    (tmp_path / "on").mkdir()
    script = "mount -t tmpfs none $0/on; echo 1 > $0/on/file; mkdir $0/on/folder; rm $0/on/file"
    command = ["unshare", "-m", *SHELL, script, str(tmp_path)]
    session = watched(command, None, tmp_path)
    assert session.status == 0, session.stderr
    found = told(session, tmp_path / "on/file", "bytes")
    assert found == [("file_delete", None), ("file_create", 2)]
    assert told(session, tmp_path / "on/folder") == [("directory_create",)]


def test_a_descriptor_opened_before_the_watch(tmp_path: Path) -> None:
    program = "import sys; out = open(sys.argv[1], 'w'); print('ready', flush=True); input(); "
    program += "out.write('x' * 50); out.close(); input()"
    late = subprocess.Popen(
        [sys.executable, "-c", program, f"{tmp_path}/out"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert late.stdout
        assert late.stdout.readline() == "ready\n"
        with watching(late.pid, tmp_path) as watcher:
            late.communicate("go\ngo\n", 20)
        assert watcher.returncode == 0
    finally:
        late.kill()
        late.wait()
    session = Watched(tmp_path, 0, "", "", read_events(tmp_path))
    assert told(session, tmp_path / "out", "bytes") == [("file_write", 50)]


def test_32_bit_calls_are_not_taken_for_others(tmp_path: Path) -> None:
    """Number 4 is write there and stat here; 1 is exit there and write here."""
    if os.uname().machine != "x86_64":
        pytest.skip("32-bit calls beside 64-bit ones: x86 only")
    program = tmp_path / "old.c"
    program.write_text(
        "#include <unistd.h>\n#include <fcntl.h>\n#include <sys/mman.h>\n#include <string.h>\n"
        "int main(int c, char **v) { int fd = open(v[1], O_CREAT | O_WRONLY, 0600); long r;\n"
        "char *m = mmap(0, 4096, 3, MAP_PRIVATE|MAP_ANONYMOUS|MAP_32BIT, -1, 0); strcpy(m, v[1]);\n"
        'asm volatile("int $0x80" : "=a"(r) : "a"(10), "b"(m) : "memory");\n'
        "return r != 0 || write(fd, v[1], 3) != 3; }\n"
    )
    subprocess.run(["gcc", "-o", tmp_path / "old", program], check=True)
    session = watched([str(tmp_path / "old"), f"{tmp_path}/f"], None, tmp_path)
    assert session.status == 0
    assert told(session, tmp_path / "f", "bytes") == [("file_create", 3)]
