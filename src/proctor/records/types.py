"""Records: one class for each C struct of `bpf/proctor.h`, with the struct's own names.

`fork_record` is `ForkRecord`; nested structs are flattened, as
`proctor.records.layout` does it, and what follows the struct comes last. A test
holds names and order to the header.

Times are CLOCK_BOOTTIME nanoseconds. Texts keep bytes that are no UTF-8 as lone
surrogates, as Python does with file names.

The classes are not frozen because a frozen one takes 3.4 us to make, an open one
0.5; nothing changes a record once it is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Record:
    """The head, which every record has."""

    length: int
    type: int
    flags: int
    time_ns: int
    start_ns: int
    pid: int
    tid: int
    cgroup: int


@dataclass(slots=True)
class ForkRecord(Record):
    """The head's process is the child."""

    parent_start_ns: int
    parent_pid: int


@dataclass(slots=True)
class ExecRecord(Record):
    """A program started (RECORD_EXEC), or ran before the watch (RECORD_PROCESS)."""

    parent_start_ns: int
    parent_pid: int
    uid: int
    gid: int
    argv_total_bytes: int
    exe_bytes: int
    cwd_bytes: int
    argv_bytes: int
    comm: bytes
    exe: str | None
    """None where the kernel could not say."""
    cwd: str | None
    argv: list[str]


@dataclass(slots=True)
class ExitRecord(Record):
    """A process ended. `signal`: 0 unless a signal ended it."""

    exit_code: int
    signal: int


@dataclass(slots=True)
class ConnectionRecord(Record):
    """CONNECT, ACCEPT, CLOSE or COUNTERS, by `type`."""

    connection: int
    bytes_sent: int
    bytes_received: int
    duration_ns: int
    family: int
    local_port: int
    remote_port: int
    local: bytes
    remote: bytes
    error: int


@dataclass(slots=True)
class HelloRecord(Record):
    """What a connection began to send, where that is TLS."""

    connection: int
    data: bytes
    """The first TLS records of the connection, as written; in its next record of this type, the
    beginning of what was written after them."""


@dataclass(slots=True)
class DnsRecord(Record):
    """A DNS message on UDP port 53. `direction`: a query is sent, an answer received."""

    family: int
    local_port: int
    remote_port: int
    local: bytes
    remote: bytes
    direction: int
    total_bytes: int
    data: bytes
    """The DNS message, possibly cut: `total_bytes` is what it was."""


@dataclass(slots=True)
class MappingRecord(Record):
    """A process maps a file to run code from. `device`: the kernel's s_dev; `fd`: the descriptor in
    that process, -1 for its executable."""

    inode: int
    ctime_ns: int
    device: int
    fd: int


@dataclass(slots=True)
class FileRecord(Record):
    """A process begins to use a file through a descriptor."""

    use: int
    inode: int
    device: int
    mode: int
    path: str


@dataclass(slots=True)
class FileUseRecord(Record):
    """What the process did to the file since its last record of this type. `time_ns`: when it used
    the file last."""

    use: int
    first_ns: int
    bytes_written: int
    bytes_read: int
    writes: int
    reads: int
    creations: int
    resizes: int
    mappings: int
    attributes: int


@dataclass(slots=True)
class FileChangeRecord(Record):
    """One call by path."""

    operation: int
    flags_given: int
    error: int
    path_bytes: int
    base_bytes: int
    new_path_bytes: int
    new_base_bytes: int
    path: str | None
    """As the program passed it; empty where it passed none. None: could not be read."""
    base: str | None
    """The directory that it counts from; the process's root where it begins with `/`."""
    new_path: str | None
    """None also where the call has one name."""
    new_base: str | None


@dataclass(slots=True)
class TlsOpenRecord(Record):
    """A TLS handle (`SSL*`) is seen for the first time. `tls` is its number in the recording, never
    reused; `library` the attach cookie, 0 where the kernel has none (before 5.15)."""

    tls: int
    pointer: int
    library: int


@dataclass(slots=True)
class TlsDataRecord(Record):
    """A piece of one call. A write comes at its entry and counts once a TlsReturnRecord says how
    much was accepted; a read comes at its return.

    `stream_bytes`: bytes of this direction before the call; `total_bytes`: of the call;
    `position`: where in the call the piece begins; `call`: counts the handle's calls, of both
    directions.
    """

    tls: int
    stream_bytes: int
    total_bytes: int
    position: int
    call: int
    piece_bytes: int
    direction: int
    data: bytes
    """Empty with FLAG_UNREADABLE and FLAG_SKIPPED, else `piece_bytes` long."""


@dataclass(slots=True)
class TlsRepeatRecord(Record):
    """A TlsDataRecord as it stands in the file. Readers of recordings never see one."""

    tls: int
    stream_bytes: int
    total_bytes: int
    position: int
    call: int
    piece_bytes: int
    direction: int
    checksum: int
    runs: int
    repeated: list[tuple[int, int]]
    """Where runs that are left out begin in the piece, and their sizes: ordered, apart."""
    data: bytes
    """The rest."""


@dataclass(slots=True)
class TlsReturnRecord(Record):
    """What a write came to. `accepted_bytes`: 0 or below: nothing was accepted, and it may be tried
    again; `total_bytes`: as it was offered."""

    tls: int
    accepted_bytes: int
    total_bytes: int
    call: int


@dataclass(slots=True)
class TlsTieRecord(Record):
    """The connection that carries a handle."""

    tls: int
    connection: int


@dataclass(slots=True)
class TlsFreeRecord(Record):
    """FREE or, while the handle lives, COUNTERS."""

    tls: int
    bytes_sent: int
    bytes_received: int
    calls: int


@dataclass(slots=True)
class JsonRecord(Record):
    """COVERAGE, LOSS or END: made by the recorder or the keeper."""

    value: dict[str, Any]


@dataclass(slots=True)
class UnknownRecord(Record):
    """A type of a newer version: whole, but nothing is known of it."""


@dataclass(slots=True)
class DamagedRecord:
    """Bytes that cannot be the record they say they are."""

    type: int
    """0 where not even the head is whole."""
    reason: str
    """A text for people: what does not fit."""
