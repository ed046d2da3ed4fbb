"""What may go wrong around a command that runs, beside what it does itself."""

import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from crush.errors import ToolError
from crush.tools.jobs import Jobs, new_mark
from crush.tools.launcher import PlainLauncher
from crush.tools.process_kin import group_lives, marked
from crush.tools.shell_process import ShellOrder, ShellProcess
from tests.tools.processes import children, lives


async def start(jobs: Jobs, command: str, cwd: Path) -> ShellProcess:
    order = ShellOrder(
        command=command,
        cwd=str(cwd),
        workspace=str(cwd),
        env={"PATH": os.environ["PATH"]},
        umask=0o022,
        tmp="",
        mark=new_mark(),
        only_reads=False,
    )
    return await jobs.start(order, launcher=PlainLauncher(), emit=lambda text: None)


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(10):
        while not condition():
            await anyio.lowlevel.checkpoint()


@pytest.fixture
def before() -> set[int]:
    """The children that a test finds: none of its own."""
    return children()


@contextmanager
def no_descriptors_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = os.open("/dev/null", os.O_RDONLY)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            os.dup(held)
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        os.close(held)


async def test_without_descriptors_nothing_starts_and_nothing_leaks(
    jobs: Jobs, project: Path
) -> None:
    await (await start(jobs, "true", project)).wait()
    before = len(os.listdir("/proc/self/fd"))
    with no_descriptors_left(), pytest.raises(ToolError, match="Too many open files"):
        await start(jobs, "true", project)
    process = await start(jobs, "exit 5", project)
    await process.wait()
    assert process.exit_code == 5
    assert len(os.listdir("/proc/self/fd")) == before


async def test_a_command_is_ended_even_when_no_descriptors_are_left(
    jobs: Jobs, project: Path, before: set[int]
) -> None:
    process = await start(jobs, "trap '' TERM; touch up; while :; do sleep 0.05; done", project)
    await until((project / "up").exists)
    with no_descriptors_left(), anyio.fail_after(15):
        await process.end()
    assert process.exit_code == 128 + signal.SIGKILL
    assert children() <= before


async def test_only_the_processes_of_a_command_carry_its_mark(jobs: Jobs, project: Path) -> None:
    first = await start(jobs, "sleep 60 & setsid sleep 60 & wait", project)
    second = await start(jobs, "exec sleep 60", project)
    await until(lambda: len(marked({first.order.mark})) == 3)
    kin = marked({first.order.mark})
    assert set(kin).isdisjoint(marked({second.order.mark}))
    await first.end()
    assert not any(map(lives, kin))
    assert len(marked({second.order.mark})) == 1
    await second.end()
    assert marked({first.order.mark, second.order.mark}) == []


async def test_a_group_that_is_gone_or_not_ours_does_not_live(jobs: Jobs, project: Path) -> None:
    process = await start(jobs, "true", project)
    await process.wait()
    assert not group_lives(process._child.pid)


async def test_a_burst_of_forks_is_ended_whole(jobs: Jobs, project: Path) -> None:
    """Each makes itself a session and ignores the request, while they are being ended."""
    process = await start(
        jobs,
        "for i in $(seq 40); do setsid sh -c 'trap \"\" TERM; sleep 60' & done; touch up; wait",
        project,
    )
    await until((project / "up").exists)
    with anyio.fail_after(15):
        await process.end()
    assert marked({process.order.mark}) == []
    assert not group_lives(process._child.pid)
