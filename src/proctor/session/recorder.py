"""The recorder: the one privileged process at work.

It loads the kernel programs, drains the rings, answers files not seen before
with probes, lets held processes go, and hands raw records to the keeper. It
parses no traffic and writes no file. It ends when told to, or when the keeper
or the launcher is gone; then every probe is taken out and every process let go.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import sys
import time
from collections import Counter
from functools import partial
from typing import Any, Final

from proctor.intake.exchange import VerdictKind
from proctor.kernel.counters import Counters
from proctor.kernel.holding import let_all_go, let_go
from proctor.kernel.libraries import Libraries, Library
from proctor.kernel.loading import MAP_ITERATORS, refused_features
from proctor.kernel.newcomers import Newcomers
from proctor.kernel.object import KernelObject
from proctor.kernel.process_table import Row, cgroup_names, json_record, process_record
from proctor.kernel.rings import Ring, hand_over
from proctor.kernel.scope_maps import anyone_left
from proctor.records._layout import lib
from proctor.records.layout import HEAD, LAYOUTS
from proctor.session.control import FOLLOW, hear_order
from proctor.session.examiner import Examiner, Question
from proctor.session.keeper_link import KeeperLink
from proctor.session.verbose import library_line

PART_MIN_BYTES: Final = 80 << 10
"""Room for the largest record there is."""
DRAIN_SECONDS: Final = 0.02
HOUSEKEEPING_SECONDS: Final = 1.0
LAST_PASSES: Final = 16
"""Times that what was done to files is read at the end, at most: few are needed, but programs that
go on add to it."""

_TLS: Final = struct.Struct("=Q")
_CALL: Final = struct.Struct("=I")
_INDEX: Final = struct.Struct("=I")
_HANDLE: Final = struct.Struct("=QII")
_MAPPING: Final = LAYOUTS["mapping_record"]


class Recorder:
    """One watch, from loaded programs to the last record."""

    def __init__(
        self,
        kernel: KernelObject,
        keeper: socket.socket,
        control: socket.socket,
        *,
        until_gone: bool,
        verbose: bool,
    ) -> None:
        """until_gone: end when no watched process lives. verbose: say what is probed."""
        self._kernel = kernel
        self._until_gone = until_gone
        self._verbose = verbose
        self._processes = kernel.map("processes", "__u32", "struct process")
        self._control = control
        self._lifecycle, self._payload = (
            Ring(kernel.map_fd(name), kernel.map_size(name)) for name in ("lifecycle", "payload")
        )
        hand_over(self._payload, keeper)
        self._keeper = KeeperLink(keeper)
        self._held = kernel.map("held", "__u32", "struct hold")
        self._handles = kernel.map("handles", "struct handle_key", "struct handle_key")
        self._skipped = kernel.map("skipped", "__u64", "__u32")
        self._holding_ended = kernel.map("holding_ended", "__u32", "__u32")
        self._files_ending = kernel.map("files_ending", "__u32", "__u32")
        self._libraries = Libraries(kernel)
        self._examiner = Examiner()
        self._waiting: Counter[int] = Counter()
        """Held processes, with the number of answers that each waits for."""
        self._counters = Counters(kernel)
        self._own_records: list[bytes] = []
        self._cgroups: set[int] = set()
        self._unnamed_cgroups: set[int] = set()
        self._exited: set[int] = set()
        self._newcomers = Newcomers()
        self._finishing = False

    def begin(self, running: list[Row], at_gate: int | None) -> None:
        """Say what runs already, and probe what it has mapped.

        at_gate: a process that only waits to exec, which leaves nothing of that mapped.
        """
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self._newcomers.know(running)
        for row in running:
            self._own_records.append(process_record(row, now_ns))
        self._drain()  # before anything else that is said of them
        for feature, reason in refused_features(self._kernel.refused):
            self._say(
                lib.RECORD_COVERAGE,
                feature=feature.name,
                reason=reason,
                advice=f"the kernel must have {feature.needs}",
            )
        for row in running:
            if row.pid != at_gate:
                for library in self._libraries.examine_process(row.pid):
                    self._say_library(row.pid, row.start_ns, library)

    def run(self) -> bool:
        """Drain until told to finish. False where nobody listened any more."""
        poll = select.epoll()
        for ring in (self._lifecycle, self._payload):
            # Woken where a program forced it, not for as long as there is anything in the ring.
            poll.register(ring.fd, select.EPOLLIN | select.EPOLLET)
        for fd in (self._control.fileno(), self._keeper.fd, self._examiner.fd):
            poll.register(fd, select.EPOLLIN)
        housekeeping_at = 0.0
        try:
            while not self._finishing:
                ready = {fd for fd, _ in poll.poll(DRAIN_SECONDS)}
                self._take_answers()
                self._drain()
                if self._keeper.fd in ready:
                    self._take_verdicts()
                if self._control.fileno() in ready:
                    self._take_order()
                if time.monotonic() >= housekeeping_at:
                    self._keep_house()
                    housekeeping_at = time.monotonic() + HOUSEKEEPING_SECONDS
                if self._until_gone and not anyone_left(self._processes):
                    self._finishing = True
                self._keeper.send()
                poll.modify(self._keeper.fd, self._keeper.awaited())
            self._finish()
        except (BrokenPipeError, ConnectionResetError):
            return False  # the keeper is gone: the launcher says so
        finally:
            poll.close()
        return True

    def _take_order(self) -> None:
        if hear_order(self._control) == FOLLOW:
            self._until_gone = True
        else:
            self._finishing = True

    def close(self) -> None:
        """Take out all probes."""
        self._stop_holding()
        self._examiner.close()
        # A kernel program that ran meanwhile may still have held a process: let go below.
        for name in ("enter_mmap", "process_exec"):
            link = self._kernel.links.pop(name, None)
            if link:
                link.close()
        let_all_go(self._held)
        self._lifecycle.close()
        self._payload.close()
        self._libraries.close()

    def _stop_holding(self) -> None:
        """Let all go; the kernel holds nobody from now on."""
        self._holding_ended.put(_INDEX.pack(0), _INDEX.pack(1))
        let_all_go(self._held)

    def _drain(self) -> None:
        """Everything that was in the rings when this began, as one batch.

        Both rings are cut at the same moment, the lifecycle ring first, so that what
        ends a process comes with the payload before it. The keeper reads the payload
        itself and sorts each batch.
        """
        until = self._lifecycle.produced()
        payload_until = self._payload.produced()
        records = [self._take_mappings(part) for part in self._read(until)]
        for row, met_ns in self._newcomers.take(self._kernel):
            self._own_records.append(process_record(row, met_ns - 1))  # before what it did
            examine = partial(self._libraries.examine_process, row.pid)
            self._examiner.put(Question(row.pid, row.start_ns, examine))
        records += map(memoryview, self._own_records)
        self._keeper.queue(records, payload_until)
        self._own_records.clear()

    def _read(self, until: int) -> list[memoryview]:
        """What lies before a position of the lifecycle ring."""
        parts: list[memoryview] = []
        while waiting := self._lifecycle.waiting_bytes(until):
            batch = memoryview(bytearray(max(waiting, PART_MIN_BYTES)))
            used = self._lifecycle.drain(batch, until)
            if not used:
                break  # a record that is still being written
            parts.append(batch[:used])
        return parts

    def _take_mappings(self, records: memoryview) -> memoryview:
        """Look into what is meant for us, pass the rest on."""
        passed, at, mappings = [], 0, []
        while at < len(records):
            head = HEAD.packing.unpack_from(records, at)
            length, kind, _flags, _time_ns, _start_ns, pid, _tid, cgroup = head
            record = records[at : at + length]
            at += length
            if kind == lib.RECORD_MAPPING:
                mappings.append(record)
                continue
            passed.append(record)
            self._newcomers.see(head, record)
            if kind == lib.RECORD_EXIT:
                self._exited.add(pid)
            elif kind == lib.RECORD_EXEC and cgroup not in self._cgroups:
                self._unnamed_cgroups.add(cgroup)
        if not mappings:
            return records
        self._ask_about_mappings(mappings)
        return memoryview(b"".join(passed))

    def _ask_about_mappings(self, mappings: list[memoryview]) -> None:
        for record in mappings:
            fields = dict(zip(_MAPPING.fields, _MAPPING.packing.unpack_from(record), strict=True))
            pid, is_held = fields["pid"], bool(fields["flags"] & lib.FLAG_HELD)
            key = fields["inode"], fields["device"], fields["ctime_ns"]
            examine = partial(self._libraries.examine, pid, fields["fd"], key)
            if is_held:
                self._waiting[pid] += 1
            self._examiner.put(Question(pid, fields["start_ns"], examine, is_held, not is_held))

    def _take_answers(self) -> None:
        """Say what was found, and let those go on who waited for it."""
        for question in self._examiner.take():
            for library in question.libraries:
                self._say_library(question.pid, question.start_ns, library, late=question.late)
            if question.held:
                self._waiting[question.pid] -= 1
                if not self._waiting[question.pid]:
                    del self._waiting[question.pid]
                    let_go(self._held, question.pid)

    def _say_library(self, pid: int, start_ns: int, library: Library, late: bool = False) -> None:
        if late and library.state == "attached":
            self._counters.add("mapping:not_held", 1)
        if self._verbose:
            print(library_line(library), file=sys.stderr, flush=True)
        self._say(
            lib.RECORD_COVERAGE,
            pid=pid,
            start_ns=start_ns,
            library=library.path,
            library_id=library.number,
            state=library.state,
            reason=library.reason,
            functions=library.functions,
        )

    def _say(self, kind: int, **content: Any) -> None:
        text = json.dumps({k: v for k, v in content.items() if v is not None}).encode()
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self._own_records.append(json_record(kind, text, now_ns))

    def _keep_house(self) -> None:
        """What is looked at once a second: counts, names of cgroups, what the dead left."""
        self._read_rows()
        lost = self._counters.changed()
        if lost is not None:
            self._say(lib.RECORD_LOSS, lost=lost)
        if self._unnamed_cgroups:
            names = dict(cgroup_names(self._unnamed_cgroups))
            self._cgroups |= self._unnamed_cgroups
            self._unnamed_cgroups = set()
            if names:
                self._say(lib.RECORD_COVERAGE, cgroups={str(k): v for k, v in names.items()})
        self._bury()

    def _read_rows(self) -> None:
        for name in MAP_ITERATORS:
            self._read_rows_of(name)

    def _read_rows_of(self, name: str) -> bool:
        rows = self._kernel.read_iterator(name) if name in self._kernel.links else b""
        if rows:
            self._own_records.append(rows)
        return bool(rows)

    def _bury(self) -> None:
        """TLS handles whose process died without freeing them."""
        if not self._exited:
            return
        for key in self._handles.all_keys():
            if _HANDLE.unpack(key)[1] in self._exited:
                self._handles.delete(key)
        self._exited.clear()

    def _take_verdicts(self) -> None:
        for kind, tls, call in self._keeper.verdicts():
            if kind == VerdictKind.SKIP:
                self._skipped.put(_TLS.pack(tls), _CALL.pack(call))
            else:
                self._skipped.delete(_TLS.pack(tls))

    def _finish(self) -> None:
        """The last records, in good order.

        Held processes go first: when the keeper is through, the launcher, their guardian, ends.
        """
        self._stop_holding()
        self._examiner.settle()
        self._drain()
        self._take_answers()
        self._files_ending.put(_INDEX.pack(0), _INDEX.pack(1))
        # A pass may step over elements beside those that it deletes.
        for _ in range(LAST_PASSES):
            if not self._read_rows_of("file_rows"):
                break
        self._keep_house()
        self._say(lib.RECORD_LOSS, lost=self._counters.totals())
        self._say(lib.RECORD_END)
        self._drain()
        self._keeper.finish()
