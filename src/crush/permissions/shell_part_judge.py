"""Judges one part of a command line: a command, a redirection, an assignment, something unclear."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from crush.permissions.command_patterns import Fit, exact_command
from crush.permissions.command_place import find_command, find_gap
from crush.permissions.decision import Decision, decided, worst
from crush.permissions.defaults import caution
from crush.permissions.known_commands import KnownCommands
from crush.permissions.offers import command_offers, redirect_offers
from crush.permissions.rules import Need, Patterns, Rule, is_within, strongest
from crush.permissions.shell_places import Places
from crush.permissions.shell_script import Assignment, Command, Part, Redirect, Unclear, Word
from crush.permissions.shell_variables import assignment_risk
from crush.permissions.word_paths import (
    expansions,
    named_paths,
    operands,
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
        self._is_careful = is_careful
        self._distrust: dict[str, str] = {}
        self._commands: dict[tuple[Command, int, bool], Decision] = {}
        self._reads: dict[tuple[str, bool], tuple[Rule, ...]] = {}

    def judge(self, part: Part) -> Decision:
        match part:
            case Command():
                key = (part, len(self.places.directories), self.places.anywhere)
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
        refusal = self._refusal(part.words)
        covering = [*self._on_tool, *self._on_command(part.words, changes=bool(refusal))]
        if refusal:
            covering += self._on_words(part.words[1:], reads_only=False)
        else:
            looked_at = operands(part.words)
            covering += self._on_words(
                looked_at, reads_only=True, names_only=shows_names(part.words)
            )
            covering.append(_known(part.words))
        return decided(
            covering,
            otherwise=refusal,
            source_text=part.source,
            offers=command_offers(part.words) if refusal or len(covering) > 1 else (),
        )

    def _refusal(self, words: Sequence[Word]) -> str:
        """Why the command is not known to only read; "" if it is."""
        known, name = self._setting.known, words[0].text or ""
        for directory in self.places.directories:
            if refusal := known.refusal(words, cwd=directory):
                return refusal
        if name == "git" and not self._is_inside():
            return "git obeys the configuration of a directory outside"
        return "" if known.is_builtin(name) else self._place_refusal(name)

    def _is_inside(self) -> bool:
        root, places = self._setting.root, self.places
        return not places.anywhere and all(is_within(path, root) for path in places.directories)

    def _place_refusal(self, name: str) -> str:
        """Why the program behind a name, or one that it starts itself, could be another one."""
        if name not in self._distrust:
            programs = [name, *self._setting.known.runs(name)]
            reasons = (self._distrust_of(program) for program in programs)
            self._distrust[name] = next((reason for reason in reasons if reason), "")
        return self._distrust[name]

    def _distrust_of(self, program: str) -> str:
        setting = self._setting
        path = setting.env.get("PATH", _USUAL_PATH)
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
            yield from map(os.path.realpath, self.places.paths_of(text))

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
        return self._judge_write(part, [*map(os.path.realpath, self.places.paths(part.target))])

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


def _known(words: Sequence[Word]) -> Rule:
    shown = exact_command([word.raw if word.text is None else word.text for word in words])
    return Rule("allow", "command", shown, "default", "it is known to only read")


def _doubted(rule: Rule) -> Rule:
    """What a deny or ask rule says to something that may be meant by it."""
    says = "denies" if rule.effect == "deny" else "asks for"
    reason = f"it may do what {rule.text} {says}"
    return Rule("ask", rule.kind, rule.pattern, rule.source, reason)
