"""The corpus against real bash in a cage: bypasses do what they are there for, the others nothing."""

import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.permissions.corpus_lines import BYPASSES, EVERYDAY, Line, load_lines
from tests.permissions.hostile_project import PRIVATE, SYSTEM_PATH, HostileProject, Ran

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not here")

ENOUGH_S = 10  # for the slowest program on a busy machine
# Of each class; `make soak` runs all.
SAMPLE = 6


def is_runnable(line: Line) -> bool:
    return all(shutil.which(program, path=SYSTEM_PATH) for program in line.needs)


def by_class(lines: Sequence[Line]) -> dict[str, list[Line]]:
    classes: dict[str, list[Line]] = {}
    for line in lines:
        classes.setdefault(line.kind, []).append(line)
    return classes


PROVABLE = by_class([line for line in load_lines(BYPASSES) if line.proof])
HARMLESS = by_class(load_lines(EVERYDAY))


def sample(lines: Sequence[Line]) -> list[Line]:
    """Some of all over the class, canaries first: they prove the most."""
    runnable = sorted(filter(is_runnable, lines), key=lambda line: line.proof != "canary")
    canaries = [line for line in runnable if line.proof == "canary"] or runnable
    return canaries[:: -(-len(canaries) // SAMPLE)]


def is_proved(line: Line, ran: Ran) -> bool:
    match line.proof:
        case "canary":
            return bool(ran.canaries)
        case "leak":
            return PRIVATE.encode() in ran.output
        case _:
            return ran.changed


def unproved(lines: Sequence[Line], project: HostileProject, scratch: Path) -> Iterator[str]:
    def run(numbered: tuple[int, Line]) -> Ran:
        number, line = numbered
        copy = project.copy_to(scratch / str(number))
        try:
            return copy.run(line.command, within_s=ENOUGH_S)
        finally:
            shutil.rmtree(copy.directory)

    with ThreadPoolExecutor(2) as threads:
        for line, ran in zip(lines, threads.map(run, enumerate(lines)), strict=True):
            if not is_proved(line, ran):
                yield f"no {line.proof}: {line.command!r}"


@pytest.mark.parametrize("kind", PROVABLE)
def test_a_sample_of_bypasses_does_real_harm(
    kind: str, hostile: HostileProject, tmp_path: Path
) -> None:
    assert [*unproved(sample(PROVABLE[kind]), hostile, tmp_path)] == []


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", PROVABLE)
def test_every_bypass_that_claims_a_proof_does_real_harm(
    kind: str, hostile: HostileProject, tmp_path: Path
) -> None:
    runnable = [*filter(is_runnable, PROVABLE[kind])]

    assert [*unproved(runnable, hostile, tmp_path)] == []


@pytest.mark.parametrize("kind", HARMLESS)
def test_everyday_commands_change_nothing_and_show_no_secret(
    kind: str, hostile: HostileProject, tmp_path: Path
) -> None:
    commands = [line.command for line in HARMLESS[kind] if is_runnable(line)]
    project = hostile.copy_to(tmp_path / "project")

    ran = project.run_all(commands, within_s=ENOUGH_S)

    assert not ran.timed_out
    assert ran.output.count(b"\n-- next --\n") == len(commands)
    assert ran.canaries == []
    assert not ran.changed
    assert PRIVATE.encode() not in ran.output


def test_enough_of_the_corpus_is_proved() -> None:
    canaries = [line for lines in PROVABLE.values() for line in lines if line.proof == "canary"]
    sampled = [line for lines in PROVABLE.values() for line in sample(lines)]

    assert len(canaries) >= 120
    assert len(sampled) >= 120


def test_what_is_not_run_here_is_named() -> None:
    lines = [line for lines in (*PROVABLE.values(), *HARMLESS.values()) for line in lines]
    idle = [line for line in lines if not is_runnable(line)]
    missing = {
        program
        for line in idle
        for program in line.needs
        if not shutil.which(program, path=SYSTEM_PATH)
    }
    if idle:
        pytest.skip(f"{len(idle)} of {len(lines)} need {', '.join(sorted(missing))}")
    assert missing == set()
