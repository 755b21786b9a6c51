"""Parts of messages as OpenTelemetry's GenAI conventions have them.

Contents that have no kind there keep the provider's own `type` and fields.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from proctor.calls.json_text import text_of
from proctor.events import Json

KINDS = frozenset(
    ("text", "reasoning", "refusal", "tool_call", "tool_call_response", "blob", "uri", "file")
)


def text(content: str) -> Json:
    return {"type": "text", "content": content}


def reasoning(content: str) -> Json:
    """`content` is empty where the provider gave the reasoning encrypted only."""
    return {"type": "reasoning", "content": content}


def refusal(content: str) -> Json:
    return {"type": "refusal", "content": content}


def tool_call(call_id: Any, name: Any, arguments: Any) -> Json:
    part: Json = {"type": "tool_call"}
    if isinstance(call_id, str):
        part["id"] = call_id
    part["name"] = name if isinstance(name, str) else ""
    part["arguments"] = arguments
    return part


def tool_response(call_id: Any, response: Any) -> Json:
    part: Json = {"type": "tool_call_response"}
    if isinstance(call_id, str):
        part["id"] = call_id
    part["response"] = response
    return part


def media(modality: str, url: str) -> Json:
    """What a URL points to; a `data:` URL carries it itself."""
    if not url.startswith("data:"):
        return {"type": "uri", "modality": modality, "uri": url}
    head, _, content = url[5:].partition(",")
    return blob(modality, head.partition(";")[0] or None, content)


def blob(modality: str, mime_type: str | None, content: str) -> Json:
    """`content` is base64, as it was sent."""
    part: Json = {"type": "blob", "modality": modality, "content": content}
    if mime_type:
        part["mime_type"] = mime_type
    return part


def file(modality: str, file_id: str) -> Json:
    return {"type": "file", "modality": modality, "file_id": file_id}


def contents(content: Any, read: Callable[[Json], Json]) -> list[Json]:
    """What a message contains: a text, or a list of blocks, which `read` reads. Providers take
    no other, but whatever is there is told."""
    if content is None:
        return []
    if not isinstance(content, list):
        content = [content]
    return [_part(block, read) for block in content]


def _part(block: Any, read: Callable[[Json], Json]) -> Json:
    if isinstance(block, dict):
        return read(block)
    return text(block) if isinstance(block, str) else unknown(block)


def unknown(content: Any) -> Json:
    return {"type": "unknown", "content": content}


def native(block: Json) -> Json:
    """A content for which there is no kind, or that lacks what its kind must have."""
    kind = block.get("type")
    if not isinstance(kind, str) or kind in KINDS:
        return unknown(block)
    return block


def tool_calls(messages: list[Json]) -> list[Json]:
    """The tool calls of an answer's messages, as a call's `tool_calls` has them."""
    return [
        {key: value for key, value in part.items() if key != "type"}
        for message in messages
        for part in message["parts"]
        if part["type"] == "tool_call"
    ]


def tool_results(new_messages: list[Json], history: list[Json]) -> list[Json]:
    """The results among `new_messages`, named after the calls in `history`."""
    results = [
        part
        for message in new_messages
        for part in message["parts"]
        if part["type"] == "tool_call_response"
    ]
    if not results:
        return []
    names = {call.get("id"): call["name"] for call in tool_calls(history)}
    return [_result(part, names) for part in results]


def _result(part: Json, names: dict[Any, str]) -> Json:
    result: Json = {}
    call_id = text_of(part.get("id"))
    if call_id is not None:
        result["id"] = call_id
    if call_id in names:
        result["name"] = names[call_id]
    result["content"] = part["response"]
    if "is_error" in part:
        result["is_error"] = part["is_error"]
    return result


def after_last_answer(messages: list[Json]) -> list[Json]:
    """The messages that are new in a request which repeats the conversation."""
    for index in range(len(messages) - 1, -1, -1):
        if messages[index]["role"] == "assistant":
            return messages[index + 1 :]
    return messages


def joined_text(contents: list[Json]) -> Any:
    """One text where all parts are text, else the parts."""
    if all(part["type"] == "text" for part in contents):
        return "\n".join(part["content"] for part in contents)
    return contents
