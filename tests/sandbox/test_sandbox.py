"""The life of a fenced command: how it starts, hears signals and ends, and what it leaves: nothing."""

import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest
from blockbuster import blockbuster_ctx

from crush.sandbox.fence import Fence
from crush.sandbox.sandbox import Sandbox
from tests.sandbox.yard import Yard, fill, kinds, new_yard, run, shell, start

PYTHON = os.path.realpath(sys.executable)  # not one that the fence may hide

PROJECT = Path(__file__).parents[2]
TRAP = """
trap 'echo bye > "$TMPDIR/said"; exit 3' TERM INT
touch "$TMPDIR/ready"
sleep 1000 & wait
"""
WAIT = "while [ ! -e /tmp/go ]; do sleep 0.01; done"
needs_bubblewrap = pytest.mark.skipif("bubblewrap" not in kinds(), reason="it is not installed")
needs_landlock = pytest.mark.skipif("landlock" not in kinds(), reason="the kernel has none")


@pytest.fixture
def yard() -> Iterator[Yard]:
    with new_yard() as made:
        yield made


@pytest.fixture(params=kinds())
def sandbox(request: pytest.FixtureRequest, yard: Yard) -> Sandbox:
    return yard.sandbox(request.param)


def own(name: str) -> str:
    return Path("/proc/self", name).read_text()


async def wait_for(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        await anyio.to_thread.run_sync(_watch, condition, abandon_on_cancel=True)


def _watch(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)


def sleeps(seconds: str) -> bool:
    """Whether there is a process of this command line: not bubblewrap with it as arguments."""
    wanted = f"sleep\0{seconds}\0".encode()
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if Path("/proc", name, "cmdline").read_bytes().removeprefix(b"/bin/") == wanted:
                return True
    return False


async def test_a_command_runs_with_its_arguments_environment_and_umask(
    sandbox: Sandbox, yard: Yard
) -> None:
    ended = await shell(sandbox, yard.fence(), 'echo "$A $0"; umask; cat; pwd', env={"A": "a b"})
    assert ended.output.split("\n") == ["a b /bin/sh", "0022", str(yard.root), ""]
    assert (ended.returncode, ended.notices) == (0, ())


async def test_it_ends_with_the_exit_status_of_the_command(sandbox: Sandbox, yard: Yard) -> None:
    assert (await shell(sandbox, yard.fence(), "exit 7")).returncode == 7
    killed = (await shell(sandbox, yard.fence(), "kill -9 $$")).returncode
    assert killed in {-9, 128 + 9}


async def test_the_private_directory_is_where_temporary_files_go(
    sandbox: Sandbox, yard: Yard
) -> None:
    ended = await shell(sandbox, yard.fence(), 'echo hi > "$TMPDIR/x" && echo "$TMPDIR"')
    assert ended.returncode == 0
    assert (yard.tmp / "x").read_text() == "hi\n"
    assert Path(ended.output.strip()) == (
        Path(os.sep, "tmp") if sandbox.kind == "bubblewrap" else yard.tmp
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_clean_up_trap_runs(sandbox: Sandbox, yard: Yard, number: int) -> None:
    with tempfile.TemporaryFile() as output:
        child = await start(
            sandbox, yard.fence(), ["/bin/bash", "-c", TRAP], output=output.fileno()
        )
        assert os.getpgid(child.pid) == child.pid
        await wait_for((yard.tmp / "ready").exists)
        sandbox.signal(child, number)
        with anyio.fail_after(10):
            assert await child.wait() == 3
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # a job in the background hears no SIGINT
    assert (yard.tmp / "said").read_text() == "bye\n"


async def test_a_signal_before_the_command_began_ends_it_too(sandbox: Sandbox, yard: Yard) -> None:
    with tempfile.TemporaryFile() as output:
        for _ in range(10):
            mark = f"103{os.getpid()}"
            child = await start(sandbox, yard.fence(), ["/bin/sleep", mark], output=output.fileno())
            with anyio.fail_after(10):
                while child.returncode is None:
                    sandbox.signal(child, signal.SIGTERM)
                    with anyio.move_on_after(0.05):
                        await child.wait()
            numbers = (signal.SIGTERM, signal.SIGKILL)
            assert child.returncode in {*(-n for n in numbers), *(128 + n for n in numbers)}
            await wait_for(lambda: not sleeps(mark))  # noqa: B023 - awaited here
            sandbox.signal(child, signal.SIGTERM)  # nobody is there: no error


async def test_several_tasks_may_wait_and_one_may_give_up(sandbox: Sandbox, yard: Yard) -> None:
    codes: list[int] = []
    with tempfile.TemporaryFile() as output:
        child = await start(sandbox, yard.fence(), ["/bin/sleep", "1000"], output=output.fileno())

        async def wait() -> None:
            codes.append(await child.wait())

        async with anyio.create_task_group() as waiting:
            waiting.start_soon(wait)
            waiting.start_soon(wait)
            with anyio.move_on_after(0.05) as given_up:
                await child.wait()
            assert given_up.cancelled_caught
            sandbox.signal(child, signal.SIGKILL)
    assert len(codes) == 2
    assert set(codes) == {-signal.SIGKILL}
    assert await child.wait() == -signal.SIGKILL


async def test_starting_and_waiting_leave_the_event_loop_free(sandbox: Sandbox, yard: Yard) -> None:
    fence = yard.fence()
    with tempfile.TemporaryFile() as output, blockbuster_ctx("crush"):
        child = await start(sandbox, fence, ["/bin/true"], output=output.fileno())
        assert await child.wait() == 0


@needs_bubblewrap
async def test_a_background_process_ends_with_its_shell(yard: Yard) -> None:
    mark = f"100{os.getpid()}"
    ended = await shell(
        yard.sandbox("bubblewrap"), yard.fence(), f"setsid sleep {mark} & sleep 0.05; echo on"
    )
    assert ended.output == "on\n"
    await wait_for(lambda: not sleeps(mark))


@needs_bubblewrap
async def test_a_killed_group_leaves_no_process_mount_or_file(yard: Yard) -> None:
    sandbox, mark = yard.sandbox("bubblewrap"), f"101{os.getpid()}"
    with tempfile.TemporaryFile() as output:
        child = await start(sandbox, yard.fence(), ["/bin/sleep", mark], output=output.fileno())
        await wait_for(lambda: sleeps(mark))
        assert os.listdir(yard.root) == [".git"]
        os.killpg(child.pid, signal.SIGKILL)
        await child.wait()
    await wait_for(lambda: not sleeps(mark))
    assert os.listdir(yard.root) == []
    assert str(yard.top) not in own("mountinfo")


@needs_bubblewrap
async def test_a_command_dies_with_a_killed_server_and_the_next_one_tidies_up(yard: Yard) -> None:
    mark = f"102{os.getpid()}"
    code = (
        "import anyio, sys; from pathlib import Path; from tests.sandbox import yard as y\n"
        "async def main():\n"
        f"    yard = y.Yard(Path({str(yard.top)!r})); sandbox = yard.sandbox('bubblewrap')\n"
        f"    await y.run(sandbox, yard.fence(), '/bin/sleep', {mark!r})\n"
        "anyio.run(main)"
    )
    async with await anyio.open_process([sys.executable, "-c", code], cwd=PROJECT) as server:
        try:
            await wait_for(lambda: sleeps(mark))
        finally:
            server.kill()
    await wait_for(lambda: not sleeps(mark))
    assert os.listdir(yard.root) == [".git"]  # of nobody, and no repository
    ended = await shell(yard.sandbox("bubblewrap"), yard.fence(), "mkdir .git/hooks")
    assert ended.returncode != 0
    assert os.listdir(yard.root) == []


@needs_bubblewrap
async def test_no_repository_can_be_made_while_any_command_runs(yard: Yard) -> None:
    sandbox, fence = yard.sandbox("bubblewrap"), yard.fence()
    with tempfile.TemporaryFile() as output:
        longer = await start(sandbox, fence, ["/bin/sh", "-c", f"{WAIT}; git init ."],
                             output=output.fileno())  # fmt: skip
        ended = await shell(sandbox, fence, "git init . || mv .git x || rmdir .git")
        assert ended.returncode != 0
        assert os.listdir(yard.root) == [".git"]
        (yard.tmp / "go").touch()
        assert await longer.wait() != 0
    assert os.listdir(yard.root) == []


async def test_what_was_not_protected_by_name_yet_is_moved_away_and_told(yard: Yard) -> None:
    sandbox = yard.sandbox(kinds()[0])
    ended = await shell(
        sandbox, yard.fence(), "echo evil > .envrc; mkdir .vscode; touch fine; mkdir objects refs"
    )
    assert ended.returncode == 0
    if sandbox.kind == "bubblewrap":
        left = [".envrc.refused", ".vscode.refused", "fine", "objects", "refs"]
        assert sorted(os.listdir(yard.root)) == left
        assert len(ended.notices) == 2
        assert (yard.root / ".envrc.refused").read_text() == "evil\n"
    ended = await shell(sandbox, yard.fence(), "echo 'ref: refs/heads/x' > HEAD")
    assert "HEAD" not in os.listdir(yard.root)
    assert ["HEAD" in notice for notice in ended.notices] == [True]


async def test_a_repository_that_was_there_keeps_its_head(sandbox: Sandbox, yard: Yard) -> None:
    yard.git("init", "-q", "--bare")
    ended = await shell(sandbox, yard.fence(), "git log; rm -f HEAD; echo x > config; true")
    assert ended.notices == ()
    assert yard.git("rev-parse", "--is-bare-repository") == "true\n"


@needs_bubblewrap
async def test_a_file_called_head_is_not_what_is_moved(yard: Yard) -> None:
    yard.write("project/HEAD", "mine")
    ended = await shell(yard.sandbox("bubblewrap"), yard.fence(), "mkdir objects refs")
    assert sorted(os.listdir(yard.root)) == ["HEAD", "objects.refused", "refs"]
    assert len(ended.notices) == 1


@needs_bubblewrap
async def test_what_somebody_allowed_meanwhile_is_left_alone(yard: Yard) -> None:
    sandbox = yard.sandbox("bubblewrap")
    sandbox.admit(str(yard.root / "AGENTS.md"))
    ended = await shell(sandbox, yard.fence(), "touch AGENTS.md")
    assert ended.notices == ()
    assert os.listdir(yard.root) == ["AGENTS.md"]


@needs_bubblewrap
async def test_what_is_put_in_the_place_of_a_protected_file_further_down_is_told(
    yard: Yard,
) -> None:
    """Its directory can be moved, and the mount on it goes along."""
    yard.write("project/src/AGENTS.md", "mine")
    sandbox = yard.sandbox("bubblewrap")
    ended = await shell(sandbox, yard.fence(), "mv src old && mkdir src && echo x > src/AGENTS.md")
    assert ["'src/AGENTS.md'" in notice for notice in ended.notices].count(True) == 1
    assert (yard.root / "old" / "AGENTS.md").read_text() == "mine"


@needs_bubblewrap
async def test_a_new_repository_further_down_and_a_turned_link_are_told(yard: Yard) -> None:
    yard.write("project/CLAUDE.md")
    (yard.root / "AGENTS.md").symlink_to("CLAUDE.md")
    ended = await shell(
        yard.sandbox("bubblewrap"),
        yard.fence(),
        "git init -q sub; echo x >> AGENTS.md; ln -sf sub AGENTS.md",
    )
    assert (yard.root / "CLAUDE.md").read_text() == "x\n"  # not to be written by that name either
    assert [("sub/.git" in n, "AGENTS.md" in n) for n in ended.notices] == [
        (True, False),
        (False, True),
    ]
    assert os.readlink(yard.root / "AGENTS.md") == "CLAUDE.md"
    assert os.readlink(yard.root / "AGENTS.md.refused") == "sub"


@needs_bubblewrap
async def test_a_workspace_in_the_common_temporary_directory_is_reached(
    tmp_path: Path, yard: Yard
) -> None:
    fence = Fence(root=str(tmp_path), tmp=str(yard.tmp))
    ended = await shell(yard.sandbox("bubblewrap"), fence, "touch made && ls /tmp")
    assert ended.returncode == 0
    assert os.listdir(tmp_path) == ["made"]
    assert ended.output.split() == [tmp_path.parts[2]]


@needs_bubblewrap
async def test_the_database_of_a_project_is_not_there_and_what_people_keep_beside_it_is(
    yard: Yard,
) -> None:
    for name in ("crush.db", "crush.db-wal", "logs/crush.log", "commands/x.md"):
        yard.write(f"project/.crush/{name}")
    ended = await shell(
        yard.sandbox("bubblewrap"), yard.fence(), "find .crush -type f; touch .crush/y"
    )
    assert ended.output.split("\n")[0] == ".crush/commands/x.md"
    assert "Read-only" in ended.output.split("\n")[1]


async def test_variables_that_load_code_reach_the_command_only(
    sandbox: Sandbox, yard: Yard
) -> None:
    ended = await shell(
        sandbox, yard.fence(), 'echo "$LD_DEBUG_OUTPUT"', env={"LD_DEBUG_OUTPUT": "/nowhere"}
    )
    assert ended.output == "/nowhere\n"


@needs_bubblewrap
async def test_a_fence_with_network_reaches_addresses_and_still_not_our_socket(yard: Yard) -> None:
    fill(yard)
    code = (
        "import socket, sys\n"
        "def works(family, address):\n"
        "    try: socket.socket(family).connect(address)\n"
        "    except OSError: return False\n"
        "    return True\n"
        "print(works(socket.AF_INET, ('127.0.0.1', int(sys.argv[1]))), works(socket.AF_UNIX, sys.argv[2]))"
    )
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as own:
        own.bind(str(yard.hidden / "s"))
        own.listen()
        argv = [
            PYTHON,
            "-I",
            "-S",
            "-c",
            code,
            str(tcp.getsockname()[1]),
            own.getsockname(),
        ]
        ended = await run(yard.sandbox("bubblewrap"), yard.fence(network=True), *argv)
    assert ended.output == "True False\n"


@needs_landlock
async def test_landlock_is_not_given_network(yard: Yard) -> None:
    sandbox = yard.sandbox("landlock")
    assert not sandbox.can_open_network
    with pytest.raises(OSError, match="network"):
        await shell(sandbox, yard.fence(network=True), "true")


@needs_landlock
async def test_the_thread_that_starts_others_is_not_restricted(yard: Yard) -> None:
    assert (await shell(yard.sandbox("landlock"), yard.fence(), "true")).returncode == 0
    (yard.outside / "ours").touch()
    assert "NoNewPrivs:\t0" in own("status")


async def test_nothing_starts_where_no_fence_can_stand(sandbox: Sandbox, yard: Yard) -> None:
    everything = Fence(root="/", tmp=str(yard.tmp))
    ours = Fence(root=str(yard.hidden), tmp=str(yard.tmp))
    gone = Fence(root=str(yard.root / "gone"), tmp=str(yard.tmp))
    for fence in (everything, ours, gone):
        with pytest.raises(OSError, match=r"."):
            await shell(sandbox, fence, "touch x")
    with pytest.raises(FileNotFoundError):
        await run(sandbox, yard.fence(), "/no/such/program")
    assert os.listdir(yard.root) == []


@needs_bubblewrap
async def test_a_workspace_that_is_removed_meanwhile_ends_no_wait(yard: Yard) -> None:
    with tempfile.TemporaryFile() as output:
        argv = ["/bin/sh", "-c", f"touch /tmp/ready; {WAIT}"]
        child = await start(yard.sandbox("bubblewrap"), yard.fence(), argv, output=output.fileno())
        await wait_for((yard.tmp / "ready").exists)
        shutil.rmtree(yard.root)
        (yard.tmp / "go").touch()
        assert await child.wait() == 0
    assert child.notices == ()


async def test_without_a_sandbox_nothing_starts(yard: Yard) -> None:
    sandbox = Sandbox(wall=None, hidden=[], reason="no luck", remedy="buy some")
    assert (sandbox.kind, sandbox.can_open_network) == ("none", False)
    with pytest.raises(OSError, match="no luck"):
        await shell(sandbox, yard.fence(), "true")
