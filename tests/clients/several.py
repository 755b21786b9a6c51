"""Several clients under one parent: several.py [-i MODULE]... [COMMAND...]

Each COMMAND is a JSON list; without any they are the lines of standard input. One of a Python
client here runs in a forked child, so that what `-i` imports is imported once for all; any other
is executed. One after the other; each gives a JSON line `{"pid", "status", "stdout", "stderr"}`.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent


def become(command: list[str]) -> None:
    is_ours = command[0] == sys.executable and Path(command[1]).parent == HERE
    if not is_ours:
        os.execvp(command[0], command)
    sys.argv = command[1:]
    runpy.run_path(command[1], run_name="__main__")


def run(command: list[str]) -> dict[str, object]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as complaints:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                os.dup2(out.fileno(), 1)
                os.dup2(complaints.fileno(), 2)
                become(command)
                status = 0
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else 1
            except BaseException:  # noqa: BLE001  never back into the parent's loop
                sys.excepthook(*sys.exc_info())
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        _, wait_status = os.waitpid(pid, 0)
        out.seek(0)
        complaints.seek(0)
        return {
            "pid": pid,
            "status": os.waitstatus_to_exitcode(wait_status),
            "stdout": out.read().decode(errors="replace"),
            "stderr": complaints.read().decode(errors="replace"),
        }


def main() -> None:
    arguments = sys.argv[1:]
    while arguments[:1] == ["-i"]:
        importlib.import_module(arguments[1])
        arguments = arguments[2:]
    for text in arguments or sys.stdin:
        print(json.dumps(run(json.loads(text))), flush=True)


if __name__ == "__main__":
    main()
