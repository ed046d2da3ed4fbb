"""Where a script may be when a command of it runs: the directories that its `cd`s can lead to.

A `cd` may fail, or stand in a subshell or behind `||`: a directory once possible stays possible.
"""

import os
import re
from collections.abc import Iterator, Sequence

from crush.permissions.real_path import real_path
from crush.permissions.shell_script import Command, Script, Word

_LOOPS = re.compile(r"\b(?:while|until|for|select)\b")
_MOVES = frozenset({"cd", "pushd", "popd"})
_MOST = 16


class Places:
    """The possible working directories; `anywhere` once one of them cannot be told."""

    def __init__(self, start: str, *, home: str) -> None:
        self.directories = [start]
        self.anywhere = False
        self._home = home

    def begin(self, script: Script, text: str) -> None:
        """In a loop a command also comes after the `cd`s that stand behind it."""
        moves = [part for part in script.parts if isinstance(part, Command) and is_move(part.words)]
        if not moves or not _LOOPS.search(text):
            return
        before: list[str] = []
        while before != self.directories and not self.anywhere:
            before = list(self.directories)
            for part in moves:
                self.follow(part.words)
                self.directories = [path for path in self.directories if os.path.isdir(path)]

    def follow(self, words: Sequence[Word]) -> None:
        """Take a command into account that changes the directory."""
        if self.anywhere or not is_move(words):
            return
        operands = [word for word in _after_name(words) if not _is_option(word)]
        if not any(word.text == "cd" for word in words[:2]) or len(operands) > 1:
            self.anywhere = True
            return
        targets = self.paths(operands[0]) if operands else [self._home]
        if not targets or (operands and operands[0].text == "-"):
            self.anywhere = True
            return
        found = {*(real_path(path) for path in targets), *map(os.path.normpath, targets)}
        self.directories += sorted(path for path in found if path not in self.directories)
        self.anywhere = len(self.directories) > _MOST

    def paths(self, word: Word) -> list[str]:
        """What a word of known value names, for each directory; empty if it is not known."""
        return [] if word.text is None else self.paths_of(word.text)

    def paths_of(self, text: str) -> list[str]:
        paths = [os.path.join(directory, text) for directory in self.directories]
        if text == "~" or text.startswith("~/"):
            paths.append(self._home + text[1:])
        return paths


def is_move(words: Sequence[Word]) -> bool:
    """Whether the command changes the working directory of the shell."""
    return any(word.text in _MOVES for word in words[:1]) or (
        len(words) > 1 and words[0].text in {"command", "builtin"} and words[1].text in _MOVES
    )


def _after_name(words: Sequence[Word]) -> Iterator[Word]:
    yield from words[1 if words[0].text in _MOVES else 2 :]


def _is_option(word: Word) -> bool:
    return word.text is not None and word.text.startswith("-") and word.text != "-"
