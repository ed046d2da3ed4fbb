"""What toolchains keep in a home directory and must be able to write: a table, no guesses.

Only stores of downloads and build results. What somebody runs by name later is not here: programs
(`~/.cargo/bin`, corepack's in `~/.cache/node`), environments (poetry's, pre-commit's), settings.
"""

import os

_CACHES: tuple[str, ...] = (
    *(".cache/pip", ".cache/uv", ".cache/pypoetry/cache", ".cache/pypoetry/artifacts"),
    *(".cache/ruff", ".npm/_cacache", ".npm/_logs", ".cache/yarn", ".yarn/berry/cache"),
    *(".cache/pnpm", ".local/share/pnpm/store", ".bun/install/cache", ".cache/deno"),
    *(".cargo/registry", ".cargo/git", ".cache/go-build", "go/pkg/mod", ".cache/golangci-lint"),
    *(".gradle/caches", ".gradle/daemon", ".gradle/native", ".m2/repository", ".ivy2/cache"),
    *(".cache/coursier", ".cache/bazel", ".cache/ccache", ".ccache", ".cache/sccache"),
    *(".cache/zig", ".cache/clangd", ".nuget/packages", ".bundle/cache", ".cache/composer"),
    *(".cabal/packages", ".stack/pantry", ".hex/packages", ".cache/rebar3", ".pub-cache/hosted"),
    *("Library/Caches/pip", "Library/Caches/go-build", "Library/Caches/Yarn", "Library/Caches/uv"),
)


def toolchain_caches(home: str) -> tuple[str, ...]:
    """Those of the table that exist below `home`, resolved; a link out of the home does not count."""
    real_home = os.path.realpath(home)
    found = []
    for name in _CACHES:
        path = os.path.join(real_home, name)
        if os.path.isdir(path) and os.path.realpath(path) == path:
            found.append(path)
    return tuple(found)
