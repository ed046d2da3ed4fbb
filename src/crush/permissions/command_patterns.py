"""Command patterns of rules: words as a shell would read them, and `*`.

`*` within a word stays in that word; as the last word it is any further words, also none. An allow
rule covers only what is known for certain; for a deny or ask rule an unknown word may be anything.
"""

import re
from collections.abc import Sequence
from enum import Enum

from msgspec import Struct

from crush.permissions.shell_script import Word
from crush.permissions.wildcards import Glob, Name, Wild, fits_name, plain_or_glob

_REFUSED = {
    "$": "expansions",
    "`": "substitutions",
    ";": "lists of commands",
    "&": "lists of commands",
    "|": "pipelines",
    "<": "redirections",
    ">": "redirections",
    "(": "groups",
    ")": "groups",
}
_SAFE = re.compile(r"[\w%+,./:=@^#!~-]+")


class Fit(Enum):
    """Whether a pattern covers a command."""

    NO = 0
    MAYBE = 1
    YES = 2


class CommandPattern(Struct, frozen=True):
    """The words, and whether any further ones may follow."""

    words: tuple[Name, ...]
    is_open: bool

    @classmethod
    def parse(cls, text: str) -> "CommandPattern":
        """Raises ValueError, which says what is wrong."""
        words = _Reader(text).words()
        is_open = words[-1] == Glob([Wild.MANY])
        return cls(tuple(words[:-1] if is_open else words), is_open)

    def covers(self, words: Sequence[Word]) -> bool:
        """Whether the command fits for certain, whatever its words expand to."""
        fixed, rest = words[: len(self.words)], words[len(self.words) :]
        if len(fixed) < len(self.words) or (rest and not self.is_open):
            return False
        if any(word.splits for word in rest):
            return False
        return all(
            word.text is not None and fits_name(name, word.text)
            for name, word in zip(self.words, fixed, strict=True)
        )

    def fit(self, words: Sequence[Word]) -> Fit:
        """Whether the command fits, or may."""
        best = Fit.YES
        for at, name in enumerate(self.words):
            if at >= len(words):
                return Fit.NO
            word = words[at]
            if word.text is None:
                if word.splits:  # none, one or many words
                    return Fit.MAYBE
                if not _may_begin(name, word.prefix):
                    return Fit.NO
                best = Fit.MAYBE
            elif not fits_name(name, word.text):
                return Fit.NO
        rest = words[len(self.words) :]
        if self.is_open or not rest:
            return best
        return Fit.MAYBE if all(word.splits for word in rest) else Fit.NO


def exact_command(words: Sequence[str]) -> str:
    """The pattern that fits these words alone."""
    return " ".join(map(quote_word, words))


def quote_word(word: str) -> str:
    """`word` as a pattern or a shell would read it back."""
    if _SAFE.fullmatch(word):
        return word
    return "'" + word.replace("'", "'\\''") + "'"


def _may_begin(name: Name, prefix: str) -> bool:
    if isinstance(name, str):
        return name.startswith(prefix)
    fixed = ""
    for element in name:
        if isinstance(element, Wild):
            break
        fixed += element
    return fixed.startswith(prefix) or prefix.startswith(fixed)


class _Reader:
    """Takes the text of a pattern apart."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._words: list[Name] = []
        self._word: list[str | Wild] | None = None

    def words(self) -> list[Name]:
        while self._at < len(self._text):
            char = self._next()
            if char in " \t":
                self._end_word()
            elif char == "'":
                self._add(self._single())
            elif char == '"':
                self._add(self._double())
            else:
                self._add([self._bare(char)])
        self._end_word()
        if not self._words:
            raise ValueError("it names no command")
        return self._words

    def _next(self) -> str:
        if self._at == len(self._text):
            raise ValueError("it ends within quotes or behind a `\\`")
        char = self._text[self._at]
        self._at += 1
        if not char.isprintable() and char != "\t":
            raise ValueError("it contains a character that cannot be shown")
        return char

    def _add(self, elements: Sequence[str | Wild]) -> None:
        self._word = [*(self._word or ()), *elements]

    def _end_word(self) -> None:
        if self._word is not None:
            self._words.append(plain_or_glob(self._word))
        self._word = None

    def _bare(self, char: str) -> str | Wild:
        if char == "\\":
            return self._next()
        if char in _REFUSED:
            raise ValueError(
                f"{char!r}: a rule is about one simple command, and holds no {_REFUSED[char]}; "
                "quote it if the character itself is meant"
            )
        return Wild.MANY if char == "*" else char

    def _single(self) -> list[str]:
        taken = []
        while (char := self._next()) != "'":
            taken.append(char)
        return taken

    def _double(self) -> list[str]:
        taken = []
        while (char := self._next()) != '"':
            if char == "\\" and self._text[self._at : self._at + 1] in {*'$`"\\'}:
                char = self._next()
            elif char in "$`":
                raise ValueError(f"{char!r}: a rule holds no {_REFUSED[char]}; use single quotes")
            taken.append(char)
        return taken
