"""Debian packages that the tables are made from: downloaded, unpacked, their versions noted.

apt runs with sources, lists and cache of its own, so the host's configuration neither
matters nor changes. A folder that is kept serves the next run without a download.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MIRROR: Final = "http://deb.debian.org/debian"
KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
# The newest kernel that a stable release offers, and that release's libc.
SUITES: Final = ("trixie", "trixie-backports")
LIBC: Final = ("libc6-dev", "libc6-dev-arm64-cross", "libc6-dev-armhf-cross")
# What is read of the kernel's 1.5 GB: definitions, tables, the errors inside the kernel.
WANTED: Final = (
    *("kernel/*.c", "fs/*.c", "mm/*.c", "net/*.c", "ipc/*.c", "security/*.c", "block/*.c"),
    *("io_uring/*.c", "drivers/char/random.c", "drivers/pci/syscall.c", "arch/x86/*.c"),
    *("arch/arm64/*.c", "arch/x86/entry/syscalls/*.tbl", "arch/arm64/tools/*.tbl"),
    *("scripts/syscall.tbl", "include/linux/errno.h", "include/linux/syslog.h"),
    *("include/linux/sched/coredump.h", "include/linux/swap.h"),
    "include/net/bluetooth/bluetooth.h",
)


@dataclass(frozen=True, slots=True)
class Sources:
    """Unpacked packages: the top of the kernel's source, and folders that hold a usr/."""

    kernel: Path
    headers: Path  # the kernel's for programs
    libc: Path
    versions: dict[str, str]


def fetch_sources(folder: Path) -> Sources:
    """Downloads and unpacks what is not in `folder` yet."""
    noted = folder / "versions.json"
    if not noted.exists():
        environment = private_apt(folder / "apt")
        run(["apt-get", "update", "-q"], environment, folder)
        source = newest_source(environment, folder)
        names = [source, "linux-libc-dev", *LIBC]
        run(["apt-get", "download", "-q", "-t", SUITES[-1], *names], environment, folder)
        versions = {}
        for package in sorted(folder.glob("*.deb")):
            name, version = run(
                ["dpkg-deb", "-W", "--showformat=${Package} ${Version}", str(package)],
                environment,
                folder,
            ).split()
            versions[name] = version
            if name == source:
                unpack_kernel(package, folder / "kernel")
            else:
                target = folder / ("libc" if name in LIBC else "headers")
                run(["dpkg-deb", "-x", str(package), str(target)], environment, folder)
            package.unlink()
        noted.write_text(json.dumps(versions))
    versions = json.loads(noted.read_text())
    kernel = next((folder / "kernel").glob("linux-source-*"))
    return Sources(kernel, folder / "headers", folder / "libc", versions)


def unpack_kernel(package: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    patterns = " ".join(f"'linux-source-*/{pattern}'" for pattern in WANTED)
    pipeline = (
        f"dpkg-deb --fsys-tarfile '{package}' | tar -xO --wildcards '*/linux-source-*.tar.xz'"
        f" | xz -dc | tar -x -C '{target}' --wildcards {patterns}"
    )
    run(["bash", "-o", "pipefail", "-c", pipeline], dict(os.environ), target)


def newest_source(environment: dict[str, str], folder: Path) -> str:
    found = run(
        ["apt-cache", "search", "--names-only", r"^linux-source-[0-9.]+$"], environment, folder
    )
    names = [line.split()[0] for line in found.splitlines()]
    return max(names, key=lambda name: [int(number) for number in re.findall(r"\d+", name)])


def private_apt(folder: Path) -> dict[str, str]:
    """An environment in which apt knows `SUITES` and nothing of this host."""
    for part in ("state/lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    sources = folder / "sources.list"
    sources.write_text(
        "".join(f"deb [signed-by={KEYRING}] {MIRROR} {suite} main\n" for suite in SUITES)
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
        'APT::Sandbox::User "";\n'
    )
    return {**os.environ, "APT_CONFIG": str(configuration), "LC_ALL": "C"}


def run(command: list[str], environment: dict[str, str], folder: Path) -> str:
    done = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=900
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
