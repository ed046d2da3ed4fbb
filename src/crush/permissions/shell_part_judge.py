"""Judges one part of a command line: a command, a redirection, an assignment, something unclear."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import dropwhile

from crush.permissions.command_patterns import Fit, exact_command
from crush.permissions.decision import Decision, decided, worst
from crush.permissions.defaults import caution
from crush.permissions.known_here import KnownHere
from crush.permissions.named_files import NamedFiles
from crush.permissions.offers import command_offers, redirect_offers
from crush.permissions.real_path import real_path
from crush.permissions.rules import Need, Patterns, Rule, is_any_command
from crush.permissions.shell_places import Places
from crush.permissions.shell_script import Assignment, Command, Part, Redirect, Unclear, Word
from crush.permissions.shell_setting import Setting, doubted
from crush.permissions.shell_variables import assignment_risk
from crush.permissions.wrapped_commands import Inner, inner_commands

_DEVICES = re.compile(r"/dev/(?:null|zero|full|tty|stdin|stdout|stderr|fd/[0-9]+)")
_SOCKETS = re.compile(r"/+dev/+(?:tcp|udp)/.*", re.DOTALL)


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
        self._is_careful = is_careful
        self._known = KnownHere(setting, places=self.places)
        self._files = NamedFiles(
            setting, rules=rules, places=self.places, values=values, is_careful=is_careful
        )
        self._commands: dict[tuple[Command, object], Decision] = {}

    def judge(self, part: Part) -> Decision:
        match part:
            case Command():
                key = (part, self._files.state)
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
        refusal = self._known.refusal(words, directory=directory)
        covering = [*self._on_tool, *self._on_command(part.words, changes=bool(refusal))]
        if refusal:
            covering += self._files.on_words(words[1:], reads_only=False)
        else:
            covering += self._files.on_known(words)
            covering.append(_known(part.words))
        can_offer = self._known.is_inside() and (refusal or len(covering) > 1)
        return decided(
            covering,
            otherwise=refusal,
            source_text=part.source,
            offers=command_offers(part.words) if can_offer else (),
        )

    def _on_command(self, words: Sequence[Word], *, changes: bool) -> Iterator[Rule]:
        """The rules on these words; allow rules take them as they stand, others look through."""
        inner: Sequence[Inner] = ()
        for rule, pattern in self._rules.commands:
            if rule.effect == "allow":
                # What was allowed here was not meant for the Makefile of another place.
                if pattern.covers(words) and self._known.is_inside():
                    yield rule
            elif rule.source == "mode":
                if changes:
                    yield rule
            else:
                inner = inner or inner_commands(words)
                fits = [(pattern.fit(i.words), i.is_certain) for i in inner if i.words]
                if (Fit.YES, True) in fits:
                    yield rule
                elif len(fits) < len(inner) or any(fit is not Fit.NO for fit, _ in fits):
                    yield doubted(rule)

    def _on_unknown(self, effect: str) -> Iterator[Rule]:
        """The command rules that may be about something that nobody can tell."""
        for rule, pattern in self._rules.commands:
            if rule.effect == effect:
                is_meant = rule.source == "mode" or is_any_command(pattern)
                yield rule if is_meant else doubted(rule)

    def _judge_redirect(self, part: Redirect) -> Decision:
        text = part.target.text
        if part.is_text:
            allowed = Rule("allow", "read", part.target.raw, "default", "it is text")
            return self._about(part, "", *self._files.on_text(part.target), allowed)
        if text is not None and _SOCKETS.fullmatch(text):
            return self._about(part, "it opens a network connection")
        if text is not None and _DEVICES.fullmatch(text):
            allowed = Rule("allow", "write", text, "default", "it is no file")
            return self._about(part, "", allowed)
        if not part.writes:
            named = [*self._files.on_input(part.target)]
            allowed = Rule("allow", "read", part.target.raw, "default", "it only reads")
            return self._about(part, "", *named, allowed)
        if text is None or self.places.anywhere:
            denied = self._rules.limits("write")
            limits = [rule if rule.source == "mode" else doubted(rule) for rule in denied]
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
        self._files.assign(part)
        risk = assignment_risk(part, env=self._setting.env)
        if risk:
            narrowing = [r for r in self._on_unknown("deny") if r.source == "mode"]
            return self._about(part, risk, *narrowing)
        named = self._files.on_words([part.value], reads_only=True)
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
