"""What a repository may say: its files configure the run, but they get nothing that is the user's.

A project file comes with whatever was cloned. It must not send a key of the user to a host of its
own, put variables into the environment of programs, allow tools to itself or point outside the
project. docs/reference/config.md has the rules and the reasons.
"""

import os
from collections.abc import Iterable, Sequence

from msgspec import Struct

from crush import paths
from crush.config.discovery import Layer
from crush.config.document import Document
from crush.config.merge import merge
from crush.config.schema import Options, ProviderEntry, convert, mapping
from crush.errors import ConfigError

# `extra_body` too: a gateway may take the address and the key of the next hop from the body.
CONNECTION = frozenset({"type", "base_url", "extra_headers", "extra_body"})


class ProviderConfig(Struct, frozen=True, kw_only=True):
    """A provider as all files together describe it, and whose word that is.

    Attributes:
        entry: what they say, unexpanded.
        alone: the project file that says where requests go; then `entry` is of project files only.
        user_declared: a user file has this provider too.
        key_file: the project file that `entry.api_key` is from; "" for the user's or none.
        stray_key_file: the project file whose key was left out, since another one is `alone`.
    """

    id: str
    entry: ProviderEntry
    alone: str = ""
    user_declared: bool = False
    key_file: str = ""
    stray_key_file: str = ""


def settle_provider(provider_id: str, layers: Sequence[Layer]) -> ProviderConfig:
    """One provider out of all layers, lowest precedence first."""
    document: Document = {}
    alone, key_file, stray_key_file = "", "", ""
    user_declared = disable = False
    for layer, entry in _entries(provider_id, layers):
        if layer.scope == "user":
            document, user_declared = merge(document, entry), True
            disable = bool(document.get("disable"))
            continue
        # A project may switch a provider off, never on again.
        disable = disable or bool(entry.get("disable"))
        if CONNECTION & entry.keys():
            document, alone, stray_key_file = dict(entry), layer.path, ""
            key_file = layer.path if "api_key" in entry else ""
        elif "api_key" in entry and alone:
            stray_key_file = layer.path
            document = merge(document, {k: v for k, v in entry.items() if k != "api_key"})
        else:
            document = merge(document, entry)
            key_file = layer.path if "api_key" in entry else key_file
    return ProviderConfig(
        id=provider_id,
        entry=convert(
            {**document, "disable": disable},
            ProviderEntry,
            path="configuration",
            key=f"providers.{provider_id}",
        ),
        alone=alone,
        user_declared=user_declared,
        key_file=key_file,
        stray_key_file=stray_key_file,
    )


def _entries(provider_id: str, layers: Sequence[Layer]) -> Iterable[tuple[Layer, Document]]:
    for layer in layers:
        providers = mapping(layer.document, "providers", path=layer.path)
        if provider_id in providers:
            yield layer, mapping(providers, provider_id, path=layer.path)


def restrict(layer: Layer, cwd: str) -> tuple[Document, list[str]]:
    """A project file without what only a user may say, and a line for each thing left out.

    Providers are `settle_provider`'s. Raises ConfigError for a data directory outside the project.
    """
    document = {key: value for key, value in layer.document.items() if key != "env"}
    notices = []
    if layer.document.get("env"):
        notices.append(f"{layer.path}: env is not applied: only your own configuration may set it")
    document.pop("permissions", None)  # `load` adds them if the project is trusted
    options = dict(mapping(document, "options", path=layer.path))
    said = convert(options, Options, path=layer.path, key="options")
    root = os.path.realpath(paths.git_root(cwd) or cwd)
    if said.data_directory:
        options["data_directory"] = _inside(layer, said.data_directory, root)
    if said.context_paths:
        inside = [path for path in said.context_paths if _is_inside(os.path.join(cwd, path), root)]
        if len(inside) < len(said.context_paths):
            notices.append(f"{layer.path}: options.context_paths outside the project are not read")
        options["context_paths"] = inside
    return {**document, "options": options}, notices


def check_data_dir(data_dir: str, cwd: str) -> None:
    """Raises ConfigError for a link in the project that leads out of it.

    It comes with the repository, like a `data_directory` in its files, and what it leads to may be
    the conversations of another project.
    """
    root = paths.git_root(cwd) or cwd
    if not data_dir.startswith(root.rstrip(os.sep) + os.sep):
        return  # the user's own choice: no project file may say so
    if not _is_inside(data_dir, os.path.realpath(root)):
        raise ConfigError(
            f"the data directory {data_dir!r} is a link that leads out of the project",
            hint="remove it, or name the directory that you mean with --data-dir",
        )


def _inside(layer: Layer, directory: str, root: str) -> str:
    absolute = os.path.normpath(os.path.join(os.path.dirname(layer.path), directory))
    if not _is_inside(absolute, root):
        raise ConfigError(
            f"{layer.path}: options.data_directory: {directory!r} is outside the project"
        )
    return absolute


def _is_inside(path: str, root: str) -> bool:
    if "\0" in path:
        return False
    real = os.path.realpath(path)
    return real == root or real.startswith(root.rstrip(os.sep) + os.sep)
