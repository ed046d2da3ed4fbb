"""docs/reference/config.md names every key and every provider that the code knows."""

import os

import pytest
from msgspec import Struct

from crush.config.catalogue import load_catalogue
from crush.config.schema import (
    PROVIDER_TYPES,
    ModelChoice,
    Options,
    Permissions,
    ProviderEntry,
    ToolLimits,
)
from crush.wire.requests import ModelInfo


@pytest.fixture
def page() -> str:
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with open(os.path.join(root, "docs", "reference", "config.md"), encoding="utf-8") as stream:
        return stream.read()


@pytest.mark.parametrize(
    ("section", "prefix"),
    [
        (Options, "options."),
        (Permissions, "permissions."),
        (ToolLimits, "tools."),
        (ModelChoice, "`…."),
        (ProviderEntry, "`…."),
        (ModelInfo, "`"),
    ],
)
def test_every_key_has_its_line(page: str, section: type[Struct], prefix: str) -> None:
    for key in section.__struct_fields__:
        assert f"{prefix}{key}" in page


def test_every_provider_stands_there_with_its_variables(page: str) -> None:
    for provider in load_catalogue():
        endpoint = f"`{provider.endpoint}` |" if provider.endpoint else "|"
        assert f"| `{provider.id}` | `{provider.key}` | {endpoint}\n" in page


def test_every_type_of_provider_stands_there(page: str) -> None:
    for provider_type in PROVIDER_TYPES:
        assert f"`{provider_type}`" in page
