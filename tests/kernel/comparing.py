"""Proctor's calls against what the client reports and what the server logged."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any, Final

from proctor.demo.serving import Serving
from proctor.records.layout import DIRECTION_RECEIVED
from proctor.records.types import TlsDataRecord, TlsReturnRecord, TlsTieRecord
from tests.clients import run as clients
from tests.kernel.watching import SLOW, Json, Watched

LOG_S: Final = 5.0 * SLOW


class Truth:
    """What a server logged since this was made."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._before = len(serving.truth())

    def exchanges_of(self, watched: Watched, pid: int, count: int) -> list[tuple[Json, int]]:
        """Those on the connections of a process, oldest first, with Proctor's connection ids."""
        connects = watched.of("connection", pid=pid, event="connect")
        until = time.monotonic() + LOG_S
        while True:
            lines = self._serving.truth()[self._before :]
            numbers = {line["connection"]: number for number, line in tied(connects, lines)}
            found = [
                (line, numbers[line["connection"]])
                for line in lines
                if line["type"] == "exchange" and line["connection"] in numbers
            ]
            if len(found) >= count or time.monotonic() > until:
                assert len(found) == count
                return sorted(found, key=lambda pair: pair[0]["received_ns"])
            time.sleep(0.02)

    def connections(self, watched: Watched) -> dict[int, Json]:
        """The server's lines by Proctor's connection id."""
        connects = watched.of("connection", event="connect")
        return dict(tied(connects, self._serving.truth()[self._before :]))


def tied(connects: list[Json], lines: list[Json]) -> Iterator[tuple[int, Json]]:
    """Proctor's connection id and the server's line of each connection, by the client's port.

    Ports come again, within seconds on loopback: so of those that began before the server saw
    one, the last; and of those that the server saw, the first, for others may be of clients that
    were not watched. An id is the moment when the connection began, by the clock of the server's
    log.
    """
    found: dict[int, Json] = {}
    numbers: dict[int, list[int]] = {}
    for event in connects:
        if "error" not in event:
            port = int(event["local"].rpartition(":")[2])
            numbers.setdefault(port, []).append(event["id"])
    for line in lines:
        if line["type"] == "connection":
            port, opened_ns = line["peer"][1], line["opened_ns"]
            if before := [each for each in numbers.get(port, []) if each < opened_ns]:
                number = max(before)
                if number not in found or opened_ns < found[number]["opened_ns"]:
                    found[number] = line
    yield from found.items()


def compare(
    watched: Watched, ran: clients.Ran, truth: Truth, serving: Serving, count: int
) -> list[tuple[Json, Json]]:
    """One event of ours for each exchange, tied to its connection; pairs of the two.

    `count`: of the exchanges that the server saw of this client.
    """
    exchanges = truth.exchanges_of(watched, ran.pid, count)
    events = watched.of("call", pid=ran.pid)
    assert len(events) == len(exchanges)
    pairs = []
    for line, connection in exchanges:
        (event,) = [
            each
            for each in events
            if each["connection"].get("id") == connection
            and each["id"].endswith(f"-{line['number'] + 1}")
        ]
        assert event["connection"]["remote"] == f"127.0.0.1:{serving.port}"
        assert event["endpoint"] == f"{line['method']} {line['target']}"
        assert event["response"]["status"] == line["status"]
        check_request(event, json.loads(line["request_body"]))
        pairs.append((event, line))
    return pairs


def check_request(event: Json, body: Json) -> None:
    """The newest prompt, the model and the tools are those of the body."""
    request = event["request"]
    assert request["model"] == body["model"]
    assert [tool.get("name") for tool in request.get("tools", [])] == [
        tool.get("function", tool)["name"] for tool in body.get("tools", [])
    ]
    asked = body["messages"] if "messages" in body else body["input"]
    if isinstance(asked, str):
        assert texts(request["messages"]) == [asked]
    else:
        given = [one["content"] for one in asked if isinstance(one.get("content"), str)]
        roles = [one["role"] for one in asked]
        assert set(given) <= {*texts(request["messages"]), *responses(request["messages"])}
        assert len(request["messages"]) == len(roles)


def check_answer(event: Json, call: Json) -> None:
    """Text, tool calls, tokens and what else the client says it got."""
    said = texts(event["response"]["messages"])
    assert "".join(said) == (call.get("text") or call.get("refusal") or "")
    assert event["streamed"] == call["streamed"]
    assert event["response"]["id"] == call["id"]
    assert [(one["name"], one["arguments"]) for one in event["tool_calls"]] == [
        (one["name"], one["arguments"]) for one in call.get("tool_calls", [])
    ]
    check_usage(event, call.get("usage"))
    assert event["complete"], event["gaps"]
    assert event["gaps"] == []


def check_usage(event: Json, usage: Json | None) -> None:
    """The client's numbers under our names; Anthropic counts cached tokens apart."""
    if usage is None:
        assert "usage" not in event
        return
    ours = event["usage"]
    if "cache_read_input_tokens" in usage:
        cached = usage["cache_read_input_tokens"] or 0
        written = usage["cache_creation_input_tokens"] or 0
        assert ours["input_tokens"] == usage["input_tokens"] + cached + written
        assert ours["cache_read_input_tokens"] == cached
        assert ours["cache_write_input_tokens"] == written
    else:
        assert ours["input_tokens"] == usage.get("prompt_tokens", usage.get("input_tokens"))
        details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
        if details:
            assert ours["cache_read_input_tokens"] == details["cached_tokens"]
    if wanted := usage.get("completion_tokens", usage.get("output_tokens")):
        assert ours["output_tokens"] == wanted


def texts(messages: list[Json]) -> list[str]:
    return [
        part["content"]
        for message in messages
        for part in message["parts"]
        if isinstance(part.get("content"), str) and part["type"] != "reasoning"
    ]


def responses(messages: list[Json]) -> list[Any]:
    return [
        part["response"]
        for message in messages
        for part in message["parts"]
        if part["type"] == "tool_call_response"
    ]


def plaintext_bytes(watched: Watched) -> dict[int, tuple[int, int]]:
    """Bytes sent and received on each connection, from the records of TLS calls."""
    owners: dict[int, int] = {}
    sent: dict[int, int] = {}
    received: dict[int, int] = {}
    for record in watched.records():
        if isinstance(record, TlsTieRecord):
            owners[record.tls] = record.connection
        elif isinstance(record, TlsReturnRecord):
            sent[record.tls] = sent.get(record.tls, 0) + max(record.accepted_bytes, 0)
        elif isinstance(record, TlsDataRecord) and record.direction == DIRECTION_RECEIVED:
            received[record.tls] = received.get(record.tls, 0) + record.piece_bytes
    return {
        connection: (sent.get(tls, 0), received.get(tls, 0)) for tls, connection in owners.items()
    }
