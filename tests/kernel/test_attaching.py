"""Probes are in before the first byte: short lives, fresh libraries, other roots."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import pytest

from proctor.demo.serving import Serving
from proctor.kernel import loading
from proctor.kernel.libbpf import lib
from proctor.kernel.object import KernelError
from proctor.kernel.scope import Scope
from proctor.kernel.tls_probes import attach_sites, sites_of
from tests.clients import run as clients
from tests.kernel import watching
from tests.kernel.comparing import Truth, compare
from tests.kernel.watching import (
    SLOW,
    SMALL_RING,
    Watched,
    ours_alive,
    wait_until,
    watched,
    watched_late,
    watched_several,
)

TIMES: Final = 20
TIMES_NEW: Final = 5
"""Each with a file of its own, whose probes a kernel before 6.6 takes out in most of a second."""
DETACH_ALL_S: Final = 60.0 * SLOW


SLOW_TO_ATTACH: Final = f"""
import os, sys, time
from pathlib import Path
from proctor.kernel import libraries
{SMALL_RING}
sites_of = libraries.sites_of
library, over = sys.argv.pop(1), Path(sys.argv.pop(1))

def slowly(fd):
    while os.readlink(f"/proc/self/fd/{{fd}}") == library and not over.exists():
        time.sleep(0.01)
    return sites_of(fd)

libraries.sites_of = slowly
from proctor.cli import main; main()
"""
"""Arguments: the library, and the file that comes when it may be looked into."""
FLOOD_REQUESTS: Final = 24
FLOOD_BYTES: Final = 500_000
FLOOD_BESIDE: Final = f"""
import pathlib, subprocess, sys
sys.path.insert(0, sys.argv[1])
import raw_tls
other = subprocess.Popen(sys.argv[3:])
connection, body = raw_tls.connect(), raw_tls.body_of("x" * {FLOOD_BYTES})
for _ in range({FLOOD_REQUESTS}):
    assert raw_tls.ask(connection, body)["status"] == 200
pathlib.Path(sys.argv[2]).touch()
sys.exit(other.wait())
"""
"""Arguments: where raw_tls.py is, the file that tells the flood's end, the other program."""


def libraries_of(program: str) -> dict[str, Path]:
    """What a program loads, with the loader itself: paths by name."""
    said = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    found: dict[str, Path] = {}
    for line in said.splitlines():
        for path in map(Path, re.findall(r"/\S+", line)):
            found[path.name] = path
    return found


def check_one_call(session: Watched, ran: clients.Ran, truth: Truth, server: Serving) -> None:
    """The client made one call, which is there whole and tied."""
    assert ran.status == 0, ran.stderr
    ((event, line),) = compare(session, ran, truth, server, 1)
    assert event["complete"], event["gaps"]
    assert line["request_body"] == ran.report["request_body"]


def check_all(session: Watched, truth: Truth, server: Serving, count: int = TIMES) -> None:
    all_ran = session.ran()
    assert len(all_ran) == count
    for ran in all_ran:
        check_one_call(session, ran, truth, server)
    session.check_untroubled()


def await_detached() -> None:
    """Before 6.6 the kernel takes probes out one after the other, each at some 60 ms: a file has
    twelve."""
    wait_until(lambda: not ours_alive(), "all probes out", DETACH_ALL_S)


@pytest.mark.parametrize("several", [False, True])
def test_what_probes_go_in_by(several: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """One link for all places of a program where the kernel has such, else one for each."""
    if several and not lib.proctor_has_uprobe_multi():
        pytest.skip("kernel: no links for several uprobes (6.6)")
    if not several:
        monkeypatch.setattr(loading, "lib", SimpleNamespace(proctor_has_uprobe_multi=lambda: False))
    path = libraries_of(shutil.which("curl") or "")["libssl.so.3"]
    with path.open("rb") as file:
        sites = sites_of(file.fileno())
    configuration = Scope(pids=(0x7FFFFFFF,)).configuration(hold=False)
    with loading.load_programs(configuration) as kernel:
        links = attach_sites(kernel, str(path), sites, 1)
        with pytest.raises(KernelError, match=re.escape(f"{path}/none+")):
            attach_sites(kernel, f"{path}/none", sites, 1)
        for link in links:
            link.close()
    programs = {site.probe.program for site in sites}
    assert len(programs) < len(sites)
    assert len(links) == (len(programs) if several else len(sites))


@pytest.mark.parametrize("static", [False, True])
def test_short_life(static: bool, server: Serving, tmp_path: Path) -> None:
    truth = Truth(server)
    command = clients.short_lived(server, static=static)
    check_all(watched_several([command] * TIMES, server, tmp_path), truth, server)


def test_libraries_never_seen_before(server: Serving, tmp_path: Path) -> None:
    """Each run maps a copy of its own: held until the probes are in, every time."""
    truth = Truth(server)
    program, *arguments = clients.short_lived(server)
    library = libraries_of(program)["libssl.so.3"]
    commands = []
    for number in range(TIMES_NEW):
        folder = tmp_path / str(number)
        folder.mkdir()
        shutil.copy(library, folder)
        commands.append(["env", f"LD_LIBRARY_PATH={folder}", program, *arguments])
    session = watched_several(commands, server, tmp_path)
    check_all(session, truth, server, TIMES_NEW)
    attached = {event["library"] for event in session.of("coverage", state="attached")}
    assert attached >= {f"{tmp_path}/{number}/libssl.so.3" for number in range(TIMES_NEW)}
    await_detached()


def test_a_library_of_a_running_program_is_attached_once(server: Serving, tmp_path: Path) -> None:
    """Met in the running program first, then mapped anew: the same file both times."""
    truth = Truth(server)
    start = (
        "import os, ssl, sys; print('ready', flush=True); input();"
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    command = [sys.executable, "-c", start, *clients.short_lived(server)]
    session, ran = watched_late(command, server, tmp_path)
    check_one_call(session, ran, truth, server)
    attached = re.findall(r"libssl\S*: attached: ", session.stderr)
    assert len(attached) == 1, session.stderr


def test_programs_never_seen_before(server: Serving, tmp_path: Path) -> None:
    """The same with OpenSSL in the executable: held at exec."""
    truth = Truth(server)
    program, *arguments = clients.short_lived(server, static=True)
    commands = []
    for number in range(TIMES_NEW):
        copy = tmp_path / f"program{number}"
        shutil.copy(program, copy)
        commands.append([str(copy), *arguments])
    check_all(watched_several(commands, server, tmp_path), truth, server, TIMES_NEW)
    await_detached()


def test_while_a_library_takes_long_to_attach_to_the_rings_are_drained(
    server: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process maps it, and another sends more than the ring holds."""
    library = shutil.copy(libraries_of(clients.short_lived(server)[0])["libssl.so.3"], tmp_path)
    over = str(tmp_path / "over")
    monkeypatch.setattr(
        watching, "PROCTOR", [sys.executable, "-c", SLOW_TO_ATTACH, str(library), over]
    )
    flood = [sys.executable, "-c", FLOOD_BESIDE, str(Path(clients.__file__).parent), over]
    session = watched([*flood, "env", f"LD_PRELOAD={library}", "true"], server, tmp_path)
    assert session.status == 0, session.stderr
    calls = session.of("call")
    assert len(calls) == FLOOD_REQUESTS
    assert all(call["complete"] for call in calls)
    assert session.of("coverage", library=str(library), state="attached")
    session.check_untroubled()


def test_another_mount_namespace(server: Serving, tmp_path: Path) -> None:
    """A file of the system's name that is another one in there."""
    truth = Truth(server)
    program, *arguments = clients.short_lived(server)
    library = libraries_of(program)["libssl.so.3"].resolve()
    copy = tmp_path / "another"
    shutil.copy(library, copy)
    script = 'mount --bind "$1" "$2"; shift 2; exec "$@"'
    inside = ["sh", "-c", script, "sh", str(copy), str(library), program, *arguments]
    session = watched(["unshare", "--mount", *inside], server, tmp_path)
    check_one_call(session, session.alone(), truth, server)
    session.check_untroubled()


def test_another_root(server: Serving, tmp_path: Path) -> None:
    """Like a container: the paths in there lead nowhere outside."""
    truth = Truth(server)
    program, *arguments = clients.short_lived(server)
    root = tmp_path / "root"
    for path in libraries_of(program).values():
        place = root / "own" if path.name.startswith(("libssl", "libcrypto")) else root
        place = root / path.relative_to("/").parent if place == root else place
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    shutil.copy(program, root / "agent")
    inside = ["chroot", str(root), "/agent", *arguments]
    command = ["unshare", "--mount", "env", "LD_LIBRARY_PATH=/own", *inside]
    session = watched(command, server, tmp_path)
    check_one_call(session, session.alone(), truth, server)
    assert session.of("coverage", state="attached")[0]["library"].endswith("/own/libssl.so.3")
    session.check_untroubled()


def test_static_program_next_to_the_system_library(server: Serving, tmp_path: Path) -> None:
    """Two libraries in one session: each process by its own."""
    truth = Truth(server)
    commands = [clients.short_lived(server, static=static) for static in (True, False)]
    session = watched_several(commands, server, tmp_path)
    check_all(session, truth, server, 2)
    libraries = {
        event["process"]["pid"]: Path(event["library"]).name
        for event in session.of("coverage", state="attached")
        if event.get("plaintext_bytes")
    }
    static, dynamic = (ran.pid for ran in session.ran())
    assert libraries == {static: "short_lived_static", dynamic: "libssl.so.3"}
