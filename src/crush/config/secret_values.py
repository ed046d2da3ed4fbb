"""The values of a run's secrets, and text without them: for the model, for watchers, for logs.

This keeps accidents from spreading — a `printenv`, a traceback, a configuration file that was shown.
It is no wall: whoever knows a secret can spell it in ways that nobody foresees.
"""

import base64
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Self
from urllib.parse import quote, quote_plus, unquote

from msgspec import Struct

from crush.config.expand import ExpansionError, Lookup, expand, variables
from crush.config.load import Config
from crush.config.secret_names import is_secret_name, known_secrets, url_password
from crush.config.settings import ProviderSettings

SHORTEST = 8
# Of a value with several lines, a line as long as this is a secret by itself.
_SHORTEST_LINE = 16
# Passwords of databases on developers' machines; hidden, they would make half of a text unreadable.
_PLACEHOLDER = re.compile(
    r"(?i)postgres(ql)?|passw[o0]rd[0-9]*|change-?me|development|disabled|localhost|required"
    r"|undefined|test-?test|1234567890?|123456789|x{8,}|\*{8,}"
)
_HEADER = re.compile(r"(?i)(.*-)?(authorization|api-?key|auth|access|cookie)")
_BOUNDARY = re.compile(r"-----(BEGIN|END) [A-Z ]*-----")
_BASE64_BYTES = 3  # become four characters
_HEAD = 4


def secret_values(
    config: Config, env: Mapping[str, str], provider: ProviderSettings | None
) -> dict[str, str]:
    """Every secret that a run has to do with, by the name that is shown for it.

    `env` is the run's; `provider` the one that is asked, with its key in it. Looks at the disk: a
    value that is the path of a file is no secret.
    """
    found = [*_of_environment(config, env), *_of_files(config, env)]
    if provider is not None:
        found.append((f"providers.{provider.id}.api_key", provider.api_key))
        found += _of_fields(f"providers.{provider.id}.headers", provider.headers)
    values: dict[str, str] = {}
    for name, value in found:
        kept = value.strip()
        if _is_worth_hiding(kept) and kept not in values.values():
            values[name] = kept
    return values


def _of_environment(config: Config, env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name in known_secrets(config, env):
        password = url_password(env[name])
        if not password:
            yield name, env[name]
        elif f"//{password}:" not in env[name]:  # a user whose name is the password
            yield name, password


def _of_files(config: Config, env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    lookup = variables(env)
    for provider_id, provider in config.providers.items():
        where, entry = f"providers.{provider_id}", provider.entry
        yield f"{where}.api_key", _value(entry.api_key, lookup)
        headers = {name: _value(value, lookup) for name, value in entry.extra_headers.items()}
        yield from _of_fields(f"{where}.headers", headers)
        yield from _of_fields(f"{where}.body", entry.extra_body)


def _value(template: str, lookup: Lookup) -> str:
    try:
        return expand(template, lookup)
    except ExpansionError:
        return ""  # it has no value, and says so when it is used


def _of_fields(where: str, fields: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Values under names that look secret, such as `Authorization: Bearer …`."""
    for name, value in fields.items():
        if isinstance(value, str) and (_HEADER.fullmatch(name) or is_secret_name(name)):
            yield f"{where}.{name}", value.rpartition(" ")[2]


def _is_worth_hiding(value: str) -> bool:
    if len(value) < SHORTEST or _PLACEHOLDER.fullmatch(value):
        return False
    return "\0" in value or not os.path.exists(value)


class _Found(Struct, frozen=True):
    start: int
    end: int
    name: str


class Secrets:
    """Values that are not to be shown, in all spellings that programs usually give them."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._learn(values.items())

    @classmethod
    def of_pairs(cls, pairs: Iterable[tuple[str, str]]) -> Self:
        """Of names and values, where one name may have several."""
        secrets = cls({})
        secrets._learn(pairs)
        return secrets

    def _learn(self, pairs: Iterable[tuple[str, str]]) -> None:
        by_spelling: dict[str, str] = {}
        for name, value in pairs:
            for spelling in _spellings(value):
                by_spelling.setdefault(spelling, name)
        self._names = by_spelling
        # The longest first: of two that begin at one place it is the one that is meant.
        self._spellings = sorted(by_spelling, key=len, reverse=True)
        self._heads = frozenset(
            spelling[:length] for spelling in self._spellings for length in range(1, _HEAD + 1)
        )

    @property
    def names(self) -> frozenset[str]:
        """What is shown for the values."""
        return frozenset(self._names.values())

    def hide(self, text: str) -> str:
        """The text with `[secret NAME]` for each value in it."""
        return _replaced(self.find(text), text, 0, len(text))[0]

    def longest(self) -> int:
        """How long a spelling can be; 0 without secrets."""
        return len(self._spellings[0]) if self._spellings else 0

    def open_at(self, text: str) -> int:
        """Where a value begins that may go on behind the end of the text; its length if nowhere."""
        for at in range(max(0, len(text) - self.longest() + 1), len(text)):
            if text[at : at + _HEAD] not in self._heads:
                continue
            rest = text[at:]
            if any(len(s) > len(rest) and s.startswith(rest) for s in self._spellings):
                return at
        return len(text)

    def find(self, text: str) -> Sequence[_Found]:
        """Where values stand, in order; values that overlap are one place with the first's name."""
        return [*_merged(sorted(self._everywhere(text), key=lambda f: (f.start, -f.end)))]

    def _everywhere(self, text: str) -> Iterator[_Found]:
        for spelling in self._spellings:
            at = text.find(spelling)
            while at >= 0:
                yield _Found(at, at + len(spelling), self._names[spelling])
                at = text.find(spelling, at + 1)


class HiddenStream:
    """Hides values in text that comes in pieces; one that is cut in two does not slip through."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._held = ""
        self._covered = 0  # so many characters of what is held were already replaced

    def feed(self, text: str) -> str:
        """What can be shown by now; the rest, at most one value long, is held back."""
        text = self._held + text
        return self._show(text, self._secrets.open_at(text))

    def end(self) -> str:
        """What was held back, when nothing follows."""
        return self._show(self._held, len(self._held))

    def _show(self, text: str, until: int) -> str:
        shown, at = _replaced(self._secrets.find(text), text, self._covered, until)
        self._held, self._covered = text[until:], max(0, at - until)
        return shown


def _replaced(places: Iterable[_Found], text: str, at: int, until: int) -> tuple[str, int]:
    """The text from `at` to `until`, and how far the last place goes, which may be further.

    What is before `at` was shown; a place that begins there has its name already.
    """
    pieces = []
    for found in places:
        if found.start >= until:
            break
        if found.start >= at:
            pieces += [text[at : found.start], f"[secret {found.name}]"]
        at = max(at, found.end)
    return "".join([*pieces, text[at:until]]), at


def _merged(found: Iterable[_Found]) -> Iterator[_Found]:
    last: _Found | None = None
    for one in found:
        if last is not None and one.start < last.end:
            last = _Found(last.start, max(last.end, one.end), last.name)
            continue
        if last is not None:
            yield last
        last = one
    if last is not None:
        yield last


def _spellings(value: str) -> Iterator[str]:
    if len(value) < SHORTEST:
        return
    yield value
    if "%" in value and len(unquote(value)) >= SHORTEST:
        yield unquote(value)
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield quote(value, safe="", errors="surrogatepass")
    yield quote(value, errors="surrogatepass")
    yield quote_plus(value, errors="surrogatepass")
    for encoded in _base64(value.encode(errors="surrogatepass")):
        yield encoded
        yield encoded.replace("+", "-").replace("/", "_")
    for line in value.splitlines():
        if _SHORTEST_LINE <= len(line) < len(value) and not _BOUNDARY.fullmatch(line.strip()):
            yield line


def _base64(data: bytes) -> Iterator[str]:
    """What stays the same whatever stands before and behind, as in `user:password`."""
    for offset in range(_BASE64_BYTES):
        encoded = base64.b64encode(bytes(offset) + data).decode()
        start = -(-offset * 8 // 6)
        end = (offset + len(data)) * 8 // 6
        yield encoded[start:end]
