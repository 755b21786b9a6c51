"""The command line as a user meets it: no privilege, no kernel programs."""

from __future__ import annotations

import signal
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from proctor import __version__, cli
from proctor.errors import ProctorError
from proctor.events import EVENT_TYPES
from proctor.options import RECORDED_EVENTS, RunOptions, WatchOptions


@pytest.fixture
def handed_over(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What `run`, `watch` and `doctor` are called with; they return 42."""
    given: list[Any] = []

    def take(*arguments: Any) -> int:
        given.extend(arguments)
        return 42

    for name in ("proctor.session.launcher", "proctor.doctor"):
        module = types.ModuleType(name)
        module.__dict__.update(run=take, watch=take, main=take)
        monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.setattr(name, module, raising=False)
    return given


def test_run_hands_over_its_options(handed_over: list[Any]) -> None:
    arguments = [
        "run",
        "-o",
        "REC",
        "--jsonl",
        "-",
        "--live",
        "--follow",
        "--as-root",
        "-q",
        "-vv",
        "--",
        "sh",
        "-c",
        "x",
        "--live",
    ]
    assert cli.status_of(arguments) == 42
    assert handed_over == [
        RunOptions(
            command=("sh", "-c", "x", "--live"),
            output="REC",
            jsonl="-",
            live=True,
            follow=True,
            as_root=True,
            quiet=True,
            verbose=2,
        )
    ]


def test_commands_need_no_dashes_and_keep_their_options(handed_over: list[Any]) -> None:
    assert cli.status_of(["run", "--live", "ls", "-l", "--", "--help", "\udcff"]) == 42
    assert handed_over[0].command == ("ls", "-l", "--", "--help", "\udcff")


def test_watch_hands_over_its_options(handed_over: list[Any]) -> None:
    arguments = [
        "watch",
        "-p",
        "1",
        "--pid",
        "2",
        "--cgroup",
        "/a",
        "--container",
        "c",
        "--exe",
        "/b",
        "--for",
        "1.5",
    ]
    assert cli.status_of(arguments) == 42
    wanted = WatchOptions(
        pids=(1, 2), cgroups=("/a",), containers=("c",), exes=("/b",), seconds=1.5
    )
    assert handed_over == [wanted]


def test_doctor_hands_over_its_options(handed_over: list[Any]) -> None:
    assert cli.status_of(["doctor", "--pid", "7", "--json"]) == 42
    assert handed_over == [7, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "missing argument 'COMMAND...'; see `proctor run --help`"),
        (["run", "--foo", "ls"], "no such option '--foo'"),
        (["run", "-o"], "option '-o' requires an argument; see `proctor run --help`"),
        (
            ["trace", "-c", "--hist"],
            "option '--hist' requires an argument; see `proctor trace --help`",
        ),
        (
            ["trace", "show", "-e"],
            "option '-e' requires an argument; see `proctor trace show --help`",
        ),
        (["shw"], "no such command 'shw' ('show'?); see"),
        (
            ["trace", "--foll", "ls"],
            "no such option '--foll' ('--fd', '--folded', '--follow'?); see",
        ),
        (["watch", "--pid", "x"], "invalid value for '-p' / '--pid'"),
        (["watch", "--pid", "0"], "invalid value for '-p' / '--pid'"),
        (["watch", "--for", "nan"], "invalid value for '--for'"),
        (["watch", "--for", "-1"], "invalid value for '--for'"),
        (["show", "--type", "nonsense"], "invalid value for '--type'"),
        (["trace", "-p", "me"], "invalid value for '-p' / '--pid': 'me' is not a valid whole"),
        (["show", "--format", "xml"], "invalid value for '--format'"),
    ],
)
def test_wrong_usage_is_two_and_says_where_to_look(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.status_of(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("proctor: " + message)
    assert "--help`" in said
    assert said.count("\n") == 1


def test_no_arguments_is_help_and_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.status_of([]) == 2
    assert "Commands:" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["run"], ["watch"], ["show"], ["doctor"]])
def test_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.status_of([*command, "--help"]) == 0
    assert "Usage: proctor" in capsys.readouterr().out


def test_errors_are_one_clean_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise ProctorError("thing\x1b[2J\n: cause; do this", exit_status=7)

    monkeypatch.setattr("proctor.show.show", fail)
    assert cli.status_of(["show"]) == 7
    assert capsys.readouterr().err == "proctor: thing\u241b[2J\u240a: cause; do this\n"


def test_ctrl_c_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("proctor.show.show", interrupt)
    assert cli.status_of(["show"]) == 130


def test_version(proctor: Any) -> None:
    done = proctor("--version")
    assert (done.returncode, done.stdout) == (0, f"proctor {__version__}\n")


def test_the_version_is_the_packages(request: pytest.FixtureRequest) -> None:
    assert f'version = "{__version__}"' in (request.config.rootpath / "pyproject.toml").read_text()


def test_a_fault_of_ours_is_one_line(proctor: Any, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import proctor.show\n"
        "def show(*_, **__): raise TypeError('sour\\x1b milk')\n"
        "proctor.show.show = show\n"
    )
    environment = {"PYTHONPATH": ":".join([str(tmp_path), *sys.path])}
    done = proctor("show", env=environment)
    assert done.returncode == 1
    assert done.stderr.startswith("proctor: fault at sitecustomize.py:2 in show: TypeError: sour")
    assert done.stderr.count("\n") == 1
    assert "Traceback" in proctor("show", env={**environment, "PROCTOR_DEBUG": "1"}).stderr


def test_completion_is_click_s(proctor: Any) -> None:
    environment = {"PYTHONPATH": ":".join(sys.path), "_PROCTOR_COMPLETE": "bash_source"}
    done = proctor(env=environment)
    assert done.returncode == 0
    assert "_proctor_completion" in done.stdout


HEAVY = ("rich", "jiter", "httptools", "dnslib", "capstone", "xxhash", "zstandard", "brotli")


def test_starting_imports_nothing_heavy() -> None:
    script = "import sys, proctor.cli; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not set(done.stdout.split()) & {
        *HEAVY,
        "subprocess",
        "asyncio",
        "proctor.analysis.pipeline",
    }


def test_events_of_recordings_are_offered_by_their_names() -> None:
    of_a_trace = {"lost", "path_mismatch", "signal", "syscall"}
    assert list(RECORDED_EVENTS) == sorted(EVENT_TYPES.keys() - of_a_trace)


def test_what_run_imports_before_it_loads_the_kernel_programs() -> None:
    """All the rest is imported while the kernel checks them."""
    program = "import sys, proctor.cli, proctor.session.launcher; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    imported = set(done.stdout.decode().split())
    later = ("events", "analysis", "intake", "records.layout", "records.recording")
    assert not imported & {f"proctor.{name}" for name in (*later, "views.live", "views.summary")}
    assert not imported & {"importlib.resources", "numpy", "pyarrow", "rich", "tempfile"}


@pytest.mark.parametrize(
    ("words", "usage"),
    [
        ("trace", "Usage: proctor trace [OPTIONS] [COMMAND ARG...]\n"),
        ("trace show", "Usage: proctor trace show [OPTIONS] FILE...\n"),
        ("trace diff", "Usage: proctor trace diff [OPTIONS] A B\n"),
    ],
)
def test_usage_can_be_typed(proctor: Any, words: str, usage: str) -> None:
    assert proctor(*words.split(), "--help").stdout.startswith(usage)
    complaint = proctor(*words.split(), "--nonsense").stderr
    assert f"see `proctor {words} --help`" in complaint


def test_an_interrupt_while_it_starts_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGINT)")
    done = subprocess.run(
        [sys.executable, "-m", "proctor", "--version"],
        env={"PYTHONPATH": ":".join([str(tmp_path), *sys.path])},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")


@pytest.mark.parametrize(
    ("closed", "arguments", "status", "stdout"),
    [
        ("0<&-", "--version", 0, "proctor 0"),
        ("0<&- 2>&-", "--version", 0, "proctor 0"),
        ("2>&-", "--nonsense", 2, ""),
        ("1>&-", "show {}", 1, ""),
        ("1>&-", "show --format jsonl {}", 1, ""),
    ],
)
def test_started_without_a_standard_descriptor(
    closed: str, arguments: str, status: int, stdout: str, recording: Path
) -> None:
    """What we open does not take its place; what is said to nobody goes nowhere else."""
    program = [sys.executable, "-m", "proctor", *arguments.format(recording).split()]
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *program],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status
    assert done.stdout.startswith(stdout)
    assert bool(done.stdout) == bool(stdout)
    assert ("proctor: standard output: " in done.stderr) == (closed == "1>&-")


LEAVING = """
import atexit, threading, time
from proctor.launch.role import leave
atexit.register(print, "taken apart", flush=True)
print("said", end="")
leave(7)
"""


def test_leaving_says_all_and_takes_nothing_apart() -> None:
    done = subprocess.run([sys.executable, "-c", LEAVING], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, b"said", b"")


def test_leaving_with_a_thread_at_work_waits_for_it() -> None:
    program = LEAVING.replace(
        'print("said"', 'threading.Thread(target=time.sleep, args=[0.2]).start(); print("said"'
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (7, b"saidtaken apart\n")


def test_leaving_onto_a_full_disk_is_no_success() -> None:
    with Path("/dev/full").open("wb") as full:
        program = "from proctor.launch.role import leave; print('said'); leave(0)"
        done = subprocess.run(
            [sys.executable, "-c", program],
            stdout=full,
            stderr=subprocess.PIPE,
            env={"PYTHONPATH": ":".join(sys.path)},
            check=False,
        )
    assert done.returncode == 120
    assert b"No space left" in done.stderr


@pytest.mark.parametrize("asked", ["--help", "--version", "trace --help"])
def test_help_that_cannot_be_written(proctor: Any, asked: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = proctor(*asked.split(), stdout=full)
    assert done.returncode == 1
    assert done.stderr == "proctor: standard output: no space left on device\n"
