"""Events as lines while they happen: one line each; a small block for a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from proctor.events import (
    ActionEvent,
    Call,
    ConnectionEvent,
    Coverage,
    DnsEvent,
    Event,
    Process,
    ProcessEvent,
    Summary,
    rfc3339,
)
from proctor.reasons import REASONS
from proctor.views.clean import clean_line, clean_lines, clean_name
from proctor.views.conversation import Conversations, Line
from proctor.views.files import VERBS, action_texts
from proctor.views.shorten import shorten
from proctor.views.terminal import glyphs
from proctor.views.units import duration, number, plural, size

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_WHO_COLUMNS: Final = 16
_WHO_COLUMNS_NARROW: Final = 14
_WIDE: Final = 90
_CUT_MAX: Final = 4000
"""Characters of a text that a one-line view looks at."""
_LINES_SENT: Final = 3
_ONLY_IN: Final = ("embeddings", "count_tokens")
"""Operations that generate no tokens."""


class LiveView:
    """`feed(event)` prints. With `full`, texts of calls are whole and wrapped."""

    def __init__(self, console: Console, *, full: bool = False) -> None:
        self._console = console
        self._full = full
        self._glyphs = glyphs(console)
        self._conversations = Conversations()
        wide = console.width >= _WIDE
        self._time = slice(11, 23) if wide else slice(11, 19)
        self._indent = 13 if wide else 4
        self._who_columns = _WHO_COLUMNS if wide else _WHO_COLUMNS_NARROW

    def feed(self, event: Event) -> None:
        match event:
            case ProcessEvent():
                self._line(event, event.event, *process_texts(event))
            case ConnectionEvent():
                self._line(event, event.event, *connection_texts(event))
            case DnsEvent():
                self._line(event, "dns", *self._dns_texts(event))
            case ActionEvent():
                verb = VERBS.get(event.kind, "file")
                self._line(event, verb, *action_texts(event), clean=clean_name)
            case Call():
                self._call(event)
            case Coverage():
                self._line(event, "coverage", *coverage_texts(event))
            case Summary():
                self._line(event, "summary", *summary_texts(event))

    def _line(
        self,
        event: Event,
        kind: str,
        text: str,
        style: str = "",
        clean: Callable[[str], str] = clean_line,
    ) -> None:
        head = self._head(event, kind)
        head.append(clean(text[:_CUT_MAX]), style)
        self._print(head)

    def _head(self, event: Event, kind: str) -> Text:
        from rich.text import Text

        head = Text().append(rfc3339(event.time_ns)[self._time], "proctor.quiet")
        who = name_of(event.process)
        head.append(f" {_padded(who, self._who_columns, self._glyphs.more)} ", "proctor.who")
        head.append(f"{kind:<8} ", "proctor.heading")
        return head

    def _print(self, text: Text) -> None:
        if self._full:
            self._console.print(text)
        else:
            self._console.print(text, no_wrap=True, overflow=self._glyphs.overflow)

    def _dns_texts(self, event: DnsEvent) -> tuple[str, str]:
        if event.event == "query":
            return f"{event.query} {event.query_type}?", "proctor.quiet"
        answers = ", ".join(event.answers or []) or event.error or "no answer"
        arrow = self._glyphs.sent
        style = "proctor.warn" if event.error else ""
        return f"{event.query} {event.query_type} {arrow} {answers}", style

    def _call(self, call: Call) -> None:
        head = self._head(call, "call")
        head.append(clean_line(call.provider) + " ")
        head.append(clean_line(model_of(call)), "proctor.model")
        facts = self._facts(call)
        fits = head.cell_len + facts.cell_len + 2 <= self._console.width
        self._print(head.append("  ").append_text(facts) if fits else head)
        if not fits:
            self._indented(facts)
        sent, received = self._conversations.feed(call)
        left_out = 0 if self._full else max(len(sent) - _LINES_SENT, 0)
        if left_out:
            self._detail(
                "", f"{self._glyphs.more} {plural(left_out, 'more part')}", "proctor.quiet"
            )
        for line in sent[left_out:]:
            self._detail(self._glyphs.sent, f"{line.role}: {line.text}", "proctor.sent")
        for line in received:
            sign, style = self._answer_style(line)
            self._detail(sign, line.text, style)
        for text in problems(call):
            self._detail(self._glyphs.lost, text, "proctor.bad")

    def _facts(self, call: Call) -> Text:
        from rich.text import Text

        facts = Text()
        for text, style in call_facts(call):
            facts.append(f" {self._glyphs.dot} " if facts else "", "proctor.quiet")
            facts.append(clean_line(text), style)
        return facts

    def _answer_style(self, line: Line) -> tuple[str, str]:
        if line.kind == "tool_call":
            return self._glyphs.tool, "proctor.tool"
        style = "proctor.reasoning" if line.kind == "reasoning" else "proctor.received"
        return self._glyphs.received, style

    def _detail(self, sign: str, text: str, style: str) -> None:
        from rich.text import Text

        detail = Text().append(f"{sign} " if sign else "", style)
        told = "" if style == "proctor.sent" else style
        if self._full:
            self._indented(detail.append(clean_lines(text), told))
            return
        detail.append(clean_line(text[:_CUT_MAX]), told)
        self._print(Text(" " * self._indent).append_text(detail))

    def _indented(self, text: Text) -> None:
        from rich.padding import Padding

        self._console.print(Padding(text, (0, 0, 0, self._indent)))


def name_of(process: Process | None) -> str:
    """`name[pid]`, cleaned."""
    if process is None:
        return "-"
    name = process.comm or (process.exe or "?").rsplit("/", 1)[-1]
    return f"{clean_line(name)}[{process.pid}]"


def model_of(call: Call) -> str:
    return call.request.model or (call.response and call.response.model) or "?"


def call_facts(call: Call) -> list[tuple[str, str]]:
    """Status, duration, first chunk, tokens: texts with their styles."""
    facts: list[tuple[str, str]] = []
    if call.operation != "chat":
        facts.append((call.operation, ""))
    status = call.response.status if call.response else None
    if status is None:
        facts.append(("no answer", "proctor.bad"))
    elif status >= 400:
        facts.append((str(status), "proctor.bad"))
    if call.duration_ns is not None:
        facts.append((duration(call.duration_ns), ""))
    if call.time_to_first_chunk_ns is not None:
        facts.append((f"first chunk {duration(call.time_to_first_chunk_ns)}", "proctor.quiet"))
    usage = call.usage
    if usage is not None and (usage.input_tokens, usage.output_tokens) != (None, None):
        facts.append((f"{number(usage.input_tokens)} tokens in", ""))
        if usage.cache_read_input_tokens:
            facts.append((f"{number(usage.cache_read_input_tokens)} cached", "proctor.quiet"))
        if usage.output_tokens is not None or call.operation not in _ONLY_IN:
            facts.append((f"{number(usage.output_tokens)} out", ""))
        if usage.reasoning_output_tokens:
            facts.append((f"{number(usage.reasoning_output_tokens)} reasoning", "proctor.quiet"))
    return facts


def problems(call: Call) -> list[str]:
    """What went wrong with a call, a line each: the provider's error, and what is missing."""
    texts = []
    if call.response is not None and call.response.error is not None:
        error = call.response.error
        said = [str(error[key]) for key in ("type", "code", "message") if error.get(key)]
        texts.append("error: " + ": ".join(said or ["(no words)"]))
    texts += [
        f"INCOMPLETE {gap.where}"
        + (f", {size(gap.bytes)} missing" if gap.bytes else "")
        + f": {REASONS.get(gap.reason, gap.reason)}"
        for gap in call.gaps
    ]
    if not call.complete and not call.gaps:
        texts.append("INCOMPLETE")
    return texts


def process_texts(event: ProcessEvent) -> tuple[str, str]:
    if event.event == "exec":
        argv = event.argv or (event.process and event.process.argv) or ["?"]
        return command_text(argv) + (" (cut)" if event.argv_truncated else ""), ""
    text, style = exit_text(event.exit_code, event.signal)
    return text.removeprefix("exit "), style


def exit_text(exit_code: int | None, signal_number: int | None) -> tuple[str, str]:
    """How a process ended, and the style of it."""
    if signal_number:
        return f"killed by {signal_name(signal_number)}", "proctor.bad"
    if exit_code is None:
        return "ended", "proctor.quiet"
    return f"exit {exit_code}", "proctor.quiet" if exit_code == 0 else "proctor.warn"


def signal_name(number: int) -> str:
    import signal

    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def command_text(argv: list[str]) -> str:
    """A command as a shell would take it."""
    import shlex

    return shlex.join(argv)


def connection_texts(event: ConnectionEvent) -> tuple[str, str]:
    name = event.server_name or event.resolved_name
    text = f"{name} ({event.remote})" if name and event.remote else name or event.remote or "?"
    if event.error:
        return f"{text}: {event.error}", "proctor.warn"
    if event.event == "close":
        text += f" {size(event.bytes_sent)} out, {size(event.bytes_received)} in"
    if event.duration_ns:
        text += f", {duration(event.duration_ns)}"
    return text, ""


def coverage_texts(event: Coverage) -> tuple[str, str]:
    text = f"{event.state}: {event.library or 'library not known'}"
    if event.plaintext_bytes is not None:
        text += f", {size(event.plaintext_bytes)} of plaintext"
        if event.socket_bytes is not None:
            text += f", {size(event.socket_bytes)} on its sockets"
    for more in (REASONS.get(event.reason or "", event.reason), event.advice):
        text += f"; {more}" if more else ""
    return text, "proctor.warn" if event.state in ("unsupported", "failed") else ""


def summary_texts(event: Summary) -> tuple[str, str]:
    counts = ", ".join(f"{name} {count:,}" for name, count in event.counts.items() if count)
    if not event.lost:
        return f"{counts}; nothing lost", ""
    lost = ", ".join(f"{reason} {count:,}" for reason, count in event.lost.items())
    return f"{counts}; lost: {lost}", "proctor.bad"


def _padded(text: str, columns: int, more: str) -> str:
    from rich.cells import set_cell_size

    short = shorten(text, columns, more)
    return set_cell_size(short, columns)
