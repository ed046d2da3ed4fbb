"""The keys of `crush.json` that this version reads (F 2.3), and the check of a file against them.

A key that is not here is ignored. Every file is checked on its own, so an error names the file and
the key; what the files say together is `trust` and `load`.
"""

from collections.abc import Iterator
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct
from typing_extensions import override

from crush.config.document import Document
from crush.errors import ConfigError
from crush.wire.requests import ModelInfo, TuiOptions

T = TypeVar("T")

Count = Annotated[int, Meta(ge=0)]
Seconds = Annotated[float, Meta(ge=0)]

# F 2.3; which of them can be asked is the business of `providers`.
PROVIDER_TYPES = frozenset(
    {
        "anthropic",
        "azure",
        "bedrock",
        "google",
        "google-vertex",
        "hyper",
        "litellm",
        "llamacpp",
        "lmstudio",
        "ollama",
        "omlx",
        "openai",
        "openai-compat",
        "openrouter",
        "vercel",
    }
)


class ModelChoice(Struct, frozen=True, kw_only=True):
    """`models.large` or `models.small`, as far as the files say it."""

    model: str = ""
    provider: str = ""
    reasoning_effort: str = ""
    think: bool = False
    max_tokens: Count = 0
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None


class ProviderEntry(Struct, frozen=True, kw_only=True):
    """A provider as the files describe it: templates, nothing expanded. May hold a literal key."""

    name: str = ""
    type: str = ""
    base_url: str = ""
    api_key: str = ""
    disable: bool = False
    system_prompt_prefix: str = ""
    extra_headers: dict[str, str] = {}
    extra_body: dict[str, object] = {}
    flat_rate: bool = False
    models: list[ModelInfo] = []

    @override
    def __repr__(self) -> str:
        return f"ProviderEntry(name={self.name!r}, type={self.type!r})"


class Options(Struct, frozen=True, kw_only=True):
    """`options`. `context_paths` are more instruction files than the usual ones."""

    context_paths: list[str] = []
    data_directory: str = ""
    disable_auto_summarize: bool = False
    disable_default_providers: bool = False
    disabled_tools: list[str] = []
    enabled_tools: list[str] = []
    tui: TuiOptions = TuiOptions()


class Permissions(Struct, frozen=True, kw_only=True):
    """`permissions`: tools (`tool` or `tool:action`) that need no answer, and rules as texts.

    What a rule may say is the business of `permissions`, which names the key of one that is none.
    """

    allowed_tools: list[str] = []
    allow: list[str] = []
    ask: list[str] = []
    deny: list[str] = []


class LsLimits(Struct, frozen=True, kw_only=True):
    """How far `ls` goes; a depth of 0 is no limit."""

    max_depth: Count = 0
    max_items: Count = 1000


class GrepLimits(Struct, frozen=True, kw_only=True):
    """How long `grep` may take, in seconds."""

    timeout: Seconds = 5


class GlobLimits(Struct, frozen=True, kw_only=True):
    """How long `glob` may take, in seconds."""

    timeout: Seconds = 30


class ToolLimits(Struct, frozen=True, kw_only=True):
    """`tools`."""

    ls: LsLimits = LsLimits()
    grep: GrepLimits = GrepLimits()
    glob: GlobLimits = GlobLimits()


_SECTIONS: dict[str, type[object]] = {
    "options": Options,
    "permissions": Permissions,
    "tools": ToolLimits,
}
_MAPS: dict[str, type[object]] = {"models": ModelChoice, "providers": ProviderEntry, "env": str}


def check(document: Document, path: str) -> None:
    """Raises ConfigError, naming file and key, if a key that we read has the wrong type."""
    for key, section in _SECTIONS.items():
        convert(document.get(key, {}), section, path=path, key=key)
    for key, entry in _MAPS.items():
        for name, value in mapping(document, key, path=path).items():
            if not name.isprintable():
                raise ConfigError(f"{path}: {key}: {name!r} contains control characters")
            checked = convert(value, entry, path=path, key=f"{key}.{name}")
            if isinstance(checked, ProviderEntry):
                _check_provider(name, checked, path)
            if isinstance(checked, ModelChoice) and not _is_printable(checked):
                raise ConfigError(f"{path}: {key}.{name}: control characters in a name")


def mapping(document: Document, key: str, *, path: str) -> Document:
    """The object under `key`, empty if there is none."""
    return convert(document.get(key, {}), dict[str, object], path=path, key=key)


def convert(value: object, kind: type[T], *, path: str, key: str) -> T:
    """`value` as `kind`. Raises ConfigError that names the key and the types, never the value."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as exc:
        problem, _, inner = str(exc).partition(" - at `$")
        raise ConfigError(f"{path}: {key}{inner.rstrip('`')}: {problem}") from exc


def _check_provider(name: str, entry: ProviderEntry, path: str) -> None:
    for problem in _provider_problems(name, entry):
        raise ConfigError(f"{path}: providers.{name}: {problem}")


def _provider_problems(name: str, entry: ProviderEntry) -> Iterator[str]:
    if not name or "/" in name:
        yield "an id must not be empty nor contain `/`"
    if not entry.name.isprintable():
        yield "name contains control characters"
    if entry.type and entry.type not in PROVIDER_TYPES:
        yield f"unknown type {entry.type!r}; known: {', '.join(sorted(PROVIDER_TYPES))}"
    for index, model in enumerate(entry.models):
        if not model.id or not (model.id.isprintable() and model.name.isprintable()):
            yield f"models[{index}]: the id is empty, or id or name contain control characters"
        yield from (f"models[{index}].{field} is negative" for field in _negative(model))


def _is_printable(choice: ModelChoice) -> bool:
    return all(map(str.isprintable, (choice.model, choice.provider, choice.reasoning_effort)))


def _negative(model: ModelInfo) -> Iterator[str]:
    for name in model.__struct_fields__:
        value = getattr(model, name)
        if isinstance(value, (int, float)) and value < 0:
            yield name
