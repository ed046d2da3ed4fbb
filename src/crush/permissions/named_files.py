"""The rules and cautions on the files that the words of a command name."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

from crush.config.secret_names import is_secret_name
from crush.permissions.computed_names import COMPUTED, is_computed, is_computed_by, prints_computed
from crush.permissions.defaults import caution
from crush.permissions.rules import Patterns, Rule, strongest
from crush.permissions.shell_places import Places
from crush.permissions.shell_script import Assignment, Word
from crush.permissions.shell_setting import Setting, doubted
from crush.permissions.wide_searches import WIDE_SEARCH, is_search, is_wide, starts_here
from crush.permissions.word_paths import (
    expansions,
    glob_guess,
    named_paths,
    operands,
    own_globs,
    paths_there,
    secret_guess,
    shows_names,
    variables,
)

_SECRETIVE = "it shows a variable that holds a secret, by its name"
_RELATIVE = "it is relative to a directory that is only known when it runs"


class NamedFiles:
    """Looks at the words of one command line, in their order.

    `values`: what the variables of the script can hold; `is_careful`: the default cautions count.
    """

    def __init__(
        self,
        setting: Setting,
        *,
        rules: Patterns,
        places: Places,
        values: Mapping[str, set[str]],
        is_careful: bool,
    ) -> None:
        self._setting = setting
        self._rules = rules
        self._places = places
        self._values = values
        self._is_careful = is_careful
        self._computed: list[str] = []
        self._found: dict[tuple[Word, object], Sequence[str]] = {}
        self._reads: dict[tuple[str, bool], tuple[Rule, ...]] = {}

    @property
    def state(self) -> object:
        """Changes when the same words may mean something else than before."""
        return (len(self._places.directories), self._places.anywhere, len(self._computed))

    def assign(self, part: Assignment) -> None:
        """What follows may use the variable."""
        grows = part.source.startswith(f"{part.name}+=")
        if part.command == "read" or grows or is_computed(part.value):
            self._computed.append(part.name)

    def on_known(self, words: Sequence[Word]) -> Iterator[Rule]:
        """The rules and cautions on what a command reads that is known to only read."""
        is_list = shows_names(words)
        for word in operands(words):
            names_only = is_list and not word.raw.startswith("-")
            yield from self.on_words([word], reads_only=True, names_only=names_only)
        if not self._is_careful:
            return
        for pattern in own_globs(words):
            if reason := glob_guess(pattern):
                yield Rule("ask", "read", pattern, "default", reason)
        if is_search(words) and self._is_wide(words):
            yield Rule("ask", "read", words[-1].raw, "default", WIDE_SEARCH)
        for word in words:
            yield from self.on_text(word)
        if prints_computed(words, variables=self._computed):
            yield Rule("ask", "read", words[-1].raw, "default", COMPUTED)

    def on_input(self, word: Word) -> Iterator[Rule]:
        """The rules and cautions on a file that is read by `<`."""
        yield from self.on_words([word], reads_only=True)
        if self._is_careful and is_computed_by(word, self._computed):
            yield Rule("ask", "read", word.raw, "default", COMPUTED)

    def _is_wide(self, words: Sequence[Word]) -> bool:
        looked_at = operands(words)
        named = {path for word in looked_at for path in self._paths(word)}
        here = self._places.directories if starts_here(words, looked_at) else ()
        return any(is_wide(path, home=self._setting.home) for path in (*named, *here))

    def on_text(self, word: Word) -> Iterator[Rule]:
        """The caution on variables that hold a secret by their name, if the script did not set them."""
        for name in variables(word) if self._is_careful else ():
            if name not in self._values and is_secret_name(name):
                yield Rule("ask", "read", f"${name}", "default", _SECRETIVE)

    def on_words(
        self, words: Sequence[Word], *, reads_only: bool, names_only: bool = False
    ) -> Iterator[Rule]:
        """The rules and cautions on the files that words name."""
        for word in words:
            for path in self._paths(word):
                if names_only:  # as if for something in there
                    yield from self._on_read(os.path.join(path, "x"), is_careful=reads_only)
                yield from self._on_read(path, is_careful=reads_only and not names_only)
                if not reads_only:
                    for rule in self._rules.on_path("write", path):
                        if rule.effect != "allow" and rule.is_written:
                            yield doubted(rule)
            if reads_only and self._is_careful:
                yield from self._guesses(word, names_only=names_only)

    def _paths(self, word: Word) -> Sequence[str]:
        key = (word, self.state)
        if key not in self._found:
            self._found[key] = (*self._find(word),)
        return self._found[key]

    def _find(self, word: Word) -> Iterator[str]:
        yield from named_paths(word, self._places)
        for text in expansions(word, values=self._values, env=self._setting.env):
            yield from paths_there(text, self._places)

    def _on_read(self, path: str, *, is_careful: bool) -> Iterable[Rule]:
        if (path, is_careful) not in self._reads:
            self._reads[path, is_careful] = (*self._read_limits(path, is_careful=is_careful),)
        return self._reads[path, is_careful]

    def _read_limits(self, path: str, *, is_careful: bool) -> Iterator[Rule]:
        """The rule that keeps the path from being read unasked, if there is one."""
        covering = [rule for rule in self._rules.on_path("read", path) if rule.is_written]
        if is_careful and self._is_careful:
            warning = caution("read", path, root=self._setting.root)
            covering += [warning] if warning else []
        rule = strongest(covering)
        if rule is not None and rule.effect != "allow":
            yield rule

    def _guesses(self, word: Word, *, names_only: bool) -> Iterator[Rule]:
        if reason := secret_guess(word, names_only=names_only):
            yield Rule("ask", "read", word.raw, "default", reason)
        if self._places.anywhere and not word.prefix.startswith(("/", "-")):
            yield Rule("ask", "read", word.raw, "default", _RELATIVE)
