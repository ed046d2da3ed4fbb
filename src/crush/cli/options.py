"""Command lines, from one table: parsing, help and completion read the same records.

A parser of our own, because `argparse` costs the thin client a third of its start and lets a
sub-command reset the flags that stood before it. Options count wherever they stand.
"""

from crush.errors import UsageError

TYPE_CHECKING = False  # `typing` alone would cost the thin client 4 ms
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    Value: TypeAlias = str | int | float | bool


class Option:
    """One option. `value` names its argument, "" for a switch; `choices` limits it."""

    __slots__ = ("choices", "default", "help", "names", "value")

    def __init__(
        self,
        *names: str,
        help: str,  # noqa: A002 - what it is called everywhere else
        value: str = "",
        default: "Value | None" = None,
        choices: tuple[str, ...] = (),
    ) -> None:
        self.names = names
        self.help = help
        self.value = value
        self.default: Value = (False if not value else "") if default is None else default
        self.choices = choices

    @property
    def key(self) -> str:
        """The name under which the parsed value is found: the long one, as an identifier."""
        return self.names[-1].lstrip("-").replace("-", "_")

    def convert(self, text: str) -> "Value":
        """The argument as the type of the default. Raises UsageError."""
        if self.choices and text not in self.choices:
            raise UsageError(f"{self.names[-1]} is one of {', '.join(self.choices)}, not {text!r}")
        if isinstance(self.default, str):
            return text
        try:
            number = int(text) if isinstance(self.default, int) else float(text)
        except ValueError as exc:
            raise UsageError(f"{self.names[-1]} needs a number, not {text!r}") from exc
        if not 0 <= number < float("inf"):
            raise UsageError(f"{self.names[-1]} needs a number from 0 up, not {text!r}")
        return number


class Command:
    """One command: `name` may have two words; `words` describes its arguments, "" for none.

    The aliases of a command of two words stand for its second one.
    """

    __slots__ = ("aliases", "hidden", "module", "name", "options", "summary", "words")

    def __init__(
        self,
        name: str,
        *,
        summary: str,
        module: str,
        options: tuple[Option, ...] = (),
        words: str = "",
        aliases: tuple[str, ...] = (),
        hidden: frozenset[str] = frozenset(),
    ) -> None:
        self.name = name
        self.summary = summary
        self.module = module
        self.options = options
        self.words = words
        self.aliases = aliases
        self.hidden = hidden  # keys of options that help does not show


class Parsed:
    """What a command line says. Values are found by key, whatever was not given by its default."""

    __slots__ = ("_values", "command", "words")

    def __init__(self, command: Command, values: "dict[str, Value]", words: list[str]) -> None:
        self.command = command
        self._values = values
        self.words = words

    def text(self, key: str) -> str:
        return str(self._values[key])

    def flag(self, key: str) -> bool:
        return bool(self._values[key])

    def number(self, key: str) -> float:
        return float(self._values[key])


def parse(
    arguments: "Sequence[str]", commands: "Sequence[Command]", shared: "Sequence[Option]"
) -> Parsed:
    """Read a command line. Raises UsageError for what no option or command fits."""
    command, first_words = _find_command(arguments, commands, shared)
    options = {name: option for option in (*shared, *command.options) for name in option.names}
    values: dict[str, Value] = {option.key: option.default for option in options.values()}
    words: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            words.extend(rest)
            break
        if not argument.startswith("-") or argument == "-":
            words.append(argument)
        elif argument.startswith("--"):
            _take_long(argument, rest, options, values, command)
        else:
            _take_short(argument, rest, options, values, command)
    words = words[first_words:]
    if words and not command.words:
        raise UsageError(
            f"crush {command.name} takes no arguments, got {words[0]!r}".replace("  ", " ")
        )
    return Parsed(command, values, words)


def _find_command(
    arguments: "Sequence[str]", commands: "Sequence[Command]", shared: "Sequence[Option]"
) -> tuple[Command, int]:
    """The command, and how many words its name takes; the first of the table if none is named."""
    takes_value = {
        name
        for option in (*shared, *(o for command in commands for o in command.options))
        if option.value
        for name in option.names
    }
    words: list[str] = []
    skip = False
    for argument in arguments:
        if skip:
            skip = False
        elif argument == "--":
            break
        elif argument.startswith("-") and argument != "-":
            skip = _awaits_value(argument, takes_value)
        else:
            words.append(argument)
    if not words:
        return commands[0], 0
    named = {name: command for command in commands for name in names_of(command)}
    command = named.get(words[0])
    if command is None:
        raise UsageError(
            f"there is no command {words[0]!r}{_suggestion(words[0], named)}",
            hint="`crush --help` lists the commands; `crush run PROMPT` asks the agent",
        )
    if len(words) == 1:
        return command, 1
    second = f"{command.name} {words[1]}"
    if second in named:
        return named[second], 2
    if not command.words and any(name.startswith(f"{command.name} ") for name in named):
        raise UsageError(
            f"there is no command {second!r}{_suggestion(second, named)}",
            hint=f"`crush {command.name} --help` lists them",
        )
    return command, 1


def names_of(command: Command) -> list[str]:
    """Every name under which a command is called."""
    group, space, _ = command.name.rpartition(" ")
    return [command.name, *(group + space + alias for alias in command.aliases)]


def _awaits_value(argument: str, takes_value: set[str]) -> bool:
    """Whether the next argument belongs to this one: `--model`, `-m`, `-qm`, not `-mMODEL`."""
    if argument.startswith("--"):
        return argument in takes_value
    for at, letter in enumerate(argument[1:], 1):
        if f"-{letter}" in takes_value:
            return at == len(argument) - 1
    return False


def _take_long(
    argument: str,
    rest: list[str],
    options: dict[str, Option],
    values: "dict[str, Value]",
    command: Command,
) -> None:
    name, equals, text = argument.partition("=")
    option = _option(name, options, command)
    if not option.value:
        if equals:
            raise UsageError(f"{name} takes no value")
        values[option.key] = True
    else:
        values[option.key] = option.convert(text if equals else _argument(name, rest))


def _take_short(
    argument: str,
    rest: list[str],
    options: dict[str, Option],
    values: "dict[str, Value]",
    command: Command,
) -> None:
    """`-qv`, `-mMODEL`, `-m MODEL`."""
    letters = argument[1:]
    while letters:
        name, letters = "-" + letters[0], letters[1:]
        option = _option(name, options, command)
        if option.value:
            values[option.key] = option.convert(letters.removeprefix("=") or _argument(name, rest))
            return
        values[option.key] = True


def _option(name: str, options: dict[str, Option], command: Command) -> Option:
    option = options.get(name)
    if option is None:
        hint = f"`crush {command.name} --help` lists them".replace("  ", " ")
        if command.words:
            hint += "; put -- before words that begin with -"
        raise UsageError(f"there is no option {name}{_suggestion(name, options)}", hint=hint)
    return option


def _argument(name: str, rest: list[str]) -> str:
    if not rest:
        raise UsageError(f"{name} needs a value")
    return rest.pop(0)


def _suggestion(wrong: str, known: "dict[str, Option] | dict[str, Command]") -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only on the way to an error

    near = get_close_matches(wrong, known, n=1)
    return f" (did you mean {near[0]}?)" if near else ""
