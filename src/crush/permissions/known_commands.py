"""Commands that are known to only read, with their options: the data is `known_commands.toml`.

What is not known is no danger by itself: a person is asked. What is known runs unasked, so a doubt
is a refusal.
"""

from collections.abc import Mapping, Sequence
from typing import Self

from msgspec import Struct

from crush.permissions.known_builtins import BUILTINS
from crush.permissions.known_entries import Known, load_known
from crush.permissions.known_options import NotKnownError, Reading
from crush.permissions.known_scripts import SCRIPTS
from crush.permissions.shell_script import Word

_SCRIPT_OPTIONS = frozenset({"-e", "--expression"})
_LONGEST_SCRIPT = 4000  # judging takes a few milliseconds then
_LIKE_OPTIONS = frozenset("tvzjJ")


class KnownCommand(Struct, frozen=True, kw_only=True):
    """One entry for a person: `options` in short, with those that are named as harmful."""

    name: str
    reason: str
    options: str
    harmful: Mapping[str, str]


class KnownCommands:
    """The commands of the data file. Loading reads that file, so who needs it keeps it."""

    def __init__(self, known: Mapping[str, Known]) -> None:
        self._known = known

    @classmethod
    def load(cls) -> Self:
        return cls(load_known())

    def refusal(self, words: Sequence[Word], *, cwd: str) -> str:
        """Why a simple command of these words is not known to only read; "" if it is."""
        name = words[0].text if words else None
        if name is None:
            return "the name of the command is only known when it runs"
        if "/" in name:
            return f"`{name}` is a path, not the name of a known command"
        known = self._known.get(name)
        if known is None:
            return f"`{name}` is not a known read-only command"
        try:
            _check(known, words[1:], cwd)
        except NotKnownError as error:
            return str(error)
        return ""

    def is_builtin(self, name: str) -> bool:
        """Whether bash runs it itself, so that no PATH decides what it is."""
        known = self._known.get(name)
        return known is not None and known.entry.builtin

    def runs(self, name: str) -> Sequence[str]:
        """Programs that it looks for on PATH itself: they have to be as trusted as it is.

        `*` among them: nobody knows which, so all of PATH has to be (`command_place.find_gap`).
        """
        known = self._known.get(name)
        return known.entry.runs.split() if known else []

    def names(self) -> Sequence[str]:
        return sorted(self._known)

    def entries(self) -> Sequence[KnownCommand]:
        """All, with subcommands as entries of their own (`git log`), sorted by name."""
        found: list[KnownCommand] = []
        waiting = list(self._known.values())
        while waiting:
            known = waiting.pop()
            waiting.extend(known.commands.values())
            found.append(_described(known))
        return sorted(found, key=lambda entry: entry.name)


def _described(known: Known) -> KnownCommand:
    return KnownCommand(
        name=known.title,
        reason=known.entry.reason,
        options="any" if known.entry.any else " ".join(known.options),
        harmful=known.never,
    )


def _check(known: Known, words: Sequence[Word], cwd: str) -> None:
    entry = known.entry
    if entry.any:
        _check_any(known, words)
    elif entry.check in BUILTINS:
        BUILTINS[entry.check](words)
    elif known.commands:
        _check_subcommand(known, words, cwd)
    else:
        reading = Reading(known, _with_dash(words) if entry.check == "tar" else words, cwd=cwd)
        reading.read()
        reading.check_operands()
        if entry.check in SCRIPTS:
            _check_script(known, reading)


def _check_subcommand(known: Known, words: Sequence[Word], cwd: str) -> None:
    reading = Reading(known, words, cwd=cwd)
    rest = reading.read_to_subcommand()
    command = known.commands.get(rest[0].text or "") if rest else None
    if command is not None:
        _check(command, rest[1:], cwd)
        return
    if rest and (known.entry.operands == 0 or not known.entry.bare):
        raise NotKnownError(f"`{known.title} {rest[0].raw}` is not a known read-only command")
    if not known.entry.bare:
        raise NotKnownError(f"`{known.title}` alone is not known to only read")
    reading.read()
    reading.check_operands()


def _check_any(known: Known, words: Sequence[Word]) -> None:
    """Only for what is harmless but unwanted, so words that are not known yet pass."""
    for word in words if known.never else ():
        text = word.text or ""
        if text == "--":
            return
        names = [text.partition("=")[0]] if text.startswith("--") else _letters(known, text)
        for name in names:
            for harmful, harm in known.never.items():
                # GNU takes an abbreviation for the whole.
                if name == harmful or (name.startswith("--") and harmful.startswith(name)):
                    raise NotKnownError(f"`{known.title} {harmful}` {harm}")


def _letters(known: Known, text: str) -> Sequence[str]:
    """The options of a cluster, up to the first that takes the rest as its value."""
    letters: list[str] = []
    for letter in text[1:] if text.startswith("-") else "":
        letters.append(f"-{letter}")
        if letters[-1] in known.options:
            break
    return letters


def _check_script(known: Known, reading: Reading) -> None:
    only_prints = SCRIPTS[known.entry.check]
    given = [(word.raw, value) for name, word, value in reading.values if name in _SCRIPT_OPTIONS]
    if not given:
        given = [(word.raw, word.text) for word in reading.operands[:1]]
    for raw, script in given:
        if script is None or len(script) > _LONGEST_SCRIPT or not only_prints(script):
            raise NotKnownError(f"the script {raw} of `{known.title}` may do more than print")


def _with_dash(words: Sequence[Word]) -> Sequence[Word]:
    """`tar tvf x` as `tar -tvf x`; only with `f` as the last letter the two are the same."""
    first = words[0].text if words else None
    if not first or not set(first.removesuffix("f")) <= _LIKE_OPTIONS:
        return words
    dashed = f"-{first}"
    return [Word(raw=words[0].raw, text=dashed, prefix=dashed), *words[1:]]
