"""Who answers at which host. Values are OpenTelemetry's where it has one."""

from __future__ import annotations

PROVIDERS = {
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
    "api.z.ai": "z_ai",
    "open.bigmodel.cn": "z_ai",
}
"""A name stands for itself and all names below it."""


def provider_at(host: str) -> str | None:
    """Return who answers at `host` (a Host header, with or without a port)."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    labels = name.rstrip(".").lower().split(".")
    if labels[0].startswith("bedrock-runtime") and labels[-2:] == ["amazonaws", "com"]:
        return "aws.bedrock"
    if labels[0].endswith("-aiplatform") and labels[-2:] == ["googleapis", "com"]:
        return "gcp.vertex_ai"
    for start in range(len(labels)):
        provider = PROVIDERS.get(".".join(labels[start:]))
        if provider:
            return provider
    return None
