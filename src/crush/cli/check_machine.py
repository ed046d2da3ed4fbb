"""What `crush doctor` checks of the machine: Python, packages, directories, server, programs."""

import os
import shutil
import stat
import sys
from collections.abc import Iterator
from importlib.util import find_spec

from crush import __file__ as package_file
from crush.cli.check import Check, size_text, tree_size
from crush.cli.sighting import Sighting
from crush.launch.host import Host, own_uid, server_dir
from crush.launch.protocol import build_id
from crush.paths import Env, cache_dir, global_config_dir, global_data_dir, state_dir

_PACKAGES = (
    *("aiohttp", "anyio", "apsw", "markdownify", "msgspec", "pathspec", "PIL"),
    *("tree_sitter", "tree_sitter_bash", "typing_extensions", "yarl"),
)


def check_machine(host: Host, seen: Sighting, env: Env) -> Iterator[Check]:
    yield Check("python", "ok", f"{sys.version.split()[0]}, {sys.executable}")
    yield _packages()
    yield Check("build", "ok", f"{build_id()}, {os.path.dirname(package_file)}")
    yield _directory("config directory", global_config_dir(env))
    yield _directory("data directory", global_data_dir(env))
    yield _directory("state directory", state_dir(env), is_private=True)
    yield _directory("cache directory", cache_dir(env))
    yield _directory("server directory", server_dir(host, env), is_private=True)
    yield _socket(host)
    yield _server(host, seen)
    yield Check("logs", "ok", f"{size_text(tree_size(server_dir(host, env)))}, rotated at 10 MB")
    yield _program("bash", "the shell tool uses sh", env)
    yield _program("git", "the agent cannot look at histories", env)


def missing_packages() -> list[str]:
    return [name for name in _PACKAGES if find_spec(name) is None]


def _packages() -> Check:
    if missing := missing_packages():
        return Check(
            "packages", "fail", f"missing: {', '.join(missing)}", hint="install pycrush again"
        )
    return Check("packages", "ok", "all there")


def _directory(name: str, path: str, *, is_private: bool = False) -> Check:
    """A directory that is there or can be made, and that only its owner writes to."""
    path = os.path.abspath(path)
    try:
        info = os.stat(path)
    except FileNotFoundError:
        return _absent(name, path)
    except OSError as exc:
        return Check(name, "fail", f"{path}: {exc.strerror}", hint="check its owner and mode")
    if not (stat.S_ISDIR(info.st_mode) and os.access(path, os.W_OK | os.X_OK)):
        return Check(name, "fail", f"{path} is no directory that we can write", hint="move it away")
    if problem := _problem(info, is_private=is_private):
        return Check(name, "warn", f"{path} {problem}", hint="make it yours, with mode 0700")
    return Check(name, "ok", path)


def _problem(info: os.stat_result, *, is_private: bool) -> str:
    """What others may do to a directory that is ours."""
    if sys.platform == "win32":
        return ""
    if info.st_uid != own_uid():
        return f"belongs to uid {info.st_uid}"
    if info.st_mode & (0o077 if is_private else 0o022):
        return f"has mode {stat.S_IMODE(info.st_mode):04o}"
    return ""


def _absent(name: str, path: str) -> Check:
    parent = os.path.dirname(path)
    while not os.path.lexists(parent):
        parent = os.path.dirname(parent)
    if os.path.isdir(parent) and os.access(parent, os.W_OK | os.X_OK):
        return Check(name, "ok", f"{path} (made when it is needed)")
    return Check(
        name, "fail", f"{path} cannot be made in {parent}", hint="check owner and mode of that"
    )


def _socket(host: Host) -> Check:
    if host.scheme != "unix":
        return Check("address", "ok", str(host))
    directory = os.path.dirname(host.address)
    try:
        info = os.stat(directory)
    except OSError as exc:
        return Check("socket", "fail", f"{directory}: {exc.strerror}", hint="make the directory")
    is_sticky = bool(info.st_mode & stat.S_ISVTX)
    if info.st_uid not in {own_uid(), 0} or (info.st_mode & 0o022 and not is_sticky):
        return Check(
            "socket",
            "warn",
            f"{host.address}: others can replace it",
            hint=f"use a directory of your own with mode 0700 instead of {directory}",
        )
    return Check("socket", "ok", host.address)


def _server(host: Host, seen: Sighting) -> Check:
    if seen.state in {"stopped", "stale"}:
        return Check("server", "ok", f"{seen.detail}; the first client starts one")
    if seen.is_healthy:
        work = "busy" if seen.facts.get("is_busy") else "idle"
        told = f"; {seen.detail}" if seen.detail else ""
        version = seen.facts["version"]
        return Check("server", "ok", f"process {version['pid']} at {host}, {work}{told}")
    return Check("server", "fail", f"{seen.state}: {seen.detail}", hint=seen.hint)


def _program(name: str, without: str, env: Env) -> Check:
    found = shutil.which(name, path=env.get("PATH"))
    if found is None:
        return Check(name, "warn", f"not found: {without}", hint=f"install {name}")
    return Check(name, "ok", found)
