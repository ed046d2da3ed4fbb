"""A shell command as what it would do: the parts that are judged, each on its own.

Made by `shell_syntax` from the text, judged by `shell_judge`. Nothing here runs or looks at anything.
Nothing points back either, so that the garbage collector need not look at thousands of words.
"""

from collections.abc import Sequence

from msgspec import Struct


class Word(Struct, frozen=True, kw_only=True, gc=False):
    """One word of a command, as far as it is known before the shell expands it.

    Attributes:
        raw: as it is written.
        text: its value after the removal of quotes; None if that depends on an expansion, a
            substitution, a glob or a brace list. A `~` or `~/` that it begins with is left and
            means the home directory; `~user` and a quoted tilde have no text.
        prefix: what the value begins with for certain; `text` where that is known.
        splits: it may become several words, or none: something in it is not quoted.
        glob: the pattern, if globs are all that keeps the value from being known; otherwise "".
            What was quoted in it has a backslash where it would be special.
    """

    raw: str
    text: str | None
    prefix: str = ""
    splits: bool = False
    glob: str = ""


class Command(Struct, frozen=True, kw_only=True, tag="command", gc=False):
    """A simple command: its name and arguments. Assignments before it are parts of their own."""

    source: str
    words: Sequence[Word]


class Redirect(Struct, frozen=True, kw_only=True, tag="redirect", gc=False):
    """A redirection to or from a file; copies of descriptors (`2>&1`) are no parts.

    `is_text`: no file but the input itself (`<<<`); it is a part if an expansion is in it.
    """

    source: str
    target: Word
    writes: bool
    is_text: bool = False


class Assignment(Struct, frozen=True, kw_only=True, tag="assignment", gc=False):
    """A variable that gets a value, for one command (`before`) or for what follows.

    `command`: the name of that command, or of the one that assigns: `read`.
    """

    source: str
    name: str
    value: Word
    before: bool
    command: str = ""


class Unclear(Struct, frozen=True, kw_only=True, tag="unclear", gc=False):
    """Something that cannot be judged, and why: nothing may allow it but a person."""

    source: str
    reason: str


Part = Command | Redirect | Assignment | Unclear


class Script(Struct, frozen=True, kw_only=True, gc=False):
    """All parts in the order of the text, those inside substitutions, loops and groups too.

    `is_simple`: nothing but one simple command, without expansions: any shell reads it alike.
    """

    parts: Sequence[Part]
    is_simple: bool
