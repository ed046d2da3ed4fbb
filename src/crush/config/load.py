"""`load_config`: the configuration of one run, from the files and environment of whoever asks for it.

Nothing is kept between two calls, so an edited file or a fresh `export` counts at once. Blocking.
"""

import os
from collections.abc import Iterable, Mapping
from typing import TypeVar

from msgspec import Struct
from typing_extensions import override

from crush import paths
from crush.config.discovery import Layer, Reader, project_files, user_files
from crush.config.document import Document
from crush.config.expand import ExpansionError, expand, variables
from crush.config.merge import merge
from crush.config.schema import (
    ModelChoice,
    Options,
    Permissions,
    ToolLimits,
    convert,
    mapping,
)
from crush.config.trust import ProviderConfig, check_data_dir, restrict, settle_provider
from crush.config.trusted import Trusted
from crush.config.what_runs import WhatRuns, what_runs
from crush.errors import ConfigError

T = TypeVar("T")

_MERGED = "configuration"


class Config(Struct, frozen=True, kw_only=True):
    """What the files say together, for one directory and one environment. Holds literal keys.

    Attributes:
        files: those that were read, lowest precedence first.
        models: `large` and `small`, as far as they are configured.
        providers: those that a file mentions, in the order of the files, unexpanded.
        env: variables that the user's files add to the environment of the run, expanded.
        permissions: the user's own.
        project_permissions: the project's, empty unless the user trusted it.
        what_runs: what the project would run or allow, trusted or not.
        data_dir: absolute.
        notices: what project files say and may not, one line each, for the user to read.
    """

    files: tuple[str, ...]
    models: Mapping[str, ModelChoice]
    providers: Mapping[str, ProviderConfig]
    options: Options
    permissions: Permissions
    project_permissions: Permissions
    what_runs: WhatRuns
    tools: ToolLimits
    env: Mapping[str, str]
    data_dir: str
    notices: tuple[str, ...] = ()

    @override
    def __repr__(self) -> str:
        return f"Config(files={self.files!r}, data_dir={self.data_dir!r})"


def load_config(cwd: str, env: Mapping[str, str], *, data_dir: str = "") -> Config:
    """Read and merge the files that count for `cwd` (F 2.1).

    `cwd` is absolute; `data_dir` replaces the project's data directory; `env` is that of the client
    that asks. Raises ConfigError, which names the file, for one that cannot be read or used.
    """
    if not os.path.isabs(cwd):
        raise ConfigError(f"the working directory {cwd!r} is not an absolute path")
    if "\0" in data_dir:
        raise ConfigError(f"the data directory {data_dir!r} is not a possible path")
    reader = Reader()
    layers = reader.layers(user_files(cwd, env), "user")
    own_env = _own_env(layers, env)
    merged: Document = {}
    for layer in layers:
        merged = merge(merged, layer.document)
    project, document, notices = _project(reader, project_files(cwd), cwd)
    merged = merge(merged, document)
    data_dir = os.path.normpath(os.path.join(cwd, data_dir or _data_directory(merged, cwd, env)))
    check_data_dir(data_dir, cwd)
    workspace_file = os.path.join(data_dir, "crush.json")
    workspace, document, more_notices = _project(reader, [workspace_file], cwd)
    merged = merge(merged, document)
    layers += project + workspace
    runs = what_runs(cwd, layers)
    project_permissions, trust_notices = _project_permissions(layers, runs, env)
    return Config(
        files=tuple(layer.path for layer in layers),
        models={
            kind: convert(choice, ModelChoice, path=_MERGED, key=f"models.{kind}")
            for kind, choice in mapping(merged, "models", path=_MERGED).items()
        },
        providers={
            name: settle_provider(name, layers)
            for name in mapping(merged, "providers", path=_MERGED)
        },
        options=_section(merged, "options", Options),
        permissions=_section(merged, "permissions", Permissions),
        project_permissions=project_permissions,
        what_runs=runs,
        tools=_section(merged, "tools", ToolLimits),
        env=own_env,
        data_dir=data_dir,
        notices=(*notices, *more_notices, *trust_notices),
    )


def _project(
    reader: Reader, candidates: Iterable[str], cwd: str
) -> tuple[list[Layer], Document, list[str]]:
    """The project files among the candidates, what they may say together, and what was left out."""
    found = list(candidates)
    planted = [path for path in found if paths.is_planted(path)]
    layers = reader.layers([path for path in found if path not in planted], "project")
    merged: Document = {}
    notices = [f"{path}: not read: another user put it there" for path in planted]
    for layer in layers:
        document, left_out = restrict(layer, cwd)
        merged = merge(merged, document)
        notices += left_out
    return layers, merged, notices


def _project_permissions(
    layers: Iterable[Layer], runs: WhatRuns, env: Mapping[str, str]
) -> tuple[Permissions, list[str]]:
    """What the project files allow, ask and deny, if they were trusted; else a line that says so."""
    files = runs.permission_files()
    if not files:
        return Permissions(), []
    verdict = Trusted(env).judge(runs)
    notices = [verdict.notice] if verdict.notice else []
    if verdict.is_trusted:
        merged: Document = {}
        for layer in layers:
            if layer.scope == "project":
                merged = merge(merged, mapping(layer.document, "permissions", path=layer.path))
        return convert(merged, Permissions, path=_MERGED, key="permissions"), notices
    why = (
        "what this project would run or allow has changed since you trusted it: `crush trust` shows how"
        if verdict.before
        else "this project is not trusted: `crush trust` shows what it would run or allow"
    )
    return Permissions(), [*notices, f"{', '.join(files)}: permissions are not applied: {why}"]


def _section(merged: Document, key: str, kind: type[T]) -> T:
    return convert(merged.get(key, {}), kind, path=_MERGED, key=key)


def _data_directory(merged: Document, cwd: str, env: Mapping[str, str]) -> str:
    directory = _section(merged, "options", Options).data_directory
    if directory == "~" or directory.startswith("~/"):
        return paths.home(env) + directory[1:]
    return paths.project_data_dir(cwd, directory) if directory else paths.project_data_dir(cwd)


def _own_env(layers: Iterable[Layer], env: Mapping[str, str]) -> dict[str, str]:
    """The top-level `env` of the user's files; a value may use the ones before it."""
    own: dict[str, str] = {}
    for layer in layers:
        for name, template in mapping(layer.document, "env", path=layer.path).items():
            if not name or "=" in name or "\0" in f"{name}{template}":
                raise ConfigError(f"{layer.path}: env.{name}: not a possible variable")
            try:
                own[name] = expand(str(template), variables({**env, **own}))
            except ExpansionError as exc:
                raise ConfigError(f"{layer.path}: env.{name}: {exc}") from exc
    return own
