"""Judges one part of a command line: a command, a redirection, an assignment, something unclear."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import dropwhile

from msgspec import Struct

from crush.permissions.command_patterns import Fit, exact_command
from crush.permissions.command_place import find_command, find_gap
from crush.permissions.computed_names import COMPUTED, is_computed, prints_computed
from crush.permissions.decision import Decision, decided, worst
from crush.permissions.defaults import caution
from crush.permissions.known_commands import KnownCommands
from crush.permissions.offers import command_offers, redirect_offers
from crush.permissions.real_path import real_path
from crush.permissions.rules import Need, Patterns, Rule, is_within, strongest
from crush.permissions.shell_places import Places
from crush.permissions.shell_script import Assignment, Command, Part, Redirect, Unclear, Word
from crush.permissions.shell_variables import assignment_risk
from crush.permissions.wide_searches import WIDE_SEARCH, is_search, is_wide, starts_here
from crush.permissions.word_paths import (
    expansions,
    glob_guess,
    named_paths,
    operands,
    own_globs,
    secret_guess,
    shows_names,
)
from crush.permissions.wrapped_commands import inner_commands

# What bash takes when there is none.
_USUAL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DEVICES = re.compile(r"/dev/(?:null|zero|full|tty|stdin|stdout|stderr|fd/[0-9]+)")
_SOCKETS = re.compile(r"/+dev/+(?:tcp|udp)/.*", re.DOTALL)
_RELATIVE = "it is relative to a directory that is only known when it runs"


class Setting(Struct, frozen=True, kw_only=True):
    """What stays the same for all command lines of a run."""

    root: str
    home: str
    env: Mapping[str, str]
    known: KnownCommands
    uid: int


class PartJudge:
    """Judges the parts of one command line, in their order.

    Attributes:
        places: the caller tells it of each command that was judged.
    """

    def __init__(
        self,
        setting: Setting,
        *,
        need: Need,
        rules: Patterns,
        values: Mapping[str, set[str]],
        is_careful: bool,
    ) -> None:
        self.places = Places(need.directory, home=setting.home)
        self._setting = setting
        self._rules = rules
        self._on_tool = tuple(rules.on_tool(need))
        self._values = values
        self._computed: list[str] = []
        self._is_careful = is_careful
        self._distrust: dict[str, str] = {}
        self._commands: dict[tuple[Command, int, bool, int], Decision] = {}
        self._reads: dict[tuple[str, bool], tuple[Rule, ...]] = {}

    def judge(self, part: Part) -> Decision:
        match part:
            case Command():
                places = self.places
                key = (part, len(places.directories), places.anywhere, len(self._computed))
                if key not in self._commands:  # long scripts repeat themselves
                    self._commands[key] = self._judge_command(part)
                return self._commands[key]
            case Redirect():
                return self._judge_redirect(part)
            case Assignment():
                return self._judge_assignment(part)
            case Unclear():
                covering = [*self._on_tool, *self._on_unknown("deny"), *self._on_unknown("ask")]
                return decided(covering, otherwise=part.reason, source_text=part.source)

    def _judge_command(self, part: Command) -> Decision:
        timed = _untimed(part.words)
        words, directory = _bare(timed)
        refusal = self._refusal(words, directory=directory)
        covering = [*self._on_tool, *self._on_command(part.words, changes=bool(refusal))]
        if refusal:
            covering += self._on_words(words[1:], reads_only=False)
        else:
            covering += self._on_known(words)
            covering.append(_known(part.words))
        return decided(
            covering,
            otherwise=refusal,
            source_text=part.source,
            offers=command_offers(part.words) if refusal or len(covering) > 1 else (),
        )

    def _refusal(self, words: Sequence[Word], *, directory: str) -> str:
        """Why the command is not known to only read; "" if it is. `directory`: where it was said to lie."""
        known, name = self._setting.known, words[0].text or ""
        for cwd in self.places.directories:
            if refusal := known.refusal(words, cwd=cwd):
                return refusal
        if name == "git" and not self._is_inside():
            return "git obeys the configuration of a directory outside"
        if known.is_builtin(name) and not directory:
            return ""
        return self._place_refusal(name, directory=directory)

    def _is_inside(self) -> bool:
        root, places = self._setting.root, self.places
        return not places.anywhere and all(is_within(path, root) for path in places.directories)

    def _place_refusal(self, name: str, *, directory: str) -> str:
        """Why the program behind a name, or one that it starts itself, could be another one."""
        key = os.path.join(directory, name)
        if directory and not os.path.isfile(key):
            return f"there is no {key}, and somebody may put it there"
        if key not in self._distrust:
            path = self._setting.env.get("PATH", _USUAL_PATH)
            places = [(name, directory or path)]
            places += [(program, path) for program in self._setting.known.runs(name)]
            reasons = (self._distrust_of(program, path=where) for program, where in places)
            self._distrust[key] = next((reason for reason in reasons if reason), "")
        return self._distrust[key]

    def _distrust_of(self, program: str, *, path: str) -> str:
        setting = self._setting
        if program == "*":
            return find_gap(path=path, root=setting.root, home=setting.home, uid=setting.uid)
        place = find_command(
            program,
            path=path,
            cwd=self.places.directories[0],
            root=setting.root,
            home=setting.home,
            uid=setting.uid,
        )
        return "" if place.trusted else place.reason

    def _on_command(self, words: Sequence[Word], *, changes: bool) -> Iterator[Rule]:
        """The rules on these words; allow rules take them as they stand, others look through."""
        inner = None
        for rule, pattern in self._rules.commands:
            if rule.effect == "allow":
                if pattern.covers(words):
                    yield rule
            elif rule.source == "mode":
                if changes:
                    yield rule
            else:
                inner = inner or [*inner_commands(words)]
                fits = [(pattern.fit(i.words), i.is_certain) for i in inner if i.words]
                if (Fit.YES, True) in fits:
                    yield rule
                elif len(fits) < len(inner) or any(fit is not Fit.NO for fit, _ in fits):
                    yield _doubted(rule)

    def _on_unknown(self, effect: str) -> Iterator[Rule]:
        """The command rules that may be about something that nobody can tell."""
        for rule, _ in self._rules.commands:
            if rule.effect == effect:
                yield rule if rule.source == "mode" else _doubted(rule)

    def _on_known(self, words: Sequence[Word]) -> Iterator[Rule]:
        """The rules and cautions on what a command reads that is known to only read."""
        is_list = shows_names(words)
        for word in operands(words):
            names_only = is_list and not word.raw.startswith("-")
            yield from self._on_words([word], reads_only=True, names_only=names_only)
        if not self._is_careful:
            return
        for pattern in own_globs(words):
            if reason := glob_guess(pattern):
                yield Rule("ask", "read", pattern, "default", reason)
        if is_search(words) and self._is_wide(words):
            yield Rule("ask", "read", words[-1].raw, "default", WIDE_SEARCH)
        if prints_computed(words, variables=self._computed):
            yield Rule("ask", "read", words[-1].raw, "default", COMPUTED)

    def _is_wide(self, words: Sequence[Word]) -> bool:
        looked_at = operands(words)
        named = {path for word in looked_at for path in self._paths(word)}
        here = self.places.directories if starts_here(words, looked_at) else ()
        return any(is_wide(path, home=self._setting.home) for path in (*named, *here))

    def _on_words(
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
                            yield _doubted(rule)
            if reads_only and self._is_careful:
                yield from self._guesses(word, names_only=names_only)

    def _paths(self, word: Word) -> Iterator[str]:
        yield from named_paths(word, self.places)
        for text in expansions(word, values=self._values, env=self._setting.env):
            yield from map(real_path, self.places.paths_of(text))

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
        if self.places.anywhere and not word.prefix.startswith(("/", "-")):
            yield Rule("ask", "read", word.raw, "default", _RELATIVE)

    def _judge_redirect(self, part: Redirect) -> Decision:
        text = part.target.text
        if text is not None and _SOCKETS.fullmatch(text):
            return self._about(part, "it opens a network connection")
        if text is not None and _DEVICES.fullmatch(text):
            allowed = Rule("allow", "write", text, "default", "it is no file")
            return self._about(part, "", allowed)
        if not part.writes:
            named = [*self._on_words([part.target], reads_only=True)]
            allowed = Rule("allow", "read", part.target.raw, "default", "it only reads")
            return self._about(part, "", *named, allowed)
        if text is None or self.places.anywhere:
            denied = self._rules.limits("write")
            limits = [rule if rule.source == "mode" else _doubted(rule) for rule in denied]
            return self._about(part, "it writes to a file that is only known when it runs", *limits)
        return self._judge_write(part, [*map(real_path, self.places.paths(part.target))])

    def _judge_write(self, part: Redirect, paths: Sequence[str]) -> Decision:
        offers = redirect_offers(sorted({*paths}))
        decisions = []
        for path in paths:
            rules = self._rules.on_path("write", path)
            covering = [*self._on_tool]
            covering += [r for r in rules if r.is_written or r.effect != "allow"]
            if self._is_careful:
                warning = caution("write", path, root=self._setting.root)
                covering += [warning] if warning else []
            decisions.append(
                decided(
                    covering,
                    otherwise=f"it writes to {path!r}",
                    source_text=part.source,
                    offers=offers,
                )
            )
        return worst(decisions)

    def _judge_assignment(self, part: Assignment) -> Decision:
        if is_computed(part.value):
            self._computed.append(part.name)
        risk = assignment_risk(part, env=self._setting.env)
        if risk:
            narrowing = [r for r in self._on_unknown("deny") if r.source == "mode"]
            return self._about(part, risk, *narrowing)
        named = self._on_words([part.value], reads_only=True)
        allowed = Rule("allow", "env", part.name, "default", "it matters to this script only")
        return self._about(part, "", *named, allowed)

    def _about(self, part: Part, otherwise: str, *rules: Rule) -> Decision:
        covering = [*self._on_tool, *rules]
        return decided(covering, otherwise=otherwise, source_text=part.source)


def _untimed(words: Sequence[Word]) -> Sequence[Word]:
    """Without the keyword `time`."""
    if words[0].raw != "time":
        return words
    rest = [*dropwhile(lambda word: word.raw in {"time", "-p"}, words)]
    return rest or words


def _bare(words: Sequence[Word]) -> tuple[Sequence[Word], str]:
    """`/bin/ls` as `ls` and where it is said to lie."""
    name = words[0].text or ""
    if not name.startswith("/") or os.path.normpath(name) != name or name == "/":
        return words, ""
    directory, bare = os.path.split(name)
    return [Word(raw=bare, text=bare, prefix=bare), *words[1:]], directory


def _known(words: Sequence[Word]) -> Rule:
    shown = exact_command([word.raw if word.text is None else word.text for word in words])
    return Rule("allow", "command", shown, "default", "it is known to only read")


def _doubted(rule: Rule) -> Rule:
    """What a deny or ask rule says to something that may be meant by it."""
    says = "denies" if rule.effect == "deny" else "asks for"
    reason = f"it may do what {rule.text} {says}"
    return Rule("ask", rule.kind, rule.pattern, rule.source, reason)
