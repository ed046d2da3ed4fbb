"""Where configuration files are looked for, lowest precedence first, and whose word each one is."""

import os
import sys
from collections.abc import Iterable, Iterator
from typing import Literal

from msgspec import Struct

from crush import paths
from crush.config.document import Document, load_file
from crush.config.schema import check

SYSTEM_FILE = "/etc/crush/crush.json"
PROJECT_NAMES = ("crush.json", ".crush.json")

# `user`: the machine's administrator or the user wrote it. `project`: whoever wrote the repository.
Scope = Literal["user", "project"]


class Layer(Struct, frozen=True):
    """One configuration file that exists and is well-formed."""

    path: str
    scope: Scope
    document: Document


def user_files(cwd: str, env: paths.Env) -> Iterator[str]:
    """A relative directory in the environment is meant as its client sees it, from `cwd`."""
    if sys.platform != "win32":
        yield SYSTEM_FILE
    yield os.path.join(cwd, paths.global_config_dir(env), "crush.json")
    yield os.path.join(cwd, paths.global_data_dir(env), "crush.json")


def project_files(cwd: str) -> Iterator[str]:
    """From the git root down to `cwd`; nothing above the git root is read."""
    root = paths.git_root(cwd) or cwd
    directories = [cwd]
    while directories[-1] != root:
        directories.append(os.path.dirname(directories[-1]))
    for directory in reversed(directories):
        for name in PROJECT_NAMES:
            yield os.path.join(directory, name)


class Reader:
    """Reads the files of one configuration, each only once, whatever names it has."""

    def __init__(self) -> None:
        self._seen: set[tuple[int, int]] = set()

    def layer(self, path: str, scope: Scope) -> Layer | None:
        """The file as a layer; None if it does not exist or was read under another name."""
        loaded = load_file(path)
        if loaded is None or loaded.identity in self._seen:
            return None
        self._seen.add(loaded.identity)
        check(loaded.document, path)
        return Layer(path, scope, loaded.document)

    def layers(self, candidates: Iterable[str], scope: Scope) -> list[Layer]:
        found = (self.layer(path, scope) for path in candidates)
        return [layer for layer in found if layer is not None]
