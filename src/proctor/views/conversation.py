"""What a call added to a conversation.

Agents send the whole history with each call. A thread remembers the messages of
one conversation by their digests, so that each is shown once, where it came up.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from proctor.events import Call, Json
from proctor.views.units import size

_PROCESSES_KEPT: Final = 256
_THREADS_KEPT: Final = 32


class Line(NamedTuple):
    """One part of a message as a view shows it. The text is as it came: not cleaned."""

    role: str
    kind: str
    """`text`, `reasoning`, `tool_call`, `tool_result` or `other`."""
    text: str


@dataclass(slots=True)
class _Thread:
    digests: list[int] = field(default_factory=list)
    known: int = 0
    """How many of them the last call repeated."""
    system: int | None = None
    answer_ids: set[str] = field(default_factory=set)
    answered: bool = False


class Conversations:
    """Finds the new messages of each call. Bounded: forgets the oldest threads."""

    def __init__(self) -> None:
        self._threads: OrderedDict[tuple[int, int] | None, list[_Thread]] = OrderedDict()

    def feed(self, call: Call) -> tuple[list[Line], list[Line]]:
        """The lines this call newly sent, and those it received."""
        messages = call.request.messages
        digests = [_digest(message) for message in messages]
        thread, known = self._find(call, digests)
        if thread.answered and digests != thread.digests:
            # The last answer comes back as history: it has been shown as an answer.
            while known < len(messages) and messages[known].get("role") == "assistant":
                known += 1
        sent = [line for message in messages[known:] for line in message_lines(message)]
        if call.request.system:
            system = _digest(call.request.system)
            if system != thread.system:
                thread.system = system
                sent[:0] = [part_line("system", part) for part in call.request.system]
        thread.digests, thread.known = digests, known
        received: list[Line] = []
        if call.response is not None:
            received = [line for each in call.response.messages for line in message_lines(each)]
            if received and call.response.id is not None:
                thread.answer_ids.add(call.response.id)
        thread.answered = bool(received)
        return sent, received

    def _find(self, call: Call, digests: list[int]) -> tuple[_Thread, int]:
        """The thread that this call goes on with, and how many of its messages are old."""
        process = call.process
        key = None if process is None else (process.pid, process.start_time_ns)
        threads = self._threads.setdefault(key, [])
        self._threads.move_to_end(key)
        if len(self._threads) > _PROCESSES_KEPT:
            self._threads.popitem(last=False)
        previous = call.request.parameters.get("previous_response_id")
        found: _Thread | None = None
        known = 0
        for thread in threads:
            if isinstance(previous, str) and previous in thread.answer_ids:
                return thread, 0
            count = len(thread.digests)
            if known < count <= len(digests) and thread.digests == digests[:count]:
                found, known = thread, count
        if found and known == len(digests):
            # The same call again goes on with what the one before went on with. With nothing:
            # then it is another conversation, that begins alike.
            known = found.known
            if not known:
                found.system = None
        if found is None:
            found = _Thread()
            threads.append(found)
            del threads[:-_THREADS_KEPT]
        return found, known


def message_lines(message: Json) -> list[Line]:
    role = str(message.get("role", "?"))
    parts = message.get("parts")
    return [part_line(role, part) for part in parts] if isinstance(parts, list) else []


def part_line(role: str, part: Any) -> Line:
    if not isinstance(part, dict):
        return Line(role, "other", text_of(part))
    match part.get("type"):
        case "text":
            return Line(role, "text", text_of(part.get("content")))
        case "reasoning":
            return Line(role, "reasoning", text_of(part.get("content")))
        case "refusal":
            return Line(role, "text", f"[refusal] {text_of(part.get('content'))}")
        case "tool_call":
            return Line(role, "tool_call", tool_call_text(part))
        case "tool_call_response":
            result = next(
                (part[key] for key in ("response", "result", "content") if key in part), ""
            )
            return Line("tool", "tool_result", text_of(result))
        case kind:
            return Line(role, "other", _attachment(str(kind), part))


def tool_call_text(tool_call: Json) -> str:
    """`name {"argument": ...}`."""
    arguments = text_of(tool_call.get("arguments"))
    return f"{tool_call.get('name') or '?'} {arguments}".rstrip()


def text_of(value: Any) -> str:
    """Text as it is; None as nothing; anything else as compact JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list) and value and all(_is_text_part(item) for item in value):
        return "\n".join(text_of(item.get("content", item.get("text"))) for item in value)
    return _compact(value)


def _is_text_part(item: Any) -> bool:
    return isinstance(item, dict) and item.get("type") in ("text", "input_text", "output_text")


def _attachment(kind: str, part: Json) -> str:
    if kind not in ("blob", "uri", "file"):
        rest = {name: value for name, value in part.items() if name != "type"}
        return f"[{kind}] {_compact(rest)}" if rest else f"[{kind}]"
    what = part.get("mime_type") or part.get("modality") or kind
    where = part.get("uri") or part.get("file_id")
    if where is not None:
        return f"[{what}: {where}]"
    content = part.get("content")
    held = f", {size(len(content) * 3 // 4)}" if isinstance(content, str) else ""
    return f"[{what}{held}]"


def _compact(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (RecursionError, ValueError):
        return "(not shown: nested too deep)"


def _digest(value: Any) -> int:
    """Of JSON; equal for equal ones. Strings keep their hash, so history costs little."""
    try:
        return _hash(value)
    except RecursionError:
        return 0


def _hash(value: Any) -> int:
    if isinstance(value, dict):
        return hash(frozenset((name, _hash(item)) for name, item in value.items()))
    if isinstance(value, list):
        return hash(tuple(_hash(item) for item in value))
    return hash(value)
