"""Names, builds and runs the client programs.

command = clients.python("openai_client.py", "stream")
ran = clients.run(command, serving)          # or [*watcher, *command]
ran.report["calls"][0]["text"]
"""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from proctor.demo.serving import Serving

HERE = Path(__file__).parent
BUILT = HERE.parents[1] / ".cache" / "clients"
STATIC_LIBRARIES = ("-Wl,-Bstatic", "-lssl", "-lcrypto", "-Wl,-Bdynamic")


@dataclass(frozen=True, slots=True)
class Ran:
    """A client that ended."""

    pid: int
    """Of the command, which is the client's own where nothing runs before it."""
    status: int
    """As `subprocess` has it: minus the signal's number where one ended it."""
    stdout: str
    stderr: str

    @property
    def report(self) -> dict[str, Any]:
        """The client's JSON: its last line that is an object."""
        line = [line for line in self.stdout.splitlines() if line.startswith("{")][-1]
        parsed: dict[str, Any] = json.loads(line)
        return parsed


def python(name: str, *arguments: str) -> list[str]:
    """The command of a client written in Python."""
    return [sys.executable, str(HERE / name), *arguments]


def curl(scenario: str) -> list[str]:
    return [str(HERE / "curl.sh"), scenario]


def node(name: str, *arguments: str) -> list[str]:
    """The command of a Node client. Installs its packages, once."""
    modules = node_modules()
    return ["env", f"NODE_PATH={modules}", "node", str(HERE / "node" / name), *arguments]


def short_lived(serving: Serving, *, static: bool = False) -> list[str]:
    """The command of the C client that lives a few milliseconds. Compiles it, once."""
    key = serving.environment()["OPENAI_API_KEY"]
    return [str(compiled("short_lived.c", static=static)), str(serving.port), key]


def build(is_built: Callable[[], bool], make: Callable[[], None]) -> None:
    """One at a time: several test processes may want the same thing. Where all is there, nothing
    is written: an emulated machine has the checkout read only."""
    if is_built():
        return
    BUILT.mkdir(parents=True, exist_ok=True)
    with (BUILT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_built():
            make()


@cache
def node_modules() -> Path:
    """Where the packages of `node/package.json` are; installs them where that changed."""
    home, wanted = BUILT / "node", (HERE / "node" / "package.json").read_text()
    installed = home / "installed.json"

    def install() -> None:
        home.mkdir(exist_ok=True)
        (home / "package.json").write_text(wanted)
        quiet = ("--no-audit", "--no-fund", "--loglevel=error")
        subprocess.run(["npm", "install", *quiet], cwd=home, check=True, stdout=subprocess.DEVNULL)
        installed.write_text(wanted)

    build(lambda: installed.exists() and installed.read_text() == wanted, install)
    return home / "node_modules"


@cache
def compiled(source: str, *, static: bool = False) -> Path:
    """The program of a C source here; `static` puts libssl into it, symbols and all."""
    path = HERE / source
    binary = BUILT / (path.stem + ("_static" if static else ""))

    def compile_it() -> None:
        unfinished = binary.with_suffix(".unfinished")
        compiler = ("cc", "-O2", "-Wall", "-Werror")
        libraries = static_libraries() if static else ("-lssl", "-lcrypto")
        subprocess.run([*compiler, "-o", unfinished, path, *libraries], check=True)
        unfinished.replace(binary)

    build(lambda: binary.exists() and binary.stat().st_mtime >= path.stat().st_mtime, compile_it)
    return binary


def static_libraries() -> list[str]:
    """What a program with libssl in it is linked with; some builds of it want zlib and zstd."""
    command = ["cc", "-print-file-name=libcrypto.a"]
    archive = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    said = (Path(archive).parent / "pkgconfig" / "libcrypto.pc").read_text()
    private = [line for line in said.splitlines() if line.startswith("Libs.private:")]
    return [*STATIC_LIBRARIES, *"".join(private).split()[1:]]


def start(command: list[str], serving: Serving) -> subprocess.Popen[str]:
    """A client that runs, with pipes; for those that wait for a line."""
    return subprocess.Popen(
        command,
        env=serving.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(command: list[str], serving: Serving, *, timeout_s: float = 60) -> Ran:
    """Runs a client to its end."""
    process = start(command, serving)
    try:
        stdout, stderr = process.communicate("", timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return Ran(process.pid, process.returncode, stdout, stderr)


@contextmanager
def warm(serving: Serving, *modules: str) -> Iterator[Callable[[list[str]], Ran]]:
    """What runs clients in forks of one process that has imported these modules, once for all."""
    imports = [word for module in modules for word in ("-i", module)]
    process = start(python("several.py", *imports), serving)
    assert process.stdin
    assert process.stdout
    commands, answers = process.stdin, process.stdout

    def run_one(command: list[str]) -> Ran:
        print(json.dumps(command), file=commands, flush=True)
        return Ran(**json.loads(answers.readline()))

    try:
        yield run_one
    finally:
        process.communicate()
