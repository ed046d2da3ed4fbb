"""Built-in commands of bash whose words are no plain options: printf, test, `[[`, command, exit.

Written from bash's manual: what they can do besides printing and comparing is to set a variable, to
evaluate a subscript (which runs what is in it), and to run the name that they are given.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from crush.permissions.known_options import NotKnownError
from crush.permissions.shell_findings import read_variables
from crush.permissions.shell_script import Word

# Every conversion but %n, which sets a variable: PATH, for one.
_CONVERSION = re.compile(
    r"%(?:%|[-+ #0']*(?:[0-9]+|\*)?(?:\.(?:[0-9]+|\*)?)?(?:hh|h|ll|l|L|j|z|t|q)?[diouxXeEfFgGaAcsbqQ]"
    r"|-?[0-9]*\([^()\n]*\)T)"
)
_MOST_CONVERSIONS = 500
_UNARY = frozenset(f"-{letter}" for letter in "abcdefghkprstuwxGLNOSnzo")
_COMPARES_NUMBERS = frozenset({"-eq", "-ne", "-lt", "-le", "-gt", "-ge"})
_BINARY = (
    frozenset({"=", "==", "!=", "<", ">", "-nt", "-ot", "-ef", "-a", "-o"}) | _COMPARES_NUMBERS
)
_INTEGER = re.compile(r"\s*[-+]?[0-9]+\s*")
# They are numbers, whatever happened.
_NUMBERS = frozenset({"$?", '"$?"', "$#", '"$#"'})
_EVALUATES = frozenset({"-v", "-R"})


def check_printf(words: Sequence[Word]) -> None:
    """The format has to be known, and to hold nothing but conversions that print."""
    if words and words[0].text == "--":
        words = words[1:]
    if not words or words[0].text is None:
        raise NotKnownError("`printf` with a format that is not known may set a variable")
    form = words[0].text
    if form.startswith("-"):
        raise NotKnownError(f"`printf {words[0].raw}` sets a variable")
    if form.count("%") > _MOST_CONVERSIONS or "%" in _CONVERSION.sub("", form):
        raise NotKnownError(f"`printf {words[0].raw}` has a conversion that may set a variable")


def check_test(words: Sequence[Word]) -> None:
    """An expression of `test`, which goes by the number of its words."""
    if any(word.text in _EVALUATES for word in words):
        raise NotKnownError("`test -v` runs what stands in a subscript")
    for word in words:
        if word.splits and word.raw not in _NUMBERS:
            raise NotKnownError(f"`{word.raw}` may become an operator of `test`: quote it")
    for before, operator, behind in zip(words, words[1:], words[2:], strict=False):
        # What is open has to be a number to bash as well, when it has become something.
        static = [word for word in (before, behind) if word.text is not None]
        if operator.text in _COMPARES_NUMBERS and not all(map(_is_number, static)):
            raise NotKnownError(f"`{operator.text}` of something that is no number")
    if words and words[0].text == "!":
        words = words[1:]
    if not _only_operands_are_open(words):
        raise NotKnownError("an operator of `test` is only known when it runs")


def check_bracket(words: Sequence[Word]) -> None:
    """`[`: test with a last word of its own."""
    if not words or words[-1].text != "]":
        raise NotKnownError("`[` without `]`")
    check_test(words[:-1])


def check_double_bracket(words: Sequence[Word]) -> None:
    """`[[`: whatever a word becomes, it stays one operand; only numbers are computed."""
    if not words or words[-1].text != "]]":
        raise NotKnownError("`[[` without `]]`")
    if any(word.text in _EVALUATES for word in words):
        raise NotKnownError("`[[ -v` runs what stands in a subscript")
    for before, operator, behind in zip(words, words[1:], words[2:], strict=False):
        if operator.text in _COMPARES_NUMBERS and not (_is_number(before) and _is_number(behind)):
            raise NotKnownError(f"`{operator.text}` in `[[` computes, which can run commands")


def check_command(words: Sequence[Word]) -> None:
    """With -v nothing behind it can make `command` run anything."""
    if not words or words[0].text not in {"-v", "-V", "-pv", "-pV"}:
        raise NotKnownError("`command` without -v runs what it is given")


def check_read(words: Sequence[Word]) -> None:
    """Only `read -r NAME…`: what is assigned is judged as an assignment."""
    if not read_variables([Word(raw="read", text="read"), *words]):
        raise NotKnownError("`read` is followed only as `read -r name`, with plain names")


def check_exit(words: Sequence[Word]) -> None:
    if len(words) > 1 or not all(_is_number(word) for word in words):
        raise NotKnownError("`exit` with something that is no number")


def _only_operands_are_open(words: Sequence[Word]) -> bool:
    """Whether each word that is not known yet stands where only an operand can stand."""
    if len(words) <= 1 or all(_is_no_evaluation(word) for word in words):
        return True
    match [word.text for word in words]:
        case [operator, _]:
            return operator in _UNARY
        case [_, operator, _]:
            return operator in _BINARY
        case _:
            return False


def _is_no_evaluation(word: Word) -> bool:
    return word.text is not None or word.prefix[:1] not in {"", "-"} or word.raw in _NUMBERS


def _is_number(word: Word) -> bool:
    if word.text is None:
        return word.raw in _NUMBERS
    return bool(_INTEGER.fullmatch(word.text))


BUILTINS: Mapping[str, Callable[[Sequence[Word]], None]] = {
    "printf": check_printf,
    "test": check_test,
    "[": check_bracket,
    "[[": check_double_bracket,
    "command": check_command,
    "read": check_read,
    "exit": check_exit,
}
