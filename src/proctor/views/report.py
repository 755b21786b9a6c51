"""What a run prints on a terminal: live lines where asked for, the summary at its end."""

from __future__ import annotations

from typing import TextIO

from proctor.events import Event
from proctor.views.digest import Digest
from proctor.views.live import LiveView
from proctor.views.summary import print_summary
from proctor.views.terminal import make_console


class Report:
    """A sink: `feed(event)` each, `close()` prints the summary.

    A reader that goes away, or a full disk behind a redirection, ends the report
    quietly: `broken` says so.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        live: bool = False,
        full: bool = False,
        summary: bool = True,
        recording: str | None = None,
    ) -> None:
        """`full`: live lines show whole texts. `recording`: the path to name at the end."""
        self._console = make_console(stream)
        self._live = LiveView(self._console, full=full) if live else None
        self._digest = Digest() if summary else None
        self._recording = recording
        self.broken: OSError | None = None

    def feed(self, event: Event) -> None:
        if self._digest is not None:
            self._digest.feed(event)
        if self._live is None or self.broken is not None:
            return
        try:
            self._live.feed(event)
        except OSError as error:
            self.broken = error

    def close(self) -> None:
        if self._digest is None or self.broken is not None:
            return
        self._digest.close()
        try:
            print_summary(self._console, self._digest, recording=self._recording)
        except OSError as error:
            self.broken = error
