"""Every directory and file that we own, as functions of an environment (architecture §4, F 1.6).

Strings and `os.path` only: `pathlib` costs the thin client more than the whole of this package.
An environment is passed in because a run's paths come from the client that asked for it.
"""

import os
import sys

TYPE_CHECKING = False  # `typing` and `collections.abc` alone would cost 4 ms
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    Env: TypeAlias = Mapping[str, str]
else:
    Env = "Mapping[str, str]"


def home(env: Env) -> str:
    return env.get("HOME") or env.get("USERPROFILE") or os.path.expanduser("~")


def _base(env: Env, variable: str, *fallback: str) -> str:
    """An XDG base directory; relative values are ignored, as the XDG specification asks."""
    value = env.get(variable, "")
    return value if os.path.isabs(value) else os.path.join(home(env), *fallback)


def cache_dir(env: Env) -> str:
    if override := env.get("CRUSH_CACHE_DIR"):
        return override
    if sys.platform == "win32" and (local := env.get("LOCALAPPDATA")):
        return os.path.join(local, "crush", "cache")
    return os.path.join(_base(env, "XDG_CACHE_HOME", ".cache"), "crush")


def state_dir(env: Env) -> str:
    """User state: registry, grants, trust, token, audit. Cleaning the cache never touches it."""
    if sys.platform == "win32" and (local := env.get("LOCALAPPDATA")):
        return os.path.join(local, "crush", "state")
    return os.path.join(_base(env, "XDG_STATE_HOME", ".local", "state"), "crush")


def global_config_dir(env: Env) -> str:
    if override := env.get("CRUSH_GLOBAL_CONFIG"):
        return override
    return os.path.join(_base(env, "XDG_CONFIG_HOME", ".config"), "crush")


def global_data_dir(env: Env) -> str:
    """Machine data: the models chosen, keys, downloaded weights."""
    if override := env.get("CRUSH_GLOBAL_DATA"):
        return override
    if sys.platform == "win32" and (local := env.get("LOCALAPPDATA")):
        return os.path.join(local, "crush")
    return os.path.join(_base(env, "XDG_DATA_HOME", ".local", "share"), "crush")


def models_dir(env: Env) -> str:
    """Weights of embedded models."""
    return os.path.join(global_data_dir(env), "models")


def local_weights(env: Env) -> str:
    """Weights of the model `local/smollm2`."""
    return os.path.join(models_dir(env), "smollm2-135m-instruct.gguf")


def registry_db(env: Env) -> str:
    return os.path.join(state_dir(env), "registry.db")


def sessions_tmp(env: Env) -> str:
    """Where sessions have their private temporary directories."""
    return os.path.join(cache_dir(env), "tmp")


def is_planted(path: str) -> bool:
    """Whether somebody else put `path` where everybody may: in `/tmp` a project is anybody's.

    Files of another user in a directory that not all may write to are somebody's project, which we
    were asked to work in.
    """
    if sys.platform == "win32":
        return False
    try:
        owner = os.lstat(path).st_uid
        return owner not in {os.geteuid(), 0} and _is_open_to_all(os.path.dirname(path))
    except OSError:
        return False


def _is_open_to_all(directory: str) -> bool:
    return bool(os.stat(directory or ".").st_mode & 0o002)


def git_root(cwd: str) -> str | None:
    """The nearest directory at or above `cwd` that holds `.git`, else None."""
    directory = cwd
    while True:
        marker = os.path.join(directory, ".git")
        if os.path.exists(marker) and not is_planted(marker):
            return directory
        parent = os.path.dirname(directory)
        if parent == directory:
            return None
        directory = parent


def project_data_dir(cwd: str, name: str = ".crush") -> str:
    """The nearest `.crush` from `cwd` up to the git root, otherwise `<cwd>/.crush` (F 1.6)."""
    root = git_root(cwd) or cwd
    directory = cwd
    while True:
        candidate = os.path.join(directory, name)
        if os.path.isdir(candidate) and (directory == cwd or not is_planted(candidate)):
            return candidate
        if directory == root:
            return os.path.join(cwd, name)
        directory = os.path.dirname(directory)


def project_db(data_dir: str) -> str:
    return os.path.join(data_dir, "crush.db")


def project_lock(data_dir: str) -> str:
    return os.path.join(data_dir, "crush.lock")


def project_db_exists(data_dir: str) -> bool:
    return os.path.isfile(project_db(data_dir))
