"""The result of configuration for one run: which model, at which provider, with which key."""

from collections.abc import Mapping

from msgspec import Struct
from typing_extensions import override

from crush.wire.requests import ModelInfo, SelectedModel


class ProviderSettings(Struct, frozen=True, kw_only=True):
    """A provider after discovery and expansion; holds the key, so it is never logged or stored.

    Attributes:
        type: `anthropic`, `openai-compat` (and the types of F 2.3 that speak it) or `local`.
        base_url: without a trailing slash; "" for the protocol's own.
        headers: sent with every request; values that expanded to nothing are gone.
        extra_body: merged into the body of OpenAI-compatible requests.
        env: the asking client's environment: proxies and CA files come from it.
    """

    id: str
    type: str
    name: str = ""
    base_url: str = ""
    api_key: str = ""
    headers: Mapping[str, str] = {}
    extra_body: Mapping[str, object] = {}
    system_prompt_prefix: str = ""
    flat_rate: bool = False
    env: Mapping[str, str] = {}

    @override
    def __repr__(self) -> str:
        return f"ProviderSettings(id={self.id!r}, type={self.type!r})"


class ChosenModel(Struct, frozen=True, kw_only=True):
    """A model ready to be asked."""

    provider: ProviderSettings
    info: ModelInfo
    selected: SelectedModel
    small: bool = False  # the catalogue says: lean prompt, no tools
