"""Reads a script as bash does, from left to right: which words it would run, open or assign.

Nested lists of commands are frames on a stack of our own, so that no depth of nesting exhausts
Python's. Reading is a little more lenient than bash: where bash finds a syntax error it runs nothing
of the rest, so that parts too many do no harm. Where it would read on otherwise, reading gives up.
"""

import re

from crush.permissions.shell_findings import Findings
from crush.permissions.shell_frames import IN_COMMAND, Frame, State
from crush.permissions.shell_here import pass_bodies
from crush.permissions.shell_keywords import DECLARING
from crush.permissions.shell_operators import finish_redirection, separate, take_operator
from crush.permissions.shell_plain_words import ReadWord, plain_word
from crush.permissions.shell_positions import take_word
from crush.permissions.shell_unreadable import UnreadableError
from crush.permissions.shell_words import Substitution, WordReader, begin_word

MAX_DEPTH = 100

_BLANKS = re.compile(r"[ \t]*")
_OPERATOR = re.compile(
    r";;&|;;|;&|;|&&|&>>|&>|&|\|\||\|&|\|"
    r"|<<<|<<-|<<|<&-|<&|<>|<\(|<|>>|>&-|>&|>\||>\(|>|\(|\)"
)
_DESCRIPTOR = re.compile(r"[0-9]{1,4}")
_NAMED_DESCRIPTOR = re.compile(r"\{[A-Za-z_].*\}", re.DOTALL)
_ELEMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\[")
_NO_ARGUMENTS = re.compile(r"\([ \t]*\)")


_COMPLETE = frozenset({State.PREFIX, State.ARGS, State.AFTER})


def read_script(source: str) -> Findings:
    """Everything that was found; what could not be read is an `Unclear` part among it."""
    findings = Findings(source)
    reader = _ScriptReader(findings)
    try:
        reader.read()
    except UnreadableError as error:
        reader.give_up(error)
    return findings


class _ScriptReader:
    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._source = findings.source
        self._pos = 0
        self._comment_end = -1
        self._frames = [Frame(start=0, limit=len(self._source), closer="")]

    def read(self) -> None:
        while self._frames:
            frame = self._frames[-1]
            if len(self._frames) + len(frame.blocks) > MAX_DEPTH:
                raise UnreadableError("it is nested too deeply", self._pos)
            if frame.reader is not None:
                self._go_on_with_word(frame, frame.reader)
            else:
                self._read_token(frame)

    def give_up(self, error: UnreadableError) -> None:
        """Keep what is complete; the rest is unclear."""
        for frame in self._frames:
            self._findings.finish_command(frame)
        self._findings.doubt(error.at, len(self._source), error.reason)

    def _read_token(self, frame: Frame) -> None:
        blanks = _BLANKS.match(self._source, self._pos, frame.limit)
        self._pos = blanks.end() if blanks else self._pos
        if self._pos >= frame.limit:
            self._end_at_limit(frame)
            return
        match self._source[self._pos]:
            case "\n":
                self._end_line(frame)
            case "#":
                self._pass_comment(frame)
            case ";" | "&" | "|" | "<" | ">" | "(" | ")":
                self._read_operator(frame)
            case "\\" if self._source.startswith("\n", self._pos + 1):
                self._join_lines(frame)
            case _:
                self._begin_word(frame)

    def _join_lines(self, frame: Frame) -> None:
        """A continuation between two words; between two operators it could make one of them."""
        after = self._pos + 2
        is_apart = self._pos == 0 or self._source[self._pos - 1] in " \t\n"
        if not is_apart and after < frame.limit and self._source[after] not in " \t\n":
            raise UnreadableError("a line is continued inside a word", self._pos)
        self._findings.joined.append(self._pos)
        self._pos = after

    def _pass_comment(self, frame: Frame) -> None:
        end = self._source.find("\n", self._pos, frame.limit)
        end = frame.limit if end < 0 else end
        if self._source[end - 1] == "\\":
            raise UnreadableError("a comment that ends in a backslash", self._pos)
        if frame.state is State.TEST:
            raise UnreadableError("a comment inside a test", self._pos)
        self._pos = self._comment_end = end

    def _end_line(self, frame: Frame) -> None:
        if frame.redirection is not None:
            raise UnreadableError("a redirection without a target", frame.redirection.start)
        has_bodies = any(outer.here_documents for outer in self._frames)
        if frame.state in _COMPLETE and self._pos != self._comment_end and not has_bodies:
            self._findings.ends.append(self._pos)
        separate(self._findings, frame, "\n", self._pos)
        self._pos += 1
        if frame.here_documents:
            self._pos = pass_bodies(self._findings, frame, self._pos)
        elif has_bodies:
            raise UnreadableError("a here-document that begins inside a substitution", self._pos)

    def _begin_word(self, frame: Frame) -> None:
        if frame.state is State.FUNCTION_BODY:
            frame.state = State.START
        may_assign = frame.redirection is None and _may_assign(frame)
        plain = plain_word(self._source, self._pos, limit=frame.limit, may_assign=may_assign)
        if plain is not None:
            self._pos = plain.pos
            self._use(frame, plain)
            return
        if may_assign and _ELEMENT.match(self._source, self._pos, frame.limit):
            raise UnreadableError("an element of an array", self._pos)
        frame.reader = begin_word(self._source, self._pos, limit=frame.limit, may_assign=may_assign)

    def _go_on_with_word(self, frame: Frame, reader: WordReader) -> None:
        substitution = reader.read()
        self._pos = reader.pos
        if substitution is not None:
            self._enter(frame, substitution)
            return
        frame.reader = None
        self._note_word(reader)
        if self._is_descriptor(frame, reader):
            frame.descriptor_start = reader.start
        else:
            self._use(frame, reader)

    def _use(self, frame: Frame, word: ReadWord) -> None:
        if frame.redirection is None:
            take_word(self._findings, frame, word)
            return
        in_backticks = any(outer.closer == "`" for outer in self._frames)
        finish_redirection(self._findings, frame, word, in_backticks=in_backticks)

    def _note_word(self, reader: WordReader) -> None:
        for start, end, reason in reader.doubts:
            self._findings.doubt(start, end, reason)
        if reader.bash_only:
            self._findings.is_plain = False
        if reader.assigned and self._source.startswith("(", reader.pos):
            raise UnreadableError("an array", reader.start)
        if "\n" in reader.raw and any(frame.here_documents for frame in self._frames):
            raise UnreadableError("a here-document that begins inside a word", reader.start)

    def _is_descriptor(self, frame: Frame, reader: WordReader) -> bool:
        if self._pos >= frame.limit or self._source[self._pos] not in "<>":
            return False
        if _NAMED_DESCRIPTOR.fullmatch(reader.raw):
            raise UnreadableError("a descriptor whose number goes into a variable", reader.start)
        if not reader.raw.isdecimal():
            return False
        if frame.redirection is not None or frame.state not in IN_COMMAND:
            raise UnreadableError("a number where a descriptor may be meant", reader.start)
        if not _DESCRIPTOR.fullmatch(reader.raw):
            raise UnreadableError("a number where a descriptor may be meant", reader.start)
        return True

    def _enter(self, frame: Frame, substitution: Substitution) -> None:
        """Read the commands of a substitution before the rest of its word."""
        limit, inner = frame.limit, substitution.inner
        if substitution.closer == "`":
            limit = self._source.find("`", inner, frame.limit)
            if limit < 0:
                raise UnreadableError("a backtick is not closed", substitution.start)
            if "\\" in self._source[inner:limit]:
                raise UnreadableError("a backslash between backticks", substitution.start)
        self._findings.is_plain = False
        self._pos = inner
        self._frames.append(
            Frame(start=substitution.start, limit=limit, closer=substitution.closer)
        )

    def _end_at_limit(self, frame: Frame) -> None:
        if frame.closer == ")":
            raise UnreadableError("a substitution is not closed", frame.start)
        self._close(frame, self._pos + len(frame.closer))

    def _close(self, frame: Frame, end: int) -> None:
        if frame.state not in IN_COMMAND or frame.blocks or frame.redirection is not None:
            raise UnreadableError("it ends in the middle of a command", frame.start)
        if frame.here_documents:
            raise UnreadableError("a here-document is not ended", frame.here_documents[0].start)
        self._findings.finish_command(frame)
        self._frames.pop()
        if self._frames:
            word = self._frames[-1].reader
            if word is not None:  # always: a substitution is part of one
                word.resume(end)
            self._findings.substitutions.add((frame.start, end))
        self._pos = end

    def _read_operator(self, frame: Frame) -> None:
        found = _OPERATOR.match(self._source, self._pos, frame.limit)
        operator = found.group() if found else self._source[self._pos]
        if operator == "<(":
            self._begin_word(frame)
            return
        self._findings.is_plain = False
        if frame.redirection is not None:
            raise UnreadableError("a redirection without a target", frame.redirection.start)
        start, self._pos = self._pos, self._pos + len(operator)
        if frame.state is not State.TEST and operator in "()":
            self._take_parenthesis(frame, operator, start)
        else:
            take_operator(self._findings, frame, operator, start)

    def _take_parenthesis(self, frame: Frame, operator: str, start: int) -> None:
        match operator, frame.state:
            case "(", State.PATTERN:
                frame.state = State.PATTERN_MORE
            case "(", State.START if not self._source.startswith("(", self._pos):
                frame.blocks.append("(")
            case "(", State.ARGS if len(frame.words) == 1 and not frame.assigned:
                self._pass_no_arguments(frame, start)
                reason = f"it defines a function {frame.words[0].raw!r}"
                self._findings.doubt(frame.command_start, self._pos, reason)
                frame.clear()
            case "(", State.FUNCTION_BODY:
                self._pass_no_arguments(frame, start)
            case ")", State.PATTERN_END:
                frame.state = State.START
            case ")", _ if frame.state in IN_COMMAND and frame.block == "(":
                self._findings.finish_command(frame)
                frame.blocks.pop()
                frame.state = State.AFTER
            case ")", _ if frame.closer == ")":
                self._close(frame, self._pos)
            case _:
                raise UnreadableError(f"{operator!r} where none is understood", start)

    def _pass_no_arguments(self, frame: Frame, start: int) -> None:
        """The `()` between a function's name and its body, which is read as what it is."""
        found = _NO_ARGUMENTS.match(self._source, start, frame.limit)
        if found is None:
            raise UnreadableError("'(' where none is understood", start)
        self._pos = found.end()
        frame.state = State.START


def _may_assign(frame: Frame) -> bool:
    """Whether bash would take `NAME=value` for an assignment here."""
    if frame.state is State.ARGS:
        return frame.words[0].text in DECLARING
    return frame.state in (State.START, State.PREFIX)
