"""The clients of the end-to-end tests do what they say, seen from the server, without Proctor."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from proctor.demo.serving import Serving
from tests.clients import run as clients
from tests.conftest import ServerOf

Line = dict[str, Any]
Run = Callable[[list[str]], clients.Ran]
TEXT = "arrived ✓."


class Truth:
    """What a server logged since this was made."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._before = len(serving.truth())

    def exchanges(self, count: int = 1) -> list[Line]:
        """Once there are `count`: the server logs a little after the client knows."""
        return self._lines("exchange", count)

    def connections(self, count: int = 1) -> list[Line]:
        return self._lines("connection", count)

    def _lines(self, kind: str, count: int) -> list[Line]:
        deadline = time.monotonic() + 5
        while True:
            added = self._serving.truth()[self._before :]
            lines = [line for line in added if line["type"] == kind]
            if len(lines) >= count or time.monotonic() > deadline:
                assert len(lines) == count
                return lines
            time.sleep(0.01)


@pytest.fixture(scope="module")
def run(server: Serving) -> Iterator[Run]:
    """Runs a client at the server."""
    modules = ("openai", "anthropic", "requests", "httpx", "aiohttp", "uvloop")
    with clients.warm(server, *modules) as run_one:
        yield run_one


@pytest.fixture
def truth(server: Serving) -> Truth:
    return Truth(server)


def calls_of(ran: clients.Ran, exchanges: list[Line]) -> list[Line]:
    """The client's calls; each is one that the server saw."""
    assert ran.status == 0, ran.stderr
    assert ran.report["pid"] == ran.pid
    calls: list[Line] = ran.report["calls"]
    seen = [(f"{line['method']} {line['target']}", line["request_body"]) for line in exchanges]
    assert len(calls) == len(seen)
    for call in calls:
        prompt = json.dumps(call["prompt"])
        assert any(
            endpoint == call["endpoint"] and prompt in _loose(body) for endpoint, body in seen
        )
    return calls


def _loose(body: str) -> str:
    return json.dumps(json.loads(body))


def one_call(command: list[str], run: Run, truth: Truth) -> tuple[Line, Line]:
    """A client that makes one call: its report of it, and the server's."""
    ran = run(command)
    exchanges = truth.exchanges()
    return calls_of(ran, exchanges)[0], exchanges[0]


@pytest.mark.parametrize(
    "scenario",
    ["chat", "stream", "stream-without-usage", "gzip", "br", "responses", "responses-stream"],
)
def test_openai_answer(scenario: str, run: Run, truth: Truth) -> None:
    call, line = one_call(clients.python("openai_client.py", scenario), run, truth)
    assert call["text"].endswith(TEXT)
    assert line["complete"]
    assert line["streamed"] == call["streamed"]
    assert bool(call["usage"]) == (scenario != "stream-without-usage")
    assert line["encoding"] == (scenario if scenario in ("gzip", "br") else "identity")


def test_openai_cached_tokens(run: Run, truth: Truth) -> None:
    call, _ = one_call(clients.python("openai_client.py", "cached"), run, truth)
    assert call["usage"]["prompt_tokens_details"]["cached_tokens"] == 1000
    assert call["usage"]["prompt_tokens"] > 1000


def test_openai_refusal(run: Run, truth: Truth) -> None:
    call, _ = one_call(clients.python("openai_client.py", "refusal"), run, truth)
    assert call["refusal"]
    assert call["text"] is None


def test_openai_embeddings(run: Run, truth: Truth) -> None:
    call, _ = one_call(clients.python("openai_client.py", "embeddings"), run, truth)
    assert call["numbers"] == 8


@pytest.mark.parametrize("scenario", ["tools", "tools-stream"])
def test_openai_tools(scenario: str, run: Run, truth: Truth) -> None:
    ran = run(clients.python("openai_client.py", scenario))
    first, second = calls_of(ran, truth.exchanges(2))
    assert [one["arguments"] for one in first["tool_calls"]] == [
        {"city": "city 0", "days": 0},
        {"city": "city 1", "days": 1},
    ]
    assert first["finish_reason"] == "tool_calls"
    assert "2 tool results" in second["text"]


@pytest.mark.parametrize(
    ("scenario", "error", "status", "complete"),
    [
        ("rate-limited", "RateLimitError", 429, True),
        ("cut", None, 200, False),
        ("reset", None, 200, False),
        ("error-in-stream", "APIError", 200, True),
    ],
)
def test_openai_failure(
    scenario: str, error: str | None, status: int, complete: bool, run: Run, truth: Truth
) -> None:
    call, line = one_call(clients.python("openai_client.py", scenario), run, truth)
    assert call["error"] == error if error else call["error"]
    assert (line["status"], line["complete"]) == (status, complete)


def test_openai_retry(run: Run, truth: Truth) -> None:
    ran = run(clients.python("openai_client.py", "retried"))
    assert [line["status"] for line in truth.exchanges(2)] == [429, 200]
    assert ran.report["calls"][0]["text"].endswith(TEXT)


def test_openai_keep_alive(run: Run, truth: Truth) -> None:
    ran = run(clients.python("openai_client.py", "keep-alive"))
    calls_of(ran, truth.exchanges(3))
    (connection,) = truth.connections()
    assert connection["exchanges"] == 3


@pytest.mark.parametrize("client", ["openai_client.py", "anthropic_client.py"])
def test_200_calls_at_once(client: str, run: Run, truth: Truth) -> None:
    ran = run(clients.python(client, "parallel", "200"))
    calls = calls_of(ran, truth.exchanges(200))
    assert sorted(len(call["text"]) for call in calls) == list(range(100, 300))
    assert len(truth.connections(200)) == 200


@pytest.mark.parametrize("scenario", ["message", "stream", "gzip", "cached", "thinking", "refusal"])
def test_anthropic_answer(scenario: str, run: Run, truth: Truth) -> None:
    call, line = one_call(clients.python("anthropic_client.py", scenario), run, truth)
    assert call["text"]
    assert line["complete"]
    assert call["stop_reason"] == ("refusal" if scenario == "refusal" else "end_turn")
    assert len(call["thinking"]) == (300 if scenario == "thinking" else 0)
    assert call["usage"]["cache_read_input_tokens"] == (1000 if scenario == "cached" else 0)


@pytest.mark.parametrize("scenario", ["tools", "tools-stream"])
def test_anthropic_tools(scenario: str, run: Run, truth: Truth) -> None:
    ran = run(clients.python("anthropic_client.py", scenario))
    first, second = calls_of(ran, truth.exchanges(2))
    assert [one["arguments"]["city"] for one in first["tool_calls"]] == ["city 0", "city 1"]
    assert first["stop_reason"] == "tool_use"
    assert "2 tool results" in second["text"]


def test_anthropic_count_tokens(run: Run, truth: Truth) -> None:
    call, line = one_call(clients.python("anthropic_client.py", "count-tokens"), run, truth)
    assert json.loads(line["response_body"]) == call["usage"]


@pytest.mark.parametrize(
    ("scenario", "error", "complete"),
    [
        ("rate-limited", "RateLimitError", True),
        ("overloaded", "OverloadedError", True),
        ("error-in-stream", None, True),
        ("cut", None, False),
    ],
)
def test_anthropic_failure(
    scenario: str, error: str | None, complete: bool, run: Run, truth: Truth
) -> None:
    call, line = one_call(clients.python("anthropic_client.py", scenario), run, truth)
    assert call["error"] == error if error else call["error"]
    assert line["complete"] == complete


@pytest.mark.parametrize(
    "library", ["requests", "httpx", "httpx-async", "aiohttp", "aiohttp-uvloop", "urllib"]
)
@pytest.mark.parametrize("scenario", ["chat", "stream", "gzip-request", "keep-alive"])
def test_http_library(library: str, scenario: str, run: Run, truth: Truth) -> None:
    count = 3 if scenario == "keep-alive" else 1
    ran = run(clients.python("http_libraries.py", library, scenario))
    exchanges = truth.exchanges(count)
    for call, line in zip(calls_of(ran, exchanges), exchanges, strict=True):
        assert call["request_body"] == line["request_body"]
        assert call["response_body"] == line["response_body"]
        if scenario == "gzip-request":
            assert line["request_wire_body_bytes"] != line["request_body_bytes"]
    truth.connections(3 if (scenario, library) == ("keep-alive", "urllib") else 1)


@pytest.mark.parametrize("scenario", ["chat", "stream", "compressed", "continue", "anthropic"])
def test_curl(scenario: str, run: Run, truth: Truth) -> None:
    ran = run(clients.curl(scenario))
    (line,) = truth.exchanges()
    assert ran.status == 0, ran.stderr
    assert ran.stdout == line["response_body"]
    assert (["expect", "100-continue"] in line["request_headers"]) == (scenario == "continue")


@pytest.mark.parametrize("client", ["openai.cjs", "anthropic.cjs"])
@pytest.mark.parametrize("scenario", ["stream", "gzip", "tools", "tools-stream"])
def test_node_sdk(client: str, scenario: str, run: Run, truth: Truth) -> None:
    call, line = one_call(clients.node(client, scenario), run, truth)
    assert line["complete"]
    if scenario.startswith("tools"):
        assert [one["arguments"] for one in call["tool_calls"]] == [
            {"city": "city 0"},
            {"city": "city 1"},
        ]
    else:
        assert call["text"].endswith(TEXT)


def test_node_200_calls_at_once(run: Run, truth: Truth) -> None:
    ran = run(clients.node("openai.cjs", "parallel", "200"))
    calls = calls_of(ran, truth.exchanges(200))
    assert sorted(len(call["text"]) for call in calls) == list(range(100, 300))


def test_node_fetch_keeps_its_connection(run: Run, truth: Truth) -> None:
    ran = run(clients.node("fetch.cjs", "stream", "6"))
    exchanges = truth.exchanges(6)
    for call, line in zip(calls_of(ran, exchanges), exchanges, strict=True):
        assert call["response_body"] == line["response_body"]
    # Asked again before the last answer's end was handled, it opens a second one.
    assert len({line["connection"] for line in exchanges}) <= 2


def test_prompt_of_8_mb(run: Run, truth: Truth) -> None:
    ran = run(clients.python("raw_tls.py", "big-prompt"))
    (line,) = truth.exchanges()
    (call,) = ran.report["calls"]
    assert call["request_body_bytes"] == line["request_body_bytes"] > 8_000_000
    assert call["request_body_sha256"] == line["request_body_sha256"]


@pytest.mark.parametrize(("scenario", "status"), [("dies-mid-stream", -9), ("exits-mid-stream", 3)])
def test_death_in_mid_stream(scenario: str, status: int, run: Run, truth: Truth) -> None:
    ran = run(clients.python("raw_tls.py", scenario))
    (line,) = truth.exchanges()
    assert ran.status == status
    assert ran.report["calls"][0]["events"] == 10
    assert 10 <= line["response_pieces"] < 20
    assert not line["complete"]


def test_write_given_up(run: Run, truth: Truth) -> None:
    ran = run(clients.python("raw_tls.py", "gives-up-write"))
    (connection,) = truth.connections()
    report = ran.report
    assert (report["failures"], report["accepted_bytes"]) == (2, 0)
    # What returns say left, and what did: the first record of the write that failed.
    assert connection["received_bytes"] > report["calls"][0]["head_bytes"]
    assert connection["received_bytes"] < report["offered_bytes"]
    assert connection["exchanges"] == 0


@pytest.mark.parametrize("calls_before", [0, 2])
def test_attached_late(calls_before: int, server: Serving, truth: Truth) -> None:
    command = clients.python("raw_tls.py", "late", str(calls_before))
    process = clients.start(command, server)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    assert len(truth.exchanges(calls_before)) == calls_before
    out, _ = process.communicate("go\n", 30)
    assert len(json.loads(out)["calls"]) == calls_before + 2
    assert truth.connections()[0]["exchanges"] == calls_before + 2


def test_back_pressure(server_of: ServerOf) -> None:
    serving = server_of("--slow-reads", "1")
    truth = Truth(serving)
    ran = clients.run(clients.python("back_pressure.py", "20", "300000"), serving)
    assert ran.status == 0, ran.stderr
    exchanges = truth.exchanges(40)
    ports = {line["connection"]: line["peer"][1] for line in truth.connections(20)}
    seen = {(ports[line["connection"]], line["request_body_sha256"]) for line in exchanges}
    assert seen == {
        (call["local_port"], call["request_body_sha256"]) for call in ran.report["calls"]
    }


@pytest.mark.parametrize("static", [False, True])
def test_short_lived(static: bool, server: Serving, truth: Truth) -> None:
    ran = clients.run(clients.short_lived(server, static=static), server)
    (line,) = truth.exchanges()
    assert ran.status == 0, ran.stderr
    assert ran.report["pid"] == ran.pid
    assert ran.report["request_body"] == line["request_body"]
    (connection,) = truth.connections()
    assert connection["received_bytes"] == ran.report["sent_bytes"]
    assert connection["sent_bytes"] == ran.report["received_bytes"]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_tls_version(version: str, server_of: ServerOf) -> None:
    serving = server_of("--tls", version)
    truth = Truth(serving)
    ran = clients.run(clients.curl("chat"), serving)
    assert ran.status == 0, ran.stderr
    (connection,) = truth.connections()
    assert connection["tls"] == f"TLSv{version}"
    assert connection["server_name"] == "localhost"


def test_plain_http(server_of: ServerOf) -> None:
    serving = server_of("--plain", "--ipv6")
    truth = Truth(serving)
    ran = clients.run(clients.python("openai_client.py", "stream"), serving)
    assert calls_of(ran, truth.exchanges())[0]["text"].endswith(TEXT)
    assert truth.connections()[0]["tls"] is None
