"""One word of a shell command: where bash ends it, and what quote removal leaves of it.

Substitutions are left to the reader of the script, what the value says to `shell_values`.
"""

import re
from typing import Literal

from msgspec import Struct

from crush.permissions.shell_ansi_c import ansi_c_value
from crush.permissions.shell_script import Word
from crush.permissions.shell_unreadable import UnreadableError
from crush.permissions.shell_values import ASSIGNMENT, QUOTED, UNKNOWN, word_value

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN = re.compile(r"[^ \t\n;&|<>()\\'\"$`]+")
_PLAIN_IN_DOUBLE = re.compile(r"[^\"\\$`]+")
_PARAMETER = re.compile(r"\$(?:[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-])")
_BRACED_PARAMETER = re.compile(r"\$\{(?:[A-Za-z_][A-Za-z0-9_]*|[0-9]+)\}")
# Operators in `${…}` are not followed, but where such a plain one ends is beyond doubt.
_OPERATED_PARAMETER = re.compile(r"\$\{[^{}'\"\\$`\n]+\}")
_INTEGER_ARITHMETIC = re.compile(r"\$\(\([0-9+*/%<>=!&|^~?:, -]*\)\)")
_PLAIN_ARITHMETIC = re.compile(r"\$\(\([^()'\"\\`\n;{}\[\]#]*\)\)")
_ENDS = frozenset(" \t\n;&|<>()")

Closer = Literal[")", "`"]


class Substitution(Struct, frozen=True):
    """Commands inside a word, which the reader of the script reads; `closer` ends them."""

    start: int
    inner: int
    closer: Closer


class WordReader:
    """Reads one word, from `start` to where bash ends it; stops at every substitution in it."""

    def __init__(self, source: str, start: int, *, limit: int, value_start: int) -> None:
        self._source = source
        self._start = start
        self._limit = limit
        self._value_start = value_start
        self._assigned = value_start > start
        self._in_double = False
        self._value: list[str] = []
        self._shape: list[str] = []
        self.pos = value_start
        self.doubts: list[tuple[int, int, str]] = []
        self.bash_only = False

    @property
    def start(self) -> int:
        return self._start

    @property
    def assigned(self) -> str:
        """The name that the word gives a value to, if it was read as an assignment."""
        found = NAME.match(self._source, self._start) if self._assigned else None
        return found.group() if found else ""

    @property
    def raw(self) -> str:
        """The whole word as it is written, with the name that it assigns."""
        return self._source[self._start : self.pos]

    def read(self) -> Substitution | None:
        """Go on to the end of the word (None), or to the next substitution in it."""
        while self.pos < self._limit:
            character = self._source[self.pos]
            if self._in_double:
                found = self._step_in_double(character)
            elif character in _ENDS and not self._begins_process(character):
                return None
            elif character == "\\" and self._source.startswith("\n", self.pos + 1):
                self._check_continuation()
                return None
            else:
                found = self._step(character)
            if found is not None:
                return found
        if self._in_double:
            raise UnreadableError("a double quote is not closed", self._start)
        return None

    def resume(self, pos: int) -> None:
        """Go on after a substitution, which ends at `pos`."""
        self._add_unknown()
        self.pos = pos

    def word(self) -> Word:
        """What was read: of an assignment, its value."""
        return word_value(
            self._source[self._value_start : self.pos],
            value="".join(self._value),
            shape="".join(self._shape),
            assigned=self._assigned,
        )

    def _begins_process(self, character: str) -> bool:
        """Whether `<(` is here: part of a word for bash, although `<` ends words."""
        if character not in "<>" or not self._source.startswith("(", self.pos + 1):
            return False
        if character == ">" or self.pos > self._start:
            raise UnreadableError(
                "a process substitution inside a word, or one to write to", self.pos
            )
        return True

    def _check_continuation(self) -> None:
        after = self.pos + 2
        if after < self._limit and self._source[after] not in " \t\n":
            raise UnreadableError("a line is continued inside a word", self.pos)

    def _step(self, character: str) -> Substitution | None:
        match character:
            case "'":
                end = self._source.find("'", self.pos + 1, self._limit)
                if end < 0:
                    raise UnreadableError("a single quote is not closed", self.pos)
                self._add_quoted(self._source[self.pos + 1 : end])
                self.pos = end + 1
            case '"':
                self._in_double = True
                self.pos += 1
            case "\\":
                if self.pos + 1 >= self._limit:
                    raise UnreadableError("it ends in a backslash", self.pos)
                self._add_quoted(self._source[self.pos + 1])
                self.pos += 2
            case "$" | "`" | "<":
                return self._expand()
            case _:
                self._add_plain(_PLAIN)
        return None

    def _step_in_double(self, character: str) -> Substitution | None:
        match character:
            case '"':
                self._in_double = False
                self.pos += 1
            case "\\":
                self._escape_in_double()
            case "$" | "`":
                return self._expand()
            case _:
                self._add_plain(_PLAIN_IN_DOUBLE)
        return None

    def _escape_in_double(self) -> None:
        following = self._source[self.pos + 1 : self.pos + 2]
        if following == "\n":
            raise UnreadableError("a line is continued inside a word", self.pos)
        if following and following in '$`"\\':
            self._add_quoted(following)
            self.pos += 2
        else:
            self._add_quoted("\\")
            self.pos += 1

    def _expand(self) -> Substitution | None:
        source, pos = self._source, self.pos
        if source[pos] == "`":
            return Substitution(pos, pos + 1, "`")
        if source[pos] == "<":
            return Substitution(pos, pos + 2, ")")
        if source.startswith("$((", pos):
            self._compute()
            return None
        match source[pos + 1 : pos + 2]:
            case "(":
                return Substitution(pos, pos + 2, ")")
            case "{":
                self._expand_braced()
            case "'" if not self._in_double:
                self._read_ansi_c()
            case '"' if not self._in_double:
                raise UnreadableError("a string that is translated", pos)
            case "[":
                raise UnreadableError("arithmetic in an old spelling", pos)
            case _:
                self._expand_named()
        return None

    def _compute(self) -> None:
        found = _INTEGER_ARITHMETIC.match(self._source, self.pos, self._limit)
        if found is None:
            found = _PLAIN_ARITHMETIC.match(self._source, self.pos, self._limit)
            if found is None:
                raise UnreadableError("arithmetic with more than numbers", self.pos)
            self.doubts.append(
                (self.pos, found.end(), "arithmetic over variables can run commands")
            )
        self._add_unknown()
        self.pos = found.end()

    def _expand_braced(self) -> None:
        found = _BRACED_PARAMETER.match(self._source, self.pos, self._limit)
        if found is None:
            found = _OPERATED_PARAMETER.match(self._source, self.pos, self._limit)
            if found is None:
                raise UnreadableError("an expansion with an operator", self.pos)
            self.doubts.append((self.pos, found.end(), "an expansion with an operator"))
        self._add_unknown()
        self.pos = found.end()

    def _expand_named(self) -> None:
        found = _PARAMETER.match(self._source, self.pos, self._limit)
        if found is not None:
            self._add_unknown(splits=found.group() == "$@")
            self.pos = found.end()
            return
        following = self._source[self.pos + 1 : self.pos + 2]
        if not following.isascii():  # a letter for some locales
            raise UnreadableError("a variable's name with other than ASCII letters", self.pos)
        self._value.append("$")
        self._shape.append(QUOTED)
        self.pos += 1

    def _read_ansi_c(self) -> None:
        value, self.pos = ansi_c_value(self._source, self.pos + 2, limit=self._limit)
        self._add_quoted(value)
        self.bash_only = True

    def _add_plain(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self._source, self.pos, self._limit)
        text = found.group() if found else self._source[self.pos]
        self._value.append(text)
        self._shape.append(QUOTED * len(text) if self._in_double else text)
        self.pos += len(text)

    def _add_quoted(self, text: str) -> None:
        self._value.append(text)
        self._shape.append(QUOTED * len(text))

    def _add_unknown(self, *, splits: bool = False) -> None:
        self._value.append(UNKNOWN)
        self._shape.append(QUOTED if self._in_double and not splits else UNKNOWN)


def begin_word(source: str, start: int, *, limit: int, may_assign: bool) -> WordReader:
    """A reader of the word at `start`; where `may_assign`, `NAME=value` is an assignment."""
    found = ASSIGNMENT.match(source, start, limit) if may_assign else None
    return WordReader(source, start, limit=limit, value_start=found.end() if found else start)
