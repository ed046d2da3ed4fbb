"""`crush trust`: what this project would run or allow itself, and the user's word on it.

Nothing else trusts a project. What is recorded is what was shown: a file that changes meanwhile is not
trusted.
"""

import difflib
import os
import sys
from collections.abc import Iterator, Sequence

from crush.cli.harmless import harmless
from crush.cli.options import Parsed
from crush.cli.place import cwd_of, given_data_dir
from crush.config.load import load_config
from crush.config.trusted import Trust, Trusted, Verdict
from crush.config.what_runs import Item, WhatRuns
from crush.errors import ConfigError, Exit, UsageError
from crush.permissions.audit import Audit, Decision, Kind
from crush.permissions.grants import Grants

_HINT = "read what is shown, then say `crush trust --yes`"


def main(parsed: Parsed) -> int:
    cwd = os.path.realpath(cwd_of(parsed))
    if sum(map(parsed.flag, ("show", "revoke", "yes"))) > 1:
        raise UsageError("--show, --revoke and --yes exclude each other")
    now = load_config(cwd, os.environ, data_dir=given_data_dir(parsed)).what_runs
    if parsed.flag("revoke"):
        return _revoke(now)
    verdict = Trusted(os.environ).judge(now)
    _write(_shown(now, verdict))
    if now.problem and not parsed.flag("show"):
        raise ConfigError(f"it cannot be trusted: {now.problem}")
    if parsed.flag("show") or verdict.is_trusted or not now.items:
        return Exit.OK
    if not (parsed.flag("yes") or _is_wanted()):
        sys.stderr.write("crush: not trusted\n")
        return Exit.DENIED
    Trusted(os.environ).add(now)
    _note("trust", now, rules=())
    _write([f"{now.cwd} is trusted as it is now."])
    return Exit.OK


def _is_wanted() -> bool:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("nobody is here to be asked", hint=_HINT)
    sys.stdout.write("Trust all of this? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().casefold() in {"y", "yes"}


def _revoke(now: WhatRuns) -> int:
    """Trust and grants go together: whoever doubts a project doubts what it was allowed, too."""
    grants = Grants(os.environ)
    granted = grants.remove(now.cwd, grants.of(now.cwd))
    was_trusted = Trusted(os.environ).revoke(now)
    lines = [f"{now.cwd} is trusted no more."] if was_trusted else []
    lines += [f"no longer allowed without a question: {rule}" for rule in granted]
    if lines:
        _note("untrust", now, rules=granted)
    _write(lines or [f"{now.cwd} was not trusted, and nothing was allowed in it for good."])
    return Exit.OK


def _note(kind: Kind, now: WhatRuns, *, rules: Sequence[str]) -> None:
    what = ", ".join(f"{item.file}: {item.what}" for item in now.items)
    decision = Decision(kind=kind, root=now.cwd, by="cli", what=what, rules=rules)
    # Names of files and keys, and rules that were shown before they were granted.
    Audit(os.environ).record(decision, hide=lambda text: text)


def _shown(now: WhatRuns, verdict: Verdict) -> Iterator[str]:
    if verdict.notice:
        yield f"crush: {verdict.notice}"
    if not now.items:
        yield f"{now.cwd} brings nothing that would run or be allowed."
        return
    if verdict.is_trusted and verdict.before:
        yield f"{now.cwd} is trusted, since {verdict.before.at}:"
    else:
        yield f"{now.cwd} is not trusted. Once it is, this may run or is allowed:"
    for item in now.items:
        yield from _one(item)
    if now.problem:
        yield f"It cannot be judged: {now.problem}"
    if verdict.before and not verdict.is_trusted:
        yield ""
        yield f"Changed since it was trusted, {verdict.before.at}:"
        yield from _difference(verdict.before, now)


def _one(item: Item) -> Iterator[str]:
    yield ""
    yield f"{item.file}: {item.what}"
    for line in item.text.splitlines():
        yield f"    {line}"


def _difference(before: Trust, now: WhatRuns) -> Iterator[str]:
    old, new = ({(i.file, i.what): i.text for i in items} for items in (before.items, now.items))
    for key in dict.fromkeys([*old, *new]):
        if old.get(key) == new.get(key):
            continue
        state = "" if key in old and key in new else " (gone)" if key in old else " (new)"
        yield f"{key[0]}: {key[1]}{state}"
        lines = difflib.unified_diff(
            old.get(key, "").splitlines(), new.get(key, "").splitlines(), lineterm="", n=2
        )
        for line in [*lines][2:]:  # without the two names
            yield f"    {line}"


def _write(lines: Iterator[str] | Sequence[str]) -> None:
    # A carriage return would let a line end unseen; `harmless` spells it out.
    sys.stdout.writelines(harmless(f"{line}\n") for line in lines)
