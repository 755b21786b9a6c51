"""A kernel without a kernel: runs the programs of `bpf/` and says what they did.

Time stands still while a program runs and goes on by 1 us before each: two runs of one story are
alike to the byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from proctor.records.decode import decode
from proctor.records.layout import HEAD, LAYOUTS, RECORD_TYPES
from proctor.records.types import Record
from tests.bpf.build import opened

STEP_NS: Final = 1000
STACK: Final = 0x7FFF_0000
"""Where a program's return address lies while it is in a function."""
_REGISTERS: Final = ("di", "si", "dx", "cx", "r8", "r9")
_SYSCALL_REGISTERS: Final = ("di", "si", "dx", "r10", "r8", "r9")
_STRUCTS: Final = {
    "RECORD_PROCESS": "exec_record",
    "RECORD_CONNECT": "connection_record",
    "RECORD_ACCEPT": "connection_record",
    "RECORD_CLOSE": "connection_record",
    "RECORD_COUNTERS": "connection_record",
    "RECORD_CLIENT_HELLO": "hello_record",
    "RECORD_TLS_COUNTERS": "tls_free_record",
}
TYPE_NAMES: Final = {number: name for name, number in RECORD_TYPES.items()}


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing that programs did: "reserve", "submit", "discard", "signal", "row"."""

    what: str
    flags: int = 0
    """Of a submit; of a signal its number."""
    ring: str = ""
    raw: bytes = b""
    """The record, as long as its head says (a row: all of it)."""
    reserved_bytes: int = 0


@dataclass(slots=True)
class Task:
    """A process, or one of its threads."""

    struct: Any
    """struct task_struct *"""
    pid: int
    tid: int
    start_ns: int
    cgroups: tuple[int, ...] = (1,)
    """Root first."""
    comm: bytes = b"agent"
    descriptors: dict[int, Any] = field(default_factory=dict)


class Machine:
    """One kernel: tests make one each."""

    def __init__(self) -> None:
        self.ffi, self.lib = opened()
        self.lib.stub_reset()
        self._consumed = 0
        self._kept: list[Any] = []
        self.lib.stub_now.time_ns = 1_000_000_000
        self.configure()

    # What the recorder sets.

    def configure(self, **fields: int) -> None:
        """`struct configuration`: hold_enabled is on unless said."""
        value = self.ffi.new("struct configuration *", {"hold_enabled": 1, **fields})
        self.lib.stub_set_configuration(value, self.ffi.sizeof(value[0]))

    def put(self, map_name: str, key: Any, value: Any) -> None:
        assert self.lib.stub_update(map_name.encode(), key, value) == 0

    def look(self, map_name: str, key: Any) -> Any:
        """The value's address, or NULL."""
        return self.lib.stub_lookup(map_name.encode(), key)

    def u32(self, value: int) -> Any:
        return self.ffi.new("uint32_t *", value)

    def u64(self, value: int) -> Any:
        return self.ffi.new("uint64_t *", value)

    def watch(self, task: Task, flags: int = 0) -> None:
        """Put a process into scope as the recorder does."""
        process = {"start_ns": task.start_ns, "flags": flags}
        self.put("processes", self.u32(task.pid), self.ffi.new("struct process *", process))

    def process(self, pid: int) -> Any:
        """`struct process` in scope, or NULL."""
        return self.ffi.cast("struct process *", self.look("processes", self.u32(pid)))

    def held(self, pid: int) -> Any:
        return self.ffi.cast("struct hold *", self.look("held", self.u32(pid)))

    def skip(self, tls: int, judged_call: int) -> None:
        self.put("skipped", self.u64(tls), self.u32(judged_call))

    def count(self, map_name: str) -> int:
        return int(self.lib.stub_entries(map_name.encode()))

    def maps(self, *but: str) -> dict[str, dict[bytes, bytes]]:
        """What is in the maps, but for those and the counters."""
        return {name: self.entries(name) for name in _MAPS if name not in but}

    def entries(self, map_name: str) -> dict[bytes, bytes]:
        key, value = self.ffi.new("void **"), self.ffi.new("void **")
        found = {}
        for index in range(self.count(map_name)):
            size = self.lib.stub_entry(map_name.encode(), index, key, value)
            name = bytes(self.ffi.buffer(key[0], _MAPS[map_name]))
            found[name] = bytes(self.ffi.buffer(value[0], size))
        return found

    # What happens.

    def run(self, program: str, context: Any, by: Task) -> int:
        """A program in this task's context. Returns what it returned."""
        now = self.lib.stub_now
        now.time_ns += STEP_NS
        now.pid_tgid = by.pid << 32 | by.tid
        now.task = int(self.ffi.cast("uintptr_t", by.struct))
        now.cgroup = by.cgroups[-1]
        for level in range(12):
            now.ancestors[level] = by.cgroups[level] if level < len(by.cgroups) else 0
        now.comm = by.comm.ljust(16, b"\0")
        return int(self.lib.stub_run(program.encode(), context))

    def trace(self, program: str, *arguments: Any, by: Task) -> None:
        """A BTF tracepoint."""
        words = [int(self.ffi.cast("uintptr_t", each)) for each in arguments]
        self.run(program, self.ffi.new("uint64_t[]", words), by)

    def probe(self, program: str, *arguments: int, by: Task, stack: int = STACK) -> None:
        """A uprobe at a function's entry."""
        registers = self.ffi.new("struct pt_regs *", {"sp": stack})
        for name, value in zip(_REGISTERS, arguments, strict=False):
            setattr(registers, name, value & 0xFFFFFFFFFFFFFFFF)
        self.run(program, registers, by)

    def returns(self, program: str, result: int, *, by: Task, stack: int = STACK) -> None:
        """A uretprobe of a function that was entered with this stack pointer."""
        fields = {"ax": result & 0xFFFFFFFFFFFFFFFF, "sp": stack + 8}
        registers = self.ffi.new("struct pt_regs *", fields)
        self.run(program, registers, by)

    def syscall(self, program: str, *arguments: int, by: Task) -> None:
        context = self.kernel("struct trace_event_raw_sys_enter")
        for index, value in enumerate(arguments):
            context.args[index] = value & 0xFFFFFFFFFFFFFFFF
        self.run(program, context, by)

    def left(self, number: int, result: int, *arguments: int, by: Task) -> None:
        """The exit of any syscall, at the tracepoint of all."""
        registers = self.kernel("struct pt_regs", orig_ax=number & 0xFFFFFFFFFFFFFFFF)
        for name, value in zip(_SYSCALL_REGISTERS, arguments, strict=False):
            setattr(registers, name, value & 0xFFFFFFFFFFFFFFFF)
        words = [int(self.ffi.cast("uintptr_t", registers)), result & 0xFFFFFFFFFFFFFFFF]
        self.run("file_call", self.ffi.new("uint64_t[]", words), by)

    def syscall_returns(
        self, program: str, result: int, *arguments: int, by: Task, areas: Sequence[Any] = ()
    ) -> None:
        """areas: `struct vm_area_struct` of the process's memory, with initializers' values."""
        registers = self.ffi.new("struct pt_regs *")
        for name, value in zip(_SYSCALL_REGISTERS, arguments, strict=False):
            setattr(registers, name, value & 0xFFFFFFFFFFFFFFFF)
        memory = self.kernel(f"struct {{ struct vm_area_struct areas[{len(areas) or 1}]; }}")
        for index, area in enumerate(areas):
            memory.areas[index] = area
        now = self.lib.stub_now
        now.registers = int(self.ffi.cast("uintptr_t", registers))
        now.areas, now.area_count = int(self.ffi.cast("uintptr_t", memory)), len(areas)
        self.run(program, self.kernel("struct trace_event_raw_sys_exit", ret=result), by)

    def rows(self, map_name: str, program: str, by: Task) -> list[Record]:
        """What an iterator over a map writes."""
        key, value = self.ffi.new("void **"), self.ffi.new("void **")
        index = 0
        while index < (entries := self.count(map_name)):
            self.lib.stub_entry(map_name.encode(), index, key, value)
            meta = self.ffi.new("struct bpf_iter_meta *")
            element = {"meta": meta, "key": key[0], "value": value[0]}
            self.run(program, self.ffi.new("struct bpf_iter__bpf_map_elem *", element), by)
            index += self.count(map_name) == entries  # else it deleted this one
        return self.records()

    # Memory.

    def user(self, data: bytes) -> int:
        """An address in user memory where this lies, and nothing readable after it."""
        start = self.lib.stub_allocate(self.lib.STUB_USER, len(data))
        self.ffi.memmove(start, data, len(data))
        return int(self.ffi.cast("uintptr_t", start))

    def unmap(self, address: int) -> None:
        self.lib.stub_unmap(self.ffi.cast("void *", address))

    def kernel(self, kind: str, **fields: Any) -> Any:
        """A kernel struct, as `struct x *`."""
        start = self.lib.stub_allocate(self.lib.STUB_KERNEL, self.ffi.sizeof(kind))
        pointer = self.ffi.cast(f"{kind} *", start)
        for name, value in fields.items():
            setattr(pointer, name, value)
        return pointer

    # What comes of it.

    def deeds(self) -> list[Deed]:
        """Since the last time."""
        found = []
        while self._consumed < self.lib.stub_event_count():
            found.append(self._deed(self.lib.stub_event_at(self._consumed)))
            self._consumed += 1
        return found

    def _deed(self, event: Any) -> Deed:
        what = ("reserve", "submit", "discard", "signal", "row")[event.deed]
        ring = self.ffi.string(event.ring).decode() if event.ring else ""
        raw = b""
        if event.data:
            length = event.size_bytes
            if what == "submit":
                length = self.ffi.cast("struct record_head *", event.data).length
            assert length <= event.size_bytes
            raw = bytes(self.ffi.buffer(event.data, length))
            if what == "submit":
                check_written(raw)
        return Deed(what, event.flags, ring, raw, event.size_bytes)

    def records(self, ring: str | None = None) -> list[Record]:
        """Submitted (or written by an iterator) since the last time."""
        deeds = [deed for deed in self.deeds() if deed.raw and ring in (None, deed.ring)]
        records = [decode(deed.raw) for deed in deeds]
        wrong = [record for record in records if not isinstance(record, Record)]
        assert not wrong
        return [record for record in records if isinstance(record, Record)]

    def lost(self) -> dict[str, int]:
        """Of the counters, those that are not 0: "tls:ring_full" and so on."""
        reasons = _names(self.ffi, "loss_reason")
        programs = _names(self.ffi, "loss_program")
        found = {}
        for key, value in self.entries("losses").items():
            program, reason = divmod(int.from_bytes(key, "little"), reasons.index("reasons"))
            if count := int.from_bytes(value, "little"):
                found[f"{programs[program]}:{reasons[reason]}"] = count
        return found

    # What goes wrong.

    @contextmanager
    def failing(self, fault: str, nth: int = 1) -> Iterator[None]:
        """The nth of its kind fails: "reserve", "update", "read_user", "read_kernel", "signal",
        "skb", "write_row" or "memory_lock".

        A block in which that did not come to happen is an error.
        """
        number = getattr(self.lib, f"STUB_{fault.upper()}")
        self.lib.stub_fail(number, nth)
        yield
        assert self.lib.stub_faulted() == 1, f"{fault} {nth} was never reached"
        self.lib.stub_fail(number, 0)

    def seen(self, fault: str) -> int:
        """How many there were so far."""
        return int(self.lib.stub_seen(getattr(self.lib, f"STUB_{fault.upper()}")))


def _names(ffi: Any, enum: str) -> list[str]:
    elements = ffi.typeof(f"enum {enum}").elements
    return [elements[number].removeprefix("LOSS_").lower() for number in sorted(elements)]


_MAPS: Final = {
    "processes": 4, "scope_cgroups": 8, "scope_exes": 24, "files": 24, "held": 4,
    "connections": 8, "dns_sockets": 8, "handles": 16, "freed": 16, "calls": 8, "outer_calls": 16,
    "skipped": 8, "record_starts": 48, "losses": 4, "file_uses": 32,
}  # fmt: skip
"""Their keys' sizes; exec_scratch is scratch."""


def check_written(raw: bytes) -> None:
    """No field of the struct was left as the ring had it, nor any byte that nobody names."""
    if len(raw) < HEAD.size_bytes:
        return
    name = TYPE_NAMES.get(int.from_bytes(raw[4:6], "little"), "")
    layout = LAYOUTS.get(_STRUCTS.get(name, name.removeprefix("RECORD_").lower() + "_record"))
    if layout is None:
        return
    assert b"\xa5" * 3 not in raw[: layout.size_bytes], f"{name}: not all of it was written"
