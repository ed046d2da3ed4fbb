"""Words that need no reader: most names, arguments and variables, known by one look.

What is found here is what `shell_words` would find, in a fraction of the time.
"""

import re

from msgspec import Struct

from crush.permissions.shell_script import Word
from crush.permissions.shell_values import ASSIGNMENT
from crush.permissions.shell_words import WordReader

# Nothing that is left out of these is decided: such a word is read letter by letter.
_PLAIN_WORD = re.compile(
    r"(?:(?P<plain>[A-Za-z0-9_/.,:=+@%^-]+|\[\[?|\]\]?|[{}!])"
    r"|\"\$(?P<name>[A-Za-z_][A-Za-z0-9_]*)\""
    r"|'(?P<single>[^'\n~][^'\n]*)'"
    r"|\"(?P<double>[^\"\\$`\n~][^\"\\$`\n]*)\")"
    r"(?=[ \t\n;&|)]|\Z)"
)


class PlainWord(Struct, frozen=True, kw_only=True, gc=False):
    """A word that is known already, where a reader of words is asked; `text` as in `Word`.

    Of an assignment, `value` is where its value begins in `raw` and in `text`, which are the same.
    """

    start: int
    pos: int
    raw: str
    text: str | None
    assigned: str = ""
    value: int = 0

    def word(self) -> Word:
        if self.text is None:
            return Word(raw=self.raw, text=None)
        value = self.text[self.value :]
        return Word(raw=self.raw[self.value :], text=value, prefix=value)


ReadWord = WordReader | PlainWord


def plain_word(source: str, start: int, *, limit: int, may_assign: bool) -> PlainWord | None:
    """The word at `start`, if it is a plain one; where `may_assign`, `NAME=value` assigns."""
    found = _PLAIN_WORD.match(source, start, limit)
    if found is None:
        return None
    raw, kind = found.group(), found.lastgroup or ""
    text = None if kind == "name" else found[kind]
    if may_assign and kind == "plain" and "=" in raw and (equals := ASSIGNMENT.match(raw)):
        name = equals.group().rstrip("+=")
        value = equals.end()
        return PlainWord(
            start=start, pos=found.end(), raw=raw, text=text, assigned=name, value=value
        )
    return PlainWord(start=start, pos=found.end(), raw=raw, text=text)
