"""From a provider's type to its adapter; an adapter that nobody configured is never loaded.

`HttpPool` is handed on from here for the one place that owns it, the server.
"""

from crush.config.settings import ProviderSettings
from crush.errors import ConfigError
from crush.providers._http import HttpPool
from crush.providers.base import Provider
from crush.providers.local import LocalModels, LocalProvider

__all__ = ["HttpPool", "build_provider"]

_CHAT_TYPES = frozenset(
    {
        "openai",
        "openai-compat",
        "openrouter",
        "vercel",
        "litellm",
        "llamacpp",
        "lmstudio",
        "ollama",
        "omlx",
    }
)
_NOT_BUILT = frozenset({"azure", "bedrock", "google", "google-vertex", "hyper"})


def build_provider(settings: ProviderSettings, *, pool: HttpPool, models: LocalModels) -> Provider:
    """The adapter for these settings. Raises ConfigError for a type or a value it cannot use."""
    if settings.type == "anthropic":
        from crush.providers.anthropic import AnthropicProvider  # noqa: PLC0415

        return AnthropicProvider(settings=settings, pool=pool)
    if settings.type in _CHAT_TYPES:
        from crush.providers.openai_chat import OpenAiChatProvider  # noqa: PLC0415

        return OpenAiChatProvider(settings=settings, pool=pool)
    if settings.type == "local":
        return LocalProvider(settings, models=models)
    if settings.type in _NOT_BUILT:
        raise ConfigError(
            f"provider {settings.id!r} is of type {settings.type!r}, which is not built yet",
            hint="Many of these also offer an endpoint of type openai-compat.",
        )
    raise ConfigError(f"provider {settings.id!r} has an unknown type: {settings.type!r}")
