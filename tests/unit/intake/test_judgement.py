"""Which requests are calls to a model, and how soon that is known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.intake.judgement import EVIDENCE_MAX_BYTES, Judgement, judge

MODEL, NOT_MODEL, UNDECIDED = Judgement.MODEL, Judgement.NOT_MODEL, Judgement.UNDECIDED


def request(target: str, host: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"POST {target} HTTP/1.1", f"Host: {host}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


JSON = "Content-Type: application/json"
TEXT = "Content-Type: text/plain"
FORM = "Content-Type: application/x-www-form-urlencoded"
"""What curl's -d says of whatever it sends."""
CHUNKED = "Transfer-Encoding: chunked"
CHAT = b'{"model": "m", "messages": []}'


@pytest.mark.parametrize(
    "evidence",
    [
        request("/v1/chat/completions", "api.openai.com"),
        request("/v1/messages?beta=true", "api.anthropic.com:443"),
        request("/v1/messages/count_tokens", "gateway.local"),
        request("/openai/deployments/d/embeddings?api-version=1", "x.openai.azure.com"),
        request("https://api.openai.com/v1/responses", "api.openai.com"),
        request("/any/chat/completions", "localhost:8080", b"", JSON),
        request("/v1/responses", "gateway", b'{"model": "m", "input": "', JSON),
        request("/odd/path", "gateway", CHAT, JSON, "Content-Length: 30"),
        request("/odd/path", "gateway", CHAT),
        request("/p", "h", b'8\r\n{"model"\r\n12;x\r\n: "m", "prompt": ""\r\n', CHUNKED),
        request("/p", "h", b'8\n{"model"\n10\n: "m", "input":""\n', CHUNKED),
        request("/v1/messages", "h", b"\x28\xb5\x2f\xfd", JSON, "Content-Encoding: zstd"),
        request("/v1/chat/completions", "api.openai.com").replace(b"\r\n", b"\n"),
        b"POST /v1/embeddings HTTP/1.0\r\nhOST:api.openai.com\r\n\r\n",
        request("/v1/chat/completions", "localhost:8443", b"", FORM),
        request("/v1/chat/completions", "api.openai.com", b"", TEXT),
        request("/v1/messages", "h", CHAT, FORM),
        request("/odd/path", "gateway", CHAT, TEXT),
        request("/v1/messages", "h", b'{"model": "m"}', JSON, "Content-Length: 14"),
    ],
)
def test_model_traffic_is_known_at_once(evidence: bytes) -> None:
    assert judge(evidence, complete=False) is MODEL


@pytest.mark.parametrize(
    "evidence",
    [
        b"GET /v1/models HTTP/1.1\r\n",
        b"G",
        b"\x16\x03\x01",
        b"post / HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"POST / FTP/1.0\r\n\r\n",
        b"POST /v1/chat/completions HTTP/2.0\r\n\r\n",
        request("/v1/audio", "api.openai.com", b"--x", "Content-Type: multipart/form-data"),
        request("/login", "h", b"model=1&messages=2", FORM),
        request("/v1/messages", "h", b"to=me&text=hi", FORM),
        request("/v1/messages", "h", b'{"to": "me", "text": "hi"}', TEXT, "Content-Length: 26"),
        request("/odd/path", "h", b'{"model": "m"}', JSON, "Content-Length: 14"),
        request("/graphql", "h", b'{"query": ""}', "Content-Length: 13"),
        request("/p", "h", b"[1]"),
        request("/p", "h", b"\x1f\x8b", JSON, "Content-Encoding: gzip"),
        request("/telemetry", "h", b'{"events":[{"model":1,"input":2}]}', "Content-Length: 34"),
        request("/p", "h", b"", "Content-Length: 0"),
        request("/p", "h", b'{"x":"\\"model\\":1,\\"input\\":1"}', "Content-Length: 30"),
    ],
)
def test_other_traffic_is_known_at_once(evidence: bytes) -> None:
    assert judge(evidence, complete=False) is NOT_MODEL


@pytest.mark.parametrize(
    ("evidence", "in_the_end"),
    [
        (b"", NOT_MODEL),
        (b"P", NOT_MODEL),
        (b"POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\n", MODEL),
        (b"POST /v1/chat/completions", NOT_MODEL),
        (request("/v1/messages", "h"), NOT_MODEL),
        (request("/v1/messages", "h", b"", FORM), NOT_MODEL),
        (request("/v1/messages", "h", b'{"model": "m", "max', FORM), MODEL),
        (request("/v1/messages", "h", b'{"messages": [{"role"'), MODEL),
        (request("/other", "h", b'{"messages": [{"role"'), NOT_MODEL),
        (request("/v1/messages", "h", b"100\r\n{", CHUNKED), NOT_MODEL),
    ],
)
def test_what_is_open_waits_and_is_decided_in_the_end(
    evidence: bytes, in_the_end: Judgement
) -> None:
    assert judge(evidence, complete=False) is UNDECIDED
    assert judge(evidence, complete=True) is in_the_end


def test_with_so_much_evidence_the_judgement_falls() -> None:
    long = request("/v1/messages", "h", b'{"messages": ["') + b"x" * EVIDENCE_MAX_BYTES
    assert judge(long[: EVIDENCE_MAX_BYTES - 1], complete=False) is UNDECIDED
    assert judge(long[:EVIDENCE_MAX_BYTES], complete=False) is MODEL


def test_http_2() -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    assert judge(preface[:15], complete=False) is UNDECIDED
    assert judge(preface[:16], complete=False) is Judgement.UNSUPPORTED
    assert judge(preface + bytes(100), complete=True) is Judgement.UNSUPPORTED


REQUESTS = [
    request("/v1/chat/completions", "api.openai.com", CHAT, JSON),
    request("/odd", "h", CHAT, JSON, "Content-Length: 30"),
    request("/odd", "h", b'{"query": 1}', JSON, "Content-Length: 12"),
    request("/v1/messages", "h", CHAT, FORM, "Content-Length: 30"),
    request("/login", "h", b"model=1&messages=2", FORM, "Content-Length: 18"),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
]


@pytest.mark.parametrize("whole", REQUESTS)
def test_byte_by_byte_it_is_undecided_until_it_is_right_for_good(whole: bytes) -> None:
    final = judge(whole, complete=False)
    seen = [judge(whole[:end], complete=False) for end in range(len(whole) + 1)]
    decided = [judgement for judgement in seen if judgement is not UNDECIDED]
    assert final is not UNDECIDED
    assert set(decided) == {final}
    assert seen[-len(decided) :] == decided
    assert judge(whole + b"GET / trailing", complete=False) is final


@given(st.sampled_from(REQUESTS), st.integers(0, 300), st.integers(0, 20), st.binary(max_size=60))
def test_any_bytes_are_judged_and_complete_ones_never_wait(
    base: bytes, at: int, removed: int, garbage: bytes
) -> None:
    evidence = base[:at] + garbage + base[at + removed :]
    assert judge(evidence, complete=False) in Judgement
    assert judge(bytearray(evidence), complete=True) is not UNDECIDED
