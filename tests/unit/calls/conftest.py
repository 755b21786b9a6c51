"""The real SDKs, and a model server that records what they send."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import openai
import pytest

from tests.unit.calls.recorded import Recorder, recorder


@pytest.fixture(scope="module")
def server() -> Iterator[Recorder]:
    with recorder() as running:
        yield running


@pytest.fixture
def model(server: Recorder) -> Recorder:
    server.items.clear()
    return server


@pytest.fixture(scope="module")
def chat(server: Recorder) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="made-up", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def claude(server: Recorder) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=server.url, api_key="made-up", max_retries=0) as client:
        yield client
