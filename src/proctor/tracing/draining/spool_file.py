"""Where the spool lies, without a name: beside the output, else where temporary files do."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from proctor.errors import ProctorError, cause_of
from proctor.tracing.draining.spool import Spool


def open_spool(output: str | None) -> Spool:
    """Its file goes with the last holder. ProctorError where none can be made."""
    folders = [Path(output).parent] if output and _is_file(output) else []
    folders.append(Path(tempfile.gettempdir()))
    cause = ""
    for folder in folders:
        try:
            return Spool(os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600))
        except OSError:
            pass
        try:
            descriptor, path = tempfile.mkstemp(prefix=".proctor-", dir=folder)
        except OSError as error:
            cause = cause_of(error)
            continue
        os.unlink(path)  # noqa: PTH108
        return Spool(descriptor)
    raise ProctorError(
        f"{folders[-1]}: no room for the spool: {cause}; set TMPDIR to another place"
    )


def _is_file(output: str) -> bool:
    """And not in /dev, which is memory."""
    return output != "-" and Path(output).is_file() and not output.startswith("/dev/")
