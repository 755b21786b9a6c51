"""`proctor doctor`: what this host offers, and per process what is seen, what is not, and why."""

from __future__ import annotations

import errno
import json
import os
import sys
from typing import Any, Final

from proctor.diagnosis.findings import Host, ProcessFinding, values_of
from proctor.errors import BROKEN_PIPE_STATUS, ProctorError, cause_of

SCHEMA: Final = 1


def main(pid: int | None, as_json: bool) -> int:
    """Print the diagnosis; 0, or 1 where this host can't be watched.

    pid: only this process. ProctorError where it is not there, and, after the
    diagnosis, where something essential is missing.
    """
    from proctor.diagnosis.host import examine_host
    from proctor.diagnosis.processes import examine_processes

    processes, left_out = examine_processes(pid)
    host = examine_host()
    try:
        if as_json:
            print(json.dumps(_report(host, processes, left_out)), flush=True)
        else:
            from proctor.diagnosis.text import print_diagnosis

            print_diagnosis(sys.stdout, host, processes, left_out, one=pid is not None)
    except OSError as error:
        if error.errno == errno.EPIPE:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left in the buffer
            return BROKEN_PIPE_STATUS
        raise ProctorError(f"standard output: {cause_of(error)}") from None
    if host.usable is False:
        missing = [each.name for each in host.checks if each.essential and each.state == "missing"]
        raise ProctorError(f"this host: cannot be watched: {', '.join(missing)}; see above")
    return 0


def _report(host: Host, processes: list[ProcessFinding], left_out: int) -> dict[str, Any]:
    from proctor import __version__

    facts: dict[str, Any] = {"kernel": host.kernel, "machine": host.machine}
    if host.usable is not None:
        facts["usable"] = host.usable
    facts |= {"checks": values_of(host.checks), "programs": values_of(host.programs)}
    return {
        "schema": SCHEMA,
        "version": __version__,
        "host": facts,
        "processes": values_of(processes),
        "files_not_searched": left_out,
    }
