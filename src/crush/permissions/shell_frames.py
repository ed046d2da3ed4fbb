"""What the reader of a script remembers of one list of commands that it is in the middle of.

The script is such a list, and so is what stands between `$(` and `)` or between backticks.
"""

from enum import IntEnum, auto

from msgspec import Struct

from crush.permissions.shell_script import Word
from crush.permissions.shell_words import WordReader


class State(IntEnum):
    """What bash expects at this point of a list of commands."""

    START = auto()  # a command, a keyword
    PREFIX = auto()  # after assignments and redirections: a name, or nothing
    ARGS = auto()
    AFTER = auto()  # after a compound command: a redirection, an operator, a closing keyword
    FOR_NAME = auto()
    FOR_IN = auto()
    FOR_WORDS = auto()
    FOR_DO = auto()
    CASE_WORD = auto()
    CASE_IN = auto()
    PATTERN = auto()  # the first of a clause, or `esac`
    PATTERN_MORE = auto()  # after `(` or `|`
    PATTERN_END = auto()
    TEST = auto()  # inside `[[ ]]`
    FUNCTION = auto()  # after `function`
    FUNCTION_BODY = auto()  # after its name


# Where a command may begin, go on or have ended.
IN_COMMAND = frozenset({State.START, State.PREFIX, State.ARGS, State.AFTER})


class Redirection(Struct):
    """An operator that waits for its word."""

    operator: str
    start: int


class HereDocument(Struct, frozen=True):
    """A here-document whose body begins after this line."""

    delimiter: str
    is_quoted: bool
    strips_tabs: bool
    start: int


class Frame:
    """One list of commands, up to `limit` or the token `closer`, and the command being read."""

    def __init__(self, *, start: int, limit: int, closer: str) -> None:
        self.start = start
        self.limit = limit
        self.closer = closer
        self.state = State.START
        self.blocks: list[str] = []
        self.here_documents: list[HereDocument] = []
        self.reader: WordReader | None = None
        self.redirection: Redirection | None = None
        self.descriptor_start = -1
        self.loop_variable = ""
        self.clear()

    def clear(self) -> None:
        """The next command begins."""
        self.words: list[Word] = []
        self.assigned: list[tuple[int, int, str, Word]] = []
        self.command_start = -1
        self.command_end = -1

    @property
    def block(self) -> str:
        """The innermost compound command that is open."""
        return self.blocks[-1] if self.blocks else ""

    def add_word(self, word: Word, start: int, end: int) -> None:
        if not self.words:
            self.command_start = start
        self.words.append(word)
        self.command_end = end
