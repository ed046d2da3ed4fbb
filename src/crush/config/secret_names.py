"""Which environment variables hold secrets: a run may use them, the tools of a run never see them.

By name, and by the look of the value where a name says nothing: an address with a password, a key.
Not among them: `SSH_AUTH_SOCK`. It holds nothing that could be copied, and without it a `git push`
that a person has just allowed fails; commands that could use it ask by themselves.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from urllib.parse import urlsplit

from crush.config.catalogue import load_catalogue
from crush.config.expand import ExpansionError, references
from crush.config.load import Config

# The key to the server itself is not for anybody, whatever a rule says.
_NEVER_PASSED = frozenset({"CRUSH_TOKEN"})

_WORD = re.compile(r"(AUTH)?TOKENS?|SECRETS?|PASSWORDS?|PASSWD|PASSPHRASE|CREDENTIALS?|APIKEYS?")
# These say it only at the end of a longer name: `PAT`, `KEY` and `PWD` alone are other things.
_LAST_WORD = re.compile(r"KEYS?|PAT|PASS|PWD|DSN|AUTH|COOKIES?|JWT|PSK|PIN|SALT")
_RUN_TOGETHER = re.compile(r".+(TOKEN|SECRET|PASSWORD|PASSWD|(API|SECRET|ACCESS|PRIVATE)KEY)")
_KIND_OF_KEY = re.compile(r"API|SECRET|ACCESS|PRIVATE|SIGNING|ENCRYPTION|MASTER|AUTH|SERVICE")
# Names that end so are about a secret and hold none.
_ABOUT = re.compile(
    r"PATH|FILES?|DIR|HOME|NAMES?|TYPE|URL|URI|HOST|LIMIT|LENGTH|SIZE|COUNT|TTL|EXPIRY|EXPIRES"
    r"|TIMEOUT|ENABLED|DISABLED|REQUIRED|MODE|FORMAT|ALGORITHM|STORE|COMMAND|HELPER|PROVIDER"
)
_COUNTING = re.compile(r"MAX|MIN|NUM|LIMIT|BUDGET")  # tokens of a model

_CLOUD = re.compile(r"(AWS|AZURE|ARM)_.*")
_HARMLESS_OF_CLOUDS = re.compile(
    r"REGION|PROFILE|OUTPUT|PAGER|URL|RETRIES|ATTEMPTS|MODE|LOCATION|ENVIRONMENT|DISABLED"
)
_OTHER = re.compile(r"DOCKER_AUTH_CONFIG|VSS_NUGET_EXTERNAL_FEED_ENDPOINTS")

_KEY_LOOKS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|(sk-|sk_live_|rk_live_|gh[opsur]_|github_pat_|glpat-|xox[abpors]-|AKIA|ASIA|AIza|npm_|pypi-)"
    r"[A-Za-z0-9_-]{16,}"
)
# Without them a child could reach nothing; the password in one is kept from the model all the same.
_PROXY = re.compile(r"(?i)(.*_)?proxy")


def secret_names(
    config: Config, env: Mapping[str, str], *, passed: Callable[[str], bool]
) -> frozenset[str]:
    """The variables that children do not get; `passed` says which the rules give them anyway."""
    names = _configured(config) | {
        name
        for name, value in env.items()
        if is_secret_name(name) or (looks_secret(value) and not _PROXY.fullmatch(name))
    }
    return frozenset(name for name in names if not passed(name)) | _NEVER_PASSED


def known_secrets(config: Config, env: Mapping[str, str]) -> list[str]:
    """The variables of `env` whose values are secret, whoever gets them."""
    configured = _configured(config)
    return [
        name
        for name, value in env.items()
        if name in configured or is_secret_name(name) or looks_secret(value)
    ]


def is_secret_name(name: str) -> bool:
    """Whether the name alone says that the value is a secret."""
    upper = name.upper()
    words = [word for word in re.split(r"[^A-Z0-9]+", upper) if word]
    while words and words[-1].isdecimal():
        words.pop()
    if not words or _any(_COUNTING, words):
        return False
    last = words[-1]
    if _CLOUD.fullmatch(upper):
        return not _HARMLESS_OF_CLOUDS.fullmatch(last)
    if _OTHER.fullmatch(upper) or _WORD.fullmatch(last):
        return True
    if _LAST_WORD.fullmatch(last) and len(words) > 1:
        return True
    if _ABOUT.fullmatch(last):
        return False
    return _any(_WORD, words) or bool(_RUN_TOGETHER.fullmatch(last)) or _names_a_key(words)


def _any(pattern: re.Pattern[str], words: Iterable[str]) -> bool:
    return any(map(pattern.fullmatch, words))


def _names_a_key(words: Sequence[str]) -> bool:
    """`API_KEY_PROD`, `SECRET_KEY_BASE`; also `KEY` itself."""
    return [*words] == ["KEY"] or any(
        word == "KEY" and _KIND_OF_KEY.fullmatch(kind) for kind, word in pairwise(words)
    )


def looks_secret(value: str) -> bool:
    """Whether a value is a secret under any name."""
    return bool(_KEY_LOOKS.match(value.lstrip())) or bool(url_password(value))


def url_password(value: str) -> str:
    """The password in an address, as it is written there."""
    if "://" not in value or "@" not in value:
        return ""
    try:
        return urlsplit(value.strip()).password or ""
    except ValueError:
        return ""


def _configured(config: Config) -> frozenset[str]:
    """Key variables of the catalogue and of configured providers, each with its shadow `CRUSH_X`."""
    names = {known.key for known in load_catalogue()}
    for provider in config.providers.values():
        entry = provider.entry
        for template in (entry.api_key, *entry.extra_headers.values()):
            names.update(_named_in(template))
    return frozenset((*_NEVER_PASSED, *names, *(f"CRUSH_{name}" for name in names)))


def _named_in(template: str) -> list[str]:
    try:
        return references(template)
    except ExpansionError:
        return []  # it says so itself when it is used
