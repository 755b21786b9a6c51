"""The kernel programs as a shared library for this process: gcc instead of clang's BPF target.

Built once for each state of the sources, in `.cache/bpf`. UBSan is always in it; ASan where this
process was started with it (see test_sanitized.py), for a library cannot bring it along.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, Final

from cffi import FFI

from proctor.records.layout_build import declarations

CHECKOUT: Final = Path(__file__).resolve().parents[2]
STUB: Final = Path(__file__).parent / "stub"
CACHE: Final = CHECKOUT / ".cache" / "bpf"
WARNINGS: Final = ("-Wall", "-Werror", "-Wno-unknown-pragmas", "-Wno-int-conversion")


def has_address_sanitizer() -> bool:
    """This process runs with it."""
    return hasattr(ctypes.CDLL(None), "__asan_init")


def compiled() -> Path:
    """The library, built unless it is there already."""
    folders = (STUB, STUB / "bpf", CHECKOUT / "bpf")
    sources = sorted(path for folder in folders for path in folder.glob("*.[ch]"))
    sanitizers = "undefined,address" if has_address_sanitizer() else "undefined"
    # The other build has the warnings that take an optimizer; here it triples the compiler's time.
    optimized = "-O0" if has_address_sanitizer() else "-O1"
    flags = ["-shared", "-fPIC", "-g", optimized, *WARNINGS, "-fno-omit-frame-pointer"]
    flags += [f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all", "-D__TARGET_ARCH_x86"]
    flags += ["-include", "stdint.h", "-I", str(STUB), "-I", str(CHECKOUT / "bpf")]
    state = hashlib.sha256(" ".join(flags).encode())
    for path in sources:
        state.update(path.read_bytes())
    library = CACHE / f"programs-{sanitizers}-{state.hexdigest()[:16]}.so"
    if not library.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        for old in CACHE.glob(f"programs-{sanitizers}-*.so"):
            old.unlink(missing_ok=True)
        partial = CACHE / f"{library.name}.{os.getpid()}"
        code = [str(path) for path in sorted(STUB.glob("*.c"))]
        subprocess.run(["gcc", *flags, "-o", str(partial), *code], check=True)
        partial.replace(library)
    return library


def kernel_types() -> str:
    """`bpf/kernel.h` as cffi's parser takes it."""
    command = ["gcc", "-E", "-P", "-D__TARGET_ARCH_x86", "-I", str(STUB / "types")]
    command += [str(CHECKOUT / "bpf" / "kernel.h")]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return re.sub(r"^#.*$", "", text, flags=re.MULTILINE)


@cache
def opened() -> tuple[Any, Any]:
    """cffi's `ffi` and `lib`."""
    ffi = FFI()
    ffi.cdef(declarations((CHECKOUT / "bpf" / "proctor.h").read_text()))
    ffi.cdef(kernel_types())
    ffi.cdef((STUB / "machine.h").read_text())
    return ffi, ffi.dlopen(str(compiled()))
