"""The Python API, on recordings and on a session that a stand-in records."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, cast

import pytest

import proctor as package
from proctor import api


def test_a_recording_is_typed_events(recording: Path) -> None:
    with package.open(recording) as opened:
        assert opened.header.command == ("true",)
        kinds = [(event.type, type(event)) for event in opened]
    assert kinds == [
        ("process", package.ProcessEvent),
        ("process", package.ProcessEvent),
        ("summary", package.Summary),
    ]


def test_a_recording_can_be_read_again_and_summed_up_first(recording: Path) -> None:
    with package.open(recording) as opened:
        assert opened.summary.counts["process"] == 2
        assert len(list(opened)) == len(list(opened)) == 3


def test_no_descriptor_of_a_session_stays_open() -> None:
    before = open_descriptors()
    with package.run(["/no/such-command"]) as session, pytest.raises(package.ProctorError):
        list(session)
    session.close()
    assert open_descriptors() == before


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_no_descriptor_stays_open(recording: Path) -> None:
    before = open_descriptors()
    with package.open(recording) as opened:
        iterator = iter(opened)
        next(iterator)
        del iterator
        list(opened)
    package.open(recording).close()
    assert open_descriptors() == before
    with pytest.raises(ValueError, match="is closed"):
        list(opened)


def test_what_is_no_recording_is_a_proctor_error(tmp_path: Path) -> None:
    with pytest.raises(package.ProctorError, match="no such file"):
        package.open(tmp_path / "none")


def test_the_examples_of_the_documentation_run(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: Any
) -> None:
    text = (request.config.rootpath / "docs" / "python.md").read_text()
    examples = re.findall(r"(?<!-->\n)^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    shutil.copy(recording, tmp_path / "agent.rec")
    monkeypatch.chdir(tmp_path)
    for example in examples:
        exec(compile(example, "docs/python.md", "exec"), {})


def test_all_is_exported() -> None:
    assert all(hasattr(package, name) for name in package.__all__)
    assert package.__all__ == sorted(package.__all__)


STAND_IN = """
import os, shutil, sys, time
output = next(a for a in sys.argv if a.startswith("--output="))[9:]
whole = open(os.environ["STAND_IN_RECORDING"], "rb").read()
if os.environ.get("STAND_IN_FAILS"):
    sys.exit(1)
header_bytes = 20 + int.from_bytes(whole[8:12], "little")
with open(output, "wb") as file:
    file.write(whole[:header_bytes])
    file.flush()
    os.write(int(os.environ["PROCTOR_CAUSE_FD"]), b"\\n")
    for start in range(header_bytes, len(whole), 100):
        file.write(whole[start : start + 100])
        file.flush()
        time.sleep(0.01)
sys.exit(3)
"""


@pytest.fixture
def stand_in(recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`proctor run` without a kernel: writes a known recording, slowly, and ends with 3."""
    folder = tmp_path / "stand-in" / "proctor"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "__main__.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", str(folder.parent))
    monkeypatch.setenv("STAND_IN_RECORDING", str(recording))


@pytest.mark.usefixtures("stand_in")
def test_a_live_session_gives_events_and_the_exit_status() -> None:
    with package.run(["true"]) as session:
        events = [event.type for event in session]
        assert session.wait() == 3
    assert events == ["process", "process", "summary"]
    assert session.returncode == 3
    assert session.summary is not None
    assert not session.path.exists()


@pytest.mark.usefixtures("stand_in")
def test_a_live_session_keeps_its_recording_where_it_is_told(tmp_path: Path) -> None:
    with package.run(["true"], output=tmp_path / "kept.rec") as session:
        pass
    assert session.returncode == 3
    with package.open(tmp_path / "kept.rec") as kept:
        assert len(list(kept)) == 3


@pytest.mark.usefixtures("stand_in")
def test_a_session_that_cannot_begin_is_a_proctor_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_FAILS", "1")
    with (
        package.watch(pid=1) as session,
        pytest.raises(package.ProctorError, match="ended with status 1 before it began"),
    ):
        list(session)


def test_a_session_that_cannot_begin_says_why_itself(capfd: pytest.CaptureFixture[str]) -> None:
    with (
        package.run(["/no/such-command"]) as session,
        pytest.raises(package.ProctorError) as raised,
    ):
        list(session)
    assert str(raised.value) == "/no/such-command: no such file"
    assert raised.value.exit_status == session.returncode == 127
    assert capfd.readouterr().err == "proctor: /no/such-command: no such file\n"
    with package.run(["/no/such-command"]) as session:
        session.wait()
    with pytest.raises(package.ProctorError, match=r"^/no/such-command: no such file$"):
        list(session)


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("fails", ["", "1"])
def test_another_s_recording_is_not_taken_for_one_s_own(
    fails: str, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it was refused as the output, or nothing came so far as to be refused."""
    monkeypatch.setenv("STAND_IN_FAILS", fails)
    if not fails:
        monkeypatch.delenv("PYTHONPATH")
    with (
        package.run(["/no/such-command"], output=recording) as session,
        pytest.raises(package.ProctorError),
    ):
        list(session)


@pytest.mark.usefixtures("stand_in")
def test_a_session_lives_in_its_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of it nothing would wait for COMMAND, and nothing take the recording away."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    session = package.run(["true"])
    session.close()
    for ask in (session.wait, session.stop, lambda: list(session), lambda: session.path):
        with pytest.raises(ValueError, match=r"^run: not in its `with` block$"):
            ask()
    session = package.run(["true"])
    with session:
        pass
    with pytest.raises(ValueError, match=r"^run: has been entered before"), session:
        pass
    with pytest.raises(ValueError, match=r"^run: is closed, its recording gone"):
        list(session)
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.usefixtures("stand_in")
def test_a_kept_recording_gives_its_events_after_the_block(tmp_path: Path) -> None:
    with package.run(["true"], output=tmp_path / "kept.rec") as session:
        pass
    assert len(list(session)) == 3


@pytest.mark.parametrize("begin", [package.run, package.trace, package.count])
@pytest.mark.parametrize("command", ["ls -l", b"ls"])
def test_a_command_is_words(begin: Any, command: Any) -> None:
    """One text would be run as its letters."""
    with pytest.raises(TypeError, match=r"is one text; give its words"):
        begin(command)


def test_options_are_those_of_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(api, "LiveSession", lambda *arguments: given.append(arguments))
    api.run(["a", "-b"], follow=True, as_root=True, file_reads=True, output="x")
    api.watch(pid=[1, 2], cgroup="/a", exe=("b", "c"), seconds=2.5)
    assert given == [
        ("run", ["--follow", "--as-root", "--file-reads"], "x", ["a", "-b"]),
        (
            "watch",
            ["--pid=1", "--pid=2", "--cgroup=/a", "--exe=b", "--exe=c", "--for=2.5"],
            None,
            [],
        ),
    ]


def test_filters_are_one_or_several(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(api, "LiveSession", lambda *arguments: given.append(arguments[1]))
    api.watch(pid=cast(Any, "4711"), exe=Path("/bin/sh"))
    api.watch(exe=["a", Path("b")])
    assert given == [["--pid=4711", "--exe=/bin/sh"], ["--exe=a", "--exe=b"]]


@pytest.mark.parametrize("name", ["pid", "cgroup", "container", "exe"])
@pytest.mark.parametrize(
    ("nothing", "error"), [([], ValueError), ((), ValueError), (None, TypeError)]
)
def test_a_filter_that_names_nothing_does_not_watch_the_host(
    name: str, nothing: Any, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "LiveSession", None)
    with pytest.raises(error, match=f"^{name}: "):
        api.watch(**{name: nothing})


@pytest.mark.usefixtures("stand_in")
def test_an_exception_does_not_leave_the_child_behind() -> None:
    began = time.monotonic()
    with pytest.raises(KeyError), package.run(["true"]) as session:
        raise KeyError
    assert session.returncode is not None
    assert time.monotonic() - began < 10
    assert sys.exc_info() == (None, None, None)
