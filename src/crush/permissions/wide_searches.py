"""Searches that print what they find in whole directories: not where everybody keeps keys.

In the working directory a search may meet a `.env` too; who hides what it holds is the filter on
results. A home directory, `/etc` or `/proc` is full of it.
"""

import os
from collections.abc import Iterator, Sequence

from crush.permissions.protected import SECRET_DIRECTORIES, SECRET_FILES
from crush.permissions.rules import is_within
from crush.permissions.shell_script import Word

WIDE_SEARCH = "it searches a directory where keys lie"

_SEARCHERS = frozenset({"grep", "egrep", "fgrep", "rg", "ag", "ack", "diff"})
_ALWAYS_DEEP = frozenset({"rg", "ag", "ack"})
_FULL = ("/etc", "/proc", "/run", "/var/run", "/var/lib", "/dev", "/sys")
_SIGNS = (".ssh", ".aws", ".gnupg", ".netrc", ".config/gh", "ssh_host_ed25519_key")
_SECRETS = (*SECRET_DIRECTORIES, *SECRET_FILES)


def is_search(words: Sequence[Word]) -> bool:
    """Also git's own, where no repository bounds it."""
    return words[0].text in _SEARCHERS or (
        words[0].text == "git" and any(word.text == "--no-index" for word in words)
    )


def starts_here(words: Sequence[Word], looked_at: Sequence[Word]) -> bool:
    """Whether the search begins in the current directory because it names none."""
    is_deep = words[0].text in _ALWAYS_DEEP or any(_is_recursive(word.raw) for word in words[1:])
    return is_deep and all(word.raw.startswith("-") for word in looked_at)


def _is_recursive(option: str) -> bool:
    if option.startswith("--"):
        return option in {"--recursive", "--dereference-recursive", "--directories=recurse"}
    return option.startswith("-") and not {"r", "R"}.isdisjoint(option)


def is_wide(directory: str, *, home: str) -> bool:
    """Whether a search in `directory` meets the keys of a user or of the system."""
    if directory in _FULL or is_within(home, directory) or is_within(directory, "/proc"):
        return True
    if not os.path.isdir(directory):
        return False
    return any(os.path.lexists(os.path.join(directory, name)) for name in _signs(directory))


def _signs(directory: str) -> Iterator[str]:
    """What may lie in there; of `.config/gh` the rest, in a `.config`."""
    own = os.path.basename(directory) + os.sep
    yield from _SIGNS
    yield from (name.removeprefix(own) for name in _SECRETS if name.startswith(own))
