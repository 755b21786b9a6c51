"""One story in which everything happens, told again with one thing failing, whichever it is.

A record that finds no room is counted under its program, and nothing else changes: the other
records, the maps, who is held. A map that is full and memory that cannot be read are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tests.bpf.machine import TYPE_NAMES, Deed, Machine
from tests.bpf.test_dns import QUERY, datagram
from tests.bpf.tls import APPLICATION, HANDSHAKE, Handle
from tests.bpf.world import CLOSE, World

PROGRAM_OF = {
    "FORK": "process",
    "EXEC": "process",
    "EXIT": "process",
    "CONNECT": "connection",
    "ACCEPT": "connection",
    "CLOSE": "connection",
    "COUNTERS": "connection",
    "CLIENT_HELLO": "hello",
    "DNS": "dns",
    "MAPPING": "mapping",
    "TLS_OPEN": "tls",
    "TLS_DATA": "tls",
    "TLS_RETURN": "tls",
    "TLS_FREE": "tls",
    "TLS_TIE": "tie",
}


def story() -> Machine:
    """A child of a shell runs a program that talks to a model and to a client of its own."""
    machine = Machine()
    world = World(machine)
    shell = world.task(4000)
    machine.watch(shell)
    agent = world.task(4711, parent=shell)
    world.arguments(agent, b"agent\0--fast\0")
    machine.trace("process_fork", shell.struct, agent.struct, by=shell)
    binary = machine.kernel("struct linux_binprm", file=world.file("bin", "agent"))
    machine.trace("process_exec", agent.struct, 0, binary, by=agent)
    world.open(agent, 9, world.file("lib", "libssl.so.3"))
    machine.syscall("enter_mmap", 0, 4096, 5, 2, 9, by=agent)
    machine.run("dns_egress", world.packet(datagram(4, QUERY)), agent)
    machine.run("dns_ingress", world.packet(datagram(4, QUERY, sent=False)), world.task(9))
    handle = Handle(machine, agent)
    handle.new()
    sock = world.connected(agent, 3)
    handle.handshake()
    handle.bio_write(HANDSHAKE)
    hello = machine.user(HANDSHAKE)
    machine.syscall("enter_write", 3, hello, len(HANDSHAKE), by=agent)
    handle.begin_write(b"POST / HTTP/1.1\r\n\r\n" + b"x" * 70_000)
    handle.bio_write(APPLICATION)
    sent = machine.user(APPLICATION)
    machine.syscall("enter_sendto", 3, sent, len(APPLICATION), by=agent)
    handle.end(70_019)
    handle.read(b"HTTP/1.1 200 OK\r\n\r\n")
    handle.read_ex(b"more")
    world.open(agent, 5, world.socket_file(world.tcp()))
    machine.syscall_returns("exit_accept4", 5, by=agent)
    world.open(agent, 6, world.socket_file(world.tcp()))
    machine.syscall("enter_write", 6, machine.user(b"x"), 1, by=agent)
    handle.free()
    world.move(sock, CLOSE, by=agent)
    machine.trace("process_exit", agent.struct, by=agent)
    return machine


def kind(deed: Deed) -> str:
    return TYPE_NAMES[int.from_bytes(deed.raw[4:6], "little")].removeprefix("RECORD_")


def submitted(machine: Machine) -> list[Deed]:
    return [deed for deed in machine.deeds() if deed.what == "submit"]


def state(machine: Machine, *but: str) -> dict[str, list[bytes]]:
    """What maps hold; their keys may be addresses, which differ from run to run."""
    maps = machine.maps("losses", "calls", *but)
    return {name: sorted(entries.values()) for name, entries in maps.items()}


def failing_story(fault: str, nth: int) -> Machine:
    """`Machine()` in the story forgets all faults: this one comes after it."""
    original: Callable[[Machine], None] = Machine.__init__

    def begin(machine: Machine) -> None:
        original(machine)
        machine.lib.stub_fail(getattr(machine.lib, f"STUB_{fault.upper()}"), nth)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Machine, "__init__", begin)
        machine = story()
    assert machine.lib.stub_faulted() == 1, f"{fault} {nth} was never reached"
    return machine


def count(fault: str) -> int:
    return story().seen(fault)


def test_the_story_has_everything_and_loses_nothing() -> None:
    machine = story()
    assert {kind(deed) for deed in submitted(machine)} == PROGRAM_OF.keys()
    assert machine.lost() == {}
    assert machine.count("processes") == 1
    assert machine.count("calls") == 0


def test_a_full_ring_at_each_record() -> None:
    machine = story()
    whole, maps = submitted(machine), state(machine)
    for nth, missing in enumerate(whole, 1):
        machine = failing_story("reserve", nth)
        deeds = machine.deeds()
        left = [deed.raw for deed in deeds if deed.what == "submit"]
        assert left == [deed.raw for deed in whole if deed is not missing], kind(missing)
        assert machine.lost() == {f"{PROGRAM_OF[kind(missing)]}:ring_full": 1}
        # The one effect that hangs on a record: nobody is stopped whom nobody would let go.
        mapping = kind(missing) == "MAPPING"
        assert sum(deed.what == "signal" for deed in deeds) == 2 - mapping
        assert state(machine, "held") == {name: maps[name] for name in maps if name != "held"}


def test_a_full_map_at_each_entry() -> None:
    """Only what depends on the entry is missing, and the loss is counted once."""
    whole = Counter(kind(deed) for deed in submitted(story()))
    quiet = 0
    for nth in range(1, count("update") + 1):
        machine = failing_story("update", nth)
        told = Counter(kind(deed) for deed in submitted(machine))
        lost = machine.lost()
        assert not told - whole - Counter(TLS_OPEN=9, COUNTERS=9), nth
        assert all(reason.endswith(":map_full") for reason in lost)
        # These are LRU maps, which are never full: an entry is pushed out, and nobody told.
        quiet += not lost
    assert quiet == len(("dns_sockets", "record_starts", "freed"))


def test_unreadable_memory_at_each_read() -> None:
    """Counted, or looked at again, so that nothing is missing."""
    whole = [deed.raw for deed in submitted(story())]
    for nth in range(1, count("read_user") + 1):
        machine = failing_story("read_user", nth)
        told = [deed.raw for deed in submitted(machine)]
        lost = machine.lost()
        assert sum(lost.values()) == (0 if told == whole else 1), (nth, lost)
        assert all(reason.endswith(":unreadable") for reason in lost)


def test_time_of_a_story_is_its_own() -> None:
    """Two runs are alike to the byte, or the comparisons here would mean little."""
    assert [deed.raw for deed in submitted(story())] == [deed.raw for deed in submitted(story())]
