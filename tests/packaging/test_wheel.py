"""The wheel holds all that running takes: no compiler, no kernel headers, no checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

CHECKOUT: Final = Path(__file__).resolve().parents[2]
BUILD_TOOLS: Final = ("clang", "gcc", "cc", "ld", "llvm-strip", "bpftool", "make")
# Programs a shell script finds everywhere; none of BUILD_TOOLS among them.
PLAIN_TOOLS: Final = ("env", "sh", "true", "uname")

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(300)]


def run(
    command: Sequence[str | Path], path: str | None = None, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """With no variable of ours that could lead Python to the checkout."""
    environment = {key: value for key, value in os.environ.items() if key[:6] != "PYTHON"}
    if path is not None:
        environment["PATH"] = path
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=environment, timeout=240
    )
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a source archive, so that one is proved complete as well."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "copy"
    ignored = shutil.ignore_patterns(".*", "build", "*.egg-info", "*.so", "*.bpf.o", "_*.c")
    shutil.copytree(CHECKOUT, copy, ignore=ignored)
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, copy])
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with nothing in it but the wheel and what it depends on."""
    folder = tmp_path_factory.mktemp("environment")
    run([sys.executable, "-m", "venv", folder])
    quick = ("--no-compile", "--only-binary", ":all:")
    run([folder / "bin/python", "-m", "pip", "install", "-q", *quick, wheel])
    return folder


@pytest.fixture(scope="module")
def plain_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH without any tool that builds."""
    folder = tmp_path_factory.mktemp("path")
    for name in PLAIN_TOOLS:
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    assert not [tool for tool in BUILD_TOOLS if shutil.which(tool, path=str(folder))]
    return str(folder)


def test_one_wheel_serves_all_pythons(wheel: Path) -> None:
    assert "-cp311-abi3-linux_" in wheel.name


def test_wheel_holds_objects_types_and_licences(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "proctor/kernel/proctor.bpf.o",
        "proctor/kernel/trace.bpf.o",
        "proctor/kernel/_bpf.abi3.so",
        "proctor/records/_layout.abi3.so",
        "proctor/schema/events.json",
        "proctor/py.typed",
    } <= names
    licences = {name.split("/licenses/")[1] for name in names if "/licenses/" in name}
    assert licences == {"LICENSE", "bpf/LICENSE", "bpf/LICENSE.GPL-2.0"}


def test_object_has_btf_and_no_debug_sections(wheel: Path, tmp_path: Path) -> None:
    data = zipfile.ZipFile(wheel).read("proctor/kernel/proctor.bpf.o")
    assert b".BTF\0" in data
    assert b".BTF.ext\0" in data
    assert b".debug_info\0" not in data or shutil.which("llvm-strip") is None


def test_command_says_its_version(environment: Path, plain_path: str, tmp_path: Path) -> None:
    version = "import importlib.metadata as m; print(m.version('proctor'))"
    expected = run([environment / "bin/python", "-c", version]).stdout.strip()
    said = run([environment / "bin/proctor", "--version"], plain_path, tmp_path).stdout
    assert expected in said


@pytest.mark.kernel
def test_runs_without_a_compiler(environment: Path, plain_path: str, tmp_path: Path) -> None:
    recording = tmp_path / "recording"
    proctor = environment / "bin/proctor"
    run([proctor, "run", "-o", recording, "--", "true"], plain_path, tmp_path)
    assert recording.stat().st_size > 0
    shown = run([proctor, "show", recording], plain_path, tmp_path).stdout
    assert "true" in shown


def test_missing_tools_are_named(tmp_path: Path) -> None:
    environment = {**os.environ, "CLANG": "no-such-clang"}
    command = [sys.executable, "setup.py", "build_ext", "--build-temp", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT, env=environment)
    assert done.returncode != 0
    message = done.stderr[done.stderr.index("error:") :]
    assert message.startswith("error: building needs clang (as 'no-such-clang'): not found")
    for system in ("Debian, Ubuntu", "Fedora", "Arch", "openSUSE", "Alpine"):
        assert system in message
