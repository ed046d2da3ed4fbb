"""Which paths a fence lets through on this disk right now, whatever then enforces it.

A path counts as its deepest entry says: a read-only file in a writable directory is read-only.
Nothing here mounts or restricts; `placeholders` are held by whoever runs the command.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct

from crush.permissions.protected import (
    SECRET_DIRECTORIES,
    SECRET_FILES,
    is_bare_repository,
    repository_parts,
)
from crush.permissions.rules import is_within
from crush.sandbox.fence import Fence
from crush.sandbox.repository import Repository, find_repository, named_by_config
from crush.sandbox.survey import Surveyor

Access = Literal["write", "read", "hide"]

# Daemons listen there, and some do what root can: a read-only mount does not stop `connect`.
_SOCKET_DIRECTORIES = (
    *(".docker/run", ".docker/desktop", ".colima", ".orbstack/run", ".lima", ".rd"),
    *(".local/share/containers/podman/machine", ".local/share/keybase", ".emacs.d/server"),
)
_OWN_FILES = ("crush.db", "crush.lock", "logs", "backups", "jobs")


class Layout(Struct, frozen=True, kw_only=True):
    """Every path is real and exists, but for `absent`.

    Attributes:
        access: paths and what is possible below each; where one lies in another, it wins.
        absent: entries that nobody inside may create; see `Repository.absent`.
        links: protected entries that are links, where no mount can stand, and where they lead.
        below: the inodes of protected entries further down: what they lie in can be moved.
        parts: what the root itself has of a repository's own entries.
        complete: whether every protected entry was found.
    """

    access: dict[str, Access]
    absent: dict[str, bytes | None]
    links: dict[str, str]
    below: dict[str, int]
    parts: tuple[str, ...]
    complete: bool

    def of(self, kind: Access) -> tuple[str, ...]:
        return tuple(path for path, access in self.access.items() if access == kind)


def lay_out(fence: Fence, *, hidden: Sequence[str], surveyor: Surveyor) -> Layout:
    """Looks at the disk. Raises OSError if the fence would let our own things through."""
    root = fence.root
    masked = _masked(fence, hidden)
    for writable in (root, *fence.writable):
        # Secrets too: a link made meanwhile could lead a workspace there.
        if any(is_within(writable, path) for path in (*hidden, *fence.secrets)):
            raise PermissionError(
                f"{writable!r} is where crush keeps its own things, or you your keys"
            )
    access: dict[str, Access] = dict.fromkeys((*fence.writable, root), "write")
    if is_bare_repository(root) or ".git" in root.split(os.sep):
        access[root] = "read"
    survey = surveyor.look(root)
    links = {path: os.readlink(path) for path in survey.entries if os.path.islink(path)}
    access |= dict.fromkeys((path for path in survey.entries if path not in links), "read")
    inside = (os.path.realpath(path) for path in links)
    access |= {path: "read" for path in inside if is_within(path, root) and os.path.exists(path)}
    repository = find_repository(root)
    absent: dict[str, bytes | None] = {}
    if repository is not None and repository.sound:
        access |= _of_repository(repository, root)
        absent |= repository.absent
        absent |= _named_but_not_there(repository, root)
    marker = os.path.join(root, ".git")
    if access[root] == "write" and (not os.path.lexists(marker) or _is_empty(marker)):
        absent[marker] = None
    access |= dict.fromkeys((path for path in masked if os.path.lexists(path)), "hide")
    for path in _shown_again(fence.hidden):
        access[path] = "read"
    return Layout(
        access=access,
        absent=absent,
        links=links,
        below={
            path: os.lstat(path).st_ino
            for path in survey.entries
            if os.path.dirname(path) != root and os.path.lexists(path)
        },
        parts=repository_parts(root),
        complete=survey.complete,
    )


def home_secrets(home: str) -> tuple[str, ...]:
    """What of the lists lies in `home`, and where daemons of the user listen."""
    real = os.path.realpath(home)
    named = (os.path.join(real, name) for name in (*SECRET_DIRECTORIES, *SECRET_FILES))
    sockets = (os.path.join(real, name) for name in _SOCKET_DIRECTORIES)
    found = (os.path.realpath(path) for path in (*named, *sockets) if os.path.exists(path))
    return tuple(dict.fromkeys(path for path in found if path != real))


def _masked(fence: Fence, hidden: Sequence[str]) -> Iterator[str]:
    for path in (*hidden, *fence.hidden, *fence.secrets):
        if os.path.exists(path):
            yield os.path.realpath(path)


def _of_repository(repository: Repository, root: str) -> dict[str, Access]:
    access: dict[str, Access] = {repository.common_dir: "write", repository.git_dir: "write"}
    access |= dict.fromkeys(repository.obeyed, "read")
    access[repository.git_dir] = "write"  # where it lies in `worktrees`
    named = named_by_config(repository, root=root)
    access |= dict.fromkeys((path for path in named if os.path.exists(path)), "read")
    return access


def _named_but_not_there(repository: Repository, root: str) -> dict[str, bytes | None]:
    named = named_by_config(repository, root=root)
    return {
        path: content
        for path, content in named.items()
        if not os.path.lexists(path) and os.path.isdir(os.path.dirname(path))
    }


def _shown_again(data_dirs: Sequence[str]) -> Iterator[str]:
    """What people keep in a project's `.crush`: git must not take it for deleted."""
    for directory in data_dirs:
        if os.path.basename(directory) != ".crush" or not os.path.isdir(directory):
            continue
        for name in os.listdir(directory):
            path = os.path.join(directory, name)
            if not name.startswith(_OWN_FILES) and not os.path.islink(path):
                yield path


def _is_empty(directory: str) -> bool:
    return os.path.isdir(directory) and not os.path.islink(directory) and not os.listdir(directory)
