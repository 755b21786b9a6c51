"""The binding to libbpf, or a clear word on what is missing."""

from __future__ import annotations

from typing import Final

from proctor.errors import ProctorError

try:
    from proctor.kernel import _bpf  # type: ignore[attr-defined]  # compiled, without types
except ImportError as error:
    if "libbpf" in str(error):
        raise ProctorError(
            f"libbpf: {error}; install it: apt install libbpf1 (Debian, Ubuntu), dnf install "
            "libbpf (Fedora), pacman -S libbpf (Arch), zypper install libbpf1 (openSUSE), "
            "apk add libbpf (Alpine)"
        ) from None
    raise ProctorError(
        f"proctor.kernel._bpf: {error}; install Proctor again: pip install --force-reinstall"
    ) from None

ffi, lib = _bpf.ffi, _bpf.lib
binding_path: Final[str] = _bpf.__file__
