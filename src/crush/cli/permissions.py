"""`crush permissions list|explain|test`: which rules hold here, and what they say to a command.

Runs nothing and needs no server: it reads the configuration as a run from here would, and judges as
that run would, as if there were no sandbox.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import cast

from crush.cli.harmless import harmless
from crush.cli.options import Parsed
from crush.cli.permissions_table import Line, read_lines
from crush.cli.place import cwd_of, given_data_dir
from crush.config.load import load_config
from crush.errors import CrushError, Exit, UsageError
from crush.permissions.decision import Decision
from crush.permissions.defaults import rules_for
from crush.permissions.grants import Grants
from crush.permissions.judge import Judge
from crush.permissions.known_commands import KnownCommand, KnownCommands
from crush.permissions.rule_text import parse_rule, rules_from
from crush.permissions.rules import Effect, Need, Rule
from crush.wire.messages import Mode

# `explain` says what is decided by its exit code, for scripts.
_EXIT_CODES: dict[Effect, int] = {"allow": 0, "ask": 3, "deny": 4}
_CAUTIONS = (
    ("ask", "write(…)", "default", "what other programs obey, by name: .git, crush.json, .bashrc"),
    ("ask", "read(…)", "default", "where passwords and keys lie, by name: .env, ~/.ssh, *.pem"),
    ("allow", "command(…)", "default", "commands that are known to only read"),
)


class Bench:
    """What judging in one directory takes, looked up once."""

    def __init__(self, parsed: Parsed) -> None:
        self.cwd = os.path.realpath(cwd_of(parsed))
        config = load_config(self.cwd, os.environ, data_dir=given_data_dir(parsed))
        for notice in config.notices:
            sys.stderr.write(harmless(f"crush: {notice}\n"))
        self._user = rules_from(config.permissions, source="user")
        self._project = rules_from(config.project_permissions, source="project")
        self._granted = [
            parse_rule(text, effect="allow", source="grant")
            for text in Grants(os.environ).of(self.cwd)
        ]
        self._env = {**os.environ, **config.env}
        self.known = KnownCommands.load()
        self._judges: dict[Mode, Judge] = {}

    def rules(self, mode: Mode) -> Sequence[Rule]:
        rules = rules_for(
            mode, read_only=False, root=self.cwd, user=self._user, project=self._project
        )
        return (*self._granted, *rules)

    def judge(self, command: str, mode: Mode) -> Decision:
        if mode not in self._judges:
            self._judges[mode] = Judge(
                rules=self.rules(mode),
                mode=mode,
                root=self.cwd,
                env=self._env,
                known=self.known,
                has_bash=shutil.which("bash", path=self._env.get("PATH")) is not None,
                uid=os.geteuid(),
            )
        return self._judges[mode].judge(_need(command, self.cwd))


def choose(_parsed: Parsed) -> int:
    raise UsageError("say which: crush permissions list, explain or test")


def list_all(parsed: Parsed) -> int:
    bench = Bench(parsed)
    as_json = parsed.flag("json")
    if parsed.flag("commands"):
        entries = bench.known.entries()
        _write(json.dumps([_entry(e) for e in entries]) if as_json else _entry_lines(entries))
        return Exit.OK
    rules = bench.rules(_mode(parsed))
    count = len(bench.known.names())
    if as_json:
        _write(json.dumps({"rules": [_rule(r) for r in rules], "known_commands": count}))
        return Exit.OK
    rows = [(rule.effect, rule.text, rule.source, rule.reason) for rule in rules]
    _write("\n".join(_columns([*rows, *_CAUTIONS])))
    _write(f"{count} commands are known to only read: crush permissions list --commands")
    return Exit.OK


def explain(parsed: Parsed) -> int:
    command = " ".join(parsed.words)
    if not command.strip():
        raise UsageError("say which command: crush permissions explain -- COMMAND")
    decision = _bench_to_decide(parsed).judge(command, _mode(parsed))
    fenced = _fenced(decision, _mode(parsed)) if parsed.flag("sandbox") else ""
    if parsed.flag("json"):
        record = {"command": command, "mode": _mode(parsed), **_decision(decision)}
        _write(json.dumps({**record, "sandbox": fenced} if fenced else record))
    else:
        _write("\n".join(_explained(decision, fenced)))
    return _EXIT_CODES[decision.effect]


def _bench_to_decide(parsed: Parsed) -> Bench:
    """Where nothing can be decided, the exit code is none of those that say a decision."""
    try:
        return Bench(parsed)
    except CrushError as exc:
        if exc.exit_code not in _EXIT_CODES.values():
            raise
        raise CrushError(exc.message, hint=exc.hint) from exc


def test(parsed: Parsed) -> int:
    if len(parsed.words) != 1:
        raise UsageError("say which file: crush permissions test FILE")
    path = parsed.words[0]
    lines = read_lines(path)
    bench = Bench(parsed)
    fitting = 0
    for line in lines:
        miss = line.problem or _miss(line, bench.judge(line.command, line.mode))
        fitting += not miss
        if miss:
            _write(f"{path}:{line.number}: {miss}")
    _write(f"{fitting} of {len(lines)} as expected")
    return Exit.OK if fitting == len(lines) else Exit.ERROR


def _miss(line: Line, decision: Decision) -> str:
    if line.expects(decision.effect):
        return ""
    shown = ascii(line.command)[1:-1]
    return f"expected {line.expect}, got {decision.effect}: {shown} ({decision.reason})"


def _need(command: str, cwd: str) -> Need:
    return Need(
        tool="bash",
        action="execute",
        kind="execute",
        target=command,
        directory=cwd,
        description=command,
    )


def _mode(parsed: Parsed) -> Mode:
    return cast("Mode", parsed.text("mode"))  # one of the option's choices


def _fenced(decision: Decision, mode: Mode) -> str:
    """What a sandbox would change."""
    if mode == "workspace" and decision.effect == "ask" and not decision.is_explicit_ask:
        return "with a sandbox it runs in there, without a question"
    return "a sandbox changes nothing"


def _explained(decision: Decision, fenced: str) -> Iterator[str]:
    yield f"{decision.effect}: {decision.reason}"
    yield f"rule: {_rule_line(decision.rule)}"
    yield from _columns([(f"  {p.effect}", p.source_text, _part_why(p)) for p in decision.parts])
    for offer in decision.offers:
        yield f"can be remembered: {' + '.join(offer)}"
    if fenced:
        yield fenced


def _part_why(part: Decision) -> str:
    return f"{part.reason}; rule: {_rule_line(part.rule)}"


def _rule_line(rule: Rule | None) -> str:
    return "none" if rule is None else f"{rule.effect} {rule.text} ({rule.source})"


def _decision(decision: Decision) -> dict[str, object]:
    return {
        "decision": decision.effect,
        "reason": decision.reason,
        "rule": _rule(decision.rule) if decision.rule else None,
        "explicit": decision.is_explicit_ask,
        "offers": decision.offers,
        "parts": [{"source": p.source_text, **_decision(p)} for p in decision.parts],
    }


def _rule(rule: Rule) -> dict[str, str]:
    return {
        "effect": rule.effect,
        "rule": rule.text,
        "source": rule.source,
        "reason": rule.reason,
    }


def _entry(entry: KnownCommand) -> dict[str, object]:
    return {
        "name": entry.name,
        "reason": entry.reason,
        "options": entry.options,
        "harmful": dict(entry.harmful),
    }


def _entry_lines(entries: Sequence[KnownCommand]) -> str:
    return "\n".join(_columns([(entry.name, entry.reason) for entry in entries]))


def _columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows with their columns under each other; a cell stays one line, the last one unpadded."""
    cells = [[" ".join(cell.split("\n")) for cell in row] for row in rows]
    widths = [min(max(map(len, column)), _WIDEST) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)]
        yield "  ".join(padded).rstrip()


_WIDEST = 60


def _write(text: str) -> None:
    sys.stdout.write(harmless(f"{text}\n"))
