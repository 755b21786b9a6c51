"""What the recorder may still do, and that it can do its work with that."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from proctor.kernel.libbpf import lib
from proctor.session.recorder_rights import NEEDED, SYS_ADMIN
from tests.kernel.watching import SLOW, children_of, environment, wait_until, watched, watching

PRIVATE = 0o700


def status_of(pid: int) -> dict[str, str]:
    text = Path(f"/proc/{pid}/status").read_text()
    return dict(re.findall(r"^(\w+):\t(.*)$", text, re.MULTILINE))


def of_root(launcher: int) -> list[dict[str, str]]:
    roles = [status_of(pid) for pid in children_of(launcher)]
    return [role for role in roles if role["Uid"].split()[0] == "0"]


def have_settled(launcher: int) -> bool:
    """Rights are given up one after another: not being root any more is not all."""
    roles = [status_of(pid) for pid in children_of(launcher)]
    return len(of_root(launcher)) == 1 and all(role["NoNewPrivs"] == "1" for role in roles)


def capabilities(words: str) -> set[int]:
    return {number for number in range(64) if int(words, 16) >> number & 1}


def test_what_is_kept(tmp_path: Path) -> None:
    sleeper = subprocess.Popen(["sleep", f"{30 * SLOW}"], env=environment())
    try:
        with watching(sleeper.pid, tmp_path) as watcher:
            wait_until(lambda: have_settled(watcher.pid), "the others gave their rights up")
            (recorder,) = of_root(watcher.pid)
            roles = [status_of(pid) for pid in children_of(watcher.pid)]
            limits = [Path(f"/proc/{pid}/limits").read_text() for pid in children_of(watcher.pid)]
    finally:
        sleeper.terminate()
        sleeper.wait()
    assert len(roles) == 3
    if lib.proctor_has_uprobe_multi():
        assert capabilities(recorder["CapEff"]) == NEEDED
    else:
        assert NEEDED <= capabilities(recorder["CapEff"]) <= NEEDED | {SYS_ADMIN}
    assert recorder["CapPrm"] == recorder["CapEff"]
    for role in roles:
        assert role["NoNewPrivs"] == "1"
        if role["Pid"] != recorder["Pid"]:
            assert capabilities(role["CapPrm"]) == set()
    for text in limits:
        assert re.search(r"^Max core file size +0 +0 ", text, re.MULTILINE)


@pytest.mark.needs("setpriv")
def test_libraries_that_only_another_user_may_read(tmp_path: Path) -> None:
    """Opened through another user's process, attached, and the process let go."""
    for folder in (tmp_path, *list(tmp_path.parents)[:-2]):  # all below /tmp
        folder.chmod(0o755)
    place = tmp_path / "private"
    place.mkdir()
    source = system_libssl()
    library = place / "libssl.so.3"
    shutil.copy(source, library)
    for path in (library, place):
        os.chown(path, 4321, 4321)
        path.chmod(PRIVATE)
    command = ["setpriv", "--reuid=4321", "--regid=4321", "--clear-groups", "/usr/bin/env"]
    command += [f"LD_PRELOAD={library}", "/bin/sleep", "0.1"]
    session = watched(command, None, tmp_path, options=["-v"])
    assert session.status == 0, session.stderr
    assert f"{library}: attached: " in session.stderr
    assert session.of("coverage", state="attached", library=str(library))


def system_libssl() -> str:
    code = "import _ssl; print([line.split()[-1] for line in open('/proc/self/maps') "
    code += "if 'libssl.so.3' in line][0])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if ran.returncode:
        pytest.skip("this Python has no libssl.so.3")
    return ran.stdout.strip()
