"""The repository stands alone, and its gates catch what they are there for."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ("requirements.txt", "requirements-build.txt", "requirements-dev.txt")


def run(command: Sequence[str | Path], **variables: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **variables}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def tracked() -> Iterator[Path]:
    listed = run(["git", "-C", ROOT, "ls-files", "-z"]).stdout
    yield from (ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file())


def pins(name: str) -> dict[str, str]:
    text = (ROOT / name).read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))


# The gates


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("long.py", "x = 1\n" * 601, "601 lines"),
        ("wide.py", "class A:\n" + "    def m(self): ...\n" * 21, "A has 21 methods"),
        ("deep.py", "def f():\n" + "    x = 1\n" * 41, "f has 41 statements"),
        ("nested.py", "def f():\n    def g():\n" + "        x = 1\n" * 40, "f has 41 statements"),
        ("quiet.py", "def f(): ...  # no" + "qa: E501, C901\n", "never silenced"),
        ("helpers.py", "", "says nothing"),
        ("_utils.py", "", "says nothing"),
    ],
)
def test_the_size_check_refuses(tmp_path: Path, name: str, text: str, complaint: str) -> None:
    (tmp_path / name).write_text(text)
    done = run([sys.executable, ROOT / "scripts/check_size.py", tmp_path])
    assert done.returncode == 1
    assert complaint in done.stdout


def test_the_size_check_lets_the_limits_themselves_pass(tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text("x = 1\n" * 600)
    (tmp_path / "wide.py").write_text("class A:\n" + "    def m(self): ...\n" * 20)
    (tmp_path / "deep.py").write_text('def f():\n    """Doc."""\n' + "    x = 1\n" * 40)
    (tmp_path / "quiet.py").write_text("x = 1  # noqa" + ": S603\n")
    assert run([sys.executable, ROOT / "scripts/check_size.py", tmp_path]).returncode == 0


@pytest.mark.parametrize(
    ("path", "text", "contract"),
    [
        ("stray.py", '"""In no layer."""\n', "stray"),
        ("wire/up.py", "import crush.store\n", "one way down BROKEN"),
        ("launch/fat.py", "import msgspec\n", "standard library BROKEN"),
        ("client/engine.py", "import crush.agent\n", "only over HTTP BROKEN"),
        ("agent/fetch.py", "import aiohttp\n", "edges BROKEN"),
        ("cli/colour.py", "import rich\n", "in the TUI BROKEN"),
    ],
)
def test_the_import_contracts_refuse(tmp_path: Path, path: str, text: str, contract: str) -> None:
    shutil.copytree(ROOT / "src/crush", tmp_path / "crush", ignore=shutil.ignore_patterns("*.pyc"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    offender = tmp_path / "crush" / path
    offender.parent.mkdir(exist_ok=True)
    (offender.parent / "__init__.py").touch()
    offender.write_text(text)
    program = "import sys; from importlinter.cli import lint_imports_command as c; c()"
    command = [
        sys.executable,
        "-c",
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {program}",
    ]
    done = run([*command, "--no-cache", "--config", tmp_path / "pyproject.toml"])
    assert done.returncode == 1
    assert contract in done.stdout + done.stderr


# Requirements


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_every_requirement_is_pinned_with_hashes_and_without_an_address(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert not re.search(r"^\s*--(?!hash=sha256:)", text, re.MULTILINE)
    entries = re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:]
    assert entries
    assert [entry for entry in entries if not re.match(r"\S+==\S+ \\\n +--hash=", entry)] == []


def test_the_pins_are_of_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extra = project["project"]["optional-dependencies"]["local"]
    for name, asked in (
        ("requirements.txt", [*project["project"]["dependencies"], *extra]),
        ("requirements-build.txt", project["build-system"]["requires"]),
        ("requirements-dev.txt", project["dependency-groups"]["dev"]),
    ):
        names = {re.split(r"[<>=\[;]", requirement)[0] for requirement in asked}
        assert names - pins(name).keys() == set()


def test_the_files_agree_on_shared_requirements() -> None:
    runtime = pins("requirements.txt")
    for name in REQUIREMENTS[1:]:
        assert {k: v for k, v in pins(name).items() if runtime.get(k, v) != v} == {}


# The repository as a whole


def test_nothing_depends_on_the_place_where_it_was_written() -> None:
    """The patterns are put together here, so that this file does not match itself."""
    places = (
        "/work" + "/main",
        "/work" + "/shared",
        "/root" + "/",
        "pypi" + ".org",
        "python" + "hosted",
        "extra-index" + "-url",
    )
    offences = [
        f"{path.relative_to(ROOT)}: {place}"
        for path in tracked()
        for place in places
        # A process's own root is no place of this machine.
        if place.encode() in path.read_bytes().replace(b"/proc/self/root/", b"")
    ]
    assert offences == []


def test_every_make_target_is_explained() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    explained = set(
        re.findall(r"^  make ([a-z-]+)", run(["make", "-C", ROOT, "help"]).stdout, re.MULTILINE)
    )
    wanted = {"setup", "demo", "test", "check", "bench", "clean", "soak", "setup-system", "help"}
    assert wanted <= explained
    assert targets - explained == {"python"}


def test_the_agents_file_is_short_and_its_paths_exist() -> None:
    text = (ROOT / "AGENTS.md").read_text()
    assert len(text.splitlines()) <= 80
    for path in re.findall(r"(?:scripts|tests|src|demo|changelog\.d)/[\w./]*\w", text):
        assert (ROOT / path).exists(), path


def test_links_between_documents_lead_somewhere() -> None:
    for document in (path for path in tracked() if path.suffix == ".md"):
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / link).exists(), f"{document.relative_to(ROOT)}: {link}"


def test_changelog_fragments_are_named_for_their_kind() -> None:
    names = {path.name for path in (ROOT / "changelog.d").iterdir()} - {"README.md"}
    pattern = re.compile(r"[\w-]+\.(added|changed|fixed|removed|security)\.md")
    assert [name for name in names if not pattern.fullmatch(name)] == []


def test_ci_runs_what_a_developer_runs() -> None:
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    assert script.read_text().rstrip().endswith("make test")
