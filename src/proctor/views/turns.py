"""The summary's conversation: each call's new messages and its answer, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proctor.views.clean import clean_line, clean_lines
from proctor.views.digest import TEXT_MAX, Digest, Excerpt, Turn
from proctor.views.live import call_facts, model_of, name_of, problems
from proctor.views.terminal import Glyphs
from proctor.views.units import plural

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

_ROLE_COLUMNS: Final = 10
_BRIEF_FIRST: Final = 2
_BRIEF_LAST: Final = 4
_BRIEF_TEXT_MAX: Final = 240
"""What is shown of a conversation that is too long to be shown whole."""
_INSTRUCTIONS_MAX: Final = 400
_ROWS_MAX: Final = 12
"""Lines of one message."""

_ROLE_STYLES: Final = {
    "user": "proctor.sent",
    "assistant": "proctor.received",
    "tool": "proctor.tool",
    "system": "proctor.quiet",
    "developer": "proctor.quiet",
}


def conversation(digest: Digest, glyphs: Glyphs) -> list[RenderableType]:
    from rich.console import Group

    first, last = digest.turns_first, list(digest.turns_last)
    limit = TEXT_MAX
    if len(first) + len(last) < digest.calls:
        first, last, limit = first[:_BRIEF_FIRST], last[-_BRIEF_LAST:], _BRIEF_TEXT_MAX
    left_out = digest.calls - len(first) - len(last)
    parts: list[RenderableType] = [_turn(turn, glyphs, limit) for turn in first]
    if left_out:
        parts.append(_left_out(left_out, glyphs))
    parts += [_turn(turn, glyphs, limit) for turn in last]
    spaced = [each for part in parts for each in (part, "")]
    return [Group(*spaced[:-1])] if spaced else []


def _turn(turn: Turn, glyphs: Glyphs, limit: int) -> RenderableType:
    from rich.console import Group

    return Group(_heading(turn, glyphs), _messages(turn, glyphs, limit))


def _heading(turn: Turn, glyphs: Glyphs) -> Text:
    from rich.text import Text

    call = turn.call
    heading = Text().append(name_of(call.process), "proctor.who")
    heading.append(f" {glyphs.sent} ", "proctor.quiet")
    heading.append(clean_line(model_of(call)), "proctor.model")
    for text, style in call_facts(call):
        heading.append(f" {glyphs.dot} ", "proctor.quiet")
        heading.append(clean_line(text), style or "proctor.quiet")
    return heading


def _messages(turn: Turn, glyphs: Glyphs, limit: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(width=_ROLE_COLUMNS, no_wrap=True, overflow=glyphs.overflow)
    table.add_column(overflow="fold")
    if turn.lines_left_out:
        text = f"{glyphs.more} {plural(turn.lines_left_out, 'earlier part')}"
        table.add_row("", Text(text, "proctor.quiet"))
    before = ""
    for line in (*turn.sent, *turn.received):
        role = clean_line(line.role)
        table.add_row(
            Text("" if role == before else role, _ROLE_STYLES.get(role, "proctor.who")),
            _body(line, glyphs, limit),
        )
        before = role
    for text in problems(turn.call):
        table.add_row("", Text(f"{glyphs.lost} {clean_line(text)}", "proctor.bad"))
    return table


def _body(line: Excerpt, glyphs: Glyphs, limit: int) -> Text:
    from rich.text import Text

    instructions = line.role in ("system", "developer")
    shown = line.text(min(limit, _INSTRUCTIONS_MAX) if instructions else limit)
    text = clean_lines(shown).strip("\n")
    rows = text.split("\n")
    if len(rows) > _ROWS_MAX:
        left_out = len(rows) - _ROWS_MAX
        kept = [*rows[: _ROWS_MAX - 3], f"[{glyphs.more} {plural(left_out, 'line')}]", *rows[-3:]]
        text = "\n".join(kept)
    if line.kind == "tool_call":
        name, _, arguments = text.partition(" ")
        return Text().append(f"{glyphs.tool} {name} ", "proctor.tool").append(arguments)
    if line.kind == "reasoning":
        return Text(text, "proctor.reasoning")
    return Text(text, "proctor.quiet" if instructions else "")


def _left_out(count: int, glyphs: Glyphs) -> Text:
    from rich.text import Text

    text = f"{glyphs.more} {plural(count, 'call')} between (proctor show --type call)"
    return Text(text, "proctor.quiet")
