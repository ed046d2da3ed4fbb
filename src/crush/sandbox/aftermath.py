"""What a command left behind that nobody may make unasked: moved out of the way, and told.

No mount can stand on a name that does not exist, so protected names that were absent are judged when
the command has ended. `.git` is not left to this: see `placeholders`.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence

from crush.permissions.protected import is_bare_repository, repository_parts
from crush.sandbox.layout import Layout

_MOST_NAMES = 1000
_MOST_TOLD = 5
_TOO_LARGE = "the workspace is too large to find everything protected in it: not all is guarded"


def put_right(
    root: str,
    layout: Layout,
    *,
    new: Sequence[str],
    new_below: Sequence[str],
    admitted: frozenset[str],
) -> tuple[str, ...]:
    """A sentence for each thing that was moved or is worth a look.

    `new` are protected entries of the root, `new_below` those further down: they are not moved, since
    a test suite may make repositories by the dozen.
    """
    links = {path: to for path, to in layout.links.items() if path not in admitted}
    replaced = [path for path in _replaced(layout.below) if path not in admitted]
    below = list(dict.fromkeys((*new_below, *replaced)))
    shown = below[:_MOST_TOLD]
    rest = len(below) - len(shown)
    return (
        *_moved(root, [*new, *_made_a_repository(root, layout.parts)]),
        *(_told(path, root) for path in shown),
        *([f"so are {rest} more"] if rest else []),
        *_turned(root, links),
        *([] if layout.complete else [_TOO_LARGE]),
    )


def _moved(root: str, new: Sequence[str]) -> Iterator[str]:
    for path in new:
        if place := _move(path):
            was, now = (os.path.relpath(name, root) for name in (path, place))
            yield f"{was!r} is protected: what the command made there is now {now!r}"


def _made_a_repository(root: str, before: Sequence[str]) -> Sequence[str]:
    """What makes `root` a repository that it was not: without one of these git finds none."""
    if not is_bare_repository(root):
        return ()
    made = [name for name in repository_parts(root) if name not in before]
    return [os.path.join(root, name) for name in made[:1]]


def _replaced(below: Mapping[str, int]) -> Iterator[str]:
    """What has another thing in its place: a mount goes along when the directory is moved."""
    for path, inode in below.items():
        with contextlib.suppress(OSError):  # it is gone
            if os.lstat(path).st_ino != inode:
                yield path


def _told(path: str, root: str) -> str:
    return f"{os.path.relpath(path, root)!r} is new, and other programs obey it: look at it"


def _turned(root: str, links: Mapping[str, str]) -> Iterator[str]:
    """No mount stands on a link, so it may lead elsewhere by now. Those of the root are put back."""
    for path, target in links.items():
        with contextlib.suppress(OSError):
            if os.readlink(path) == target:
                continue
        name = os.path.relpath(path, root)
        # Further down a directory on the way may be a link by now.
        place = _move(path) if os.path.dirname(path) == root else ""
        if place:
            with contextlib.suppress(FileExistsError):  # another command was faster
                os.symlink(target, path)
            yield f"{name!r} leads to {target!r} again; what was put there is now {os.path.relpath(place, root)!r}"
        else:
            yield f"{name!r} led to {target!r} and does not any more: look at it"


def _move(path: str) -> str:
    """Its new name beside the old one, "" if it is gone or cannot be moved.

    A rename in place: nothing is copied, and no link that a command left is followed.
    """
    for number in range(_MOST_NAMES):
        place = f"{path}.refused{f'-{number}' if number else ''}"
        if not os.path.lexists(place):
            with contextlib.suppress(OSError):
                os.rename(path, place)
                return place
            break
    return ""
