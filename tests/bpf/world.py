"""What the programs find in a kernel: tasks, files under mounts, sockets, packets."""

from __future__ import annotations

import ipaddress
import socket
import stat
import struct
from dataclasses import dataclass, field
from typing import Any, Final

from tests.bpf.machine import Machine, Task

ESTABLISHED: Final = 1
SYN_SENT: Final = 2
CLOSE: Final = 7
LISTEN: Final = 10
DESCRIPTORS: Final = 16


@dataclass(slots=True)
class World:
    """Makes things for a machine."""

    machine: Machine
    _mounts: dict[str, Any] = field(default_factory=dict)
    _inode: int = 100

    # Tasks.

    def task(
        self,
        pid: int,
        *,
        tid: int = 0,
        parent: Task | None = None,
        leader: Task | None = None,
        start_ns: int = 0,
        cgroups: tuple[int, ...] = (1,),
        flags: int = 0,
        terminal: tuple[int, int] | None = None,
    ) -> Task:
        """A process; with `leader` a thread of it. `terminal`: process group and session on one."""
        kernel = self.machine.kernel
        start = leader.start_ns if leader else start_ns or 7_000_000 + pid
        one = kernel("struct task_struct", pid=tid or pid, tgid=pid, flags=flags)
        one.start_boottime = start
        one.group_leader = leader.struct if leader else one
        one.real_parent = parent.struct if parent else one
        one.cred = kernel("struct cred")
        one.cred.uid.val, one.cred.gid.val = 1000, 100
        if leader:
            one.signal, one.files = leader.struct.signal, leader.struct.files
            one.mm, one.fs = leader.struct.mm, leader.struct.fs
        else:
            one.signal = kernel("struct signal_struct")
            one.mm, one.fs = kernel("struct mm_struct"), kernel("struct fs_struct")
            one.fs.pwd = self.path()[0]
            one.files = kernel("struct files_struct")
            one.files.fdt = kernel("struct fdtable", max_fds=DESCRIPTORS)
            one.files.fdt.fd = self.machine.ffi.cast(
                "struct file **", self.machine.kernel(f"struct {{ void *slots[{DESCRIPTORS}]; }}")
            )
        if terminal:
            self.on_terminal(one, *terminal)
        return Task(one, pid, tid or pid, start, cgroups)

    def on_terminal(self, task: Any, group: int, session: int) -> None:
        """Processes with the same numbers are in the same process group and session."""
        ffi = self.machine.ffi
        task.signal.tty = ffi.cast("struct tty_struct *", 0x1000)
        task.signal.pids[2] = ffi.cast("struct pid *", 0x2000 + group)
        task.signal.pids[3] = ffi.cast("struct pid *", 0x3000 + session)

    def arguments(self, task: Task, memory: bytes) -> int:
        """Gives a process its argument memory. Returns where it lies."""
        start = self.machine.user(memory)
        task.struct.mm.arg_start, task.struct.mm.arg_end = start, start + len(memory)
        return start

    # Files.

    def mount(self, name: str, above: str = "", point: tuple[str, ...] = ()) -> Any:
        """A mount, on a directory of another; without `above` the root of its namespace."""
        kernel = self.machine.kernel
        if name not in self._mounts:
            mount = kernel("struct mount")
            root = kernel("struct dentry")
            root.d_parent, root.d_name.name = root, self._name("/")
            mount.mnt.mnt_root, mount.mnt_parent = root, mount
            if above:
                mount.mnt_parent = self.mount(above)
                mount.mnt_mountpoint = self.dentry(above, *point)
            self._mounts[name] = mount
        return self._mounts[name]

    def _name(self, text: str) -> Any:
        """In kernel memory, with its NUL."""
        data = text.encode() + b"\0"
        room = self.machine.kernel(f"struct {{ unsigned char text[{len(data)}]; }}")
        self.machine.ffi.memmove(room, data, len(data))
        return self.machine.ffi.cast("unsigned char *", room)

    def dentry(self, mount: str, *components: str) -> Any:
        at = self.mount(mount).mnt.mnt_root
        for component in components:
            below = self.machine.kernel("struct dentry", d_parent=at)
            below.d_name.name = self._name(component)
            at = below
        return at

    def path(self, *components: str, mount: str = "root") -> Any:
        path = self.machine.kernel("struct path")
        path.mnt = self.machine.ffi.addressof(self.mount(mount), "mnt")
        path.dentry = self.dentry(mount, *components)
        return path

    def file(
        self, *components: str, mount: str = "root", mode: int = stat.S_IFREG, inode: int = 0
    ) -> Any:
        """Another file each time, unless the inode's number is given."""
        kernel = self.machine.kernel
        self._inode += 1
        node = kernel("struct inode", i_mode=mode, i_ino=inode or self._inode)
        node.i_ctime_sec, node.i_ctime_nsec = 5, 17
        node.i_sb = kernel("struct super_block", s_dev=0x801)
        file = kernel("struct file", f_inode=node)
        file.f_path = self.path(*components, mount=mount)[0]
        file.f_path.dentry.d_inode = node
        return file

    def open(self, task: Task, fd: int, file: Any) -> int:
        task.struct.files.fdt.fd[fd] = file
        return fd

    # Sockets.

    def tcp(
        self,
        local: tuple[str, int] = ("10.0.0.1", 40000),
        remote: tuple[str, int] = ("10.0.0.2", 443),
        *,
        state: int = ESTABLISHED,
    ) -> Any:
        """A TCP socket, as `struct tcp_sock *`."""
        tcp = self.machine.kernel("struct tcp_sock")
        common = getattr(tcp.sk, "__sk_common")  # a class would mangle the name
        tcp.sk.sk_protocol = socket.IPPROTO_TCP
        common.skc_state = state
        common.skc_num, common.skc_dport = local[1], socket.htons(remote[1])
        addresses = [ipaddress.ip_address(each[0]).packed for each in (local, remote)]
        if len(addresses[0]) == 4:
            common.skc_family = socket.AF_INET
            common.skc_rcv_saddr, common.skc_daddr = (
                struct.unpack("=I", each)[0] for each in addresses
            )
        else:
            common.skc_family = socket.AF_INET6
            common.skc_v6_rcv_saddr.bytes, common.skc_v6_daddr.bytes = addresses
        return tcp

    def socket_file(self, sock: Any) -> Any:
        held = self.machine.kernel("struct socket")
        held.sk = self.machine.ffi.cast("struct sock *", sock)
        file = self.file(mode=stat.S_IFSOCK)
        file.private_data = held
        return file

    def move(self, sock: Any, state: int, *, by: Task, error: int = 0) -> None:
        """The kernel sets a socket's state: the tracepoint comes before."""
        common = getattr(sock.sk, "__sk_common")
        sock.sk.sk_err = error
        self.machine.trace("socket_state", sock, common.skc_state, state, by=by)
        common.skc_state = state

    def connected(self, task: Task, fd: int, sock: Any | None = None) -> Any:
        """A connection made and opened as this descriptor."""
        sock = sock or self.tcp(state=CLOSE)
        self.move(sock, SYN_SENT, by=task)
        self.move(sock, ESTABLISHED, by=task)
        self.open(task, fd, self.socket_file(sock))
        return sock

    def packet(self, data: bytes) -> Any:
        """`struct __sk_buff *` of this packet."""
        return self.machine.lib.stub_packet(data, len(data))
