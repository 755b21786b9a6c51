from __future__ import annotations

import os
from pathlib import Path

import pytest

from proctor.diagnosis import mapped
from proctor.diagnosis.mapped import Files, MappedFile, mapped_files, opened


def file_of(path: Path) -> MappedFile:
    return MappedFile("/proc/none", str(path), "00:00", path.stat().st_ino)


def large(path: Path, text: bytes) -> MappedFile:
    path.write_bytes(bytes(mapped.SMALL_BYTES) + text)
    return file_of(path)


@pytest.mark.parametrize(
    ("text", "implementation"),
    [
        (b"crypto/tls.(*Conn).Write\0", "Go crypto/tls"),
        (b"registry/src/rustls-0.23.5/src/conn.rs", "rustls"),
        (b"../../third_party/boringssl/src/ssl/ssl_lib.cc\0", "BoringSSL"),
        (b"ssl/ssl_lib.c\0", "OpenSSL"),
    ],
)
def test_what_is_inside_is_told_by_its_texts(
    tmp_path: Path, text: bytes, implementation: str
) -> None:
    (finding,) = Files().by_text(large(tmp_path / "agent", text))
    assert (finding.implementation, finding.state) == (implementation, "unsupported")
    assert finding.reason
    assert finding.advice


@pytest.mark.parametrize("cut", [1, 8, 17])
def test_a_text_across_two_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    monkeypatch.setattr(mapped, "WINDOW_BYTES", mapped.SMALL_BYTES + cut)
    (finding,) = Files().by_text(large(tmp_path / "agent", b"crypto/tls.(*Conn).Write\0"))
    assert finding.implementation == "Go crypto/tls"


def test_a_file_that_shrinks_is_what_is_left_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look at a mapped page that is gone would end the process."""
    path = tmp_path / "agent"
    file = large(path, b"crypto/tls.(*Conn).Write\0")

    def fstat(fd: int) -> os.stat_result:
        found = before(fd)
        os.truncate(path, 100)
        return found

    before = os.fstat
    with opened(file) as fd:
        assert fd is not None
    monkeypatch.setattr(os, "fstat", fstat)
    assert Files().by_text(file) == []


@pytest.mark.parametrize("text", [b"", b"/rustls-native-certs-0.7", b"ssl_lib", b"crypto/tls"])
def test_nothing_is_claimed_without_a_marker(tmp_path: Path, text: bytes) -> None:
    assert Files().by_text(large(tmp_path / "agent", text)) == []


def test_files_too_small_for_tls_are_not_searched(tmp_path: Path) -> None:
    path = tmp_path / "small"
    path.write_bytes(b"crypto/tls.(*Conn)")
    assert Files().by_text(file_of(path)) == []


def test_what_is_not_searched_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped, "SEARCH_MAX_BYTES", mapped.SMALL_BYTES)
    files = Files()
    assert files.by_text(large(tmp_path / "agent", b"crypto/tls.(*Conn)")) == []
    assert files.left_out == 1


@pytest.mark.parametrize(
    ("name", "implementation"),
    [("libgnutls.so.30.34.3", "GnuTLS"), ("libnss3.so", "NSS"), ("libjvm.so", "Java (JSSE)")],
)
def test_libraries_known_by_name(tmp_path: Path, name: str, implementation: str) -> None:
    path = tmp_path / name
    path.touch()
    finding = Files().by_symbol(file_of(path))
    assert finding is not None
    assert (finding.implementation, finding.state) == (implementation, "unsupported")


def test_a_path_that_holds_another_file_by_now_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "library"
    path.touch()
    with opened(file_of(path)) as fd:
        assert fd is not None
    with opened(MappedFile("/proc/none", str(path), "00:00", path.stat().st_ino + 1)) as fd:
        assert fd is None


def test_this_interpreter_s_files() -> None:
    import _ssl

    paths = [file.path for file in mapped_files(os.getpid())]
    assert len(paths) == len(set(paths))
    source = getattr(_ssl, "__file__", None)
    assert source is None or os.path.realpath(source) in paths
