"""`proctor.trace` as an object: what it says before, after and without a whole trace."""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import proctor
from proctor.child import LEFT_OUT, words_of
from proctor.errors import CAUSE_FD
from proctor.tracing.tables.columns import SCHEMA


@pytest.fixture
def stood_in_for(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A trace whose child writes these bytes and ends with this status."""
    import subprocess

    real = subprocess.Popen

    def make(stream: bytes, status: int, **given: Any) -> Any:
        source = "import os, sys; stream, told = map(int, sys.argv[1:])\n"
        source += f"if {bool(stream)}: os.write(told, b'\\n')\n"
        source += f"os.write(stream, {stream!r}); sys.exit({status})"

        def popen(words: list[str], pass_fds: tuple[int, ...], env: dict[str, str]) -> Any:
            assert words[1:4] == ["-m", "proctor", "trace"]
            assert env[CAUSE_FD] == str(pass_fds[1])
            return real([sys.executable, "-c", source, *map(str, pass_fds)], pass_fds=pass_fds)

        monkeypatch.setattr(subprocess, "Popen", popen)
        return proctor.trace(**given)

    return make


def written(*, totals: bytes | None) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, SCHEMA) as stream:
        if totals is not None:
            rows = pa.RecordBatch.from_pylist([], SCHEMA)
            stream.write_batch(rows, custom_metadata={"totals": totals})
    data: bytes = sink.getvalue().to_pybytes()
    return data


WHOLE = written(totals=b'{"calls": 7, "lost": {"ring_full": 2}, "kernel_counted": 9}')
CUT = written(totals=None)
BROKEN = written(totals=b'{"calls": 7, "lost": {}, "kernel_counted": 9, "broke_off": true}')


def test_a_whole_trace_has_its_totals(stood_in_for: Callable[..., Any]) -> None:
    with stood_in_for(WHOLE, 3, command=["true"]) as trace:
        assert list(trace.batches()) == []
    assert (trace.counts, trace.lost) == ({"calls": 7, "kernel_counted": 9}, {"ring_full": 2})
    assert trace.wait() == trace.returncode == 3


@pytest.mark.parametrize("stream", [CUT, CUT[:-8], WHOLE[:-60], BROKEN])
def test_a_trace_that_breaks_off_is_no_whole_one(
    stood_in_for: Callable[..., Any], stream: bytes
) -> None:
    """Else `lost` would say that nothing is."""
    broken = pytest.raises(proctor.ProctorError, match="broke off: what is missing is not known")
    with stood_in_for(stream, 1, command=["true"]) as trace, broken:
        list(trace.batches())


def test_a_trace_that_never_began(stood_in_for: Callable[..., Any]) -> None:
    refused = pytest.raises(proctor.ProctorError, match="ended with status 2 before it began")
    with stood_in_for(b"", 2, pid=7) as trace, refused:
        list(trace)


def test_it_is_read_once(stood_in_for: Callable[..., Any]) -> None:
    with stood_in_for(WHOLE, 0, command=["true"]) as trace:
        assert list(trace) == []
        with pytest.raises(ValueError, match="can be iterated over only once"):
            list(trace.batches())


@pytest.mark.parametrize(
    "use",
    [
        lambda trace: list(trace),
        lambda trace: trace.wait(),
        lambda trace: trace.stop(),
        lambda trace: trace.returncode,
    ],
)
def test_before_its_block_there_is_nothing(use: Callable[[Any], Any]) -> None:
    trace = proctor.trace(["true"])
    with pytest.raises(ValueError, match="trace: not in its `with` block"):
        use(trace)
    trace.close()


def test_who_leaves_early_asked_for_the_end(stood_in_for: Callable[..., Any]) -> None:
    """141 is of a reader that went away: we."""
    with stood_in_for(WHOLE, 141, pid=os.getpid()) as trace:
        trace.wait()
    assert trace.wait() == trace.returncode == 0
    with stood_in_for(WHOLE, 141, command=["true"]) as trace:
        trace.wait()
    assert trace.wait() == trace.returncode == 141  # COMMAND's own


def test_who_leaves_early_does_not_know_what_was_lost(stood_in_for: Callable[..., Any]) -> None:
    """`lost or "nothing lost"` must not say that nothing is."""
    with stood_in_for(WHOLE, 0, command=["true"]) as trace:
        trace.wait()
    for asked in ("lost", "counts"):
        with pytest.raises(proctor.ProctorError, match="has not been read to its end"):
            getattr(trace, asked)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"min_duration": 1.0}, "min_duration: 1.0: is a float; give text, a number or a path"),
        ({"fd": [3.0]}, "fd: 3.0: is a float"),
        ({"syscalls": [None]}, "syscalls: None: is a NoneType"),
        ({"path": None}, "path: None: is a NoneType"),
        ({"pid": None}, "pid: None: is a NoneType"),
        ({"fd": [True]}, "fd: True: is a bool"),
    ],
)
def test_what_is_no_word_is_refused(given: dict[str, Any], said: str) -> None:
    """A filter that is silently left out lets everything through."""
    with pytest.raises(TypeError, match=re.escape(said)):
        proctor.trace(["true"], **given)
    with pytest.raises(TypeError, match=re.escape(said)):
        proctor.count(["true"], **given)


@pytest.mark.parametrize("name", ["pid", "cgroup", "container", "syscalls", "path", "fd"])
def test_what_names_nothing_is_refused(name: str) -> None:
    """A search that found nothing returns it, and everything would be traced."""
    empties: tuple[Iterable[int], ...] = ([], (), iter(()))
    for nothing in empties:
        given: dict[str, Any] = {name: nothing}
        with pytest.raises(ValueError, match=f"^{name}: .*: names nothing"):
            proctor.trace(["true"], **given)
        with pytest.raises(ValueError, match=f"^{name}: .*: names nothing"):
            proctor.count(["true"], **given)
        if name not in ("cgroup", "container"):
            with pytest.raises(ValueError, match=f"^{name}: .*: names nothing"):
                proctor.count_file("none.parquet", **given)
    assert words_of({name: LEFT_OUT}) == []


@pytest.mark.parametrize("of", [proctor.trace, proctor.count])
def test_only_flags_are_true_or_false(of: Callable[..., Any]) -> None:
    """`--path` alone would take the next word for its own."""
    defaults = {
        name: parameter.default for name, parameter in inspect.signature(of).parameters.items()
    }
    flags = {name for name, default in defaults.items() if default is False}
    assert words_of(dict.fromkeys(sorted(flags), True)) == [
        f"--{name.replace('_', '-')}" for name in sorted(flags)
    ]
    for name in defaults.keys() - {"command"}:
        wrong = "yes" if name in flags else True
        with pytest.raises(TypeError, match=f"^{name}: "):
            words_of({name: wrong})


@pytest.mark.parametrize("of", [proctor.trace, proctor.count])
def test_what_no_program_can_be_given_leaves_nothing_open(of: Callable[..., Any]) -> None:
    before = sorted(Path("/proc/self/fd").iterdir())
    for _ in range(3):
        with pytest.raises(ValueError, match="null byte"), of(["true", "a\0b"]):
            pass
    assert sorted(Path("/proc/self/fd").iterdir()) == before


def test_it_is_entered_once(stood_in_for: Callable[..., Any]) -> None:
    with stood_in_for(b"", 0) as trace, pytest.raises(ValueError, match="has been entered before"):
        trace.__enter__()


def test_a_word_that_the_command_refuses_is_its_error(stood_in_for: Callable[..., Any]) -> None:
    with (
        stood_in_for(b"", 2, command=["true"], string_bytes="x") as trace,
        pytest.raises(proctor.ProctorError, match="ended with status 2"),
    ):
        list(trace)
