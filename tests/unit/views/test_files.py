"""Actions as lines, and the summary's count of files."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from proctor import schema
from proctor.events import ActionEvent, Event, Process
from proctor.sinks.json_lines import encode_line
from proctor.views import files
from proctor.views.files import FileTotals, action_texts, short_path
from tests.unit.views.drawn import live, summary

WHO = Process(7, 1, comm="sh", cwd="/home/me")


def action(kind: str, path: str | None = "/home/me/a", **fields: Any) -> ActionEvent:
    return ActionEvent(time_ns=5, process=WHO, kind=kind, path=path, **fields)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (action("file_create", bytes=0, count=0), "a"),
        (action("file_create", bytes=5, count=1), "a, 5 B"),
        (
            action("file_write", "/etc/x", bytes=1234567, count=2000),
            "/etc/x, 1.23 MB in 2,000 calls",
        ),
        (action("file_write", count=0, mapped=True, truncated=True), "a, truncated, mapped"),
        (action("file_rename", new_path="/srv/b"), "a -> /srv/b"),
        (action("file_symlink", target="../x"), "a -> ../x"),
        (action("file_delete", None), "?"),
        (action("file_delete", error="EACCES"), "a: EACCES"),
    ],
)
def test_a_line(event: ActionEvent, text: str) -> None:
    assert action_texts(event)[0] == text
    assert text in live([event], 120)
    Draft202012Validator(schema.load()).validate(json.loads(encode_line(event)))


@pytest.mark.parametrize(
    ("name", "shown"), [("a\nb", "a\u240ab"), ("a ", "a\u2420"), ("a  b", "a  b")]
)
def test_white_space_of_a_name_is_in_a_line_and_in_the_summary(name: str, shown: str) -> None:
    event = action("file_create", f"/home/me/{name}")
    assert shown in live([event], 120)
    assert shown in summary([event], 120)


@pytest.mark.parametrize(
    ("path", "cwd", "short"),
    [
        ("/a/b", "/a", "b"),
        ("/a", "/a", "/a"),
        ("/ab", "/a", "/ab"),
        ("/a", "/", "/a"),
        ("/a", None, "/a"),
        (None, "/a", "?"),
    ],
)
def test_a_path_is_told_from_where_its_program_was_started(
    path: str | None, cwd: str | None, short: str
) -> None:
    assert short_path(path, cwd) == short


def test_every_kind_has_its_words() -> None:
    assert files.VERBS.keys() == files.DONE.keys()
    assert max(map(len, files.VERBS.values())) <= 8  # the column of a live line


def test_the_summary_counts_files_once_and_names_the_first() -> None:
    events: list[Event] = [action("file_create", f"/tmp/{n}") for n in range(6)]
    events += [action("file_write", "/tmp/0"), action("file_write", "/tmp/0")]
    events += [action("file_link", "/tmp/0", new_path="/tmp/hard")]
    events += [action("file_delete", "/tmp/no", error="EPERM"), action("unheard_of")]
    lines = [line.split() for line in summary(events, 100).splitlines()]
    assert ["7", "created", "/tmp/0,", "/tmp/1,", "/tmp/2,", "/tmp/3", "…"] in lines
    assert ["1", "written", "/tmp/0"] in lines
    assert ["1", "refused", "/tmp/no"] in lines
    assert not [line for line in lines if "deleted" in line]


@pytest.mark.parametrize("width", [40, 80, 100])
def test_a_long_path_takes_nothing_from_its_neighbours(width: int) -> None:
    events: list[Event] = [action("file_create", "/" + "d/" * 2000), action("file_delete", "/e")]
    text = summary(events, width)
    assert max(map(len, text.splitlines())) <= width
    words = [line.split() for line in text.splitlines()]
    assert ["Count", "Files"] in words
    (created,) = [line for line in words if "created" in line]
    assert created[:2] == ["1", "created"]
    assert created[2].endswith("d/…")


def test_totals_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_PATHS_MAX", 2)
    totals = FileTotals()
    for path in ("/a", "/b", "/c", "/a", None):
        totals.feed(action("file_delete", path))
    assert list(totals.paths["deleted"]) == ["/a", "/b"]
    assert totals.count("deleted") == 4
