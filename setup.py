"""Build steps that pyproject.toml cannot say: the BPF objects and the cffi modules.

A BPF object is an extension like the others, so that wheels, editable
installs and `build_ext --inplace` all put it where the package looks for it.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, SetupError
from setuptools.modified import newer_group

CLANG = os.environ.get("CLANG", "clang")
STRIP = os.environ.get("LLVM_STRIP", "llvm-strip")
CFFI_BUILDERS = [
    "src/proctor/records/layout_build.py",
    "src/proctor/intake/lane_build.py",
    "src/proctor/kernel/bpf_build.py",
]
BPF_SOURCES = {
    "proctor.kernel.proctor_bpf": Path("bpf/proctor.bpf.c"),
    "proctor.kernel.trace_bpf": Path("bpf/trace/trace.bpf.c"),
}
"""What each object is called as an extension, and the one file that includes its others."""
BPF_TARGETS = {"x86_64": "x86", "aarch64": "arm64"}

PACKAGES = """\
  Debian, Ubuntu   apt-get install clang llvm gcc libc6-dev libbpf-dev python3-dev
  Fedora           dnf install clang llvm gcc libbpf-devel kernel-headers python3-devel
  Arch             pacman -S clang llvm gcc libbpf linux-api-headers
  openSUSE         zypper install clang llvm gcc libbpf-devel linux-glibc-devel python3-devel
  Alpine           apk add clang llvm gcc musl-dev libbpf-dev linux-headers python3-dev"""

NEEDED_HEADERS = {
    "libbpf's headers": "bpf/libbpf.h",
    "the kernel's user headers": "linux/bpf.h",
    "Python's headers": "Python.h",
}


def compiler_command() -> list[str]:
    return (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()


def has_header(compiler: list[str], header: str) -> bool:
    include = sysconfig.get_path("include")
    result = subprocess.run(
        [*compiler, "-E", f"-I{include}", "-x", "c", "-", "-o", os.devnull],
        input=f"#include <{header}>\n",
        text=True,
        capture_output=True,
    )
    return result.returncode == 0


def missing_tools() -> list[str]:
    """What this machine lacks for a build, in words."""
    missing = []
    if shutil.which(CLANG) is None:
        missing.append(f"clang (as {CLANG!r})")
    compiler = compiler_command()
    if shutil.which(compiler[0]) is None:
        missing.append(f"a C compiler (as {compiler[0]!r})")
        return missing
    return missing + [
        what for what, header in NEEDED_HEADERS.items() if not has_header(compiler, header)
    ]


def system_include_flags() -> list[str]:
    """Clang's own search list for this machine, which `-target bpf` leaves out.

    Debian keeps <asm/types.h> in a folder named after the machine; others do not.
    """
    report = subprocess.run(
        [CLANG, "-v", "-E", "-x", "c", os.devnull, "-o", os.devnull],
        text=True,
        capture_output=True,
        env={**os.environ, "LC_ALL": "C"},
    ).stderr
    listed = re.search(r"<\.\.\.> search starts here:\n(.*?)\nEnd of search", report, re.S)
    folders = listed.group(1).split("\n") if listed else ["/usr/include"]
    return [flag for folder in folders for flag in ("-idirafter", folder.strip())]


class BuildExtensions(build_ext):
    """Knows one more kind of extension: a BPF object, compiled by clang."""

    def run(self) -> None:
        if missing := missing_tools():
            raise SetupError(f"building needs {', '.join(missing)}: not found; install\n{PACKAGES}")
        super().run()

    def get_ext_filename(self, fullname: str) -> str:
        *packages, name = fullname.split(".")
        if name in (each.split(".")[-1] for each in BPF_SOURCES):
            return os.path.join(*packages, f"{name.removesuffix('_bpf')}.bpf.o")
        return str(super().get_ext_filename(fullname))  # type: ignore[no-untyped-call]  # its stub

    def build_extension(self, ext: Extension) -> None:
        if ext.name in BPF_SOURCES:
            self.build_bpf(ext)
        else:
            super().build_extension(ext)

    def build_bpf(self, ext: Extension) -> None:
        target = Path(self.get_ext_fullpath(ext.name))
        sources = [str(source) for source in ext.sources]
        if not (self.force or newer_group([*sources, *ext.depends], str(target))):
            return
        machine = platform.machine()
        if machine not in BPF_TARGETS:
            raise SetupError(f"machine {machine}: not supported, only {', '.join(BPF_TARGETS)}")
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".partial")
        flags = ["-g", "-O2", "-target", "bpf", f"-D__TARGET_ARCH_{BPF_TARGETS[machine]}"]
        flags += ["-Wall", "-Werror", "-I", "bpf", *system_include_flags()]
        self.spawn_or_fail([CLANG, *flags, "-c", *sources, "-o", str(partial)])
        # DWARF is of no use to the kernel and most of the file; BTF stays.
        if shutil.which(STRIP):
            self.spawn_or_fail([STRIP, "-g", str(partial)])
        partial.replace(target)

    def spawn_or_fail(self, command: list[str]) -> None:
        print(" ".join(command), flush=True)
        if status := subprocess.run(command).returncode:
            raise CompileError(f"{command[0]} failed with status {status}")


PARTS = sorted(str(path) for path in Path("bpf").rglob("*.[ch]"))
free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
setup(
    ext_modules=[
        Extension(name, sources=[str(source)], depends=PARTS)
        for name, source in BPF_SOURCES.items()
    ],
    cffi_modules=[f"{path}:ffibuilder" for path in CFFI_BUILDERS],
    cmdclass={"build_ext": BuildExtensions},
    # One wheel for every CPython from 3.11 on: cffi builds against the stable ABI.
    options={} if free_threaded else {"bdist_wheel": {"py_limited_api": "cp311"}},
)
