"""Processes: inheritance, exec, exit, containers."""

from __future__ import annotations

import pytest

from proctor.actions.processes import EXITED_REMEMBERED, Processes, container_id, user_name
from proctor.events import ProcessEvent
from proctor.records.layout import FLAG_UNREADABLE, HEAD
from tests.made_records import Clock, Program
from tests.unit.story import feed

OFFSET_NS = 1_000_000_000_000
ID = "0123456789abcdef" * 4


def make() -> tuple[Processes, Program, Program]:
    clock = Clock()
    processes = Processes(OFFSET_NS, {1000: "ada"}.get)
    return processes, Program(100, 5, clock), Program(101, 6, clock)


def test_exec_says_all_of_the_program() -> None:
    processes, shell, _ = make()
    raws = shell.exec("/bin/sh", "sh", "-c", "true", cwd="/home/ada", uid=1000)
    (event,) = feed(processes.feed, raws)
    process = event.process
    assert process is not None
    assert (event.event, event.time_ns) == ("exec", shell.clock.time_ns + OFFSET_NS)
    assert event.argv == process.argv == ["sh", "-c", "true"]
    assert event.argv_truncated is None
    assert (process.pid, process.start_time_ns) == (100, 5 + OFFSET_NS)
    assert (process.exe, process.comm, process.cwd) == ("/bin/sh", "sh", "/home/ada")
    assert (process.uid, process.user) == (1000, "ada")


def test_a_child_is_its_parent_until_it_runs_a_program() -> None:
    processes, shell, child = make()
    feed(processes.feed, shell.exec("/bin/sh", "sh", uid=1000), child.fork(shell))
    forked = processes.named((101, 6))
    assert (forked.pid, forked.ppid, forked.exe, forked.user) == (101, 100, "/bin/sh", "ada")
    assert forked.start_time_ns == 6 + OFFSET_NS
    feed(processes.feed, child.exec("/bin/true", "true"))
    assert forked.exe == "/bin/sh", "what was handed out does not change"
    assert processes.named((101, 6)).exe == "/bin/true"
    assert list(processes.lineage((101, 6)))[:1] == [(101, 6)]


def test_a_reused_pid_is_another_process() -> None:
    processes, shell, _ = make()
    feed(processes.feed, shell.exec("/bin/sh", "sh"), shell.exit())
    assert processes.named((100, 7)).exe is None


def test_exit_by_code_and_by_signal() -> None:
    processes, shell, child = make()
    first, second = feed(processes.feed, shell.exit(3), child.exit(signal=9))
    assert (first.event, first.exit_code, first.signal) == ("exit", 3, None)
    assert (second.event, second.exit_code, second.signal) == ("exit", None, 9)


def test_a_fork_that_was_overtaken_by_its_exec_does_not_undo_it() -> None:
    processes, shell, child = make()
    fork = child.fork(shell)
    feed(processes.feed, child.exec("/bin/true", "true"), fork)
    assert processes.named((101, 6)).exe == "/bin/true"


def test_lineage_goes_up_as_far_as_it_is_known_and_ends_in_a_circle() -> None:
    processes, shell, child = make()
    feed(processes.feed, child.fork(shell))
    assert list(processes.lineage((101, 6))) == [(101, 6), (100, 5)]
    feed(processes.feed, shell.fork(child))
    assert len(list(processes.lineage((101, 6)))) < 100


def test_still_running_are_first_those_that_began_in_view_then_those_found() -> None:
    processes, shell, child = make()
    found = [Program(7, 1), Program(8, 1)]
    for program in found:
        feed(processes.feed, program.exec("/sbin/init", "init", type_name="RECORD_PROCESS"))
    feed(processes.feed, shell.exec("/bin/sh", "sh"), child.fork(shell), shell.exit())
    feed(processes.feed, found[0].exit())
    assert processes.still_running() == [
        {"pid": 101, "comm": "sh", "argv": ["sh"]},
        {"pid": 8, "comm": "init", "argv": ["init"]},
    ]


def test_found_running_is_no_event() -> None:
    processes, shell, _ = make()
    assert not feed(processes.feed, shell.exec("/bin/sh", "sh", type_name="RECORD_PROCESS"))
    assert processes.named((100, 5)).exe == "/bin/sh"


def test_arguments_that_could_not_be_read_are_not_none_at_all() -> None:
    processes, shell, _ = make()
    raw = bytearray(shell.exec("/bin/sh")[0])
    raw[HEAD.offsets["flags"]] = FLAG_UNREADABLE
    (event,) = feed(processes.feed, [bytes(raw)])
    assert event.argv is None


def test_exited_processes_are_forgotten_in_time() -> None:
    processes, shell, _ = make()
    feed(processes.feed, shell.exec("/bin/sh", "sh"), shell.exit())
    assert processes.named((100, 5)).exe == "/bin/sh"
    for pid in range(1000, 1000 + EXITED_REMEMBERED):
        feed(processes.feed, Program(pid).exec("/bin/true", "true"), Program(pid).exit())
    assert processes.named((100, 5)).exe is None


def test_cgroups() -> None:
    processes, shell, child = make()
    path = f"/system.slice/docker-{ID}.scope"
    processes.learn_cgroups({"7": path, "x": 1, "8": 2})
    shell.head["cgroup"] = 7
    (event,) = feed(processes.feed, shell.exec("/bin/sh", "sh"))
    assert isinstance(event, ProcessEvent)
    assert event.process is not None
    assert (event.process.cgroup, event.process.container) == (path, ID)
    feed(processes.feed, child.fork(shell))
    assert processes.named((101, 6)).container == ID


def test_a_cgroup_that_is_named_after_the_exec_is_said_from_then_on() -> None:
    processes, shell, _ = make()
    shell.head["cgroup"] = 7
    (event,) = feed(processes.feed, shell.exec("/bin/sh", "sh"))
    processes.learn_cgroups({"7": "/lxc/web"})
    assert event.process is not None
    assert event.process.cgroup is None
    assert processes.named((100, 5)).container == "web"
    assert processes.at((100, 5), shell.clock.time_ns).container == "web"


def test_what_a_process_was_at_a_time() -> None:
    processes, shell, child = make()
    feed(processes.feed, shell.exec("/bin/sh", "sh"), child.fork(shell))
    assert not processes.is_settled((101, 6))
    before_ns = child.clock.time_ns
    feed(processes.feed, child.exec("/bin/true", "true"))
    assert processes.is_settled((101, 6))
    assert processes.at((101, 6), before_ns).exe == "/bin/sh"
    assert processes.at((101, 6), child.clock.time_ns).exe == "/bin/true"


@pytest.mark.parametrize(
    ("cgroup", "container"),
    [
        (f"/docker/{ID}", ID),
        (f"/system.slice/docker-{ID}.scope", ID),
        (f"/kubepods/burstable/pod1/{ID}", ID),
        (f"/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope", ID),
        (f"/kubepods.slice/crio-{ID}.scope/container", ID),
        (f"/machine.slice/libpod-{ID}.scope/container", ID),
        (f"/kubepods-pod1.slice:cri-containerd:{ID}", ID),
        (f"/docker/{'f' * 64}/docker/{ID}", ID),
        ("/lxc/web", "web"),
        ("/lxc.payload.web/init.scope", "web"),
        ("/user.slice/user-1000.slice/session-1.scope", None),
        ("/", None),
        (f"/docker/{ID}0", None),
    ],
)
def test_containers(cgroup: str, container: str | None) -> None:
    assert container_id(cgroup) == container


def test_users_of_this_machine() -> None:
    assert user_name(0) == "root"
    assert user_name(2**32 - 2) is None
