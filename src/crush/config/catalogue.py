"""The providers and models that we know without being told: endpoints, key variables, prices.

`catalogue.json` is generated (`scripts/make_catalogue.py`) and read when a model is chosen, never at
start. Local servers are not in it: they count only when they are configured.
"""

import os

import msgspec
from msgspec import Struct

from crush.wire.requests import ModelInfo

LOCAL = "local"


class KnownProvider(Struct, frozen=True, kw_only=True):
    """A provider of the catalogue.

    Attributes:
        key: the environment variable that holds its key.
        endpoint: the environment variable that replaces its address, "" if there is none.
        base_url: "" for the protocol's own address.
        large, small: ids of the models taken when the user chose none.
    """

    id: str
    name: str
    type: str
    key: str
    endpoint: str = ""
    base_url: str = ""
    large: str
    small: str
    models: tuple[ModelInfo, ...]


class _Catalogue(Struct, frozen=True):
    providers: tuple[KnownProvider, ...]


def load_catalogue() -> tuple[KnownProvider, ...]:
    """In the order in which a provider is chosen when nothing is configured."""
    with open(os.path.join(os.path.dirname(__file__), "catalogue.json"), "rb") as stream:
        return msgspec.json.decode(stream.read(), type=_Catalogue).providers


def local_model() -> ModelInfo:
    """The embedded model; it chats, it does not code."""
    return ModelInfo(
        id="smollm2",
        name="SmolLM2 135M Instruct",
        context_window=8192,
        default_max_tokens=1024,
    )
