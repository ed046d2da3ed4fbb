"""What could be remembered with a permission: exact first, then one step wider where that is harmless.

A `*` behind a command is offered only where the words before it bound what it can do about as well as
without it: it runs this project's tests or build, or records what is there.
"""

from collections.abc import Sequence

from crush.permissions.command_patterns import exact_command
from crush.permissions.host_patterns import host_pattern
from crush.permissions.path_patterns import escape_path
from crush.permissions.rules import Need, is_within
from crush.permissions.shell_script import Word

Offers = tuple[tuple[str, ...], ...]

_ANY = ""
_OPEN: Sequence[tuple[str, ...]] = (
    *(("npm", "test"), ("npm", "run", _ANY), ("npm", "ci")),
    *(("pnpm", "test"), ("pnpm", "run", _ANY), ("yarn", "test"), ("yarn", "run", _ANY)),
    *(("bun", "test"), ("bun", "run", _ANY), ("deno", "test"), ("deno", "check")),
    *(("cargo", "build"), ("cargo", "test"), ("cargo", "check"), ("cargo", "clippy")),
    *(("cargo", "fmt"), ("cargo", "bench"), ("cargo", "doc")),
    *(("go", "build"), ("go", "test"), ("go", "vet"), ("gofmt",)),
    *(("make", _ANY), ("ninja",), ("just", _ANY), ("task", _ANY), ("cmake", "--build", _ANY)),
    *(("pytest",), ("python", "-m", "pytest"), ("python3", "-m", "pytest"), ("tox",), ("nox",)),
    *(("uv", "run", "pytest"), ("poetry", "run", "pytest"), ("ruff", "check"), ("ruff", "format")),
    *(("mypy",), ("pyright",), ("black",), ("isort",), ("flake8",), ("pylint",)),
    *(("tsc",), ("eslint",), ("prettier",), ("jest",), ("vitest",)),
    *(("npx", "tsc"), ("npx", "eslint"), ("npx", "prettier"), ("npx", "jest"), ("npx", "vitest")),
    *(("mvn", "test"), ("mvn", "compile"), ("mvn", "verify"), ("gradle", _ANY)),
    *(("./gradlew", _ANY), ("./mvnw", _ANY), ("dotnet", "build"), ("dotnet", "test")),
    *(
        ("bundle", "exec", "rspec"),
        ("rspec",),
        ("rake", _ANY),
        ("mix", "test"),
        ("composer", "test"),
    ),
    *(("swift", "build"), ("swift", "test"), ("ctest",), ("terraform", "validate")),
    *(("git", "add"), ("git", "commit"), ("git", "stash", "push"), ("git", "switch")),
)
_LONGEST = 500


def path_offers(need: Need, *, root: str, is_careful: bool) -> Offers:
    """The path, then its directory; only the path if a caution asks or it lies outside."""
    kind = "write" if need.kind == "write" else "read"
    exact = f"{kind}({escape_path(need.target)})"
    directory = need.target if need.kind == "list" else need.target.rpartition("/")[0]
    if is_careful or not directory or not is_within(need.target, root):
        return _showable((exact,))
    return _showable((exact,), (f"{kind}({escape_path(directory)}/**)",))


def fetch_offers(need: Need) -> Offers:
    pattern = host_pattern(need.target)
    return _showable((f"host({pattern})",)) if pattern else ()


def tool_offers(need: Need) -> Offers:
    """For a tool whose needs no other rule can describe."""
    return _showable((f"tool({need.tool}:{need.action})",), (f"tool({need.tool})",))


def command_offers(words: Sequence[Word]) -> Offers:
    """Nothing if the value of a word is not known."""
    texts = [word.text for word in words if word.text is not None]
    if len(texts) < len(words):
        return ()
    exact = f"command({exact_command(texts)})"
    fixed = _fixed(texts)
    wider = f"command({exact_command(texts[:fixed])} *)"
    return _showable((exact,), (wider,)) if fixed else _showable((exact,))


def redirect_offers(paths: Sequence[str]) -> Offers:
    return _showable(tuple(f"write({escape_path(path)})" for path in paths))


def together(offers: Sequence[Offers]) -> Offers:
    """For a compound: all exact ones, then all as wide as each can be."""
    if not offers or not all(offers):
        return ()
    exact = tuple(dict.fromkeys(rule for offer in offers for rule in offer[0]))
    wide = tuple(dict.fromkeys(rule for offer in offers for rule in offer[-1]))
    return (exact,) if wide == exact else (exact, wide)


def _fixed(texts: Sequence[str]) -> int:
    """How many words a `*` may follow; 0 for none."""
    for pattern in _OPEN:
        if pattern[0] == texts[0] and len(texts) >= len(pattern):
            pairs = zip(pattern, texts, strict=False)
            if all(w == t or (w == _ANY and not t.startswith("-")) for w, t in pairs):
                return len(pattern)
    return 0


def _showable(*offers: tuple[str, ...]) -> Offers:
    """What a person can read to its end, and what reads back as the same rule."""
    kept = tuple(
        offer for offer in offers if all(r.isprintable() and len(r) <= _LONGEST for r in offer)
    )
    return tuple(dict.fromkeys(kept))
