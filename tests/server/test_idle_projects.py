"""Projects that nobody uses are closed, and never in the way of somebody who comes just then."""

import anyio
import anyio.lowlevel
import pytest

from crush.server import projects as projects_module
from crush.server.memory import give_back
from tests.server.site import Site


@pytest.fixture(autouse=True)
def without_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projects_module, "KEEP_OPEN_S", 0.0)


async def test_a_project_is_closed_when_nobody_uses_it(site: Site) -> None:
    await site.run("hi")
    projects = site.services.projects
    data_dir = str(site.project() / ".crush")
    async with projects.use(data_dir) as project:
        await projects.close_idle()
        assert list(projects._open) == [data_dir]
        while project.is_busy:  # its run has told its end and is about to leave
            await anyio.lowlevel.checkpoint()
    await projects.close_idle()
    assert projects._open == {}


@pytest.mark.parametrize("steps", range(12))
async def test_who_comes_while_a_project_closes_gets_it_open(site: Site, steps: int) -> None:
    await site.run("hi")
    projects = site.services.projects
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(projects.close_idle)
        for _ in range(steps):  # at each point of the closing
            await anyio.lowlevel.checkpoint()
        async with projects.use(str(site.project() / ".crush")) as project:
            assert len(await project.store.sessions()) == 1
    assert [event["type"] for event in await site.run("hi")][-1] == "run_complete"


def test_memory_can_be_given_back_on_every_system() -> None:
    give_back()
    give_back()
