"""Calls by HTTP libraries, curl, Node's fetch and by hand: whole, whatever the length and end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from proctor.demo.serving import Serving
from tests.clients import run as clients
from tests.conftest import ServerOf
from tests.kernel.comparing import Truth, check_request, compare, plaintext_bytes, texts
from tests.kernel.watching import (
    SLOW,
    Json,
    Watched,
    watched,
    watched_late,
    watched_several,
)

LIBRARIES: Final = ("requests", "httpx", "httpx-async", "aiohttp", "aiohttp-uvloop", "urllib")
SCENARIOS: Final = {"chat": 1, "stream": 1, "gzip-request": 1, "keep-alive": 3}
CURL: Final = ("chat", "form", "stream", "compressed", "continue", "anthropic")
CONNECTIONS: Final = 20 if SLOW == 1 else 6


def said_in(line: Json) -> str:
    """The text of an answer that the server sent, streamed or not."""
    body = line["response_body"]
    if not line["streamed"]:
        whole = json.loads(body)
        if "content" in whole:
            return "".join(block["text"] for block in whole["content"])
        return str(whole["choices"][0]["message"]["content"])
    events = [part[6:] for part in body.split("\n") if part.startswith("data: {")]
    deltas = [one["delta"] for part in events for one in json.loads(part)["choices"]]
    return "".join(delta.get("content") or "" for delta in deltas)


def check(watched: Watched, ran: clients.Ran, truth: Truth, server: Serving, count: int) -> None:
    for event, line in compare(watched, ran, truth, server, count):
        assert event["complete"], event["gaps"]
        assert event["streamed"] == line["streamed"]
        assert "".join(texts(event["response"]["messages"])) == said_in(line)


@pytest.fixture(scope="module")
def library_session(
    server: Serving, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Truth, Watched, dict[tuple[str, str], clients.Ran]]:
    names = [(library, scenario) for library in LIBRARIES for scenario in SCENARIOS]
    commands = [clients.python("http_libraries.py", *name) for name in names]
    truth, folder = Truth(server), tmp_path_factory.mktemp("libraries")
    modules = ("requests", "httpx", "aiohttp", "uvloop")
    session = watched_several(commands, server, folder, *modules)
    return truth, session, dict(zip(names, session.ran(), strict=True))


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("library", LIBRARIES)
def test_library(
    library: str,
    scenario: str,
    server: Serving,
    library_session: tuple[Truth, Watched, dict[tuple[str, str], clients.Ran]],
) -> None:
    truth, session, all_ran = library_session
    ran = all_ran[library, scenario]
    assert ran.status == 0, ran.stderr
    check(session, ran, truth, server, SCENARIOS[scenario])
    session.check_untroubled()


def test_curl(server: Serving, tmp_path: Path) -> None:
    truth = Truth(server)
    session = watched_several([clients.curl(name) for name in CURL], server, tmp_path)
    for ran in session.ran():
        assert ran.status == 0, ran.stderr
        check(session, ran, truth, server, 1)
    session.check_untroubled()


def test_node_fetch(server: Serving, tmp_path: Path) -> None:
    truth = Truth(server)
    commands = [clients.node("fetch.cjs", name, "3") for name in ("chat", "stream")]
    session = watched_several(commands, server, tmp_path)
    for ran in session.ran():
        check(session, ran, truth, server, 3)
    session.check_untroubled()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_tls_version(version: str, server_of: ServerOf, tmp_path: Path) -> None:
    serving = server_of("--tls", version)
    truth = Truth(serving)
    commands = [clients.curl("chat"), clients.node("fetch.cjs", "chat", "1")]
    commands.append(clients.python("http_libraries.py", "httpx-async", "chat"))
    session = watched_several(commands, serving, tmp_path, "httpx")
    for ran in session.ran():
        check(session, ran, truth, serving, 1)
    assert [call["connection"]["tls"] for call in session.of("call")] == [version] * len(commands)
    assert {line["tls"] for line in truth.connections(session).values()} == {f"TLSv{version}"}
    session.check_untroubled()


def test_prompt_of_8_mb(server: Serving, tmp_path: Path) -> None:
    truth = Truth(server)
    session = watched(clients.python("raw_tls.py", "big-prompt"), server, tmp_path)
    ran = session.alone()
    ((event, line),) = compare(session, ran, truth, server, 1)
    check_request(event, json.loads(line["request_body"]))
    (prompt,) = texts(event["request"]["messages"])
    assert len(prompt) == 8_000_000
    assert event["complete"], event["gaps"]
    session.check_untroubled()


@pytest.mark.parametrize(
    ("scenario", "status"), [("dies-mid-stream", 137), ("exits-mid-stream", 3)]
)
def test_death_in_mid_stream(scenario: str, status: int, server: Serving, tmp_path: Path) -> None:
    truth = Truth(server)
    session = watched(clients.python("raw_tls.py", scenario), server, tmp_path)
    ran = session.alone()
    assert session.status == status
    ((event, line),) = compare(session, ran, truth, server, 1)
    assert not event["complete"]
    assert [gap["reason"] for gap in event["gaps"]] == ["process_exit"]
    part = "".join(texts(event["response"]["messages"]))
    assert part
    assert said_in(line).startswith(part)
    (end,) = session.of("process", event="exit", pid=ran.pid)
    assert (end.get("signal"), end.get("exit_code")) == ((9, None) if status == 137 else (None, 3))
    session.check_untroubled()


def test_write_given_up(server: Serving, tmp_path: Path) -> None:
    session = watched(clients.python("raw_tls.py", "gives-up-write"), server, tmp_path)
    ran = session.alone()
    assert ran.report["accepted_bytes"] == 0
    assert session.summary["lost"].get("abandoned") == 1
    (event,) = session.of("call")
    assert not event["complete"]
    assert "abandoned" in [gap["reason"] for gap in event["gaps"]]
    session.check_no_key()


@pytest.mark.parametrize("late", [False, True])
def test_back_pressure(late: bool, server_of: ServerOf, tmp_path: Path) -> None:
    """Which connection carried what, while sockets are full; also where it began before us."""
    serving = server_of("--slow-reads", "1")
    truth = Truth(serving)
    more = ("late",) if late else ()
    command = clients.python("back_pressure.py", str(CONNECTIONS), "100000", *more)
    if late:
        session, ran = watched_late(command, serving, tmp_path)
    else:
        session = watched(command, serving, tmp_path)
        ran = session.alone()
    ports = {call["local_port"] for call in ran.report["calls"]}
    events = session.of("call", pid=ran.pid)
    assert len(events) == 2 * CONNECTIONS
    local = {event["id"]: event["local"] for event in session.of("connection", event="close")}
    seen = set()
    for event in events:
        (prompt,) = texts(event["request"]["messages"])
        port = int(prompt.split()[3])
        assert local[event["connection"]["id"]] == f"127.0.0.1:{port}"
        assert len(prompt) == 100_000
        assert event["complete"], event["gaps"]
        seen.add(port)
    assert seen == ports
    session.check_untroubled(**({"joined_late": 2 * CONNECTIONS} if late else {}))
    if not late:
        sent = {number: counts[0] for number, counts in plaintext_bytes(session).items()}
        assert sent == {
            number: line["received_bytes"] for number, line in truth.connections(session).items()
        }


@pytest.mark.parametrize("calls_before", [0, 2])
def test_attached_late(calls_before: int, server: Serving, tmp_path: Path) -> None:
    command = clients.python("raw_tls.py", "late", str(calls_before))
    session, ran = watched_late(command, server, tmp_path)
    events = session.of("call", pid=ran.pid)
    assert [texts(event["request"]["messages"]) for event in events] == [
        [f"After you looked, {number}."] for number in range(2)
    ]
    for event in events:
        assert event["complete"], event["gaps"]
        assert event["connection"]["remote"] == f"127.0.0.1:{server.port}"
        assert event["connection"]["id"] == events[0]["connection"]["id"]
    session.check_untroubled(joined_late=2)  # both directions of the one connection
