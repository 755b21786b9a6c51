"""The official SDKs: each call is there, whole, tied to its connection, and says what they got."""

from __future__ import annotations

from pathlib import Path

import pytest

from proctor.demo.serving import Serving
from tests.clients import run as clients
from tests.kernel.comparing import Truth, check_answer, check_usage, compare, plaintext_bytes, tied
from tests.kernel.watching import SLOW, Json, Watched, watched, watched_several

PARALLEL = 200 if SLOW == 1 else 40

OPENAI = {
    "chat": 1,
    "stream": 1,
    "stream-without-usage": 1,
    "gzip": 1,
    "br": 1,
    "cached": 1,
    "refusal": 1,
    "tools": 2,
    "tools-stream": 2,
    "responses": 1,
    "responses-stream": 1,
    "embeddings": 1,
    "keep-alive": 3,
    "rate-limited": 1,
    "retried": 2,
    "error-in-stream": 1,
    "cut": 1,
    "reset": 1,
}
ANTHROPIC = {
    "message": 1,
    "stream": 1,
    "gzip": 1,
    "cached": 1,
    "thinking": 1,
    "refusal": 1,
    "tools": 2,
    "tools-stream": 2,
    "count-tokens": 1,
    "rate-limited": 1,
    "overloaded": 1,
    "error-in-stream": 1,
    "cut": 1,
}
NODE = {
    ("openai.cjs", "chat"): 1,
    ("openai.cjs", "stream"): 1,
    ("openai.cjs", "gzip"): 1,
    ("openai.cjs", "tools"): 1,
    ("openai.cjs", "tools-stream"): 1,
    ("openai.cjs", "responses"): 1,
    ("openai.cjs", "keep-alive"): 3,
    ("anthropic.cjs", "message"): 1,
    ("anthropic.cjs", "stream"): 1,
    ("anthropic.cjs", "thinking"): 1,
    ("anthropic.cjs", "gzip"): 1,
    ("anthropic.cjs", "tools"): 1,
    ("anthropic.cjs", "tools-stream"): 1,
}


class Session:
    """All scenarios of some clients in one session; each test looks at its own."""

    def __init__(self, server: Serving, folder: Path, commands: dict[str, list[str]]) -> None:
        self.server = server
        self.truth = Truth(server)
        modules = ("openai", "anthropic") if "node" not in str(commands) else ()
        self.watched = watched_several(list(commands.values()), server, folder, *modules)
        self._ran = dict(zip(commands, self.watched.ran(), strict=True))

    def calls(self, name: str, count: int) -> list[tuple[Json, Json, Json]]:
        """The client's report, our event and the server's line of each call."""
        ran = self._ran[name]
        assert ran.status == 0, ran.stderr
        pairs = compare(self.watched, ran, self.truth, self.server, count)
        reported = ran.report["calls"]
        reported = reported * (count if len(reported) == 1 else 1)
        return [(call, *pair) for call, pair in zip(reported, pairs, strict=True)]

    def call(self, name: str) -> tuple[Json, Json, Json]:
        (one,) = self.calls(name, 1)
        return one


@pytest.fixture(scope="module")
def openai(server: Serving, tmp_path_factory: pytest.TempPathFactory) -> Session:
    commands = {name: clients.python("openai_client.py", name) for name in OPENAI}
    return Session(server, tmp_path_factory.mktemp("openai"), commands)


@pytest.fixture(scope="module")
def anthropic(server: Serving, tmp_path_factory: pytest.TempPathFactory) -> Session:
    commands = {name: clients.python("anthropic_client.py", name) for name in ANTHROPIC}
    return Session(server, tmp_path_factory.mktemp("anthropic"), commands)


@pytest.fixture(scope="module")
def node(server: Serving, tmp_path_factory: pytest.TempPathFactory) -> Session:
    commands = {" ".join(name): clients.node(*name) for name in NODE}
    return Session(server, tmp_path_factory.mktemp("node"), commands)


ANSWERED = (
    "chat",
    "stream",
    "stream-without-usage",
    "gzip",
    "br",
    "cached",
    "refusal",
    "tools",
    "tools-stream",
    "responses",
    "responses-stream",
    "keep-alive",
)


@pytest.mark.parametrize("scenario", ANSWERED)
def test_openai_answer(openai: Session, scenario: str) -> None:
    for call, event, _ in openai.calls(scenario, OPENAI[scenario]):
        check_answer(event, call)
        assert event["provider"] == "openai"
        assert event["process"]["exe"].rpartition("/")[2].startswith("python")


def test_openai_tool_results(openai: Session) -> None:
    (_, first, _), (call, second, _) = openai.calls("tools", 2)
    assert "tool_results" not in first or first["tool_results"] == []
    assert [(one["id"], one["content"]) for one in second["tool_results"]] == [
        (one["tool_call_id"], one["content"]) for one in call["tool_results"]
    ]


def test_openai_embeddings(openai: Session) -> None:
    call, event, _ = openai.call("embeddings")
    assert event["operation"] == "embeddings"
    assert event["complete"]
    check_usage(event, call["usage"])


def test_openai_error(openai: Session) -> None:
    _, event, _ = openai.call("rate-limited")
    assert event["response"]["error"]["message"].startswith("This answer was asked for: 429")
    assert event["complete"]


def test_openai_retry(openai: Session) -> None:
    (_, first, _), (call, second, _) = openai.calls("retried", 2)
    assert (first["response"]["status"], second["response"]["status"]) == (429, 200)
    check_answer(second, call)


def test_openai_error_in_stream(openai: Session) -> None:
    _, event, line = openai.call("error-in-stream")
    assert event["response"]["error"]["message"]
    assert event["response"]["error"]["message"] in line["response_body"]
    assert event["complete"], event["gaps"]


@pytest.mark.parametrize("scenario", ["cut", "reset"])
def test_openai_cut(openai: Session, scenario: str) -> None:
    _, event, line = openai.call(scenario)
    assert not line["complete"]
    assert not event["complete"]
    assert [gap["reason"] for gap in event["gaps"]] == ["closed_early"]
    assert not event["response"].get("finish_reasons")


def test_anthropic_answers(anthropic: Session) -> None:
    for scenario in ("message", "stream", "gzip", "cached", "thinking", "refusal"):
        call, event, _ = anthropic.call(scenario)
        check_answer(event, call)
        assert event["provider"] == "anthropic"
        thought = [
            part["content"]
            for message in event["response"]["messages"]
            for part in message["parts"]
            if part["type"] == "reasoning"
        ]
        assert "".join(thought) == call["thinking"]


@pytest.mark.parametrize("scenario", ["tools", "tools-stream"])
def test_anthropic_tools(anthropic: Session, scenario: str) -> None:
    (call, first, _), (last, second, _) = anthropic.calls(scenario, 2)
    check_answer(first, call)
    check_answer(second, last)
    assert [one["id"] for one in second["tool_results"]] == [
        one["id"] for one in call["tool_calls"]
    ]


def test_anthropic_count_tokens(anthropic: Session) -> None:
    call, event, _ = anthropic.call("count-tokens")
    assert event["operation"] == "count_tokens"
    assert event["complete"]
    assert event["usage"] == call["usage"]


@pytest.mark.parametrize("scenario", ["rate-limited", "overloaded", "error-in-stream"])
def test_anthropic_error(anthropic: Session, scenario: str) -> None:
    _, event, _ = anthropic.call(scenario)
    assert event["response"]["error"]["type"]
    assert event["complete"], event["gaps"]


def test_anthropic_cut(anthropic: Session) -> None:
    _, event, _ = anthropic.call("cut")
    assert [gap["reason"] for gap in event["gaps"]] == ["closed_early"]


@pytest.mark.parametrize("scenario", NODE, ids=" ".join)
def test_node(node: Session, scenario: tuple[str, str]) -> None:
    for call, event, _ in node.calls(" ".join(scenario), NODE[scenario]):
        check_answer(event, call)
        assert event["process"]["comm"].startswith("node")


@pytest.mark.parametrize("which", ["openai", "anthropic", "node"])
def test_nothing_lost_no_key_all_bytes(which: str, request: pytest.FixtureRequest) -> None:
    session: Session = request.getfixturevalue(which)
    session.watched.check_untroubled()
    check_bytes(session.watched, session.truth)


def test_a_port_that_comes_again_is_another_connection() -> None:
    connects: list[Json] = [{"id": id_ns, "local": "127.0.0.1:7"} for id_ns in (100, 300)]
    first, second = (
        {"type": "connection", "peer": ["127.0.0.1", 7], "opened_ns": ns} for ns in (150, 350)
    )
    unwatched: Json = {"type": "connection", "peer": ["127.0.0.1", 7], "opened_ns": 950}
    assert dict(tied(connects, [second, first, unwatched])) == {100: first, 300: second}


def check_bytes(watched: Watched, truth: Truth) -> None:
    """Of every connection the plaintext that the server got, and what the client read of it."""
    connections = truth.connections(watched)
    plaintext = plaintext_bytes(watched)
    assert connections.keys() == plaintext.keys()
    for number, line in connections.items():
        sent, received = plaintext[number]
        assert sent == line["received_bytes"]
        assert received <= line["sent_bytes"]


@pytest.mark.parametrize(
    "command",
    [
        clients.python("openai_client.py", "parallel", str(PARALLEL)),
        clients.python("anthropic_client.py", "parallel", str(PARALLEL)),
        ["node", "openai.cjs", "parallel", str(PARALLEL)],
    ],
    ids=["openai", "anthropic", "node"],
)
def test_calls_at_once(command: list[str], server: Serving, tmp_path: Path) -> None:
    truth = Truth(server)
    if command[0] == "node":
        command = clients.node(*command[1:])
    session = watched(command, server, tmp_path)
    ran = session.alone()
    assert ran.status == 0, ran.stderr
    pairs = compare(session, ran, truth, server, PARALLEL)
    reported = {call["prompt"]: call for call in ran.report["calls"]}
    for event, _ in pairs:
        (prompt,) = [
            part["content"] for message in event["request"]["messages"] for part in message["parts"]
        ]
        check_answer(event, reported.pop(prompt))
    assert not reported
    session.check_untroubled()
    check_bytes(session, truth)
