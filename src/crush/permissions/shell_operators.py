"""What an operator means where it stands: the end of a command, a redirection, a comparison."""

import re

from crush.permissions.shell_findings import Findings
from crush.permissions.shell_frames import IN_COMMAND, Frame, Redirection, State
from crush.permissions.shell_here import here_document
from crush.permissions.shell_plain_words import ReadWord
from crush.permissions.shell_script import Word
from crush.permissions.shell_unreadable import UnreadableError

_COPY = re.compile(r"[0-9]+-?|-")
_IN_TESTS = frozenset({"&&", "||", "(", ")", "<", ">"})


def take_operator(findings: Findings, frame: Frame, operator: str, start: int) -> None:
    """Any operator but a parenthesis outside of tests."""
    if frame.state is State.TEST:
        _take_in_test(findings, frame, operator, start)
    elif operator[0] in "<>" or operator.startswith("&>"):
        _begin_redirection(frame, operator, start)
    elif operator.startswith(";") and len(operator) > 1:
        _end_clause(findings, frame, start)
    else:
        separate(findings, frame, operator, start)


def separate(findings: Findings, frame: Frame, operator: str, start: int) -> None:
    """A newline or one of `;`, `&`, `&&`, `||`, `|` and `|&`."""
    is_newline = operator == "\n"
    match frame.state:
        case State.PREFIX | State.ARGS | State.AFTER:
            findings.finish_command(frame)
            frame.state = State.START
        case State.FOR_IN | State.FOR_WORDS if operator == ";":
            frame.state = State.FOR_DO
        case State.FOR_WORDS if is_newline:
            frame.state = State.FOR_DO
        case State.PATTERN_END if operator == "|":
            frame.state = State.PATTERN_MORE
        case State.START | State.FUNCTION_BODY | State.CASE_IN if is_newline:
            pass
        case State.FOR_IN | State.FOR_DO | State.PATTERN | State.TEST if is_newline:
            pass
        case _:
            raise UnreadableError(f"{operator!r} where none is understood", start)


def _take_in_test(findings: Findings, frame: Frame, operator: str, start: int) -> None:
    is_apart = findings.source[start - 1] in " \t\n(!"
    if operator not in _IN_TESTS or (operator == "(" and not is_apart):
        raise UnreadableError("a test that is more than a comparison", start)
    word = Word(raw=operator, text=operator, prefix=operator)
    frame.add_word(word, start, start + len(operator))


def _end_clause(findings: Findings, frame: Frame, start: int) -> None:
    if frame.state not in IN_COMMAND or frame.block != "case":
        raise UnreadableError("';;' outside a case", start)
    findings.finish_command(frame)
    frame.state = State.PATTERN


def _begin_redirection(frame: Frame, operator: str, start: int) -> None:
    if frame.state not in IN_COMMAND or operator == ">(":
        raise UnreadableError(f"{operator!r} where none is understood", start)
    if frame.state is State.START:
        frame.state = State.PREFIX
    begin = start if frame.descriptor_start < 0 else frame.descriptor_start
    frame.descriptor_start = -1
    if not operator.endswith("&-"):
        frame.redirection = Redirection(operator, begin)


def finish_redirection(
    findings: Findings, frame: Frame, reader: ReadWord, *, in_backticks: bool
) -> None:
    """The redirection that `frame` holds has got the word that `reader` has read."""
    if frame.redirection is None:
        return
    operator, start = frame.redirection.operator, frame.redirection.start
    frame.redirection = None
    word = reader.word()
    match operator:
        case "<<<":
            if word.text is None:
                findings.redirect(start, reader.pos, word, writes=False, is_text=True)
        case "<<" | "<<-":
            if in_backticks:
                raise UnreadableError("a here-document between backticks", start)
            waiting = here_document(word.raw, start=start, strips_tabs=operator == "<<-")
            frame.here_documents.append(waiting)
        case "<&":
            if word.text is None or not _COPY.fullmatch(word.text):
                raise UnreadableError("a descriptor that is not known", start)
        case ">&" if word.text is not None and _COPY.fullmatch(word.text):
            return
        case _:
            findings.redirect(start, reader.pos, word, writes=operator != "<")
