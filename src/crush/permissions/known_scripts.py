"""The little languages of sed, awk and jq: which of their scripts are known to only print.

Each is a small grammar that allows; what it does not describe is refused. Where implementations
read a character differently, as a delimiter inside of brackets, the script is refused too.
"""

import re
from collections.abc import Callable, Mapping

# One piece of a regular expression between two delimiters. A bracket expression holds neither the
# delimiter nor `\]`: GNU and BSD differ in where those end it. Nothing is tried a second time (`?+`,
# `*+`): a `]` in front belongs to the bracket, and no other reading may make the script pass.
_PIECE = r"(?:\\[^\n]|\[\^?+\]?+(?:\[:[a-z]+:\]|\\[^\n\]{d}]|[^\[\]\\\n{d}])*+\]|[^\\\[\n{d}])"
_SED_DELIMITERS = "/|,#@:!%~_+"
_SED_ADDRESS = rf"(?:[0-9]+(?:~[0-9]+)?|\$|/{_PIECE.format(d='/')}*+/I?)"
_SED_ADDRESSES = re.compile(
    rf"(?:{_SED_ADDRESS}[ \t]*(?:,[ \t]*(?:{_SED_ADDRESS}|[+~][0-9]+)[ \t]*)?)?(?:![ \t]*)?"
)
_SED_COMMAND = re.compile(r"[pdD=nNPhHgGx](?![A-Za-z0-9])|[qQ](?:[ \t]*[0-9]+)?(?![A-Za-z0-9])")
_SED_BETWEEN = re.compile(r"[ \t\n;]*")
_SED_END = re.compile(r"[ \t]*(?:[;\n]|(?=\})|\Z)")


def _sed_substitution(delimiter: str) -> re.Pattern[str]:
    d = re.escape(delimiter)
    return re.compile(
        rf"s{d}{_PIECE.format(d=d)}*+{d}(?:\\[^\n]|[^\\\n{d}])*+{d}[gpiI0-9]*+(?![A-Za-z])"
    )


_SED_SUBSTITUTIONS = {delimiter: _sed_substitution(delimiter) for delimiter in _SED_DELIMITERS}


def sed_only_prints(script: str) -> bool:
    """Addresses, blocks, and the commands p, d, q, =, n, h, g, x and s with the flags g, p, i."""
    at, depth = 0, 0
    while (at := _end(_SED_BETWEEN, script, at)) < len(script):
        if script[at] == "}":
            depth -= 1
            if depth < 0:
                return False
            at = _end(_SED_END, script, at + 1)
            if at < 0:
                return False
            continue
        at = _end(_SED_ADDRESSES, script, at)
        if script[at : at + 1] == "{":
            depth += 1
            at += 1
            continue
        pattern = (
            _SED_SUBSTITUTIONS.get(script[at + 1 : at + 2])
            if script[at : at + 1] == "s"
            else _SED_COMMAND
        )
        at = _end(pattern, script, at) if pattern else -1
        at = _end(_SED_END, script, at) if at >= 0 else -1
        if at < 0:
            return False
    return depth == 0


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return -1 if found is None else found.end()


# Whatever runs, opens, includes or calls indirectly, and what holds the environment; in strings
# and comments too, which costs a question now and then.
_AWK_DOES = re.compile(
    r"@|`|\\\r?\n|(?<![A-Za-z0-9_])(?:system|getline|close|fflush|func|function|ENVIRON|PROCINFO|SYMTAB"
    r"|FUNCTAB|ARGV|include|load|extension|namespace|eval)(?![A-Za-z0-9_])"
)
_AWK_TOKEN = re.compile(
    r"(?P<blank>[ \t]+)"
    r"|(?P<string>\"(?:\\[^\n]|[^\"\\\n])*\")"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<number>[0-9]+(?:\.[0-9]*)?(?![A-Za-z0-9_.])|\.[0-9]+(?![A-Za-z0-9_.]))"
    r"|(?P<sign>\|\||&&|>=|<=|==|!=|\+\+|--|[-+*%^]=|[-+*%^!~<>=?:,;$(){}\[\]\n/|])"
)
_AWK_REGEX = re.compile(rf"/{_PIECE.format(d='/')}*+/")
# Behind these a slash cannot divide, so it opens a regular expression, to every awk.
_AWK_BEFORE_REGEX = frozenset({"", "(", ",", "&&", "||", "!", "~", "{", "}", ";", "\n"})
_AWK_PAIRS = {"(": ")", "[": "]", "{": "}"}
_AWK_KEYWORDS = frozenset(
    {
        "print",
        "printf",
        "if",
        "else",
        "while",
        "for",
        "do",
        "in",
        "return",
        "delete",
        "exit",
        "next",
    }
    | {"length", "BEGIN", "END"}
)


def awk_only_prints(script: str) -> bool:
    """No pipe, no redirection, nothing that runs, and no doubt about what is a regular expression."""
    if _AWK_DOES.search(script):
        return False
    return not (set("|>") & set(script)) or _awk_compares(script)


def _awk_compares(script: str) -> bool:
    """Whether each `>` compares and no `|` is left outside of texts and expressions.

    Outside of braces there is no statement that could redirect, and inside of parentheses `>`
    always compares.
    """
    at, before = 0, ""
    opened: list[str] = []
    while at < len(script):
        if script[at] == "/" and before in _AWK_BEFORE_REGEX:
            found, kind = _AWK_REGEX.match(script, at), "regex"
        else:
            found = _AWK_TOKEN.match(script, at)
            kind = (found.lastgroup or "") if found else ""
        if found is None:
            return False
        at = found.end()
        if kind == "blank":
            continue
        if kind == "sign" and not _awk_sign_is_clear(found.group(), before, opened):
            return False
        is_operand = kind in {"string", "number", "regex"} or found.group() not in _AWK_KEYWORDS
        before = "operand" if kind != "sign" and is_operand else found.group()
    return not opened


def _awk_sign_is_clear(sign: str, before: str, opened: list[str]) -> bool:
    """Whether a sign can only mean one thing; `opened` are the brackets that it stands in."""
    if sign in _AWK_PAIRS:
        opened.append(sign)
        return True
    if sign in _AWK_PAIRS.values():
        return bool(opened) and _AWK_PAIRS[opened.pop()] == sign
    if sign == ">":
        return not opened or opened[-1] == "("
    return sign != "|" and (sign != "/" or before in {"operand", "]"})


# `.env` is a field; `env` and `$ENV` are the environment; the others read programs from files.
_JQ_FIELD = re.compile(r"(?<![.0-9])\.(?:env|ENV|import|include)(?!\w)", re.ASCII)
_JQ_DOES = re.compile(
    r"(?<!\w)(?:env|ENV|import|include|modulemeta|get_search_list)(?!\w)", re.ASCII
)


def jq_only_prints(script: str) -> bool:
    """No environment, no other files of programs, and no names of theirs in texts either."""
    return _JQ_DOES.search(_JQ_FIELD.sub(".", script)) is None


SCRIPTS: Mapping[str, Callable[[str], bool]] = {
    "sed": sed_only_prints,
    "awk": awk_only_prints,
    "jq": jq_only_prints,
}
