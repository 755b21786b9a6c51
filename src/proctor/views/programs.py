"""The summary's programs: a small tree of who ran what, and how it ended."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from proctor.views.clean import clean_line
from proctor.views.digest import Digest, Program, program_name
from proctor.views.live import command_text, exit_text
from proctor.views.shorten import shorten
from proctor.views.terminal import Glyphs
from proctor.views.units import duration

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text
    from rich.tree import Tree

_ROWS_MAX: Final = 24
_NAMES_MAX: Final = 6
_GUIDE_COLUMNS: Final = 4


def programs_tree(digest: Digest, width: int, glyphs: Glyphs) -> list[RenderableType]:
    planter = _Planter(digest, width, glyphs)
    return planter.trees()


class _Planter:
    def __init__(self, digest: Digest, width: int, glyphs: Glyphs) -> None:
        self._digest = digest
        self._width = width
        self._glyphs = glyphs
        self._rows = 0
        running = digest.summary.still_running if digest.summary else []
        self._running = {process.get("pid") for process in running}
        self._left_out: Counter[str] = Counter(digest.programs_left_out)
        self._children: dict[int | None, list[Program]] = {}

    def trees(self) -> list[RenderableType]:
        from rich.text import Text
        from rich.tree import Tree

        parents = _parents(list(self._digest.programs.values()))
        for program, parent in parents:
            self._children.setdefault(_identity(parent), []).append(program)
        roots: list[RenderableType] = []
        for program in self._grown(None):
            if self._take(program):
                root = Tree(self._label(program, 0), guide_style="proctor.rule")
                self._grow(root, program, 1)
                roots.append(root)
            else:
                self._drop(program)
        if self._left_out:
            names = self._left_out.most_common()
            listed = ", ".join(
                clean_line(name) + (f" {self._glyphs.times}{count}" if count > 1 else "")
                for name, count in names[:_NAMES_MAX]
            )
            end = f", {self._glyphs.more}" if len(names) > _NAMES_MAX else ""
            text = f"{self._glyphs.more} and {self._left_out.total():,} more: {listed}{end}"
            roots.append(Text(text, "proctor.quiet"))
        return roots

    def _grown(self, parent: Program | None) -> list[Program]:
        """The children; one that ran no program of its own gives way to its own children."""
        result: list[Program] = []
        pending = list(reversed(self._children.get(_identity(parent), [])))
        while pending:
            program = pending.pop()
            if program.commands:
                result.append(program)
            else:
                pending += reversed(self._children.get(id(program), []))
        return result

    def _grow(self, tree: Tree, program: Program, depth: int) -> None:
        for child in self._grown(program):
            if depth < _ROWS_MAX and self._take(child):
                self._grow(tree.add(self._label(child, depth)), child, depth + 1)
            else:
                self._drop(child)

    def _take(self, program: Program) -> bool:
        self._rows += len(program.commands)
        return self._rows <= _ROWS_MAX

    def _drop(self, program: Program) -> None:
        pending = [program]
        while pending:
            each = pending.pop()
            for command in each.commands:
                self._left_out[program_name(command)] += 1
            pending += self._children.get(id(each), [])

    def _label(self, program: Program, depth: int) -> Text:
        from rich.text import Text

        room = max(self._width - 2 - _GUIDE_COLUMNS * depth - 28, 16)
        texts = [
            shorten(clean_line(command_text(command)), room, self._glyphs.more)
            for command in program.commands
        ]
        label = Text(no_wrap=True, overflow=self._glyphs.overflow).append(
            f"\n{self._glyphs.sent} ".join(texts)
        )
        if program.exit_ns is not None:
            text, style = exit_text(program.exit_code, program.signal)
        elif program.process.pid in self._running:
            text, style = "still running", "proctor.warn"
        else:
            text, style = "end not seen", "proctor.warn"
        label.append(f"  {text}", style)
        if program.exit_ns is not None and program.first_ns is not None:
            label.append(f"  {duration(program.exit_ns - program.first_ns)}", "proctor.quiet")
        return label


def _identity(program: Program | None) -> int | None:
    return None if program is None else id(program)


def _parents(programs: list[Program]) -> list[tuple[Program, Program | None]]:
    """Each with its parent: the youngest process of that pid that began before it."""
    by_pid: dict[int, list[Program]] = {}
    for program in programs:
        by_pid.setdefault(program.process.pid, []).append(program)
    result: list[tuple[Program, Program | None]] = []
    for program in programs:
        began = program.process.start_time_ns
        older = [
            each
            for each in by_pid.get(program.process.ppid or 0, [])
            if each.process.start_time_ns < began
        ]
        parent = max(older, key=lambda each: each.process.start_time_ns, default=None)
        result.append((program, parent))
    return result
