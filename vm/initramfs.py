"""The first file system of the guest: busybox, the modules for 9p, one script.

It mounts the host's root, read only, and goes on there (`guest`). The mount is
cached: without that 9p makes a new inode at each open, and a uprobe, which
belongs to an inode, would not fire in a program started after it was placed.
"""

from __future__ import annotations

import lzma
import re
import stat
from pathlib import Path
from typing import Final

WANTED_MODULES: Final = ("virtio_pci", "9pnet_virtio", "9p", "overlay", "tcp_diag")

INIT: Final = """\
#!/bin/busybox sh
export PATH=/bin
busybox mount -t proc proc /proc
for module in {modules}; do busybox insmod /modules/$module; done
busybox mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose root /root ||
    {{ echo "the host's root could not be mounted"; busybox poweroff -f; }}
busybox umount /proc
exec busybox switch_root /root /bin/bash {guest} {arguments}
"""


def initramfs(modules: Path, busybox: Path, guest: Path, arguments: str) -> bytes:
    """A cpio archive ("newc") whose /init ends in `bash GUEST ARGUMENTS` on the host's root."""
    loaded = modules_in_order(modules)
    init = INIT.format(modules=" ".join(loaded), guest=guest, arguments=arguments)
    entries = [(name, stat.S_IFDIR | 0o755, b"") for name in ("bin", "modules", "proc", "root")]
    entries.append(("bin/busybox", stat.S_IFREG | 0o755, busybox.read_bytes()))
    entries += [(f"modules/{name}", stat.S_IFREG | 0o644, data) for name, data in loaded.items()]
    entries.append(("init", stat.S_IFREG | 0o755, init.encode()))
    entries.append(("TRAILER!!!", 0, b""))
    return b"".join(cpio_entry(number, *entry) for number, entry in enumerate(entries, 1))


def cpio_entry(inode: int, name: str, mode: int, data: bytes) -> bytes:
    path = name.encode() + b"\0"
    fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)
    head = b"070701" + b"".join(b"%08x" % value for value in fields)
    return padded(head + path) + padded(data)


def padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def modules_in_order(folder: Path) -> dict[str, bytes]:
    """The wanted modules and what they depend on, dependencies first; built-in ones left out."""
    files = {module_name(path): path for path in folder.rglob("*.ko*")}
    loaded: dict[str, bytes] = {}

    def load(name: str) -> None:
        if name in loaded or name not in files:
            return
        data = read_module(files[name])
        for dependency in dependencies(data):
            load(dependency)
        loaded[name] = data

    for name in WANTED_MODULES:
        load(name)
    return loaded


def module_name(path: Path) -> str:
    return path.name.split(".ko")[0].replace("-", "_")


def read_module(path: Path) -> bytes:
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


def dependencies(module: bytes) -> list[str]:
    """From the `depends=` line of the module's .modinfo section."""
    listed = re.search(rb"\0depends=([^\0]*)\0", module)
    names = listed.group(1).decode() if listed else ""
    return [name.replace("-", "_") for name in names.split(",") if name]
