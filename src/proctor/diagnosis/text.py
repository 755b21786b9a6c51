"""The diagnosis for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, TextIO

from proctor.diagnosis.findings import Check, Host, ProcessFinding, TlsFinding
from proctor.kernel.loading import FEATURES
from proctor.kernel.requirements import is_root
from proctor.views.clean import clean_line
from proctor.views.terminal import Glyphs, glyphs, make_console
from proctor.views.units import plural

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

CONNECTIONS_SHOWN: Final = 3
PIDS_SHOWN: Final = 8
ORDER: Final = ("unknown", "unsupported", "partly", "attachable")
"""The order of processes, by state: those that need a word come first."""
HEADINGS: Final = {
    "unknown": "TLS that is not seen, for a reason not known",
    "unsupported": "TLS that is not seen",
    "partly": "TLS that is seen in part",
    "attachable": "TLS that a session sees",
}
_NAME_COLUMNS: Final = 20


def print_diagnosis(
    stream: TextIO, host: Host, processes: list[ProcessFinding], left_out: int, *, one: bool
) -> None:
    """OSError where the stream can't be written."""
    _Diagnosis(make_console(stream)).print(host, processes, left_out, one=one)


class _Diagnosis:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._glyphs: Glyphs = glyphs(console)

    def print(
        self, host: Host, processes: list[ProcessFinding], left_out: int, *, one: bool
    ) -> None:
        self._title(host)
        features = {feature.name for feature in FEATURES}
        self._heading("This host")
        for check in host.checks:
            if check.name not in features:
                self._check(check)
        self._features([check for check in host.checks if check.name in features])
        self._processes(processes, one=one)
        if left_out:
            files = plural(left_out, "file")
            self._quiet(f"{files} too large to search; --pid looks at one process's only")

    def _title(self, host: Host) -> None:
        from rich.rule import Rule
        from rich.text import Text

        title = Text().append("Proctor  ", "proctor.title")
        title.append(f"on Linux {clean_line(host.kernel)}, {clean_line(host.machine)}")
        self._console.print(
            Rule(title, align="left", style="proctor.rule", characters=self._glyphs.rule)
        )

    def _heading(self, text: str) -> None:
        self._console.print()
        self._console.print(text, style="proctor.heading")

    def _quiet(self, text: str, indent: int = 2) -> None:
        self._line(text, indent, "proctor.quiet")

    def _line(self, text: RenderableType, indent: int = 2, style: str = "") -> None:
        from rich.padding import Padding
        from rich.text import Text

        body = Text(clean_line(text), style) if isinstance(text, str) else text
        self._console.print(Padding(body, (0, 0, 0, indent)))

    def _mark(self, state: str) -> tuple[str, str]:
        if state in ("ok", "attachable"):
            return self._glyphs.good, "proctor.good"
        if state in ("missing", "unsupported"):
            return self._glyphs.lost, "proctor.bad"
        return "?", "proctor.warn"

    def _check(self, check: Check) -> None:
        from rich.table import Table
        from rich.text import Text

        sign, style = self._mark(check.state)
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(width=_NAME_COLUMNS)
        grid.add_column()
        name = Text().append(f"{sign} ", style).append(check.name)
        quiet = "proctor.quiet" if check.state == "ok" else ""
        grid.add_row(name, Text(clean_line(check.detail), quiet))
        self._line(grid)
        self._consequences(check)

    def _consequences(self, check: Check) -> None:
        if check.state == "ok":
            return
        said = [f"lost: {check.lost}"] if check.lost else []
        if check.lost and check.since:
            said.append(f"since Linux {check.since}")
        if check.advice:
            said.append(check.advice)
        for text in said:
            self._quiet(text, 4)

    def _features(self, checks: list[Check]) -> None:
        self._heading("What can be seen")
        if checks and all(check.state == "unknown" for check in checks):
            self._line(f"? {checks[0].detail}", style="proctor.warn")
            return
        from rich.text import Text

        for check in checks:
            sign, style = self._mark(check.state)
            line = Text().append(f"{sign} ", style).append(check.name)
            if check.state != "ok":
                line.append(f": {clean_line(check.detail)}")
            self._line(line)
            if check.state == "missing":
                self._quiet(f"since Linux {check.since}; {check.advice}", 4)

    def _processes(self, processes: list[ProcessFinding], *, one: bool) -> None:
        states = Counter(process.state for process in processes)
        for state in ORDER:
            if states[state]:
                self._heading(HEADINGS[state])
                for alike in _grouped([each for each in processes if each.state == state]):
                    self._alike(alike)
        if one:
            for process in processes:
                if process.state not in ORDER:
                    self._without(process)
            return
        self._heading("Other processes")
        self._quiet(f"{states['no_tls']:,} without TLS")
        if states["unreadable"]:
            remedy = "" if is_root() else "; run it with sudo"
            self._quiet(f"{states['unreadable']:,} that may not be looked into{remedy}")

    def _alike(self, alike: list[ProcessFinding]) -> None:
        """Processes of one program, in one block."""
        from rich.text import Text

        process = alike[0]
        line = Text().append(f"{clean_line(process.comm)} ", "proctor.who")
        pids = " ".join(str(each.pid) for each in alike[:PIDS_SHOWN])
        more = f" and {len(alike) - PIDS_SHOWN:,} more" if len(alike) > PIDS_SHOWN else ""
        line.append(f"[{pids}{more}]", "proctor.quiet")
        if connections := sorted({remote for each in alike for remote in each.connections}):
            line.append(f"  connected to {self._remotes(connections)}", "proctor.quiet")
        self._line(line)
        for finding in process.tls:
            self._tls(finding)
        if process.reason:
            self._line(f"? {process.reason}", 4, "proctor.warn")
        if process.advice:
            self._quiet(process.advice, 6)

    def _remotes(self, connections: list[str]) -> str:
        shown = ", ".join(connections[:CONNECTIONS_SHOWN])
        more = len(connections) - CONNECTIONS_SHOWN
        return shown + (f" and {more:,} more" if more > 0 else "")

    def _tls(self, finding: TlsFinding) -> None:
        from rich.text import Text

        sign, style = self._mark(finding.state)
        line = Text().append(f"{sign} ", style).append(f"{finding.implementation}  ")
        line.append(clean_line(finding.library), "proctor.quiet")
        self._line(line, 4)
        for text in _said_of(finding):
            self._quiet(text, 6)

    def _without(self, process: ProcessFinding) -> None:
        self._heading(f"{clean_line(process.comm)} [{process.pid}]")
        if process.state == "unreadable":
            self._line(f"? {process.reason}", style="proctor.warn")
            self._quiet(process.advice or "", 4)
            return
        self._line("no TLS library that we know is mapped, and no connection to an HTTPS port")
        self._quiet("a library that it loads later is seen from its first byte on")
        if process.connections:
            self._quiet(f"connected to {self._remotes(process.connections)}")


def _grouped(processes: list[ProcessFinding]) -> list[list[ProcessFinding]]:
    """Those of which the same is to be said, together."""
    groups: dict[object, list[ProcessFinding]] = {}
    for each in processes:
        tls = tuple(
            (finding.library, finding.implementation, finding.state) for finding in each.tls
        )
        groups.setdefault((each.comm, tls, each.reason), []).append(each)
    return list(groups.values())


def _said_of(finding: TlsFinding) -> Iterator[str]:
    if finding.reason:
        yield finding.reason
    if finding.advice:
        yield finding.advice
