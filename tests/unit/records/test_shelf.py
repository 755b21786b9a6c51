"""The shelf: names, order, the cap."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from proctor.records.recording import RecordingError, create_recording
from proctor.records.shelf import (
    last_recording,
    make_shelf,
    new_path,
    prune,
    recordings,
    shelf_folder,
)

SECOND_NS = 1_000_000_000


def stand(folder: Path, age: int, size: int = 100) -> Path:
    path = new_path(folder, (1_000_000 - age) * SECOND_NS, ["agent"])
    path.write_bytes(bytes(size))
    return path


def test_the_folder() -> None:
    home = Path("/home/a")
    assert shelf_folder({}, home) == Path("/home/a/.local/state/proctor/recordings")
    assert shelf_folder({"XDG_STATE_HOME": "/s"}, home) == Path("/s/proctor/recordings")
    assert shelf_folder({"XDG_STATE_HOME": "s"}, home) == shelf_folder({}, home)


def test_names_hold_time_and_program_only() -> None:
    name = new_path(Path("/s"), 1_700_000_000_123_456_789, ["/bin/my agent", "--key=x"]).name
    assert name == "20231114T221320.123456Z-my-agent.rec"
    assert new_path(Path(), 0, []).name.endswith("-watch.rec")
    assert new_path(Path(), 0, ["/"]).name.endswith("-command.rec")
    assert new_path(Path(), 0, ["../../é/.."]).parent == Path()


def test_newest_first_and_only_files(tmp_path: Path) -> None:
    old, new = stand(tmp_path, age=9), stand(tmp_path, age=1)
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "9.rec").mkdir()
    (tmp_path / "8.rec").symlink_to(old)
    assert recordings(tmp_path) == [new, old]
    assert last_recording(tmp_path) == new


def test_no_folder_and_an_empty_one(tmp_path: Path) -> None:
    assert recordings(tmp_path / "none") == []
    with pytest.raises(RecordingError, match="holds no recording"):
        last_recording(tmp_path)


def test_the_oldest_go_until_the_rest_fits(tmp_path: Path) -> None:
    paths = [stand(tmp_path, age) for age in range(5)]
    assert prune(tmp_path, 250) == [paths[4], paths[3], paths[2]]
    assert recordings(tmp_path) == paths[:2]
    assert prune(tmp_path, 250) == []


def test_one_being_written_stays(tmp_path: Path) -> None:
    path = new_path(tmp_path, 0, ["writing"])
    file = create_recording(path)
    os.write(file, bytes(1000))
    newer = stand(tmp_path, age=0)
    assert prune(tmp_path, 500) == [newer]
    os.close(file)
    assert prune(tmp_path, 500) == [path]


def test_made_for_the_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "proctor" / "recordings"
    make_shelf(folder)
    make_shelf(folder)
    assert {folder.stat().st_mode & 0o777, folder.parent.stat().st_mode & 0o777} == {0o700}
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordingError, match="name a file with -o"):
        make_shelf(tmp_path / "file" / "proctor" / "recordings")
