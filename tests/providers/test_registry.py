"""Which type of provider gets which adapter, and what is loaded for it."""

import subprocess
import sys

import pytest

from crush.config.settings import ProviderSettings
from crush.errors import ConfigError
from crush.providers.anthropic import AnthropicProvider
from crush.providers.local import LocalModels, LocalProvider
from crush.providers.openai_chat import OpenAiChatProvider
from crush.providers.registry import HttpPool, build_provider


def build(kind: str, base_url: str = "http://h/v1") -> object:
    settings = ProviderSettings(id="mine", type=kind, base_url=base_url, api_key="secret-key")
    models = LocalModels(command=("false",), verify=lambda _path: None)
    return build_provider(settings, pool=HttpPool(), models=models)


@pytest.mark.parametrize(
    "kind",
    [
        "openai",
        "openai-compat",
        "openrouter",
        "vercel",
        "litellm",
        "llamacpp",
        "lmstudio",
        "ollama",
        "omlx",
    ],
)
def test_types_that_speak_chat_completions(kind: str) -> None:
    assert isinstance(build(kind), OpenAiChatProvider)


@pytest.mark.parametrize("kind", ["openai", "openrouter", "vercel"])
def test_types_with_a_place_of_their_own_need_no_base_url(kind: str) -> None:
    assert isinstance(build(kind, base_url=""), OpenAiChatProvider)


def test_the_other_two_adapters() -> None:
    assert isinstance(build("anthropic", base_url=""), AnthropicProvider)
    assert isinstance(build("local"), LocalProvider)


@pytest.mark.parametrize("kind", ["azure", "bedrock", "google", "google-vertex", "hyper"])
def test_a_type_that_is_not_built_yet_is_named(kind: str) -> None:
    with pytest.raises(ConfigError, match=rf"'mine' is of type '{kind}'.*not built yet"):
        build(kind)


def test_a_type_that_nobody_knows_is_named() -> None:
    with pytest.raises(ConfigError, match="unknown type: 'telepathy'"):
        build("telepathy")


def test_an_adapter_is_loaded_when_it_is_needed() -> None:
    script = (
        "import sys, crush.providers.registry;"
        "print([m for m in sys.modules if m in"
        " ('crush.providers.anthropic', 'crush.providers.openai_chat')])"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert loaded.stdout.strip() == "[]"
