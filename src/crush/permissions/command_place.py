"""Where a command's name leads: the program that bash would run, and whether anybody could swap it.

A name that is known to be harmless says nothing about a file of that name in `node_modules/.bin`. So
the whole way to the program has to be root's: the directory on PATH, every link, every parent.
"""

import os
import stat
from collections.abc import Collection, Iterator

from msgspec import Struct

from crush.permissions.rules import is_within

_MOST_LINKS = 40  # the kernel's own limit
_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - places that are not trusted
_WRITABLE = stat.S_IWGRP | stat.S_IWOTH


class Place(Struct, frozen=True, kw_only=True):
    """The program behind a name. `reason` says for a person why it is not trusted, or not there."""

    path: str
    trusted: bool
    reason: str


class _Step(Struct, frozen=True, kw_only=True):
    """A name that is looked up in a directory on the way to a program."""

    directory: str
    path: str
    is_last: bool


def find_command(name: str, *, path: str, cwd: str, root: str, home: str, uid: int) -> Place:
    """What bash, standing in `cwd` with PATH `path`, would run as `uid` for a bare `name`.

    An earlier directory in which somebody could still put a program does not count, or nobody with
    `~/.local/bin` in front could be trusted with anything; a relative one always counts.
    """
    if not name or "/" in name:
        return Place(path="", trusted=False, reason=f"{name!r} is not a bare name")
    for entry in path.split(":"):
        # bash also expands a `~` here.
        if not entry.startswith("/"):
            found = os.path.join(cwd, entry, name)
            shown = entry or "an empty entry"
            return Place(
                path=found if _is_program(found) else "",
                trusted=False,
                reason=f"PATH holds {shown}, which is another directory wherever one stands",
            )
        found = os.path.join(entry, name)
        if _is_program(found):
            places = _places(root=root, home=home)
            reason = _distrust(found, shown=found, places=places, uid=uid)
            return Place(path=found, trusted=not reason, reason=reason)
    return Place(path="", trusted=True, reason="not installed")


def find_gap(*, path: str, root: str, uid: int) -> str:
    """Why the agent or others could put programs on PATH, in the first directory where they could.

    "" if nowhere. What lies in the home directory is the user's own choice of programs: it counts
    for a command itself (`find_command`), not for whatever a command might look for.
    """
    places = _places(root=root, home="")
    for entry in path.split(":"):
        if not entry.startswith("/"):
            return f"PATH holds {entry or 'an empty entry'}"
        # No program has this name: it stands for the one that somebody could put there.
        if reason := _distrust(
            os.path.join(entry, "?"), shown=entry, places=places, uid=uid, owners={0, uid}
        ):
            return reason
    return ""


def _is_program(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


def _places(*, root: str, home: str) -> dict[str, str]:
    """Directories in which nothing is trusted, resolved, with what they are to a person."""
    places = {os.path.realpath(place): "a directory for temporary files" for place in _TEMPORARY}
    # Some accounts of services have `/` as their home.
    if home and os.path.realpath(home) != "/":
        places[os.path.realpath(home)] = "the home directory"
    places[os.path.realpath(root)] = "the workspace"
    return places


def _distrust(
    program: str, *, shown: str, places: dict[str, str], uid: int, owners: Collection[int] = (0,)
) -> str:
    """Why `program` could become another one, or appear, or ""."""
    try:
        for step in _steps(program):
            for place, what in places.items():
                if is_within(step.path, place):
                    return f"{shown} lies in {what}"
            if reason := _distrust_step(step, uid=uid, owners=owners):
                return reason
            if not os.path.lexists(step.path):
                return ""
    except OSError as error:
        return f"{shown} cannot be looked at: {error.strerror}"
    return ""


def _steps(program: str) -> Iterator[_Step]:
    """Every name that the kernel looks up, links followed, from the root down."""
    waiting = [part for part in reversed(program.split("/")) if part]
    directory, links = "/", 0
    while waiting:
        part = waiting.pop()
        if part in {".", ".."}:
            directory = os.path.dirname(directory) if part == ".." else directory
            continue
        path = os.path.join(directory, part)
        yield _Step(directory=directory, path=path, is_last=not waiting)
        if not os.path.islink(path):
            directory = path
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(0, "too many links")
        target = os.readlink(path)
        waiting.extend(part for part in reversed(target.split("/")) if part)
        directory = "/" if target.startswith("/") else directory


def _distrust_step(step: _Step, *, uid: int, owners: Collection[int]) -> str:
    directory = os.lstat(step.directory)
    if directory.st_uid not in owners:
        return _owned(step.directory, directory, uid)
    entry = os.lstat(step.path) if os.path.lexists(step.path) else None
    # Where only owners may rename, a directory or a link of root's stays what it is.
    is_kept = directory.st_mode & stat.S_ISVTX and entry is not None and not step.is_last
    if directory.st_mode & _WRITABLE and not is_kept:
        return f"{step.directory} can be written by more than its owner"
    if entry is None:
        return ""
    if entry.st_uid not in owners:
        return _owned(step.path, entry, uid)
    if stat.S_ISREG(entry.st_mode) and entry.st_mode & _WRITABLE:
        return f"{step.path} can be written by others"
    return ""


def _owned(path: str, found: os.stat_result, uid: int) -> str:
    owner = "you" if found.st_uid == uid else f"user {found.st_uid}"
    return f"{path} belongs to {owner}, not to root"
