"""Reads the words of a strict command: is each a listed option, its value, or no option at all?

What it reads is what every program sees after quote removal. A word whose value is not known yet
passes only if it cannot turn out to be an option.
"""

import os
import re
from collections.abc import Sequence

from crush.permissions.known_entries import Known, Option
from crush.permissions.rules import is_within
from crush.permissions.shell_script import Word

# A value in a word of its own may look like an option only if it is a number (`-mtime -7`): should
# a program not take the value after all, it reads an option there.
_DASHED_VALUE = re.compile(r"-[0-9]+[A-Za-z]?")
_NUMBER = re.compile(r"-[0-9]+")


class NotKnownError(Exception):
    """The command is not known to only read; the text is the reason for a person."""


class Reading:
    """The words of one command, read from left to right."""

    def __init__(self, known: Known, words: Sequence[Word], *, cwd: str) -> None:
        self.seen: set[str] = set()
        self.values: list[tuple[str, Word, str | None]] = []
        self.operands: list[Word] = []
        self._known = known
        self._title = known.title
        self._words = words
        self._cwd = cwd
        self._at = 0
        self._ended = False

    def read(self) -> None:
        """All words.

        Raises:
            NotKnownError: one of them may do more than read.
        """
        while self._at < len(self._words):
            word = self._words[self._at]
            self._at += 1
            self._read_word(word)

    def read_to_subcommand(self) -> Sequence[Word]:
        """The options before the first operand; answers that and what follows."""
        while self._at < len(self._words) and not self.operands:
            word = self._words[self._at]
            self._at += 1
            self._read_word(word)
        return [*self.operands, *self._words[self._at :]]

    def check_operands(self) -> None:
        """How many there are, and of which kind, once all words are read."""
        known, entry = self._known, self._known.entry
        if known.needs and not known.needs & self.seen:
            least = " or ".join(entry.needs.split())
            raise NotKnownError(f"of `{self._title}` only {least} is known to only read")
        if len(self.operands) < entry.least:
            raise NotKnownError(f"`{self._title}` alone is not known to only read")
        if known.frees & self.seen:
            return
        if entry.operands is not None:
            for place, word in enumerate(self.operands):
                if place >= entry.operands or word.splits:
                    raise NotKnownError(f"`{word.raw}` may make `{self._title}` do more than read")
        for place, word in enumerate(self.operands):
            pattern = known.first if place == 0 and known.first else known.operand
            if pattern and (word.text is None or not pattern.fullmatch(word.text)):
                raise NotKnownError(
                    f"`{word.raw}` is nothing that `{self._title}` is known to read"
                )

    def _read_word(self, word: Word) -> None:
        start = word.prefix if word.text is None else word.text
        if self._ended or (word.text is not None and (word.text == "-" or start[:1] != "-")):
            self._add_operand(word)
        elif word.text is None and not _keeps_its_start(word):
            raise NotKnownError(f"`{word.raw}` may become an option of `{self._title}`")
        elif start[:1] not in {"", "-"}:
            self._add_operand(word)
        elif start in {"", "-"}:
            raise NotKnownError(f"`{word.raw}` may become an option of `{self._title}`")
        elif word.text == "--" and self._known.entry.ends and not self._known.commands:
            self._ended = True
        else:
            self._read_option(word, start)

    def _add_operand(self, word: Word) -> None:
        self.operands.append(word)
        self._ended = self._ended or self._known.entry.stops

    def _read_option(self, word: Word, start: str) -> None:
        entry = self._known.entry
        is_limited = entry.operands is not None and not self._known.frees & self.seen
        if self.operands and (entry.ordered or is_limited):
            raise NotKnownError(f"`{word.raw}` behind an operand may be one to `{self._title}`")
        if entry.words or start.startswith("--"):
            self._read_whole(word, start)
        elif _NUMBER.fullmatch(start) and "-#" in self._known.options and word.text is not None:
            self.seen.add("-#")
        else:
            self._read_cluster(word, start)

    def _read_whole(self, word: Word, start: str) -> None:
        """`--name`, `--name=value`, `--name value`, and `-name` where options are whole words."""
        # Only behind two dashes: `-name=x` is one word to `find`.
        name, equals, value = start.partition("=") if start[:2] == "--" else (start, "", "")
        option = self._known.options.get(name)
        if option is None:
            raise self._unlisted(name)
        self.seen.add(name)
        if equals:
            if option.takes in {"nothing", "two"}:
                raise self._unlisted(f"{name}=")
            self._take(name, option, word, value if word.text is not None else None)
        elif word.text is None:
            raise NotKnownError(f"`{word.raw}` may become another option of `{self._title}`")
        else:
            self._take_following(name, option)

    def _read_cluster(self, word: Word, start: str) -> None:
        """`-abc`, where each letter may take what is left as its value."""
        for place, letter in enumerate(start[1:], start=2):
            name, rest = f"-{letter}", start[place:]
            option = self._known.options.get(name)
            if option is None:
                raise self._unlisted(name)
            self.seen.add(name)
            if option.takes == "nothing":
                continue
            if rest or (word.text is None and not self._known.entry.apart):
                self._take_attached(name, option, word, rest)
            elif word.text is not None:
                self._take_following(name, option)
            else:
                break
            return
        if word.text is None:
            raise NotKnownError(f"`{word.raw}` may become another option of `{self._title}`")

    def _take_attached(self, name: str, option: Option, word: Word, rest: str) -> None:
        if self._known.entry.apart and not (word.text is not None and rest.isdecimal()):
            raise self._unlisted(f"{name}{rest}")
        if not rest and option.takes != "attached":
            # Should what is open be empty, the next word becomes the value: `sort -k"$x" -- -o f`.
            raise NotKnownError(f"`{word.raw}` may take the next word of `{self._title}`")
        self._take(name, option, word, rest if word.text is not None else None)

    def _take_following(self, name: str, option: Option) -> None:
        if option.takes in {"nothing", "attached"}:
            return
        if option.takes == "last" and self._at == len(self._words):
            return
        for _ in range(2 if option.takes == "two" else 1):
            if self._at == len(self._words):
                raise NotKnownError(f"`{self._title} {name}` lacks its value")
            word = self._words[self._at]
            self._at += 1
            self._check_apart(word, name, option)
            self._take(name, option, word, word.text)

    def _check_apart(self, word: Word, name: str, option: Option) -> None:
        if word.text is None:
            if word.splits or word.prefix[:1] in {"", "-"}:
                raise NotKnownError(f"`{word.raw}` may become an option of `{self._title}`")
        elif word.text[:1] == "-" and word.text != "-":
            dashed = _DASHED_VALUE.fullmatch(word.text) or option.kind == "mode"
            if not dashed:
                raise NotKnownError(f"`{name} {word.raw}` may be two options of `{self._title}`")

    def _take(self, name: str, option: Option, word: Word, value: str | None) -> None:
        self.values.append((name, word, value))
        if option.kind == "inside":
            self._check_inside(name, word, value)
        elif option.pattern and (value is None or not option.pattern.fullmatch(value)):
            raise NotKnownError(f"`{word.raw}` is no value of `{self._title} {name}` that is known")

    def _check_inside(self, name: str, word: Word, value: str | None) -> None:
        """Once only: a second one would start from where the first leads."""
        again = sum(earlier == name for earlier, _, _ in self.values) > 1
        root = os.path.realpath(self._cwd)
        there = os.path.realpath(os.path.join(root, value or ""))
        if value is None or again or not is_within(there, root):
            raise NotKnownError(f"`{self._title} {name} {word.raw}` may lead out of the directory")

    def _unlisted(self, name: str) -> NotKnownError:
        if harm := self._known.never.get(name):
            return NotKnownError(f"`{self._title} {name}` {harm}")
        return NotKnownError(f"`{self._title} {name}` is not known to only read")


def _keeps_its_start(word: Word) -> bool:
    """Whether every word that it becomes begins with `prefix`: globs and brace lists see to that."""
    return not word.splits or bool(word.glob) or not ("$" in word.raw or "`" in word.raw)
