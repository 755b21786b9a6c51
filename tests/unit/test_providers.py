"""Providers by host, endpoints by path."""

from __future__ import annotations

import pytest

from proctor.providers import ENDPOINTS, endpoint_of, provider_at


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("api.openai.com", "openai"),
        ("API.OpenAI.com.:443", "openai"),
        (" eu.api.openai.com ", "openai"),
        ("res.openai.azure.com", "azure.ai.openai"),
        ("bedrock-runtime.us-east-1.amazonaws.com", "aws.bedrock"),
        ("us-central1-aiplatform.googleapis.com", "gcp.vertex_ai"),
        ("dashscope.aliyuncs.com", "alibaba_cloud"),
        ("dashscope-intl.aliyuncs.com", "alibaba_cloud"),
        ("dashscope-us.aliyuncs.com", "alibaba_cloud"),
        ("cn-hongkong.dashscope.aliyuncs.com", "alibaba_cloud"),
        ("ws-1.eu-central-1.maas.aliyuncs.com", "alibaba_cloud"),
        ("bucket.oss-cn-hangzhou.aliyuncs.com", None),
        ("ecs.aliyuncs.com", None),
        ("aliyuncs.com", None),
        ("notapi.anthropic.com.evil.org", None),
        ("xapi.openai.com", None),
        ("", None),
        (":443", None),
        ("[::1]:443", None),
        ("localhost", None),
    ],
)
def test_hosts(host: str, provider: str | None) -> None:
    assert provider_at(host) == provider


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        ("/v1/chat/completions", "openai_chat"),
        ("/v1/completions/", "openai_completions"),
        ("/v1/messages", "anthropic_messages"),
        ("/v1/messages/count_tokens", "anthropic_count_tokens"),
        ("/v1/messages/batches", None),
        ("/xmessages", None),
        ("", None),
    ],
)
def test_paths(path: str, dialect: str | None) -> None:
    found = endpoint_of(path)
    assert (found.dialect if found else None) == dialect


def test_no_row_hides_a_later_one() -> None:
    for number, row in enumerate(ENDPOINTS):
        assert endpoint_of(row.suffix) == ENDPOINTS[number]
