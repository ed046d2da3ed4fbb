"""The git directories that a workspace belongs to, read from the disk without running git.

A `.git` file is content of the workspace and may name anything: what it names counts only if the
other side agrees (a linked worktree's back reference) or if it lies in the `.git` of a directory
above (a submodule). Owns the list of what git obeys inside such a directory.
"""

import os
import re
import stat

from msgspec import Struct

from crush import paths
from crush.permissions.protected import is_bare_repository
from crush.permissions.rules import is_within
from crush.sandbox.placeholders import is_leftover

_MOST_BYTES = 64 * 1024
# A commit needs none of these. `worktrees` and `modules` hold whole git directories of others.
_OBEYED_DIRECTORIES = ("hooks", "modules", "worktrees")
_OBEYED = ("config", "config.worktree", *_OBEYED_DIRECTORIES, "info/attributes")
_OBEYED_OF_WORKTREE = ("commondir", "gitdir", "config.worktree")
_POINTER = re.compile(r"^\s*(hookspath|path)\s*=\s*(.+?)\s*$", re.IGNORECASE | re.MULTILINE)


class Repository(Struct, frozen=True, kw_only=True):
    """Where a workspace's git keeps its things; real absolute paths.

    Attributes:
        git_dir: of this working tree.
        common_dir: what it shares with other working trees; often the same.
        obeyed: what exists in both that git takes orders from.
        absent: what git would take orders from if somebody made it; `{path: content}`, None for a
            directory. With this content git goes on as if it were not there.
        sound: false if links stand where mounts must go: then nothing of it can be written.
    """

    git_dir: str
    common_dir: str
    obeyed: tuple[str, ...]
    absent: dict[str, bytes | None]
    sound: bool


def find_repository(root: str) -> Repository | None:
    """The repository that `root` lies in; None if there is none that can be believed."""
    top = paths.git_root(root)
    if top is None:
        return None
    marker = os.path.join(top, ".git")
    git_dir = marker if os.path.isdir(marker) else _named_in(marker)
    if not git_dir or os.path.islink(marker):
        return None
    common_dir = _common_dir(git_dir)
    believed = is_bare_repository(common_dir) and (
        git_dir == common_dir == marker
        or _is_linked(git_dir, common_dir, marker)
        or (git_dir == common_dir and _is_submodule(git_dir, top))
    )
    return _repository(git_dir, common_dir) if believed else None


def named_by_config(repository: Repository, *, root: str) -> dict[str, bytes | None]:
    """Paths inside `root` that the configuration has git run or obey, whether they exist or not.

    Each with what would mean nothing there: an empty file, or None for an empty directory.
    """
    starts = {"hookspath": paths.git_root(root) or root, "path": repository.common_dir}
    contents = {"hookspath": None, "path": b""}
    named = {}
    for key, value in _POINTER.findall(_read(os.path.join(repository.common_dir, "config"))):
        path = os.path.realpath(os.path.join(starts[key.lower()], value.strip('"')))
        if path != root and is_within(path, root):
            named[path] = contents[key.lower()]
    return named


def _repository(git_dir: str, common_dir: str) -> Repository:
    names = [os.path.join(common_dir, name) for name in _OBEYED]
    if git_dir != common_dir:
        names += [os.path.join(git_dir, name) for name in _OBEYED_OF_WORKTREE]
    absent: dict[str, bytes | None] = {
        **{os.path.join(common_dir, name): None for name in _OBEYED_DIRECTORIES},
        os.path.join(common_dir, "config"): b"",
        # Git reads the whole configuration from where this says.
        os.path.join(common_dir, "commondir"): b".\n",
        # Obeyed as soon as somebody switches it on, as `git sparse-checkout` does.
        os.path.join(common_dir, "config.worktree"): b"",
        os.path.join(git_dir, "config.worktree"): b"",
    }
    info = os.path.join(common_dir, "info")
    absent |= {f"{info}/attributes": b""} if os.path.isdir(info) else {info: None}
    return Repository(
        git_dir=git_dir,
        common_dir=common_dir,
        obeyed=tuple(name for name in names if os.path.exists(name)),
        absent={path: text for path, text in absent.items() if _is_free(path, text)},
        sound=not any(os.path.islink(name) for name in (*names, *absent)),
    )


def _is_free(path: str, content: bytes | None) -> bool:
    """Also if another command holds it, or it would go with that one."""
    return not os.path.lexists(path) or is_leftover(path, content)


def _common_dir(git_dir: str) -> str:
    named = _read_line(os.path.join(git_dir, "commondir"))
    return os.path.realpath(os.path.join(git_dir, named)) if named else git_dir


def _named_in(marker: str) -> str:
    named = _read_line(marker).removeprefix("gitdir:").strip()
    return os.path.realpath(os.path.join(os.path.dirname(marker), named)) if named else ""


def _is_linked(git_dir: str, common_dir: str, marker: str) -> bool:
    there = os.path.dirname(git_dir) == os.path.join(common_dir, "worktrees")
    return there and os.path.realpath(_read_line(os.path.join(git_dir, "gitdir"))) == marker


def _is_submodule(git_dir: str, top: str) -> bool:
    above = paths.git_root(os.path.dirname(top))
    return above is not None and is_within(git_dir, os.path.join(above, ".git", "modules"))


def _read_line(path: str) -> str:
    return _read(path).split("\n", 1)[0].strip()


def _read(path: str) -> str:
    """The text; "" if it is no plain file that can be read: opening a FIFO would never end."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return ""
    try:
        is_file = stat.S_ISREG(os.fstat(fd).st_mode)
        return os.read(fd, _MOST_BYTES).decode(errors="surrogateescape") if is_file else ""
    except OSError:
        return ""
    finally:
        os.close(fd)
