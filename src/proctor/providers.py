"""Model providers: known hosts, and request paths with what they mean.

The one table for all rooms: the keeper admits connections by it, `calls`
names provider, operation and dialect by it. A new dialect is one row here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

HOSTS: Final[dict[str, str]] = {
    "api.openai.com": "openai",
    "chatgpt.com": "openai",
    "api.anthropic.com": "anthropic",
    "api.mistral.ai": "mistral_ai",
    "api.groq.com": "groq",
    "api.deepseek.com": "deepseek",
    "api.x.ai": "x_ai",
    "api.perplexity.ai": "perplexity",
    "api.cohere.com": "cohere",
    "api.cohere.ai": "cohere",
    "api.moonshot.ai": "moonshot_ai",
    "api.moonshot.cn": "moonshot_ai",
    "generativelanguage.googleapis.com": "gcp.gemini",
}
"""Host name -> OpenTelemetry's `gen_ai.provider.name`."""

DOMAINS: Final[dict[str, str]] = {
    ".api.openai.com": "openai",
    ".openai.azure.com": "azure.ai.openai",
    ".services.ai.azure.com": "azure.ai.inference",
}
"""The same for all names that end so."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a request path means."""

    suffix: str
    operation: str
    """OpenTelemetry's `gen_ai.operation.name`, or `count_tokens`, for which it has none."""
    dialect: str
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


def provider_of(host: str) -> str | None:
    """The provider behind a `Host` header or server name; a port is ignored."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    name = name.strip().rstrip(".").lower()
    known = HOSTS.get(name)
    if known is not None:
        return known
    return next((value for end, value in DOMAINS.items() if name.endswith(end)), None)


def endpoint_of(path: str) -> Endpoint | None:
    """What a path (without query) means, by its end."""
    bare = path.rstrip("/")
    return next((each for each in ENDPOINTS if bare.endswith(each.suffix)), None)
