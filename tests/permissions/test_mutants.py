"""The corpus taken apart and put together anew: what is allowed of that does no harm in real bash.

Nobody thought of these commands, and most are nonsense; what matters is that the judge and bash
never disagree about what one of them does.
"""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.permissions.corpus_lines import BYPASSES, EVERYDAY, load_lines
from tests.permissions.hostile_project import PRIVATE, HostileProject
from tests.permissions.judging import effect_of

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not here")

PIECES = (
    *(" ", "\n", "\\\n", ";", "&&", "||", "|", "&", " # ", "#", '"', "'", "\\", "`", "$(", ")"),
    *("${", "}", "{", "(", " [[ ", " ]]", "<", ">", "<<E\n", "\nE\n", "<<<", "<(", "&>", "2>&1"),
    *("$x", '"$x"', "$'", '$"', "!", "~", "*", "?", "[", "]", "{a,b}", "=", "x=1 ", "--", "-o"),
    *("if true; then ", "; fi", "for x in ", "; do ", "; done", "case x in x) ", ";; esac"),
    *("canary", ".env", "touch canary", "cat .env", "> canary", "$(touch canary)", "`cat .env`"),
)
AROUND = (
    *("$({})", '"$({})"', "`{}`", "<({})", "{{ {}; }}", "({})", "if {}; then :; fi", "! {}"),
    *("for x in 1; do {}; done", "cat <<E\n{}\nE", "cat <<'E'\n{}\nE", "x=$({})", 'echo "a $({})"'),
)
# They search everything on purpose (which a filter on results covers), wait, do not end, or write down
# what they found out about unchanged files (`git describe --dirty`).
LEFT_OUT = (
    *("grep", "rg", "git log", "git show", "git diff", "sleep", "while", "until", "/dev/"),
    *("--dirty", "def e: e"),
)


def mutants(seed: int) -> Iterator[str]:
    """Commands without end."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    usual, evil = ([line.command for line in load_lines(path)] for path in (EVERYDAY, BYPASSES))
    while True:
        command = chance.choice(chance.choice((usual, evil)))
        for _ in range(chance.randint(1, 3)):
            command = mutate(command, chance.choice(chance.choice((usual, evil))), chance)
        yield command


def mutate(command: str, other: str, chance: random.Random) -> str:
    at = chance.randint(0, len(command))
    match chance.randrange(5):
        case 0 | 1:
            return command[:at] + chance.choice(PIECES) + command[at:]
        case 2:
            return command[:at] + command[at + chance.randint(1, 4) :]
        case 3:
            return command + chance.choice(["; ", " && ", "\n", " | ", " #", "\n#"]) + other
        case _:
            inner = chance.choice(AROUND).format(other)
            return f"{command[:at]}{inner}{command[at:]}"


def check(seed: int, count: int, hostile: HostileProject, place: Path) -> int:
    """Judge so many mutants and run what is allowed; how many those were."""
    project = hostile.copy_to(place / "project")
    where, env = str(project.work), project.environment()
    source = mutants(seed)
    allowed = [
        command
        for command in (next(source) for _ in range(count))
        if effect_of(command, where, env) == "allow"
        and not any(word in command for word in LEFT_OUT)
    ]
    ran = project.run_all(allowed, within_s=15)
    assert not ran.timed_out
    assert ran.canaries == []
    assert not ran.changed
    assert PRIVATE.encode() not in ran.output
    return len(allowed)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_mutant_that_is_allowed_does_no_harm(
    seed: int, hostile: HostileProject, tmp_path: Path
) -> None:
    assert check(seed, 2500, hostile, tmp_path) > 100


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 160))
def test_many_mutants_that_are_allowed_do_no_harm(
    seed: int, hostile: HostileProject, tmp_path: Path
) -> None:
    assert check(seed, 2500, hostile, tmp_path) > 50
