"""What a command may run besides itself: for rules that deny or ask, which look through wrappers.

An allow rule never does. What is found by guessing is marked so: it makes a deny ask.
"""

import os
import re
from collections.abc import Iterator, Sequence
from itertools import islice

from msgspec import Struct

from crush.permissions.shell_script import Command, Script, Unclear, Word
from crush.permissions.shell_syntax import parse_script

_WRAPPERS = frozenset(
    {
        *("env", "nice", "nohup", "timeout", "command", "builtin", "exec", "xargs", "sudo", "doas"),
        *("time", "stdbuf", "setsid", "ionice", "chrt", "taskset", "flock", "watch", "find", "fd"),
        *("fdfind", "parallel", "strace", "ltrace", "unshare", "nsenter", "chroot", "setarch"),
        *("script", "runuser", "su", "systemd-run", "busybox", "toybox", "unbuffer", "fakeroot"),
        *("caffeinate", "eatmydata", "proxychains", "proxychains4", "firejail", "bwrap", "gdb"),
        *("valgrind", "perf", "entr", "ssh", "git", "start-stop-daemon", "numactl", "prlimit"),
    }
)
_SHELLS = frozenset(
    {"sh", "bash", "dash", "zsh", "ksh", "mksh", "ash", "rbash", "fish", "eval", "trap"}
)
# What may stand between a wrapper and its command without doubt: options, `NAME=value`, durations.
_SKIPPED = re.compile(r"-.*|[A-Za-z_][A-Za-z0-9_]*=.*|[0-9.]+[smhd]?", re.DOTALL)
_GIT_VALUES = frozenset(
    {"-C", "-c", "--git-dir", "--work-tree", "--namespace", "--config-env", "--attr-source"}
)
_DEPTH = 3
_MOST = 300


class Inner(Struct, frozen=True, kw_only=True):
    """Words that run as a command; `is_certain` unless it is a guess. No words: it may run anything."""

    words: Sequence[Word]
    is_certain: bool


def inner_commands(words: Sequence[Word]) -> Sequence[Inner]:
    """The command itself, by its bare name, and what it may run."""
    found = [*islice(_inner_commands(words, depth=_DEPTH), _MOST)]
    return found if len(found) < _MOST else [*found, Inner(words=(), is_certain=False)]


def _inner_commands(words: Sequence[Word], *, depth: int) -> Iterator[Inner]:
    words = _bare(words)
    yield Inner(words=words, is_certain=True)
    name = words[0].text if words else None
    if depth == 0 or name is None:
        return
    yield from _without_options(name, words)
    if name in _SHELLS:
        if all((word.text or "").startswith("-") for word in words[1:]):
            yield Inner(words=(), is_certain=False)  # it reads what it runs
        for word in words[1:]:
            yield from _of_text(word, depth=depth - 1)
    elif name in _WRAPPERS:
        start = _start(words)
        for at in range(1, len(words)):
            is_certain = at == start and name not in {"find", "fd", "fdfind", "git"}
            if " " in (words[at].text or ""):  # `su -c 'rm x'`
                yield from _of_text(words[at], depth=depth - 1)
            for inner in _inner_commands(words[at:], depth=depth - 1):
                yield Inner(words=inner.words, is_certain=is_certain and inner.is_certain)


def _without_options(name: str, words: Sequence[Word]) -> Iterator[Inner]:
    """`git -C x push` as `git push`; which options have a value is known of git, else guessed."""
    at = 1
    while at < len(words) and (words[at].text or "").startswith("-"):
        at += 2 if name == "git" and words[at].text in _GIT_VALUES else 1
    if at == 1:
        return
    yield Inner(words=[words[0], *words[at:]], is_certain=name == "git")
    if name != "git":
        yield Inner(words=[words[0], *words[at + 1 :]], is_certain=False)


def _script_commands(script: Script, *, depth: int) -> Iterator[Inner]:
    """All commands of a script, and one without words for each thing that is unclear."""
    for part in script.parts:
        if isinstance(part, Command):
            yield from _inner_commands(part.words, depth=depth)
        elif isinstance(part, Unclear):
            yield Inner(words=(), is_certain=False)


def _of_text(word: Word, *, depth: int) -> Iterator[Inner]:
    if word.text is None:
        yield Inner(words=(), is_certain=False)
    elif not word.text.startswith("-"):
        yield from _script_commands(parse_script(word.text), depth=depth)


def _start(words: Sequence[Word]) -> int:
    return next(
        (
            at
            for at, word in enumerate(words[1:], 1)
            if word.text is None or not _SKIPPED.fullmatch(word.text)
        ),
        0,
    )


def _bare(words: Sequence[Word]) -> Sequence[Word]:
    """`/usr/bin/git push` as `git push`."""
    name = words[0].text if words else None
    if name is None or "/" not in name:
        return words
    bare = os.path.basename(name)
    return [Word(raw=bare, text=bare, prefix=bare), *words[1:]]
