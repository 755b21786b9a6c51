"""Programs that the kernel refuses: what is left out, what ends the session, what is said."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from proctor.kernel.loading import attach_programs, load_programs
from proctor.kernel.object import KernelError, KernelObject
from proctor.kernel.scope import Scope
from tests.kernel.watching import PROCTOR, SOURCE, TIMEOUT_S, environment

CHECKOUT = SOURCE.parent
CONFIGURATION = Scope(pids=(0x7FFFFFFF,)).configuration(hold=False)
HEAD = '#include "common.h"\n'
FOOT = 'char LICENSE[] SEC("license") = "Dual BSD/GPL";\n'
GOOD = """
SEC("tp_btf/sched_process_exit") int BPF_PROG(process_exit) { return configuration.hold_enabled; }
"""
MAP = """
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __type(key, u32);
__type(value, u64); } counts SEC(".maps");
"""
REFUSED = """
SEC("%s") int %s(void *context)
{
	u32 key = 0;
	u64 *count = bpf_map_lookup_elem(&counts, &key);

	*count += 1; /* may be NULL */
	return 1;
}
"""
UNKNOWN_PLACE = 'SEC("tp_btf/no_such_place") int BPF_PROG(socket_state) { return 0; }\n'


def built(folder: Path, source: str) -> str:
    """An object compiled much as setup.py compiles ours."""
    text, result = folder / "broken.bpf.c", folder / "broken.bpf.o"
    text.write_text(HEAD + source + FOOT)
    machine = {"x86_64": "x86", "aarch64": "arm64"}[os.uname().machine]
    headers = f"/usr/include/{os.uname().machine}-linux-gnu"  # Debian's place for <asm/types.h>
    command = ["clang", "-g", "-O2", "-target", "bpf", f"-D__TARGET_ARCH_{machine}"]
    command += ["-I", str(CHECKOUT / "bpf"), "-idirafter", headers, "-c", str(text)]
    subprocess.run([*command, "-o", str(result)], check=True)
    return str(result)


def refused(section: str, name: str) -> str:
    return MAP + REFUSED % (section, name)


def test_one_that_we_can_spare_is_left_out(tmp_path: Path) -> None:
    source = GOOD + refused("cgroup_skb/egress", "dns_egress") + UNKNOWN_PLACE
    with load_programs(CONFIGURATION, built(tmp_path, source)) as kernel:
        attach_programs(kernel)
        assert set(kernel.links) == {"process_exit"}
        assert set(kernel.refused) == {"dns_egress", "socket_state"}
        assert "R0 invalid mem access" in kernel.refused["dns_egress"]
        assert "no_such_place" in kernel.refused["socket_state"]
        assert "bpf_map_lookup_elem" in kernel.log  # the verifier's whole log, of both tries


def test_one_that_we_cannot_spare_ends_it(tmp_path: Path) -> None:
    source = GOOD + refused("tracepoint/syscalls/sys_enter_mmap", "enter_mmap")
    with pytest.raises(KernelError, match=r"program enter_mmap: not loaded: .*R0 inv") as told:
        load_programs(CONFIGURATION, built(tmp_path, source))
    assert told.value.program == "enter_mmap"
    assert "bpf_map_lookup_elem" in told.value.log
    assert "\n" not in str(told.value)


def test_a_place_that_this_kernel_has_not(tmp_path: Path) -> None:
    """It loads and cannot be attached."""
    source = (
        GOOD
        + """
SEC("tracepoint/syscalls/sys_enter_none") int enter_write(void *context) { return 0; }
SEC("tracepoint/syscalls/sys_enter_no") int enter_mmap(void *context) { return 0; }
"""
    )
    with load_programs(CONFIGURATION, built(tmp_path, source)) as kernel:
        with pytest.raises(KernelError, match="kernel program enter_mmap: not attached"):
            attach_programs(kernel)
        assert "sys_enter_none" in kernel.refused["enter_write"]
        assert "process_exit" in kernel.links


def test_an_object_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "none.o"
    path.write_bytes(b"no object")
    with pytest.raises(KernelError, match="build it again"):
        KernelObject(str(path))


def session(folder: Path, path: str, *options: str) -> subprocess.CompletedProcess[str]:
    """`proctor run` with another object."""
    code = (
        "import sys; from proctor.kernel import loading; "
        "loading.load_programs.__defaults__ = (sys.argv.pop(1),); "
        "from proctor.cli import main; main()"
    )
    command = [sys.executable, "-c", code, path, "run", "-q", *options]
    command += ["-o", str(folder / "recording"), "--", "echo", "done"]
    return subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=TIMEOUT_S
    )


def test_the_verifier_s_words_with_v(tmp_path: Path) -> None:
    source = GOOD + refused("tracepoint/syscalls/sys_enter_mmap", "enter_mmap")
    path = built(tmp_path, source)
    plain = session(tmp_path, path)
    assert (plain.returncode, plain.stdout) == (1, "")  # COMMAND was not run
    assert plain.stderr.startswith("proctor: kernel program enter_mmap: not loaded: ")
    assert "R0 invalid mem access" in plain.stderr
    assert plain.stderr.count("\n") == 1
    whole = session(tmp_path, path, "-vv")
    assert "BEGIN PROG LOAD LOG" in whole.stderr
    assert whole.stderr.endswith(plain.stderr)
    assert not (tmp_path / "recording").exists()


def test_where_things_are_with_v(tmp_path: Path) -> None:
    command = [*PROCTOR, "run", "-v", "-q", "-o", str(tmp_path / "recording"), "--"]
    ran = subprocess.run(
        [*command, sys.executable, "-c", "import ssl"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert ran.returncode == 0
    assert re.search(r"^proctor:   process_exec +tp_btf/sched_process_exec$", ran.stderr, re.M)
    assert "probes on SSL_" in ran.stderr
    (tmp_path / "recording").unlink()
    quiet = [word for word in command if word != "-v"]
    told = subprocess.run([*quiet, "true"], env=environment(), capture_output=True, check=True)
    assert told.stderr == b""
