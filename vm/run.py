"""Runs the kernel tests, or a command, under one of Debian's kernels.

    python vm/run.py KERNEL [--part] [--timeout SECONDS] [--qemu ARG]... [-- COMMAND ARG...]

The guest sees the host's files, read only, so it uses the checkout and its
virtual environment as they are; what it writes stays in its memory. It is
emulated in software (works without /dev/kvm; about ten times slower).
"""

from __future__ import annotations

import argparse
import compileall
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from initramfs import initramfs
from kernels import SUITES, Kernel, KernelError, fetch_kernel

CHECKOUT: Final = Path(__file__).resolve().parent.parent
CACHE: Final = CHECKOUT / ".cache" / "vm"
EMULATOR: Final = "qemu-system-x86_64"
# Emulated code is slow: a test that hangs is one that takes this long, and what has failed is said
# at once, for the rest may take most of an hour.
TEST_TIMEOUT_S: Final = 400
PYTEST: Final = (
    f"{sys.prefix}/bin/python -m pytest -m kernel -p no:cacheprovider"
    f" -p no:xdist -o timeout={TEST_TIMEOUT_S} --durations=15 -v --instafail"
)
PART: Final = {
    "attaching": (
        "what_probes_go_in_by",
        "short_life",
        "a_library_of_a_running_program_is_attached_once",
        "another_mount_namespace",
        "another_root",
        "static_program_next_to_the_system_library",
    ),
    "connections": (),
    "files": (),
    "loading": (),
    "names": (),
    "processes": (
        "fork_storm",
        "ends",
        "each_process_ends_once",
        "who_ran_what",
        "descendants_that_go_on",
        "follow_waits_for_descendants",
    ),
    "trace_object": (
        "memory_of_files",
        "sockets",
        "calls_that_do_not_return",
        "call_under_way_at_attach",
        "children_are_traced_and_others_are_not",
        "stacks",
    ),
    "trace_filters": ("what_descriptors_stand_for", "own_tracepoints_see_the_same"),
    "trace_losses": ("counts_and_sequences_reconcile",),
    "trace_command": (
        "a_command_is_traced_from_its_execve_to_its_end",
        "paths_and_descriptors",
    ),
    "trace_memory": ("memory_of_all_sizes_is_whole",),
    "trace_count": ("every_call_of_every_thread_is_counted",),
}
"""Of tests/kernel: what differs between kernels most, in the time that CI has; all where none is
named."""


def find_tool(name: str, package: str) -> Path:
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise KernelError(f"{name}: not found; apt-get install {package}")
    return Path(path)


def emulator_command(kernel: Kernel, initial: Path, shared: Path) -> list[str]:
    root = "local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap"
    exchange = f"local,path={shared},mount_tag=shared,security_model=none"
    # One thread for both CPUs. With two (thread=multi, QEMU 7.2) a CPU can run an int3 that the
    # kernel has replaced already: seen under 6.12, 489 s after boot, as "Oops: int3" in
    # syscall_trace_enter, where memory held the jump again. By QEMU's source a store into code
    # drops the translation first and changes the byte then; in between the other thread may
    # translate the old byte again. The kernel patches itself so where a tracepoint is switched.
    # Without ERMS: where a CPU has it the kernel fills and copies memory by `rep stosb` and
    # `rep movsb`, which are emulated a byte at a time: under 5.10, half as much CPU time again.
    # Without AVX2: under 6.12 and 5.10 `trace show -P` ended once each by SIGSEGV; where that was
    # looked at in NumPy, at a masked gather (vpgatherqd). Never seen on a processor.
    # The TSC is a clock that does not trap; with one thread for both CPUs they agree on it.
    return [
        str(find_tool(EMULATOR, "qemu-system-x86")),
        *("-accel", "tcg,thread=single", "-cpu", "max,-erms,-avx2", "-smp", "2", "-m", "2G"),
        *("-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"),
        *("-kernel", str(kernel.image), "-initrd", str(initial)),
        *("-append", "console=ttyS0 panic=-1 mitigations=off tsc=reliable"),
        *("-virtfs", root, "-virtfs", exchange),
        *("-serial", f"file:{shared}/console", "-serial", "stdio"),
    ]


def compile_modules() -> None:
    """The guest can't keep bytecode: without this, each start of Proctor compiles all of it."""
    for folder in ("src", "tests"):
        compileall.compile_dir(CHECKOUT / folder, quiet=2)


def run_guest(kernel: Kernel, command: str, timeout_s: float, more: list[str]) -> int:
    """The command's exit status; 1 with the end of the kernel's console if there was none.

    more: arguments for the emulator.
    """
    busybox = find_tool("busybox", "busybox-static")
    with tempfile.TemporaryDirectory(prefix="proctor-vm-") as folder:
        shared = Path(folder)
        initial = shared / "initramfs"
        guest = CHECKOUT / "vm" / "guest"
        initial.write_bytes(initramfs(kernel.modules, busybox, guest, shlex.quote(str(CHECKOUT))))
        (shared / "command").write_text(command + "\n")
        started = time.monotonic()
        emulator = subprocess.Popen(
            [*emulator_command(kernel, initial, shared), *more], stdin=subprocess.DEVNULL
        )
        try:
            emulator.wait(timeout_s)
        except subprocess.TimeoutExpired:
            print(f"vm: {kernel.release}: not done after {timeout_s:.0f} s: ended", flush=True)
        finally:
            emulator.kill()
            emulator.wait()
        print(f"vm: {kernel.release}: {time.monotonic() - started:.0f} s in all", flush=True)
        status = shared / "status"
        if status.exists():
            return int(status.read_text())
        console = (shared / "console").read_text(errors="replace")
        print("\n".join(console.splitlines()[-40:]))
        print("vm: the guest did not report a status; above, the end of its console")
        return 1


def part_tests() -> list[str]:
    """What CI has the time for, for pytest."""
    return [
        f"tests/kernel/test_{subject}.py{test}"
        for subject, names in PART.items()
        for test in [f"::test_{name}" for name in names] or [""]
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev vm", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("kernel", choices=SUITES)
    parser.add_argument("--timeout", type=float, default=5400, help="seconds for the whole run")
    parser.add_argument("--part", action="store_true", help="only those that CI has the time for")
    parser.add_argument(
        "--qemu",
        action="append",
        default=[],
        metavar="ARG",
        help="one more argument for the emulator: --qemu=-qmp --qemu=unix:/tmp/vm.sock,server=on",
    )
    arguments = sys.argv[1:]
    split = arguments.index("--") if "--" in arguments else len(arguments)
    options = parser.parse_args(arguments[:split])
    tests = part_tests() if options.part else ["tests/kernel"]
    command = shlex.join(arguments[split + 1 :]) or f"{PYTEST} {' '.join(tests)}"
    # Who ends this ends the emulator, and what it keeps in /tmp goes.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        if platform.machine() != "x86_64":
            raise KernelError("the guest runs this machine's own programs: x86_64 only, so far")
        kernel = fetch_kernel(options.kernel, CACHE)
        compile_modules()
        return run_guest(kernel, command, options.timeout, options.qemu)
    except KernelError as error:
        print(f"vm: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
