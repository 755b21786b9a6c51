"""`proctor trace -k` and `--folded` on programs whose stacks are known."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from tests.kernel.trace_command import await_tracing, run
from tests.kernel.watching import PROCTOR, TIMEOUT_S, environment

pytestmark = pytest.mark.kernel

PROGRAM: Final = """
#include <unistd.h>
#define APART __attribute__((noinline, noipa))
APART void third(void) { write(1, "hi\\n", 3); __asm__ volatile(""); }
APART void second(void) { third(); __asm__ volatile(""); }
APART void first(void) { second(); __asm__ volatile(""); }
int main(int count, char **arguments)
{
	for (int i = 0; i < count; i++)
		first();
	if (count > 3)
		execl("/bin/true", "true", (char *)0);
	return 0;
}
"""
NAMES: Final = ["third", "second", "first", "main"]
BUILDS: Final = {
    "frame pointers": ("-fno-omit-frame-pointer",),
    "unwind tables": ("-fomit-frame-pointer",),
    "neither": ("-fomit-frame-pointer", "-fno-asynchronous-unwind-tables"),
}


def built(folder: Path, *flags: str, source: str = PROGRAM) -> Path:
    program = folder / "program"
    command = ["cc", "-O1", "-x", "c", "-", "-o", str(program), *flags]
    subprocess.run(command, input=source, text=True, check=True)
    return program


def stack_of(text: str, call: str) -> list[str]:
    """The frames below the first line of a call."""
    lines = text.splitlines()
    (first, *_) = (n for n, line in enumerate(lines) if re.match(rf"\d+ +{call}\(", line))
    rest = lines[first + 1 :]
    return rest[: next(n for n, line in enumerate([*rest, ""]) if not line.startswith(" > "))]


def functions(frames: list[str], path: Path) -> list[str]:
    found = [re.fullmatch(rf" > {re.escape(str(path))}\((\w*)\+?.*?\) \[0x\w+\]", frame)
             for frame in frames]  # fmt: skip
    return [match[1] for match in found if match]


@pytest.mark.parametrize("build", ["frame pointers", "unwind tables"])
def test_callers_of_a_process_that_has_ended(tmp_path: Path, build: str) -> None:
    program = built(tmp_path, *BUILDS[build])
    traced = run(tmp_path, "-k", "-e", "write", "--", str(program))
    frames = stack_of(traced.text, "write")
    assert frames[0].startswith(" > [kernel](")
    user = [frame for frame in frames if "[kernel]" not in frame]
    # Since glibc 2.41 it calls the kernel in functions of its own, which have no names.
    assert any(re.match(r" > /\S*libc\S*\(\w*write\+0x\w+\) \[0x", frame) for frame in user)
    assert functions(user, program)[: len(NAMES)] == NAMES  # and _start, by its table


def test_without_frame_pointers_and_tables_a_stack_ends_early(tmp_path: Path) -> None:
    program = built(tmp_path, *BUILDS["neither"])
    traced = run(tmp_path, "-k", "-e", "write", "--", str(program))
    named = functions(stack_of(traced.text, "write"), program)
    assert named[:1] == ["third"]
    assert "second" not in named


MISLEADS: Final = r"""
#include <sys/syscall.h>
#include <unistd.h>
static unsigned long frames[3][2], kept;
__attribute__((noinline, noipa)) void leaf(void)
{
	long number = SYS_getppid;
	__asm__ volatile("mov %%rbp, %1; lea %2, %%rbp; syscall; mov %1, %%rbp"
				: "+a"(number), "+m"(kept) : "m"(frames) : "rcx", "r11", "memory");
}
int main(int count, char **words)
{
	/* What follows the place of another value: a stack's address, or a path. */
	unsigned long astray[] = {(unsigned long)&count, 0x687361622f6e69};

	frames[0][0] = (unsigned long)frames[1];
	frames[0][1] = astray[count - 1];
	frames[1][1] = (unsigned long)main;
	leaf();
	return 0;
}
"""
"""Its frame pointer leads to what are no frames."""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="its frame pointer is made by hand")
@pytest.mark.parametrize("words", [[], ["path"]])
def test_a_stack_ends_where_frame_pointers_lead_astray(tmp_path: Path, words: list[str]) -> None:
    program = built(tmp_path, *BUILDS["neither"], source=MISLEADS)
    traced = run(tmp_path, "-k", "-e", "getppid", "--", str(program), *words)
    frames = stack_of(traced.text, "getppid")
    assert functions(frames, program) == ["leaf"]
    assert not [frame for frame in frames if "?()" in frame]


def test_an_exec_is_told_by_the_program_that_did_it(tmp_path: Path) -> None:
    program = built(tmp_path, *BUILDS["frame pointers"])
    source = 'exec "$0" 1 2 3'
    traced = run(tmp_path, "-k", "-e", "execve", "--", "sh", "-c", source, str(program))
    lines = traced.text.splitlines()
    (last,) = (n for n, line in enumerate(lines) if "/bin/true" in line and "execve(" in line)
    assert "main" in functions(stack_of("\n".join(lines[last:]), "execve"), program)


def test_a_stripped_program_has_offsets(tmp_path: Path) -> None:
    program = built(tmp_path, *BUILDS["frame pointers"])
    table = subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout
    (start,) = (int(row.split()[0], 16) for row in table.splitlines() if row.endswith(" second"))
    subprocess.run(["strip", program], check=True)
    traced = run(tmp_path, "-k", "-e", "write", "--", str(program))
    frames = stack_of(traced.text, "write")
    assert functions(frames, program) == [""] * len(NAMES)
    ours = [frame for frame in frames if str(program) in frame]
    place = int(ours[1].rsplit("0x", 1)[1].rstrip("]"), 16)
    assert start < place < start + 64


def test_a_program_that_only_root_may_read(tmp_path: Path) -> None:
    program = built(tmp_path, *BUILDS["frame pointers"])
    program.chmod(0o700)
    traced = run(tmp_path, "-k", "-e", "write", "--", str(program))
    assert functions(stack_of(traced.text, "write"), program) == NAMES


def test_another_file_of_the_same_name_names_nothing(tmp_path: Path) -> None:
    program = built(tmp_path, *BUILDS["frame pointers"])
    other = tmp_path / "other"
    other.write_bytes(program.read_bytes())
    other.chmod(0o755)
    script = f"{program}; mv {other} {program}"
    traced = run(tmp_path, "-k", "-e", "write", "-s0", "--", "sh", "-c", script)
    named = functions(stack_of(traced.text, "write"), program)
    # Which of the two was there when it was looked at is not ours to say.
    assert named in (NAMES, [""] * len(NAMES))


def test_a_stack_in_json(tmp_path: Path) -> None:
    program = built(tmp_path, *BUILDS["frame pointers"])
    traced = run(tmp_path, "-k", "-e", "write", "--format", "jsonl", "--", str(program))
    (call,) = (
        event for event in map(json.loads, traced.lines) if event["type"] == "syscall"
    )  # fmt: skip
    assert [name for frame in call["stack"] for name in NAMES if f"({name}+" in frame] == NAMES


def test_folded_stacks_add_up_to_the_calls(tmp_path: Path) -> None:
    program = built(tmp_path, *BUILDS["frame pointers"])
    traced = run(tmp_path, "--folded", "--", str(program), "1", "2")
    counts = [(line.rpartition(" ")[0], int(line.rpartition(" ")[2])) for line in traced.lines]
    writes = [(stack, count) for stack, count in counts if stack.endswith(";write")]
    ((stack, count),) = writes
    assert count == 3
    assert re.match(r"program;.*main;first;second;third;\w*write;.*_\[k\];write$", stack)
    said = re.search(r"([\d,]+) calls", traced.stderr)
    assert said
    assert sum(count for _, count in counts) == int(said[1].replace(",", ""))


@pytest.mark.parametrize(("options", "lines"), [([], 1), (["-q"], 0), (["-o", "-"], 0)])
def test_the_end_of_folded_stacks_is_no_stack(options: list[str], lines: int) -> None:
    """To standard error, where a last line like `kernel counted 3` would be one of three calls."""
    done = subprocess.run(
        [*PROCTOR, "trace", "--folded", "-e", "getppid", *options, "--", "true"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    last = re.compile(r"\*\*\* .* 0 lost; kernel counted \d+ \*\*\*")
    found = [bool(last.fullmatch(line)) for line in done.stderr.splitlines()]
    assert sum(found) == sum(found[-1:]) == lines


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python tells of its functions from 3.12 on")
def test_functions_of_python(tmp_path: Path) -> None:
    script = "import os\ndef named_here(): os.write(1, b'')\nnamed_here()"
    traced = run(tmp_path, "-k", "-e", "write", "--", sys.executable, "-Xperf", "-c", script)
    assert any("py::named_here" in line for line in traced.lines)


WAITS: Final = """
#include <unistd.h>
int main(void)
{
	char word;
	read(0, &word, 1);
	getppid();
	return 0;
}
"""


MAKES_CODE: Final = r"""
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
int main(int count, char **words)
{
	/* push %rbp; mov %rsp,%rbp; mov $39,%eax; syscall; pop %rbp; ret: getpid */
	unsigned char code[] = {0x55, 0x48, 0x89, 0xe5, 0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0x5d, 0xc3};
	char path[64];
	void *made = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	FILE *map;
	memcpy(made, code, sizeof(code));
	mprotect(made, 4096, PROT_READ | PROT_EXEC);
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
	puts(path);
	fflush(stdout);
	if (count > 1) {
		mkfifo(path, 0644);
	} else {
		map = fopen(path, "w");
		fprintf(map, "%lx %lx made_just_now\n", (long)made, sizeof(code));
		fclose(map);
	}
	((void (*)(void))made)();
	return 0;
}
"""


def test_code_made_at_run_time(tmp_path: Path) -> None:
    program = built(tmp_path, "-fno-omit-frame-pointer", source=MAKES_CODE)
    traced = run(tmp_path, "-k", "-e", "getpid", "--", str(program))
    Path(traced.stdout.strip()).unlink()
    frames = [frame for frame in traced.lines if frame.startswith(" > ")]
    (made,) = (n for n, frame in enumerate(frames) if "(made_just_now+0xb)" in frame)
    assert f"{program}(main+" in frames[made + 1]


def test_a_pipe_in_the_place_of_names_is_not_waited_for(tmp_path: Path) -> None:
    program = built(tmp_path, "-fno-omit-frame-pointer", source=MAKES_CODE)
    log, told = tmp_path / "log", tmp_path / "told"
    command = [*PROCTOR, "trace", "-k", "-e", "getpid", "-o", str(log), str(program), "pipe"]
    with told.open("wb") as output:
        tracer = subprocess.Popen(command, env=environment(), stdout=output)
    try:
        assert tracer.wait(TIMEOUT_S) == 0
    finally:
        pipe = Path(told.read_text().strip())
        with suppress(OSError):  # there is no reader, which else goes on
            os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        pipe.unlink()
        tracer.kill()
        tracer.wait()
    assert any(re.match(r" > \?\(\) \[0x", line) for line in log.read_text().splitlines())


def test_a_process_whose_file_has_an_odd_name(tmp_path: Path) -> None:
    """What ends a line in Python ends none in /proc/PID/maps."""
    program = built(tmp_path, source=WAITS).rename(tmp_path / "sl\rx")
    with subprocess.Popen([program], stdin=subprocess.PIPE) as process:
        try:
            tracer = subprocess.Popen(
                [*PROCTOR, "trace", "-k", "-e", "getppid", "-o", str(tmp_path / "log"),
                 "-p", str(process.pid)],
                env=environment(), stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            try:
                await_tracing(tracer)
                process.communicate(b"go", timeout=TIMEOUT_S)
                said = tracer.communicate(timeout=TIMEOUT_S)[1]
            finally:
                tracer.kill()
                tracer.wait()
        finally:
            process.kill()
    assert (tracer.returncode, "fault" in said) == (0, False), said
    frames = stack_of((tmp_path / "log").read_bytes().decode(), "getppid")
    assert any(f"{tmp_path}/sl\\rx(main+" in frame for frame in frames)
