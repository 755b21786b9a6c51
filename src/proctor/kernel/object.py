"""The BPF object: opened as it lies in the package, configured, loaded, attached.

Everything that depends on this kernel happens in `load` and `attach`; what a
kernel refuses is told as `KernelError` with the verifier's last words, or, for
programs that we can do without, remembered in `refused`.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from proctor.kernel.libbpf import ffi, lib
from proctor.records._layout import ffi as layout_ffi

OBJECT: Final = "proctor.bpf.o"
VERIFIER_TAIL_LINES: Final = 3
_NO_PREALLOC: Final = 1  # BPF_F_NO_PREALLOC, linux/bpf.h
_PREFIX: Final = re.compile(r"^libbpf: (prog '\w+': )?")
_BESIDE: Final = re.compile(
    r"\s*$|;|processed \d|verification time|stack depth|max_states|\d+: |-- END"
    r"|libbpf: prog '\w+': (-- BEGIN|BPF program load failed|failed to load: )"
    r"|libbpf: failed to load (object|program)"
)
"""Lines of a log that do not say why a program was refused."""
_BLAMED: Final = re.compile(r"failed to load program '(\w+)'|libbpf: prog '(\w+)': ")


class KernelError(Exception):
    """The kernel refused something. `log` is libbpf's and the verifier's whole text."""

    def __init__(self, message: str, log: str = "", program: str | None = None) -> None:
        super().__init__(message)
        self.log = log
        self.program = program
        """Which program it was, where that is known."""


def _text(pointer: Any) -> str:
    return bytes(ffi.string(pointer)).decode(errors="replace")


class Map:
    """A BPF map, by descriptor, with keys and values as bytes."""

    def __init__(self, fd: int, key_bytes: int, value_bytes: int) -> None:
        self.fd = fd
        self._key_bytes = key_bytes
        self._value = ffi.new("char[]", value_bytes)

    def get(self, key: bytes) -> bytes | None:
        """The value, or None where the key is absent."""
        if lib.bpf_map_lookup_elem(self.fd, key, self._value):
            return None
        return bytes(ffi.buffer(self._value))

    def put(self, key: bytes, value: bytes) -> None:
        """Raises OSError (E2BIG: the map is full)."""
        if lib.bpf_map_update_elem(self.fd, key, value, 0):
            raise OSError(ffi.errno, os.strerror(ffi.errno))

    def delete(self, key: bytes) -> bool:
        """False where it was not there."""
        return not lib.bpf_map_delete_elem(self.fd, key)

    def __iter__(self) -> Iterator[bytes]:
        """All keys; those added or deleted meanwhile may or may not be among them."""
        key, following = ffi.NULL, ffi.new("char[]", self._key_bytes)
        while not lib.bpf_map_get_next_key(self.fd, key, following):
            key = bytes(ffi.buffer(following))
            yield key

    def all_keys(self) -> list[bytes]:
        return list(self)


class UprobeLink:
    """Probes of one program on one file, gone when closed, or when the process dies."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Link:
    """An attachment: gone when closed, or when the process dies."""

    def __init__(self, pointer: Any) -> None:
        self._pointer = pointer

    @property
    def fd(self) -> int:
        return int(lib.bpf_link__fd(self._pointer))

    def close(self) -> None:
        if self._pointer is not None:
            lib.bpf_link__destroy(self._pointer)
            self._pointer = None


class KernelObject:
    """All our kernel programs. Use as a context manager: leaving detaches everything."""

    def __init__(self, name: str = OBJECT, *, earlier_log: str = "") -> None:
        """name: a file in this package, or its path anywhere. earlier_log: of a load before."""
        lib.proctor_log_start()
        self._earlier_log = earlier_log
        self._object = lib.bpf_object__open(os.fsencode(Path(__file__).parent / name))
        if self._object == ffi.NULL:
            raise KernelError(f"{name}: {os.strerror(ffi.errno)}; build it again", self.log)
        self.links: dict[str, Link] = {}
        self.refused: dict[str, str] = {}
        """Programs that could not be loaded or attached, with the reason."""
        self._uprobe_multi: set[str] = set()
        self._programs = {_text(lib.bpf_program__name(p)): p for p in self._walk("program")}
        self._maps = {_text(lib.bpf_map__name(m)): m for m in self._walk("map")}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        for link in self.links.values():
            link.close()
        self.links.clear()
        if self._object is not None:
            lib.bpf_object__close(self._object)
            self._object = None

    def _walk(self, what: str) -> Iterator[Any]:
        step = getattr(lib, f"bpf_object__next_{what}")
        item = step(self._object, ffi.NULL)
        while item != ffi.NULL:
            yield item
            item = step(self._object, item)

    @property
    def log(self) -> str:
        """What libbpf and the verifier said so far."""
        return self._earlier_log + _text(lib.proctor_log_text())

    @property
    def programs(self) -> list[str]:
        return list(self._programs)

    @property
    def maps(self) -> list[str]:
        return list(self._maps)

    def section(self, name: str) -> str:
        """The section a program stands in: `tp_btf/sched_process_exec`."""
        return _text(lib.bpf_program__section_name(self._programs[name]))

    def skip(self, name: str) -> None:
        """Do not load this program (before `load`)."""
        lib.bpf_program__set_autoload(self._programs[name], False)

    def configure(self, values: bytes) -> None:
        """Set the bytes of `struct configuration` (before `load`)."""
        pointer = self._maps[".rodata.configuration"]
        if lib.bpf_map__set_initial_value(pointer, values, len(values)):
            raise KernelError(f"configuration: {os.strerror(ffi.errno)}", self.log)

    def resize(self, name: str, max_entries: int) -> None:
        """Set a map's size (before `load`). A ring's is its bytes, a power of two."""
        lib.bpf_map__set_max_entries(self._maps[name], max_entries)

    def allocate_as_used(self, name: str) -> None:
        """Memory for a hash's entries as they come, not for all of them (before `load`)."""
        pointer = self._maps[name]
        lib.bpf_map__set_map_flags(pointer, lib.bpf_map__map_flags(pointer) | _NO_PREALLOC)

    def leave_out(self, name: str) -> None:
        """Do not create this map (before `load`): no program that loads may reach its use."""
        lib.bpf_map__set_autocreate(self._maps[name], False)

    def load(self) -> None:
        """Load all programs. Raises KernelError with the verifier's last lines."""
        if lib.bpf_object__load(self._object):
            code, log = ffi.errno, _text(lib.proctor_log_text())
            program = blamed_program(log)
            what = f"kernel program {program}" if program else "kernel programs"
            reason = verifier_reason(log) or os.strerror(code).lower()
            raise KernelError(f"{what}: not loaded: {reason}", self.log, program)

    def map(self, name: str, key: str, value: str) -> Map:
        """A map by the C types of its key and value: `map("held", "__u32", "struct hold")`."""
        return Map(self.map_fd(name), layout_ffi.sizeof(key), layout_ffi.sizeof(value))

    def map_fd(self, name: str) -> int:
        return int(lib.bpf_map__fd(self._maps[name]))

    def map_size(self, name: str) -> int:
        return int(lib.bpf_map__max_entries(self._maps[name]))

    def attach(self, name: str) -> bool:
        """Attach a program where its section says. False, and a reason in `refused`, if not."""
        link = lib.bpf_program__attach(self._programs[name])
        return self._keep(name, link)

    def attach_tracepoint(self, name: str, category: str, event: str) -> bool:
        """One program may be attached to several: the link is kept as `NAME EVENT`."""
        link = lib.bpf_program__attach_tracepoint(
            self._programs[name], category.encode(), event.encode()
        )
        return self._keep(name, link, f"{name} {event}")

    def attach_cgroup(self, name: str, cgroup_fd: int) -> bool:
        return self._keep(name, lib.bpf_program__attach_cgroup(self._programs[name], cgroup_fd))

    def attach_map_iterator(self, name: str, map_name: str) -> bool:
        """An iterator over a map's elements: see `read_iterator`."""
        link = lib.proctor_attach_map_iterator(self._programs[name], self.map_fd(map_name))
        return self._keep(name, link)

    def _keep(self, name: str, pointer: Any, link: str = "") -> bool:
        if pointer == ffi.NULL:
            cause = os.strerror(ffi.errno).lower()
            self.refused[link or name] = f"not attached: {self.section(name)}: {cause}"
            return False
        self.links[link or name] = Link(pointer)
        return True

    def use_uprobe_multi(self, names: Iterable[str]) -> None:
        """Attach these programs by one link for all places of a file (before `load`).

        Since 6.6. A probe of its own takes the kernel 100 ms to take out, and a lock that keeps
        everybody's probes from going in: perf_uprobe_destroy holds event_mutex.
        """
        for name in names:
            lib.proctor_set_uprobe_multi(self._programs[name])
            self._uprobe_multi.add(name)

    @property
    def uses_uprobe_multi(self) -> bool:
        return bool(self._uprobe_multi)

    def attach_uprobes(
        self, name: str, path: str, offsets: Sequence[int], *, at_return: bool, cookie: int
    ) -> list[Link | UprobeLink]:
        """Probe a file at file offsets, in every process: all or none. Raises KernelError."""
        if name in self._uprobe_multi:
            fd = lib.proctor_attach_uprobe_multi(
                self._programs[name], os.fsencode(path), offsets, len(offsets), at_return, cookie
            )
            if fd < 0:
                raise KernelError(f"{path}+{offsets[0]:#x}: {os.strerror(-fd).lower()}")
            return [UprobeLink(fd)]
        links: list[Link | UprobeLink] = []
        try:
            for offset in offsets:
                links.append(self._attach_uprobe(name, path, offset, at_return, cookie))
        except KernelError:
            for link in links:
                link.close()
            raise
        return links

    def _attach_uprobe(
        self, name: str, path: str, offset: int, at_return: bool, cookie: int
    ) -> Link:
        program, place = self._programs[name], os.fsencode(path)
        pointer = lib.proctor_attach_uprobe(program, place, offset, at_return, cookie)
        if pointer == ffi.NULL and ffi.errno == errno.EOPNOTSUPP and cookie:  # before 5.15
            pointer = lib.proctor_attach_uprobe(program, place, offset, at_return, 0)
        if pointer == ffi.NULL:
            raise KernelError(f"{path}+{offset:#x}: {os.strerror(ffi.errno).lower()}")
        return Link(pointer)

    def read_iterator(self, name: str) -> bytes:
        """Run an attached iterator program once; the rows it wrote."""
        fd = lib.bpf_iter_create(self.links[name].fd)
        if fd < 0:
            raise KernelError(f"{name}: {os.strerror(ffi.errno)}")
        parts = []
        try:
            while part := os.read(fd, 1 << 16):
                parts.append(part)
        finally:
            os.close(fd)
        return b"".join(parts)


def blamed_program(log: str) -> str | None:
    """Which program a failed load is about: the last that libbpf names."""
    named = [loaded or other for loaded, other in _BLAMED.findall(log)]
    return named[-1] if named else None


def verifier_reason(log: str) -> str:
    """The last lines that say why, without register dumps, statistics and libbpf's own epilogue."""
    told = [_PREFIX.sub("", line).strip() for line in log.splitlines() if not _BESIDE.match(line)]
    omitted = len(told) - VERIFIER_TAIL_LINES
    tail = " | ".join(told[-VERIFIER_TAIL_LINES:])
    return tail + (f" ({omitted} lines omitted: -vv)" if omitted > 0 else "")
