"""Which paths ask before they are written, and which before they are read."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crush.permissions.protected import (
    PROTECTED,
    bare_repository_reason,
    is_bare_repository,
    protected_reason,
    secret_file_reason,
)

ROOT = "/home/ann/project"


@pytest.mark.parametrize(
    "path",
    [
        *(".git", ".git/config", ".git/hooks/pre-commit", "vendor/lib/.git/config", ".GIT/config"),
        *(".envrc", "sub/.envrc", ".vscode/tasks.json", ".idea/x.xml", ".husky/pre-commit"),
        *(".mcp.json", ".crush/crush.db", "crush.json", ".crush.json", "crushrc", ".crushrc"),
        *("AGENTS.md", "docs/AGENTS.md", "Agents.md", "CLAUDE.md", "CLAUDE.local.md", "gemini.md"),
        *("CRUSH.md", "crush.local.md", ".cursorrules", ".cursor/rules/a.mdc"),
        *(".github/copilot-instructions.md", ".bashrc", ".zshenv", ".profile", ".gitmodules"),
        *(".gitattributes", ".config/fish/config.fish", ".config/git/config"),
        *(".local/state/crush/grants.json", ".state/crush/trust.json"),
        *(".local/share/crush/models/x", ".local/bin/git", ".config/environment.d/a.conf"),
        *(".g\u200cit/config", "git~1/config", ".git./config", ".git::$INDEX_ALLOCATION/config"),
    ],
)
def test_writing_what_other_programs_obey_asks(path: str) -> None:
    assert protected_reason(os.path.join(ROOT, path), root=ROOT)


@pytest.mark.parametrize(
    "path",
    [
        *("main.py", "Makefile", "package.json", ".gitignore", "git/config", ".github/x.yml"),
        *(
            ".github/workflows/ci.yml",
            "agents.py",
            "docs/agents.md.txt",
            ".config/app.toml",
            "a..b",
        ),
    ],
)
def test_writing_everything_else_does_not(path: str) -> None:
    assert protected_reason(os.path.join(ROOT, path), root=ROOT) == ""


def test_directories_that_lead_to_the_root_do_not_count() -> None:
    root = "/home/ann/.config/nvim"
    assert protected_reason(f"{root}/init.lua", root=root) == ""
    assert protected_reason(f"{root}/.git/config", root=root)
    assert protected_reason("/home/ann/.config/nvim/init.lua", root=ROOT)


def test_a_root_of_the_whole_disk_is_a_root() -> None:
    assert protected_reason("/a/b.py", root="/") == ""
    assert protected_reason("/a/.git/config", root="/")


@given(
    before=st.lists(st.sampled_from(["a", "src", ".config"]), max_size=4),
    name=st.sampled_from(sorted(PROTECTED)),
    after=st.lists(st.sampled_from(["x", "config", "y.z"]), max_size=3),
    change=st.sampled_from([str.upper, str.lower, str.title]),
)
def test_a_protected_name_counts_at_any_depth_and_in_any_case(
    before: list[str], name: str, after: list[str], change: Callable[[str], str]
) -> None:
    path = "/".join([ROOT, *before, change(name), *after])
    assert protected_reason(path, root=ROOT)


def test_a_directory_that_git_takes_for_a_repository_asks(tmp_path: Path) -> None:
    bare = tmp_path / "innocent"
    for name in ("objects", "refs"):
        (bare / name).mkdir(parents=True)
    root = str(tmp_path)
    config = str(bare / "config")
    assert bare_repository_reason(config, root=root) == ""
    assert bare_repository_reason(str(bare / "HEAD"), root=root)  # this write would make it one
    (bare / "HEAD").write_text("ref: refs/heads/main\n")
    assert is_bare_repository(str(bare))
    assert str(bare) in bare_repository_reason(config, root=root)
    assert bare_repository_reason(str(bare / "deep" / "down"), root=root)
    assert bare_repository_reason(str(tmp_path / "other"), root=root) == ""


def test_a_head_with_a_common_directory_elsewhere_is_one_too(tmp_path: Path) -> None:
    (tmp_path / "HEAD").write_text("ref: refs/heads/main\n")
    assert bare_repository_reason(str(tmp_path / "a.py"), root=str(tmp_path)) == ""
    assert bare_repository_reason(str(tmp_path / "commondir"), root=str(tmp_path))


@pytest.mark.parametrize(
    "path",
    [
        *("/p/.env", "/p/.env.local", "/p/.env.production", "/p/prod.env", "/p/.envrc", "/p/.ENV"),
        *("/home/a/.ssh/config", "/home/a/.ssh/id_ed25519", "/home/a/.aws/credentials"),
        *("/home/a/.gnupg/x", "/home/a/.netrc", "/home/a/.config/gcloud/x.db", "/home/a/.azure/t"),
        *(
            "/home/a/.kube/config",
            "/home/a/.docker/config.json",
            "/home/a/.npmrc",
            "/home/a/.pypirc",
        ),
        *("/home/a/.git-credentials", "/p/server.pem", "/p/id_rsa", "/p/tls.key", "/p/store.p12"),
        *("/etc/shadow", "/etc/ssl/private/x", "/etc/ssh/ssh_host_rsa_key", "/run/secrets/token"),
        *("/proc/1/environ", "/proc/self/environ", "/proc/1/task/2/environ", "/proc/9/mem"),
        *("/proc/9/fd/3", "/home/a/.config/gh/hosts.yml", "/home/a/Library/Keychains/login.db"),
        *("/home/a/.local/state/crush/grants.json", "/home/a/.config/crush/crush.json"),
    ],
)
def test_reading_where_keys_lie_asks(path: str) -> None:
    assert secret_file_reason(path)


@pytest.mark.parametrize(
    "path",
    [
        *("/p/.env.example", "/p/.env.sample", "/p/.env.local.template", "/p/.env.dist"),
        *("/p/environment.py", "/p/env", "/p/id_rsa.pub", "/p/cacert.pem", "/p/keys.py"),
        *("/etc/passwd", "/proc/1/status", "/proc/meminfo", "/home/a/.docker/daemon.json"),
        *("/home/a/.config/app.toml", "/p/ssh/config", "/p/public.pem", "/p/monkey"),
    ],
)
def test_reading_everything_else_does_not(path: str) -> None:
    assert secret_file_reason(path) == ""
