"""What the agent is told of itself: this run's set-up and the server's log, and no secret."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from crush import __version__
from crush.agent.facts import About, RunFacts
from crush.permissions.rules import Rule

SECRET = "sk-" + "a" * 20


def hide(text: str) -> str:
    return text.replace(SECRET, "[secret]")


Build = Callable[..., RunFacts]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    loaded = tmp_path / "crush.json"
    loaded.write_text("{}")
    os.utime(loaded, (100, 100))

    def facts(read_at: float = 200.0) -> RunFacts:
        about = About(
            cwd="/p",
            data_dir="/p/.crush",
            loaded=[str(loaded)],
            missing=[str(tmp_path / "other.json")],
            read_at=read_at,
            models={"large": "anthropic/big", "small": "local/little"},
            providers=["anthropic", "local"],
            mode="workspace",
            read_only=True,
            tools=["view", "bash"],
            notices=["crush.json: env is left out"],
        )
        return RunFacts(
            about=about,
            rules=lambda: [
                Rule("deny", "write", "/**", "mode", "the run is read-only"),
                Rule("allow", "command", f"curl -H {SECRET} *", "user"),
            ],
            sandbox=lambda: "bubblewrap",
            log_path=str(tmp_path / "stderr.log"),
            hide=hide,
        )

    return facts


def test_the_set_up_of_the_run_is_told_in_sections(build: Build, tmp_path: Path) -> None:
    text = build().describe()
    sections = dict(part.split(":\n", 1) for part in text.split("\n\n"))
    assert [*sections] == [
        "crush",
        "configuration files",
        "notices",
        "models",
        "providers",
        "permissions",
        "tools",
    ]
    assert __version__ in sections["crush"]
    assert sections["configuration files"].splitlines() == [
        f"  loaded: {tmp_path}/crush.json",
        f"  missing: {tmp_path}/other.json",
    ]
    assert sections["models"].splitlines() == ["  large: anthropic/big", "  small: local/little"]
    assert "  mode: workspace, read-only" in sections["permissions"]
    assert "  deny write(/**) (the run is read-only)" in sections["permissions"]
    assert "  sandbox: bubblewrap" in sections["permissions"]
    assert sections["tools"] == "  view, bash"


def test_a_file_that_changed_or_appeared_since_is_told(build: Build, tmp_path: Path) -> None:
    assert "changed since" not in build().describe()
    (tmp_path / "other.json").write_text("{}")
    told = [line for line in build(read_at=50.0).describe().splitlines() if "changed since" in line]
    assert len(told) == 2


def test_no_secret_is_told_of_the_set_up(build: Build) -> None:
    text = build().describe()
    assert SECRET not in text
    assert "allow command(curl -H [secret] *) (user)" in text


def test_the_log_comes_line_by_line_without_secrets_and_escapes(
    build: Build, tmp_path: Path
) -> None:
    time = "2026-11-24 11:35:55,123"
    # An invisible character within a secret, and a secret that the limit of a line would cut.
    hidden = f"{SECRET[:9]}\u200b{SECRET[9:]}"
    (tmp_path / "stderr.log").write_text(
        f"{time} INFO a: \x1b[31mred\x1b[0m {hidden}\n"
        f"{time} INFO b: {'x' * 265}{SECRET}\n"
        f"{time} ERROR c: broke\nTraceback (most recent call last):\nValueError: no\n"
    )
    text = build().log_tail(10)
    assert text.splitlines() == [
        f"{time} INFO a: red [secret]",
        f"{time} INFO b: {'x' * 265}[secret]"[:299] + "…",
        f"{time} ERROR c: broke | ValueError: no",
    ]
    assert build().log_tail(1) == f"{time} ERROR c: broke | ValueError: no"


def test_a_log_that_is_not_there_is_empty(build: Build) -> None:
    assert build().log_tail(10) == ""
