"""What programs did to files: a line each, and the summary's count of them."""

from __future__ import annotations

from collections import Counter
from typing import Final

from proctor.events import ActionEvent
from proctor.views.units import plural, size

VERBS: Final = {
    "file_create": "create",
    "file_write": "write",
    "file_read": "read",
    "file_attributes": "chmod",
    "file_rename": "rename",
    "file_link": "link",
    "file_symlink": "symlink",
    "file_delete": "delete",
    "directory_create": "mkdir",
    "directory_delete": "rmdir",
}
"""What a line begins with, by the event's `kind`."""
DONE: Final = {
    "file_create": "created",
    "file_link": "created",
    "file_symlink": "created",
    "directory_create": "created",
    "file_write": "written",
    "file_rename": "renamed",
    "file_delete": "deleted",
    "directory_delete": "deleted",
    "file_attributes": "changed",
    "file_read": "read",
}
"""The summary's words, by the event's `kind`. What was refused is counted apart."""
REFUSED: Final = "refused"
_PATHS_MAX: Final = 4096


def action_texts(event: ActionEvent) -> tuple[str, str]:
    """A line's text and its style."""
    cwd = event.process.cwd if event.process else None
    text = short_path(event.path, cwd)
    if event.target is not None:
        text += f" -> {event.target}"
    if event.new_path is not None:
        text += f" -> {short_path(event.new_path, cwd)}"
    if event.error is not None:
        return f"{text}: {event.error}", "proctor.warn"
    if event.bytes:
        text += f", {size(event.bytes)}"
    if event.count and event.count > 1:
        text += f" in {plural(event.count, 'call')}"
    for is_so, word in ((event.truncated, "truncated"), (event.mapped, "mapped")):
        text += f", {word}" if is_so else ""
    return text, ""


def short_path(path: str | None, cwd: str | None) -> str:
    """Relative to the folder that the program was started in, where it lies below."""
    if path is None:
        return "?"
    inside = cwd is not None and cwd != "/" and path.startswith(f"{cwd}/")
    return path[len(cwd or "") + 1 :] if inside else path


class FileTotals:
    """Which paths were created, written, deleted and so on. Memory is bounded."""

    def __init__(self) -> None:
        self.paths: dict[str, dict[str, None]] = {}
        """By the words of `DONE` and `REFUSED`, first come first."""
        self.left_out: Counter[str] = Counter()
        """Events on further paths."""

    def feed(self, event: ActionEvent) -> None:
        word = REFUSED if event.error else DONE.get(event.kind)
        if word is None:
            return
        path = event.new_path if event.kind == "file_link" else event.path
        paths = self.paths.setdefault(word, {})
        if path is None or (path not in paths and len(paths) >= _PATHS_MAX):
            self.left_out[word] += 1
        else:
            paths[path] = None

    def count(self, word: str) -> int:
        return len(self.paths.get(word, ())) + self.left_out[word]
