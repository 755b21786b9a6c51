"""Arguments: what is hidden, what stays, and that lengths do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.intake.arguments import mask_arguments
from tests.fuzz import fuzz_arguments

SECRET = b"s3cr3tValue1"


def masked(*arguments: bytes) -> list[bytes]:
    memory = b"\0".join(arguments) + b"\0"
    result = mask_arguments(memory)
    assert len(result) == len(memory)
    return result.split(b"\0")[:-1]


@pytest.mark.parametrize(
    "arguments",
    [
        [b"curl", b"-H", b"Authorization: Bearer %s", b"https://h/p"],
        [b"curl", b"-HAuthorization: Bearer %s"],
        [b"curl", b"--header", b"x-api-key:%s"],
        [b"curl", b"--header=Cookie: %s"],
        [b"curl", b"-H", b"Cookie: a %s; b %s"],
        [b"curl", b"-u", b"user:%s"],
        [b"curl", b"--user", b"user:%s"],
        [b"curl", b"--user=user:%s"],
        [b"curl", b"https://%s@h/p"],
        [b"curl", b"https://h/p?a=b&key=%s&c=d"],
        [b"curl", b"https://h/p?access_token=%s#code=%s"],
        [b"curl", b"--oauth2-bearer", b"%s"],
        [b"tool", b"--api-key", b"%s", b"next"],
        [b"tool", b"--api_key=%s", b"next"],
        [b"tool", b"-token", b"%s"],
        [b"tool", b"--token=%s"],
        [b"tool", b"--password", b"%s"],
        [b"env", b"OPENAI_API_KEY=%s", b"python"],
        [b"docker", b"run", b"-e", b"DB_PASSWORD=%s", b"image"],
        [b"docker", b"run", b"-eAPI_TOKEN=%s", b"--env=MY_SECRET=%s"],
        [b"bash", b"-c", b"OPENAI_API_KEY=%s tool --password %s -x; curl -u me:%s h"],
        [b"bash", b"-c", b"curl -H 'Authorization: Bearer %s' -H \"x-api-key: %s\" h"],
        [b"bash", b"-c", b"export TOKEN='%s' && tool --token \"%s\""],
        [b"curl", b"-d", b'{"user": "a", "password": "%s", "client_secret":"%s"}'],
        [b"bash", b"-c", b'curl -d "{\\"api_key\\": \\"%s\\"}" h'],
        [b"python", b"-c", b"headers={'Authorization': 'Bearer %s'}"],
        [b"curl", b"-b", b"session=%s"],
    ],
)
def test_secrets_are_hidden(arguments: list[bytes]) -> None:
    result = b"\0".join(masked(*(each.replace(b"%s", SECRET) for each in arguments)))
    assert SECRET not in result
    # Beside a cookie's and an option's whole value nothing but the secret is hidden.
    if b"-b" not in arguments and b"-H" not in arguments:
        expected = b"\0".join(arguments).replace(b"%s", b"*" * len(SECRET))
        assert result == expected


@pytest.mark.parametrize(
    "token",
    [
        b"sk-proj-abcdefghijklmnop0123",
        b"sk-ant-api03-abcdefghijklmnop_-0123",
        b"ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        b"gho_abcdefghijklmnopqrstuvwxyz0123456789",
        b"github_pat_11ABCDEFG0123456789_abcdef",
        b"AKIAIOSFODNN7EXAMPLE",
        b"xoxb-1234567890-abcdefghij",
        b"AIzaSyA-1234567890abcdefghijklmnopqrstu",
        b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    ],
)
def test_tokens_are_known_by_their_shape(token: bytes) -> None:
    stars = b"*" * len(token)
    assert masked(b"tool", token, b'say "%s".' % token) == [b"tool", stars, b'say "%s".' % stars]


@pytest.mark.parametrize(
    "arguments",
    [
        [b"python", b"-u", b"agent.py", b"--max-tokens", b"100", b"--model=gpt-4"],
        [b"curl", b"https://api.openai.com/v1/models?limit=3", b"-H", b"Accept: */*"],
        [b"tool", b"--token-file", b"/run/secret", b"--password-stdin", b"--auth-type", b"basic"],
        [b"pip", b"install", b"scikit-learn", b"tokenizers==0.2"],
        [b"git", b"log", b"--author=me", b"--format=%H: %s"],
        [b"ls", b"-la", b"/home/me/keys"],
        [b"echo", b"the password is in the file, the secret too"],
        [b"", b"", b"-", b"--", b"=", b":"],
    ],
)
def test_all_else_stays(arguments: list[bytes]) -> None:
    assert masked(*arguments) == arguments


def test_an_assignment_alone_is_hidden_up_to_its_end() -> None:
    assert masked(b"env", b"PASSWORD=a;b&'c", b"x") == [b"env", b"PASSWORD=******", b"x"]


def test_userinfo_is_hidden_whole() -> None:
    assert masked(b"https://u:pw@h/p@q") == [b"https://****@h/p@q"]


def test_the_scheme_word_stays() -> None:
    header = b"Authorization: Bearer abcdef"
    assert masked(b"curl", b"-H", header)[2] == b"Authorization: Bearer ******"


@given(
    st.lists(
        st.sampled_from([b"\0", b"-H", b"--token", b"-u", b"=", b":", b"'", b'"', b"://", b"@"])
        | st.sampled_from([b"Authorization", b"bearer ", b"key", b"?", b"sk-", b"k" * 130, b"\\"])
        | st.binary(max_size=8),
        max_size=40,
    ).map(b"".join)
)
def test_any_bytes_keep_their_length_and_their_ends(memory: bytes) -> None:
    result = mask_arguments(memory)
    assert len(result) == len(memory)
    assert all(new in (old, ord("*")) for old, new in zip(memory, result, strict=True))
    assert [at for at, byte in enumerate(result) if byte == 0] == [
        at for at, byte in enumerate(memory) if byte == 0
    ]


@given(st.binary() | st.sampled_from(fuzz_arguments.SEEDS))
def test_any_bytes(data: bytes) -> None:
    fuzz_arguments.run(data)
