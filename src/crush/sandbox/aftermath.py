"""What a command left behind that nobody may make unasked: moved out of the way, and told.

No mount can stand on a name that does not exist, so protected names that were absent are judged when
the command has ended. `.git` is not left to this: see `placeholders`.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence

from crush.permissions.protected import is_bare_repository
from crush.sandbox.fence import Fence
from crush.sandbox.layout import Layout
from crush.sandbox.survey import Survey, own_entries

_MOST_NAMES = 1000


def put_right(
    fence: Fence, layout: Layout, *, before: Survey, after: Survey, admitted: frozenset[str]
) -> tuple[str, ...]:
    """One sentence for each thing that was moved or is worth a look."""
    return (
        *_moved(fence, layout, before, admitted),
        *_nested(fence.root, before, after, admitted),
        *_turned(layout),
    )


def _moved(fence: Fence, layout: Layout, before: Survey, admitted: frozenset[str]) -> Iterator[str]:
    expected = {*before.entries, *layout.absent, *admitted}
    new = [path for path in own_entries(fence.root) if path not in expected]
    head = os.path.join(fence.root, "HEAD")
    if is_bare_repository(fence.root) and fence.root not in before.entries:
        new.append(head)  # without it git finds no repository
    for path in new:
        if place := _move(path):
            was, now = (os.path.relpath(name, fence.root) for name in (path, place))
            yield f"{was!r} is protected: what the command made there is now {now!r}"


def _nested(root: str, before: Survey, after: Survey, admitted: frozenset[str]) -> Iterator[str]:
    known = {*before.entries, *admitted}
    for path in after.entries:
        if path not in known and os.path.dirname(path) != root and os.path.lexists(path):
            yield f"{os.path.relpath(path, root)!r} is new, and other programs obey it: look at it"


def _turned(layout: Layout) -> Iterator[str]:
    for path, target in layout.links.items():
        with contextlib.suppress(OSError):
            if os.readlink(path) == target:
                continue
        yield f"{path!r} was a link to {target!r} and is not any more: look at it"


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


def unprotected(survey: Survey, root: str) -> Sequence[str]:
    """A sentence if there was more than a fence can guard."""
    if survey.complete:
        return ()
    return (f"{root!r} is too large to find everything protected in it: not all is guarded",)
