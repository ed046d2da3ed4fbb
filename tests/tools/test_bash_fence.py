"""`bash` behind real fences: what the model is told, who is asked, what is run again and where."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import anyio
import anyio.lowlevel
import msgspec
import pytest
from msgspec import Struct

from crush.errors import ToolError
from crush.sandbox.sandbox import Sandbox
from crush.tools.base import AnyTool, Tool, ToolContext, ToolResult
from crush.tools.bash import BashTool
from crush.tools.launcher import Confines
from crush.tools.registry import argument_schema
from tests.fakes.surroundings import FakeWayOut
from tests.sandbox.yard import Yard, kinds, new_yard
from tests.tools.conftest import Caller
from tests.tools.processes import children, lives

KINDS = [kind for kind in kinds() if kind != "none"]
pytestmark = pytest.mark.skipif(not KINDS, reason="there is no sandbox here")


@pytest.fixture
def yard() -> Iterator[Yard]:
    with new_yard() as made:
        # Landlock lets nobody make a name beside what is protected.
        (made.root / "work").mkdir()
        yield made


@pytest.fixture(params=KINDS)
def sandbox(request: pytest.FixtureRequest, yard: Yard) -> Sandbox:
    return yard.sandbox(request.param)


@pytest.fixture
def way_out() -> FakeWayOut:
    return FakeWayOut()


@pytest.fixture
def fenced(yard: Yard, sandbox: Sandbox, context: ToolContext, way_out: FakeWayOut) -> Caller:
    """Calls of `bash` in the yard, behind its fence."""
    return fenced_caller(yard, sandbox, context, way_out)


def fenced_caller(
    yard: Yard, sandbox: Confines, context: ToolContext, way_out: FakeWayOut
) -> Caller:
    async def find() -> Confines:
        return sandbox

    caller = Caller(
        msgspec.structs.replace(
            context, cwd=str(yard.root), tmp=str(yard.tmp), fence=yard.fence(), escape=way_out
        )
    )
    bash = BashTool(description="", sandbox=find)
    caller.replace_tool(
        AnyTool(
            name="bash",
            description="",
            parameters=argument_schema(BashTool.args_type),
            read_only=False,
            tool=cast("Tool[Struct]", bash),
        )
    )
    return caller


def said(result: ToolResult) -> dict[str, object]:
    metadata: dict[str, object] = msgspec.json.decode(result.metadata_json())
    return metadata


@pytest.fixture
def before() -> set[int]:
    """The children that a test finds: none of its own."""
    return children()


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(10):
        while not condition():
            await anyio.lowlevel.checkpoint()


async def test_a_fenced_command_works_in_the_workspace_and_names_its_fence(
    fenced: Caller, yard: Yard, sandbox: Sandbox
) -> None:
    result = await fenced("bash", command="echo x >work/made; cat work/made; exit 4")
    assert result.content == f"x\nExit code 4\n\n<cwd>{yard.root}</cwd>"
    assert said(result)["sandbox"] == sandbox.kind
    assert (yard.root / "work" / "made").read_text() == "x\n"


async def test_temporary_files_are_the_sessions(
    fenced: Caller, yard: Yard, sandbox: Sandbox
) -> None:
    result = await fenced("bash", command='echo "$TMPDIR"; echo x >"$(mktemp)"; mktemp -d')
    directory = "/tmp" if sandbox.kind == "bubblewrap" else str(yard.tmp)  # noqa: S108
    assert result.content.startswith(f"{directory}\n{directory}/")
    assert [file.read_text() for file in yard.tmp.iterdir() if file.is_file()] == ["x\n"]


async def test_a_refused_write_is_explained_when_nobody_lets_it_out(
    fenced: Caller, yard: Yard, way_out: FakeWayOut
) -> None:
    target = yard.outside / "x"
    result = await fenced("bash", command=f"echo a; touch {target}")
    assert result.content.startswith("a\ntouch: cannot touch ")
    assert "Exit code 1\n(The sandbox refused a write (touch: " in (result.content)
    assert "needs a permission, which was not given" in result.content
    assert len(way_out.reasons) == 1
    assert way_out.reasons[0].startswith("the sandbox refused a write (")
    assert not target.exists()


async def test_with_permission_it_runs_again_outside_and_says_so(
    fenced: Caller, yard: Yard, way_out: FakeWayOut
) -> None:
    way_out.opens = True
    target = yard.outside / "x"
    result = await fenced("bash", command=f"echo y >>work/ran; touch {target} && echo made")
    assert result.content.startswith("made\n(The sandbox refused a write")
    assert "with permission it ran again outside" in result.content
    assert said(result)["sandbox"] == "none"
    assert target.exists()
    assert (yard.root / "work" / "ran").read_text() == "y\ny\n"


async def test_a_network_that_is_off_is_asked_about(fenced: Caller, way_out: FakeWayOut) -> None:
    program = "import socket; socket.getaddrinfo('name.example', 80)"
    result = await fenced("bash", command=f'python3 -c "{program}"')
    assert "The sandbox refused the network (socket.gaierror: " in result.content
    assert len(way_out.reasons) == 1


async def test_a_failure_that_is_the_commands_own_asks_nobody(
    fenced: Caller, way_out: FakeWayOut
) -> None:
    for command in ("false", "ls nope", "cat /srv/nope/x", "grep x made", "exit 30"):
        await fenced("bash", command=command)
    result = await fenced("bash", command="echo 'E  OSError: Read-only file system'; exit 1")
    assert "sandbox refused" not in result.content
    assert way_out.reasons == []


async def test_a_fenced_job_is_ended_with_its_daemons_after_its_trap_ran(
    fenced: Caller, yard: Yard, sandbox: Sandbox, before: set[int]
) -> None:
    result = await fenced(
        "bash",
        command="trap 'echo bye; exit 3' TERM; (setsid sleep 600 &); touch work/ready; "
        "while :; do sleep 0.05; done",
        auto_background_after=1,
    )
    job_id = str(said(result)["shell_id"])
    job = fenced.context.jobs.find(job_id)
    assert job is not None
    assert job.sandbox == sandbox.kind
    ended = await fenced.context.jobs.kill(job_id, by="c")
    assert ended is not None
    assert ended.exit_code == 3
    read = await fenced("job_output", shell_id=job_id)
    assert "bye\n(ended by c)\nExit code 3" in read.content
    assert children() <= before
    assert not any(_is_sleep_600(pid) for pid in os.listdir("/proc") if pid.isdigit())


def _is_sleep_600(pid: str) -> bool:
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return line == b"sleep\x00600\x00" and lives(int(pid))


async def test_a_cancelled_fenced_command_leaves_nothing(
    fenced: Caller, yard: Yard, before: set[int]
) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(
            lambda: fenced("bash", command="trap '' TERM; touch work/ready; sleep 601")
        )
        await until((yard.root / "work" / "ready").exists)
        tasks.cancel_scope.cancel()
    assert children() <= before


async def test_without_a_sandbox_nothing_that_needs_one_runs(
    yard: Yard, context: ToolContext, way_out: FakeWayOut
) -> None:
    none = Sandbox(wall=None, hidden=(), reason="r", remedy="")
    caller = fenced_caller(yard, none, context, way_out)
    with pytest.raises(ToolError, match="this machine has none"):
        await caller("bash", command="touch made")
    assert not (yard.root / "made").exists()
