"""What is traced in `./dev bench trace`: programs whose wall time is taken inside of the run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
MODULES = """
    argparse asyncio bz2 calendar concurrent.futures configparser csv ctypes dataclasses decimal
    difflib email.message fractions ftplib getpass gzip hashlib html.parser http.client
    http.server imaplib inspect json logging.config lzma mailbox multiprocessing.pool pathlib
    pickle platform plistlib poplib pprint random sched secrets shelve smtplib socketserver
    sqlite3 ssl statistics subprocess tarfile tempfile tomllib tracemalloc unittest.mock
    urllib.request uuid wsgiref.simple_server xml.dom.minidom xml.etree.ElementTree xmlrpc.client
    zipfile zoneinfo
"""
FUNCTIONS = 400
"""Of the C file that is compiled; a few seconds with -O2."""


@dataclass(frozen=True, slots=True)
class Load:
    """A program in two sizes: `short` has fewer calls, for tools that take a second for 10,000."""

    name: str
    what: str
    command: Callable[[bool], tuple[str, ...]]
    """By whether it is to be short. No word has a space in it: bpftrace splits at them."""
    comms: tuple[str, ...]
    """What its processes are called, for tools that cannot follow a tree."""
    copies: int = 1
    repeats: tuple[int, int] = (1, 1)
    """In full, and short."""
    warm_ups: int = 0
    """Runs before that are traced but not timed: of a program that lives on what the processor's
    caches still hold, for a tool that starts empties them."""

    def timed_share(self, short: bool) -> float:
        """Of all calls, those of the runs that are timed."""
        return self.repeats[short] / (self.repeats[short] + self.warm_ups)


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """Runs a load and stamps its beginning and end: see stopwatch.c."""

    program: Path
    stamps: Path

    def command(self, load: Load, short: bool) -> list[str]:
        counts = map(str, (load.copies, load.warm_ups, load.repeats[short]))
        return [str(self.program), str(self.stamps), *counts, *load.command(short)]

    def read_ns(self) -> tuple[int, int, int, int]:
        """CLOCK_MONOTONIC before all of the load that ran last, before and after what of it is
        timed, and the processor time of that. They can be read once."""
        started, begin, end, processor = map(int, self.stamps.read_text().split())
        self.stamps.unlink()
        return started, begin, end, processor


def make_stopwatch(folder: Path) -> Stopwatch:
    """Compiled into the folder. SystemExit where there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise SystemExit("cc: not found; install gcc")
    program = folder / "stopwatch"
    subprocess.run([compiler, "-O2", "-o", program, HERE / "stopwatch.c"], check=True)
    return Stopwatch(program, folder / "stamps")


def make_loads(folder: Path) -> dict[str, Load]:
    """By name; what they read is made in the folder."""
    full, short = folder / "full.c", folder / "short.c"
    full.write_text(_c_source(FUNCTIONS))
    short.write_text(_c_source(FUNCTIONS // 10))
    storm = folder / "storm.py"
    storm.write_text("".join(f"import {module}\n" for module in MODULES.split()))
    compiled = str(folder / "compiled.o")
    loads = (
        Load("dd", "dd if=/dev/zero of=/dev/null bs=1 count=500k", _dd, ("dd",)),
        Load("dd2", "two of them at once, one a processor", _dd, ("dd",), copies=2),
        Load(
            "find",
            "find /usr four times, after one that is not timed (short: /usr/share/doc, once)",
            _find,
            ("find",),
            repeats=(4, 1),
            warm_ups=1,
        ),
        Load(
            "compile",
            f"cc -O2 of a C file with {FUNCTIONS:,} functions (short: a tenth of them)",
            lambda is_short: (
                ("cc", "-O2", "-c", "-o", compiled, str(short if is_short else full))
            ),
            ("cc", "cc1", "as"),
        ),
        Load(
            "imports",
            f"12 times (short: 2) a Python that imports {len(MODULES.split())} modules",
            lambda is_short: (sys.executable, "-I", str(storm)),
            (Path(sys.executable).name,),
            repeats=(12, 2),
        ),
    )
    return {load.name: load for load in loads}


def _dd(short: bool) -> tuple[str, ...]:
    count = "20k" if short else "500k"
    return ("dd", "if=/dev/zero", "of=/dev/null", "bs=1", f"count={count}", "status=none")


def _find(short: bool) -> tuple[str, ...]:
    return ("find", "/usr/share/doc" if short else "/usr")


def _c_source(functions: int) -> str:
    """Loops that a compiler thinks about, behind the usual headers."""
    head = "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <unistd.h>\n"
    body = (
        "int f{0}(int *v, int n) {{ int s = {0}; for (int i = 0; i < n; i++) {{ "
        "s += v[i] * {0} ^ (s >> 3); if (s & {0}) v[i] = s; }} return s + (int)strlen("
        '"name {0}"); }}\n'
    )
    return head + "".join(body.format(number) for number in range(functions))
