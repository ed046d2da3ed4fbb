"""What a word means where it stands: a name, an argument, a keyword, a pattern, an operand."""

from crush.permissions.shell_findings import UNKNOWN_VALUE, Findings
from crush.permissions.shell_frames import Frame, State
from crush.permissions.shell_keywords import (
    FOLLOWING,
    OPENING,
    PLAIN_TESTS,
    RESERVED,
    UNSUPPORTED,
)
from crush.permissions.shell_plain_words import ReadWord
from crush.permissions.shell_unreadable import UnreadableError
from crush.permissions.shell_words import NAME


def take_word(findings: Findings, frame: Frame, reader: ReadWord) -> None:
    """Put the word that `reader` has read to its use in `frame`."""
    match frame.state:
        case State.START if reader.raw in RESERVED:
            _take_keyword(findings, frame, reader)
        case State.START | State.PREFIX | State.ARGS:
            _take_in_command(findings, frame, reader)
        case State.AFTER:
            _take_following(findings, frame, reader)
        case State.TEST:
            _take_in_test(findings, frame, reader)
        case State.FUNCTION:
            findings.doubt(reader.start, reader.pos, f"it defines a function {reader.raw!r}")
            frame.state = State.FUNCTION_BODY
        case State.FOR_NAME | State.FOR_IN | State.FOR_WORDS | State.FOR_DO:
            _take_in_for(findings, frame, reader)
        case _:
            _take_in_case(frame, reader)


def _take_in_command(findings: Findings, frame: Frame, reader: ReadWord) -> None:
    word = reader.word()
    if frame.state is State.PREFIX and reader.raw in RESERVED:
        raise UnreadableError(f"{reader.raw!r} where no command begins", reader.start)
    if reader.assigned:
        findings.assignments.add(reader.start)
        assigned = (reader.start, reader.pos, reader.assigned, word)
        frame.assigned.append(assigned)
        if frame.state is State.ARGS:  # of a declaration
            frame.command_end = reader.pos
        else:
            frame.state = State.PREFIX
        return
    frame.add_word(word, reader.start, reader.pos)
    frame.state = State.ARGS


def _take_keyword(findings: Findings, frame: Frame, reader: ReadWord) -> None:
    raw = reader.raw
    findings.is_plain = False
    if raw in OPENING:
        frame.blocks.append(OPENING[raw])
        return
    if raw in UNSUPPORTED:
        raise UnreadableError(f"{raw!r} is not followed", reader.start)
    match raw:
        case "!":
            return
        case "[[":
            frame.add_word(reader.word(), reader.start, reader.pos)
            frame.state = State.TEST
        case "for":
            frame.state = State.FOR_NAME
        case "case":
            frame.state = State.CASE_WORD
        case "function":
            frame.state = State.FUNCTION
        case _:
            _take_following(findings, frame, reader)


def _take_following(findings: Findings, frame: Frame, reader: ReadWord) -> None:
    """A keyword that goes on with the innermost compound command, or ends it."""
    replacement = FOLLOWING.get((frame.block, reader.raw))
    if replacement is None:
        raise UnreadableError(f"{reader.raw!r} where no command begins", reader.start)
    findings.finish_command(frame)
    frame.blocks.pop()
    if replacement:
        frame.blocks.append(replacement)
    frame.state = State.START if replacement else State.AFTER


def _take_in_test(findings: Findings, frame: Frame, reader: ReadWord) -> None:
    word = reader.word()
    frame.add_word(word, reader.start, reader.pos)
    if reader.raw == "]]":
        findings.finish_command(frame)
        frame.state = State.AFTER
        return
    if reader.raw == "=~":
        raise UnreadableError("a test with a regular expression", reader.start)
    if word.text is not None and word.text.startswith("-") and word.text not in PLAIN_TESTS:
        findings.doubt(reader.start, reader.pos, "a test that computes or looks at variables")


def _take_in_for(findings: Findings, frame: Frame, reader: ReadWord) -> None:
    match frame.state, reader.raw:
        case State.FOR_NAME, raw if NAME.fullmatch(raw):
            findings.assign(reader.start, reader.pos, raw, UNKNOWN_VALUE)
            frame.loop_variable = raw
            frame.state = State.FOR_IN
        case State.FOR_IN, "in":
            frame.state = State.FOR_WORDS
        case State.FOR_WORDS, _:  # what it may hold: `for f in .e*` leads `cat "$f"` to `.env`
            value = reader.word()
            findings.assign(reader.start, reader.pos, frame.loop_variable, value)
        case ((State.FOR_IN | State.FOR_DO), "do"):
            frame.blocks.append("do")
            frame.state = State.START
        case _, raw:
            raise UnreadableError(f"{raw!r} in a for loop", reader.start)


def _take_in_case(frame: Frame, reader: ReadWord) -> None:
    match frame.state, reader.raw:
        case State.CASE_WORD, _:
            frame.state = State.CASE_IN
        case State.CASE_IN, "in":
            frame.blocks.append("case")
            frame.state = State.PATTERN
        case State.PATTERN, "esac":
            frame.blocks.pop()
            frame.state = State.AFTER
        case ((State.PATTERN | State.PATTERN_MORE), raw) if raw != "esac":
            frame.state = State.PATTERN_END
        case _, raw:
            raise UnreadableError(f"{raw!r} in a case", reader.start)
