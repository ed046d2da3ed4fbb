"""What may not be allowed is not, what everybody types all day is; and the corpus is in order."""

from collections import Counter
from pathlib import Path

import pytest

from tests.permissions.corpus_lines import BYPASSES, EVERYDAY, load_lines
from tests.permissions.hostile_project import SYSTEM_PATH, HostileProject
from tests.permissions.judging import effect_of

BOTH = pytest.mark.parametrize("path", [BYPASSES, EVERYDAY], ids=lambda path: path.stem)
PROOFS = {"", "canary", "change", "leak"}


@BOTH
def test_every_command_is_judged_as_the_corpus_expects(path: Path, hostile: HostileProject) -> None:
    lines = load_lines(path)
    misses = []
    for line in lines:
        effect = effect_of(line.command, str(hostile.work), hostile.environment())
        if (effect == "allow") != (line.expect == "allow"):
            misses.append(f"{effect:5} {line.command!a}  ({line.kind}: {line.why})")
    assert not misses, "\n".join([f"{len(misses)} of {len(lines)} are misjudged:", *misses])


@pytest.mark.parametrize(
    "first", ["node_modules/.bin", "", ".", "{work}/node_modules/.bin", "{work}/./src/../bin"]
)
def test_a_known_name_is_not_allowed_where_the_project_can_say_what_it_means(
    first: str, hostile: HostileProject
) -> None:
    path = f"{first.format(work=hostile.work)}:{SYSTEM_PATH}"
    env = hostile.environment()
    where = str(hostile.work / "bin") if first in {"", "."} else str(hostile.work)

    assert effect_of("ls", where, env) == "allow"
    assert effect_of("ls", where, {**env, "PATH": path}) != "allow"


@BOTH
def test_no_command_is_listed_twice(path: Path) -> None:
    counts = Counter(line.command for line in (*load_lines(BYPASSES), *load_lines(EVERYDAY)))

    assert [line.command for line in load_lines(path) if counts[line.command] > 1] == []


@pytest.mark.parametrize(
    ("path", "expect", "commands", "classes"),
    [(BYPASSES, "not-allow", 450, 25), (EVERYDAY, "allow", 220, 6)],
    ids=["bypasses", "everyday"],
)
def test_the_corpus_is_large_and_its_classes_are_real_classes(
    path: Path, expect: str, commands: int, classes: int
) -> None:
    lines = load_lines(path)
    sizes = Counter(line.kind for line in lines)

    assert {line.expect for line in lines} == {expect}
    assert len(lines) >= commands
    assert len(sizes) >= classes
    assert {kind: size for kind, size in sizes.items() if size < 3} == {}


@BOTH
def test_every_line_gives_its_reason_and_shows_what_cannot_be_seen(path: Path) -> None:
    assert path.read_bytes().isascii()  # blanks that are none are written as escapes
    for line in load_lines(path):
        assert line.why, line.command
        assert line.proof in PROOFS, line.command
