"""Recordings of real runs, and the JSON lines that they give: `record.py` makes both."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import proctor
from proctor.errors import ProctorError
from proctor.records.decode import decode
from proctor.records.layout import FLAG_UNREADABLE
from proctor.records.reading import Damage, open_recording
from proctor.records.types import TlsDataRecord
from proctor.show import show
from tests.golden.record import RUNS

HERE: Final = Path(__file__).parent
RECORDINGS: Final = sorted(HERE.glob("*.rec"))
SAMPLES: Final = 40
MOST_BYTES: Final = 300_000
SECRETS: Final = (b"made-up-0123456789", b"sk-demo", b"sk-ant")
PLACES: Final = (b"/root", b"/home", b"/work", b".venv", b"pyenv")

each_recording = pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)


def read(path: Path) -> tuple[list[bytes], list[Damage]]:
    records, damages = [], []
    with open_recording(path) as reader:
        for item in reader.records():
            if isinstance(item, Damage):
                damages.append(item)
            else:
                records.append(bytes(item))
    return records, damages


def is_subsequence(some: list[bytes], whole: list[bytes]) -> bool:
    rest: Iterator[bytes] = iter(whole)
    return all(any(one == other for other in rest) for one in some)


def is_beside_a_hole(raw: bytes, whole: list[bytes]) -> bool:
    """A part of a piece that repeats what was lost: a hole, or sent bytes at their place."""
    part = decode(raw)
    if raw in whole or not isinstance(part, TlsDataRecord):
        return False
    for piece in map(decode, whole):
        if isinstance(piece, TlsDataRecord) and (piece.tls, piece.call) == (part.tls, part.call):
            at = part.position - piece.position
            if at >= 0 and at + part.piece_bytes <= piece.piece_bytes:
                known = piece.data[at : at + part.piece_bytes]
                return part.data == known or bool(part.flags & FLAG_UNREADABLE)
    return False


def test_one_stores_what_is_repeated_once() -> None:
    """And as recordings of format 1 stay readable: the others were made when there was no other."""
    path = HERE / "conversation.rec"
    assert b'"format": 2' in path.read_bytes()
    assert b'"format": 1' in (HERE / "openai_chat.rec").read_bytes()
    records, _ = read(path)
    assert path.read_bytes().count(b"Rule 100:") == 1
    assert b"".join(records).count(b"Rule 100:") == 3


def header_end(content: bytes) -> int:
    """Magic, header's size, its checksum, header. Without it a file is no recording."""
    return 20 + int.from_bytes(content[8:12], "little")


def sampled(path: Path, name: str) -> list[int]:
    """Offsets in the file: the same in every run, others for each test."""
    drawn = random.Random(name + path.stem).sample(range(path.stat().st_size), SAMPLES)
    end = header_end(path.read_bytes())
    assert sum(offset >= end for offset in drawn) > SAMPLES // 2
    return sorted(drawn)


def test_there_is_one_of_each_run() -> None:
    assert [path.stem for path in RECORDINGS] == sorted(RUNS)
    files = [*RECORDINGS, *HERE.glob("*.jsonl")]
    assert sum(path.stat().st_size for path in files) < MOST_BYTES


@each_recording
def test_show_gives_these_lines(path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert show(str(path), as_jsonl=True, types=frozenset()) == 0
    assert capfdbinary.readouterr().out.splitlines() == (
        path.with_suffix(".jsonl").read_bytes().splitlines()
    )


@each_recording
def test_whole_and_of_no_place(path: Path) -> None:
    records, damages = read(path)
    assert records
    assert not damages
    told = path.read_bytes() + path.with_suffix(".jsonl").read_bytes()
    assert not [word for word in (*SECRETS, *PLACES) if word in told]


@each_recording
def test_cut_anywhere(path: Path, tmp_path: Path) -> None:
    """What is whole is shown, what is not is said: a recording without its end as well."""
    content = path.read_bytes()
    whole, _ = read(path)
    cut = tmp_path / "cut.rec"
    for size in [*sampled(path, "cut"), len(content) - 1]:
        cut.write_bytes(content[:size])
        if size < header_end(content):
            with pytest.raises(ProctorError, match=r"cut\.rec: "):
                read(cut)
            continue
        records, damages = read(cut)
        assert records == whole[: len(records)]
        assert len(records) < len(whole)
        assert damages[-1].reason == "recording_cut"
        with proctor.Recording(cut) as recording:
            summary = list(recording)[-1]
        assert isinstance(summary, proctor.Summary)
        assert "recording_cut" in str(summary.lost)


@each_recording
def test_damaged_anywhere(path: Path, tmp_path: Path) -> None:
    content = path.read_bytes()
    whole, _ = read(path)
    damaged = tmp_path / "damaged.rec"
    for offset in sampled(path, "damaged"):
        bad = bytearray(content)
        bad[offset] ^= 0x40
        damaged.write_bytes(bad)
        if offset < header_end(content):
            with pytest.raises(ProctorError, match=r"damaged\.rec: "):
                read(damaged)
            continue
        records, damages = read(damaged)
        assert is_subsequence([one for one in records if not is_beside_a_hole(one, whole)], whole)
        assert len(records) < len(whole)
        assert damages
        with proctor.Recording(damaged) as recording:
            summary = list(recording)[-1]
        assert isinstance(summary, proctor.Summary)
        assert "recording_" in str(summary.lost)
