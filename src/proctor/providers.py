"""Model providers: who answers at which host, and what a request's path means.

The one table for all rooms: the keeper admits connections by it, `calls`
names provider, operation and dialect by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PROVIDERS: Final[dict[str, str]] = {
    "api.openai.com": "openai",
    "chatgpt.com": "openai",
    "openai.azure.com": "azure.ai.openai",
    "cognitiveservices.azure.com": "azure.ai.openai",
    "services.ai.azure.com": "azure.ai.openai",
    "models.ai.azure.com": "azure.ai.inference",
    "models.inference.ai.azure.com": "azure.ai.inference",
    "api.anthropic.com": "anthropic",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "codestral.mistral.ai": "mistral_ai",
    "api.deepseek.com": "deepseek",
    "api.x.ai": "x_ai",
    "api.perplexity.ai": "perplexity",
    "api.cohere.com": "cohere",
    "api.cohere.ai": "cohere",
    "api.moonshot.ai": "moonshot_ai",
    "api.moonshot.cn": "moonshot_ai",
    "ml.cloud.ibm.com": "ibm.watsonx.ai",
    # OpenTelemetry has no value for these.
    "openrouter.ai": "openrouter",
    "api.together.xyz": "together",
    "api.together.ai": "together",
    "api.fireworks.ai": "fireworks",
    "api.cerebras.ai": "cerebras",
    "api.sambanova.ai": "sambanova",
    "integrate.api.nvidia.com": "nvidia",
    "router.huggingface.co": "hugging_face",
    "githubcopilot.com": "github_copilot",
    "dashscope.aliyuncs.com": "alibaba_cloud",
    "dashscope-intl.aliyuncs.com": "alibaba_cloud",
    "dashscope-us.aliyuncs.com": "alibaba_cloud",
    "maas.aliyuncs.com": "alibaba_cloud",
    "api.z.ai": "z_ai",
    "open.bigmodel.cn": "z_ai",
}
"""Host -> OpenTelemetry's `gen_ai.provider.name`. A name stands for itself and all names below."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a request's path means."""

    suffix: str
    operation: str
    """OpenTelemetry's `gen_ai.operation.name`, or `count_tokens`, for which it has none."""
    dialect: str
    """The module of `calls` that reads it."""
    distinctive: bool
    """No other kind of service uses such a path: it tells even at an unknown host."""


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint("/chat/completions", "chat", "openai_chat", True),
    Endpoint("/completions", "text_completion", "openai_completions", False),
    Endpoint("/responses", "chat", "openai_responses", False),
    Endpoint("/embeddings", "embeddings", "openai_embeddings", False),
    Endpoint("/messages/count_tokens", "count_tokens", "anthropic_count_tokens", True),
    Endpoint("/messages", "chat", "anthropic_messages", False),
)
"""The longer of two suffixes that fit stands first."""


def provider_at(host: str) -> str | None:
    """Who answers at `host` (a Host header or a server name, with or without a port)."""
    before, _, port = host.strip().rpartition(":")
    name = before if port.isdecimal() else host.strip()
    labels = name.rstrip(".").lower().split(".")
    if labels[0].startswith("bedrock-runtime") and labels[-2:] == ["amazonaws", "com"]:
        return "aws.bedrock"
    if labels[0].endswith("-aiplatform") and labels[-2:] == ["googleapis", "com"]:
        return "gcp.vertex_ai"
    names = (".".join(labels[start:]) for start in range(len(labels)))
    return next((PROVIDERS[name] for name in names if name in PROVIDERS), None)


def endpoint_of(path: str) -> Endpoint | None:
    """What a path (without its query) means, by its end."""
    bare = path.rstrip("/")
    return next((each for each in ENDPOINTS if bare.endswith(each.suffix)), None)


def is_usual_path(path: str, endpoint: Endpoint) -> bool:
    """Whether it ends as the API's own documentation has it, with its version."""
    return path.rstrip("/").endswith("/v1" + endpoint.suffix)
