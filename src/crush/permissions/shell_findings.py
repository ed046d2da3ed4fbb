"""What the reader of a script has found so far: parts, doubts, and where commands begin."""

import re
from collections.abc import Sequence

from crush.permissions.shell_frames import Frame
from crush.permissions.shell_keywords import (
    DECLARING,
    PLAIN_DECLARATION_OPTIONS,
    RESERVED,
)
from crush.permissions.shell_script import Assignment, Command, Part, Redirect, Unclear, Word
from crush.permissions.shell_words import NAME

UNKNOWN_VALUE = Word(raw="", text=None, splits=True)
# Nothing that the shell or a program could obey is spelled so; a few that are, are refused by name.
_READABLE = re.compile(r"[a-z][a-z0-9_]*")
_MOST_READ = 16
_ASSIGNING = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\[.*\])?\+?=", re.DOTALL)


class Findings:
    """Collected in the order of reading; `parts` puts them in the order of the text.

    Attributes:
        commands, assignments, substitutions: offsets, which the grammar's reading must confirm.
        joined: where a backslash and a newline stand for nothing.
        ends: where a newline ends a command as a `;` would.
        is_plain: no operator, no keyword and nothing that only bash knows was met.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.commands: set[int] = set()
        self.assignments: set[int] = set()
        self.substitutions: set[tuple[int, int]] = set()
        self.joined: list[int] = []
        self.ends: list[int] = []
        self.is_plain = True
        self._found: list[tuple[int, Part]] = []

    @property
    def parts(self) -> tuple[Part, ...]:
        return tuple(part for _, part in sorted(self._found, key=lambda found: found[0]))

    def doubt(self, start: int, end: int, reason: str) -> None:
        self._found.append((start, Unclear(source=self.source[start:end], reason=reason)))

    def redirect(
        self, start: int, end: int, target: Word, *, writes: bool, is_text: bool = False
    ) -> None:
        source = self.source[start:end]
        part = Redirect(source=source, target=target, writes=writes, is_text=is_text)
        self._found.append((start, part))

    def assign(
        self,
        start: int,
        end: int,
        name: str,
        value: Word,
        *,
        before: bool = False,
        command: str = "",
    ) -> None:
        source = self.source[start:end]
        part = Assignment(source=source, name=name, value=value, before=before, command=command)
        self._found.append((start, part))

    def finish_command(self, frame: Frame) -> None:
        """The simple command that `frame` holds is complete; one that holds none is left alone."""
        before = self._runs(frame)
        command = (frame.words[0].text or "") if before else ""
        for start, end, name, value in frame.assigned:
            self.assign(start, end, name, value, before=before, command=command)
        if frame.words:
            self._add_command(frame)
        frame.clear()

    def _runs(self, frame: Frame) -> bool:
        return bool(frame.words) and frame.words[0].text not in DECLARING

    def _add_command(self, frame: Frame) -> None:
        start, end = frame.command_start, frame.command_end
        self.commands.add(start)
        name = frame.words[0].text
        if name is None:
            self.doubt(start, end, "the command's name is not known before it runs")
            return
        command = Command(source=self.source[start:end], words=tuple(frame.words))
        self._found.append((start, command))
        for variable in read_variables(frame.words) if name == "read" else ():
            self.assign(start, end, variable, UNKNOWN_VALUE, command=name)
        reason = _reason_to_doubt(name, frame.words)
        if reason:
            self.doubt(start, end, reason)


def read_variables(words: Sequence[Word]) -> Sequence[str]:
    """What `read -r a b` fills, if that is plain; none if it is not known."""
    names = [word.text or "" for word in words[2:]]
    is_plain = 0 < len(names) <= _MOST_READ and words[1].text == "-r"
    return names if is_plain and all(map(_READABLE.fullmatch, names)) else ()


def _reason_to_doubt(name: str, words: list[Word]) -> str:
    """What makes a command with a known name unclear all the same."""
    if name in DECLARING:
        return _declaration_doubt(name, words)
    if name == "unset":
        return "it unsets a variable or a function"
    return _time_doubt(words) if name == "time" else ""


def _declaration_doubt(name: str, words: list[Word]) -> str:
    if words[0].raw != name:
        return "a declaration whose name is quoted"
    for word in words[1:]:
        if word.text is None or "[" in word.text:
            return "it is not known which variables are declared"
        if NAME.fullmatch(word.text) or word.text in PLAIN_DECLARATION_OPTIONS:
            continue
        return f"a declaration with {word.text!r}"
    return ""


def _time_doubt(words: list[Word]) -> str:
    """`time` is a keyword: what follows it is a command, or more than one."""
    if any(_is_more_than_a_name(word) for word in words[1:]):
        return "it measures more than one simple command"
    measured = next((word for word in words if word.text not in ("time", "-p", "--")), None)
    if measured is not None and measured.text is None:
        return "the command's name is not known before it runs"
    return ""


def _is_more_than_a_name(word: Word) -> bool:
    """Whether bash would take the word after `time` for a keyword or an assignment."""
    return word.raw in RESERVED or bool(_ASSIGNING.match(word.raw))
