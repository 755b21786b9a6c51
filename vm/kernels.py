"""Debian's own kernels, downloaded and unpacked, not installed.

apt runs with sources, lists and cache of its own under the cache folder, so
that the machine's configuration stays as it is and a Debian release other than
the host's (or a host that is Ubuntu) makes no difference. Needs no root.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MIRROR: Final = "http://deb.debian.org"
SUITES: Final = {"5.10": "bullseye", "6.1": "bookworm", "6.12": "bookworm"}


class KernelError(Exception):
    """A kernel could not be had; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """An unpacked kernel package."""

    release: str
    """What `uname -r` says in the guest."""
    image: Path
    modules: Path


def fetch_kernel(series: str, cache: Path) -> Kernel:
    """The newest Debian kernel of `series`; downloads it where the cache has none."""
    if series not in SUITES:
        raise KernelError(f"kernel {series}: unknown; one of {', '.join(SUITES)}")
    unpacked = cache / series
    if not unpacked.exists():
        download(series, cache, unpacked)
    image = next(unpacked.glob("boot/vmlinuz-*"))
    release = image.name.removeprefix("vmlinuz-")
    return Kernel(release, image, unpacked / "lib/modules" / release)


def download(series: str, cache: Path, target: Path) -> None:
    if not KEYRING.exists():
        raise KernelError(f"{KEYRING}: not there; apt-get install debian-archive-keyring")
    environment = private_apt(SUITES[series], cache / "apt" / SUITES[series])
    run(["apt-get", "update", "-q"], environment)
    name = newest_package(series, environment)
    print(f"downloading {name}", flush=True)
    partial = cache / f"{series}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    run(["apt-get", "download", "-q", name], environment, partial)
    package = next(partial.glob("*.deb"))
    run(["dpkg-deb", "-x", str(package), str(partial)], environment)
    package.unlink()
    partial.rename(target)


def newest_package(series: str, environment: dict[str, str]) -> str:
    pattern = rf"^linux-image-{re.escape(series)}[.][0-9.]*([-+][0-9a-z]+)?-amd64$"
    found = run(["apt-cache", "search", "--names-only", pattern], environment)
    names = [line.split()[0] for line in found.splitlines()]
    if not names:
        raise KernelError(f"kernel {series}: no package like {pattern} in {SUITES[series]}")
    return max(names, key=lambda name: [int(number) for number in re.findall(r"\d+", name)])


def private_apt(suite: str, folder: Path) -> dict[str, str]:
    """An environment in which apt knows one Debian release and nothing of this host."""
    for part in ("state/lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    sources = folder / "sources.list"
    sources.write_text(
        f"deb [signed-by={KEYRING}] {MIRROR}/debian {suite} main\n"
        f"deb [signed-by={KEYRING}] {MIRROR}/debian-security {suite}-security main\n"
    )
    configuration = folder / "apt.conf"
    configuration.write_text(
        f'Dir::State "{folder}/state";\n'
        f'Dir::State::status "{folder}/status";\n'
        f'Dir::Cache "{folder}/cache";\n'
        f'Dir::Etc::sourcelist "{sources}";\n'
        'Dir::Etc::sourceparts "-";\n'
        'APT::Architecture "amd64";\n'
        'APT::Architectures { "amd64"; };\n'
        'Acquire::Languages "none";\n'
        'APT::Sandbox::User "";\n'  # the cache folder may be closed to _apt
    )
    return {**os.environ, "APT_CONFIG": str(configuration), "LC_ALL": "C"}


def run(command: list[str], environment: dict[str, str], folder: Path | None = None) -> str:
    done = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=900
    )
    if done.returncode:
        raise KernelError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
