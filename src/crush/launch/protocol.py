"""Which protocol and which build this side speaks, and how two sides compare theirs.

Versions never have to be equal: ranges must overlap, and only an idle server gives way to a
newer build (architecture §4).
"""

import os

from crush import __file__ as package_file
from crush import __version__

TYPE_CHECKING = False  # `typing` and `collections.abc` alone would cost 4 ms
if TYPE_CHECKING:
    from collections.abc import Iterator

PROTOCOL_MIN = 1
PROTOCOL_MAX = 1
PROTOCOL_HEADER = "Crush-Protocol"
BUILD_HEADER = "Crush-Build"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def protocol_headers() -> dict[str, str]:
    """What the first real request of a client carries."""
    return {PROTOCOL_HEADER: f"{PROTOCOL_MIN}-{PROTOCOL_MAX}", BUILD_HEADER: build_id()}


def parse_range(text: str) -> tuple[int, int]:
    """The range in a `Crush-Protocol` header; `ValueError` if there is none."""
    low, _, high = text.partition("-")
    parsed = int(low), int(high or low)
    if not 0 < parsed[0] <= parsed[1]:
        raise ValueError(f"invalid protocol range {text!r}")
    return parsed


def overlaps(theirs: tuple[int, int], ours: tuple[int, int] = (PROTOCOL_MIN, PROTOCOL_MAX)) -> bool:
    return theirs[0] <= ours[1] and ours[0] <= theirs[1]


def build_id() -> str:
    """`<version>+<time of the newest installed file, base 36>`: ordered, the same in every process.

    An installation is judged by its record, which an installer writes last: one `stat`. A source
    tree has none beside it and is walked.
    """
    package = os.path.dirname(package_file)
    record = os.path.join(os.path.dirname(package), f"pycrush-{__version__}.dist-info", "RECORD")
    try:
        newest = os.stat(record).st_mtime_ns
    except OSError:
        newest = max(_source_times(package), default=0)
    return f"{__version__}+{_base36(newest)}"


def _source_times(directory: str) -> "Iterator[int]":
    try:
        entries = list(os.scandir(directory))
    except OSError:  # a zip archive: its own time is that of all its files
        archive = os.path.dirname(directory)
        if os.path.isfile(archive):
            yield os.stat(archive).st_mtime_ns
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if entry.name != "__pycache__":
                yield from _source_times(entry.path)
        elif not entry.name.startswith("."):
            yield entry.stat().st_mtime_ns


def is_newer(build: str, *, than: str) -> bool:
    """Whether one of our builds is newer: by version, then by the time of installation.

    A build id that is not of this form, such as Crush's own, is never older or newer.
    """
    ours, theirs = _order(build), _order(than)
    return ours is not None and theirs is not None and ours > theirs


def _order(build: str) -> tuple[tuple[int, ...], bool, str, int] | None:
    version, plus, time = build.rpartition("+")
    if not plus or not time or time.strip(_DIGITS):
        return None
    numbers, rest = [], ""
    for index, part in enumerate(version.split(".")):
        digits = len(part) - len(part.lstrip("0123456789"))
        if digits:
            numbers.append(int(part[:digits]))
        if digits < len(part):
            rest = ".".join((part[digits:], *version.split(".")[index + 1 :]))
            break
    while numbers and numbers[-1] == 0:
        numbers.pop()
    # `1.0rc1` comes before `1.0`; `1.0.post1` after it.
    final = not rest or rest.startswith("post")
    return tuple(numbers), final, rest, int(time, 36)


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"
