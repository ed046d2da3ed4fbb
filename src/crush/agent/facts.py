"""What the agent may know of itself (`tools.base.Facts`, F 4.7): plain text without secrets."""

import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct

from crush import __version__
from crush.agent.log_tail import last_entries, one_line
from crush.permissions.rules import Rule
from crush.tools.clean_text import clean_text
from crush.wire.messages import Mode

_LINE_CHARS = 300


class About(Struct, frozen=True, kw_only=True):
    """How one run is set up.

    Attributes:
        loaded, missing: configuration files that were read, and those that would be.
        read_at: when, in Unix seconds; what changed since counts from the next prompt on.
        models: `provider/model` by kind: `large`, `small`.
        providers: ids of those that could be used.
        tools: names of those that the model has.
        notices: what the user was told about the configuration.
    """

    cwd: str
    data_dir: str
    loaded: Sequence[str]
    missing: Sequence[str]
    read_at: float
    models: Mapping[str, str]
    providers: Sequence[str]
    mode: Mode
    read_only: bool
    tools: Sequence[str]
    notices: Sequence[str]


class RunFacts:
    """The facts of one run.

    `rules` are those of the run and may block; `sandbox` says what commands are fenced with, and may block; `hide` takes known secrets out of a
    text.
    """

    def __init__(
        self,
        *,
        about: About,
        rules: Callable[[], Sequence[Rule]],
        sandbox: Callable[[], str],
        log_path: str,
        hide: Callable[[str], str],
    ) -> None:
        self._about = about
        self._rules = rules
        self._sandbox = sandbox
        self._log_path = log_path
        self._hide = hide

    def describe(self) -> str:
        about = self._about
        changed = [path for path in (*about.loaded, *about.missing) if _is_new(path, about.read_at)]
        sections = {
            "crush": [
                f"version {__version__}, Python {platform.python_version()}, {sys.platform}",
                f"working directory: {about.cwd}",
                f"data: {about.data_dir}",
            ],
            "configuration files": [
                *(f"loaded: {path}" for path in about.loaded),
                *(f"missing: {path}" for path in about.missing),
                *(f"changed since, counts from the next prompt on: {path}" for path in changed),
            ],
            "notices": about.notices,
            "models": [f"{kind}: {name}" for kind, name in about.models.items()],
            "providers": about.providers,
            "permissions": [*_permissions(about, self._rules()), f"sandbox: {self._sandbox()}"],
            "tools": [", ".join(about.tools)],
        }
        return self._hide(clean_text("\n\n".join(_section(*item) for item in sections.items())))

    def log_tail(self, lines: int) -> str:
        # Cleaned before secrets are looked for, and only then cut: neither may hide one.
        entries = (self._hide(clean_text(e)) for e in last_entries(self._log_path, lines))
        return "\n".join(one_line(entry, most=_LINE_CHARS) for entry in entries if entry.strip())


def _is_new(path: str, read_at: float) -> bool:
    try:
        return os.stat(path).st_mtime > read_at
    except OSError:
        return False


def _permissions(about: About, rules: Sequence[Rule]) -> Iterator[str]:
    yield f"mode: {about.mode}{', read-only' if about.read_only else ''}"
    for rule in rules:
        yield f"{rule.effect} {rule.text} ({rule.reason or rule.source})"


def _section(title: str, lines: Sequence[str]) -> str:
    return "\n".join((f"{title}:", *(f"  {line}" for line in lines or ["none"])))
