"""The end of a run: the conversation, models, programs, hosts, coverage, and what was lost."""

from __future__ import annotations

from itertools import compress
from typing import TYPE_CHECKING, Final

from proctor.events import Json
from proctor.reasons import REASONS
from proctor.views.clean import clean_line, clean_name, shell_word
from proctor.views.digest import Digest, Host, ModelTotals, sum_known
from proctor.views.files import DONE, REFUSED
from proctor.views.programs import programs_tree
from proctor.views.shorten import shorten
from proctor.views.terminal import Glyphs, glyphs
from proctor.views.turns import conversation
from proctor.views.units import duration, number, plural, size

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

_WIDTH_MAX: Final = 110
"""Lines of prose get no longer than this, however wide the terminal is."""
_MODELS_SHOWN: Final = 10
_HOSTS_SHOWN: Final = 12
_COVERAGE_SHOWN: Final = 12
_FILES_SHOWN: Final = 4
_RUNNING_SHOWN: Final = 8
_MODEL: Final = {
    "Model": 0,
    ">Calls": 0,
    ">Tokens in": 0,
    ">Cached": 60,
    ">Out": 0,
    ">First chunk": 90,
    ">Call": 90,
    ">Slowest": 90,
}
_HOST: Final = {"Host": 0, "Address": 90, ">Opened": 0, ">Sent": 0, ">Received": 0, "": 0}
_FILE: Final = {">Count": 0, "Files": 0, "": 0}
_REASON: Final = {">Count": 0, "Reason": 0, "": 0}
_COVERAGE: Final = {"Process": 0, "Library": 60, "State": 0, ">Plaintext": 0, ">On sockets": 60}
"""Columns, from which width of the terminal on they are there."""


def print_summary(console: Console, digest: Digest, *, recording: str | None = None) -> None:
    """Print all that the digest holds. `recording`: the path to name at the end."""
    view = _SummaryView(console, digest, recording)
    view.print()


_Words = tuple[str, str, str, str, str]
"""Process, library, state, reason and advice."""


class _SummaryView:
    def __init__(self, console: Console, digest: Digest, recording: str | None) -> None:
        self._console = console
        self._digest = digest
        self._recording = recording
        self._glyphs: Glyphs = glyphs(console)
        self._width = min(console.width, _WIDTH_MAX)

    def print(self) -> None:
        self._out("")
        self._title()
        self._section("Conversation", conversation(self._digest, self._glyphs))
        self._section("Models", self._models())
        self._section("Programs", programs_tree(self._digest, self._width, self._glyphs))
        self._section("Hosts", self._hosts())
        self._section("Files", self._files())
        self._section("Coverage", self._coverage())
        self._section("Still running", self._still_running())
        self._section("Lost", self._lost())
        self._where()

    def _out(self, renderable: RenderableType) -> None:
        self._console.print(renderable, width=self._width)

    def _section(self, name: str, body: list[RenderableType]) -> None:
        from rich.padding import Padding
        from rich.text import Text

        if not body:
            return
        self._out(Text(name, "proctor.heading"))
        for renderable in body:
            self._out(Padding(renderable, (0, 0, 0, 2)))
        self._out("")

    def _title(self) -> None:
        from rich.rule import Rule
        from rich.text import Text

        digest = self._digest
        facts = [plural(digest.calls, "call"), plural(digest.executions, "program")]
        facts.append(plural(len(digest.hosts) + digest.hosts_left_out, "host"))
        if digest.first_ns is not None and digest.last_ns is not None:
            facts.insert(0, duration(digest.last_ns - digest.first_ns))
        title = Text().append("Proctor  ", "proctor.title")
        title.append(f" {self._glyphs.dot} ".join(facts))
        self._out(Rule(title, align="left", style="proctor.rule", characters=self._glyphs.rule))
        self._out("")

    def _grid(self, columns: dict[str, int], rows: list[tuple[RenderableType, ...]]) -> Table:
        """A borderless table of the columns that there is room for. One whose name starts with `>`
        is set right, and shown in full: half a number says nothing."""
        from rich.table import Table

        table = Table(
            box=None,
            padding=(0, 2, 0, 0),
            pad_edge=False,
            header_style="proctor.quiet",
            expand=False,
        )
        shown = [self._width >= least for least in columns.values()]
        for column in compress(columns, shown):
            name = column.removeprefix(">")
            right = column != name
            table.add_column(
                name,
                justify="right" if right else "left",
                no_wrap=right,
                overflow=self._glyphs.overflow,
            )
        for row in rows:
            table.add_row(*compress(row, shown))
        return table

    def _models(self) -> list[RenderableType]:
        models = sorted(self._digest.models.items(), key=lambda item: -item[1].calls)
        if not models:
            return []
        shown = models[:_MODELS_SHOWN]
        rows: list[tuple[RenderableType, ...]] = [
            (self._model_name(*named), number(totals.calls), *_tokens(totals), *_timings(totals))
            for named, totals in shown
        ]
        notes = [
            note
            for (_, model), totals in shown
            for note in _model_notes(f"{clean_line(model)}: ", totals)
        ]
        more = self._more(len(models) - _MODELS_SHOWN, "model")
        return [self._grid(_MODEL, rows), *notes, *more]

    def _model_name(self, provider: str, model: str) -> Text:
        from rich.text import Text

        name = Text().append(
            shorten(clean_line(model), self._width // 2, self._glyphs.more), "proctor.model"
        )
        name.append(f"  {clean_line(provider)}", "proctor.quiet")
        return name

    def _hosts(self) -> list[RenderableType]:
        hosts = sorted(self._digest.hosts.items(), key=lambda item: -_traffic(item[1]))
        if not hosts:
            return []
        rows: list[tuple[RenderableType, ...]] = []
        for name, host in hosts[:_HOSTS_SHOWN]:
            addresses = ", ".join(host.addresses[:1])
            if len(host.addresses) > 1:
                addresses += f" {self._glyphs.more}"
            rows.append(
                (
                    shorten(clean_line(name), max(self._width // 3, 16), self._glyphs.more),
                    _styled(clean_line(addresses), "proctor.quiet"),
                    number(host.connections),
                    size(host.bytes_sent),
                    size(host.bytes_received),
                    _styled(self._errors(host), "proctor.warn"),
                )
            )
        more = len(hosts) - _HOSTS_SHOWN + self._digest.hosts_left_out
        return [self._grid(_HOST, rows), *self._more(more, "host")]

    def _files(self) -> list[RenderableType]:
        """What was done to how many, with the first of them."""
        files = self._digest.files
        words = [word for word in (*dict.fromkeys(DONE.values()), REFUSED) if files.count(word)]
        if not words:
            return []
        rows: list[tuple[RenderableType, ...]] = []
        # Rich would wrap a long path.
        taken = len("Count") + max(map(len, ("Files", *words))) + 2 * len(_FILE) + 2
        for word in words:
            named = list(files.paths.get(word, ()))[:_FILES_SHOWN]
            more = files.count(word) - len(named)
            text = ", ".join(map(clean_name, named)) + (f" {self._glyphs.more}" if more else "")
            style = "proctor.warn" if word == REFUSED else ""
            shown = shorten(text, self._width - taken, self._glyphs.more)
            rows.append((number(files.count(word)), _styled(word, style), shown))
        return [self._grid(_FILE, rows)]

    def _errors(self, host: Host) -> str:
        times = self._glyphs.times
        return ", ".join(
            clean_line(name) + (f" {times}{count}" if count > 1 else "")
            for name, count in host.errors.most_common(2)
        )

    def _coverage(self) -> list[RenderableType]:
        """Processes with the same words are one row."""
        states: dict[_Words, tuple[int, int | None, int | None]] = {}
        for each in self._digest.coverage.values():
            comm = each.process.comm if each.process else "this host"
            library = (each.library or "").rsplit("/", 1)[-1] if each.process else "-"
            key = (comm or "?", library, each.state, each.reason or "", each.advice or "")
            known = states.get(key, (0, None, None))
            states[key] = (
                known[0] + 1,
                sum_known(known[1], each.plaintext_bytes),
                sum_known(known[2], each.socket_bytes),
            )
        if not states:
            return []
        rows: list[tuple[RenderableType, ...]] = []
        shown = sorted(states.items(), key=lambda row: (_is_fine(row[0]), -row[1][0]))
        notes: list[RenderableType] = []
        for words, sums in shown[:_COVERAGE_SHOWN]:
            comm, library, state, reason, advice = words
            times = f" {self._glyphs.times}{sums[0]}" if sums[0] > 1 else ""
            style = "proctor.good" if _is_fine(words) else "proctor.warn"
            rows.append(
                (
                    clean_line(comm) + times,
                    clean_line(library) or "not known",
                    _styled(clean_line(state), style),
                    size(sums[1]),
                    size(sums[2]),
                )
            )
            why = [REASONS.get(reason, reason), advice]
            if any(why):
                text = f"{comm}: " + "; ".join(filter(None, why))
                notes.append(_styled(clean_line(text), "proctor.warn"))
        more = len(states) - _COVERAGE_SHOWN + self._digest.coverage_left_out
        return [self._grid(_COVERAGE, rows), *notes, *self._more(more, "row")]

    def _still_running(self) -> list[RenderableType]:
        running = self._digest.summary.still_running if self._digest.summary else []
        shown = [_styled(_running_text(each), "") for each in running[:_RUNNING_SHOWN]]
        return [*shown, *self._more(len(running) - _RUNNING_SHOWN, "process", "processes")]

    def _lost(self) -> list[RenderableType]:
        if self._digest.summary is None:
            return [_styled("not known: the recording has no end mark", "proctor.warn")]
        if not self._digest.lost:
            return [_styled(f"{self._glyphs.good} nothing", "proctor.good")]
        rows: list[tuple[RenderableType, ...]] = [
            (number(count), _styled(clean_line(reason), "proctor.bad"), REASONS.get(reason, ""))
            for reason, count in self._digest.lost.most_common()
        ]
        return [self._grid(_REASON, rows)]

    def _where(self) -> None:
        import shlex

        from rich.text import Text

        if self._recording is None:
            return
        name = clean_name(shlex.quote(self._recording))
        text = Text().append("Recording  ", "proctor.heading").append(name)
        self._console.print(text, soft_wrap=True)
        command = Text().append("Read it    ", "proctor.heading")
        command.append(f"proctor show {shell_word(self._recording)} --format jsonl")
        self._console.print(command, soft_wrap=True)

    def _more(self, count: int, noun: str, nouns: str | None = None) -> list[RenderableType]:
        if count <= 0:
            return []
        what = plural(count, noun) if nouns is None or count == 1 else f"{count:,} {nouns}"
        return [_styled(f"{self._glyphs.more} and {what} more", "proctor.quiet")]


_FINE: Final = ("seen", "attached")


def _is_fine(words: _Words) -> bool:
    _, _, state, reason, _ = words
    return state in _FINE and not reason


def _styled(text: str, style: str) -> Text:
    from rich.text import Text

    return Text(text, style)


def _tokens(totals: ModelTotals) -> list[str]:
    if totals.usage_unknown == totals.calls:
        return ["?", "?", "?"]
    usage = totals.usage
    cached = number(usage.cache_read_input_tokens) if usage.cache_read_input_tokens else "-"
    return [number(usage.input_tokens), cached, number(usage.output_tokens)]


def _timings(totals: ModelTotals) -> list[str]:
    first = "-"
    if totals.first_chunk_calls:
        first = duration(totals.first_chunk_ns // totals.first_chunk_calls)
    if not totals.timed_calls:
        return [first, "?", "?"]
    return [first, duration(totals.duration_ns // totals.timed_calls), duration(totals.slowest_ns)]


def _model_notes(prefix: str, totals: ModelTotals) -> list[Text]:
    notes = []
    if totals.failed:
        notes.append(_styled(f"{prefix}{plural(totals.failed, 'call')} failed", "proctor.warn"))
    if totals.incomplete:
        text = f"{prefix}{plural(totals.incomplete, 'call')} INCOMPLETE"
        notes.append(_styled(text, "proctor.bad"))
    if 0 < totals.usage_unknown < totals.calls:
        text = f"{prefix}tokens of {plural(totals.usage_unknown, 'call')} are not known"
        notes.append(_styled(text, "proctor.warn"))
    return notes


def _traffic(host: Host) -> int:
    return (host.bytes_sent or 0) + (host.bytes_received or 0)


def _running_text(process: Json) -> str:
    argv = process.get("argv")
    command = " ".join(map(str, argv)) if isinstance(argv, list) else str(process.get("comm", "?"))
    return clean_line(f"{command} [{process.get('pid', '?')}]")
