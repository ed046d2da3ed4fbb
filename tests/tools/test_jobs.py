"""Background jobs as the model and the server have them, with real processes."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.lowlevel
import msgspec
import pytest

from crush.errors import StoreError, ToolError
from crush.tools import bash
from crush.tools import jobs as jobs_module
from crush.tools.base import ToolResult
from crush.tools.jobs import Jobs, new_mark
from crush.tools.launcher import PlainLauncher
from crush.tools.output_file import CAP_BYTES
from crush.tools.shell_process import ShellOrder, ShellProcess
from crush.wire.events import JobUpdated
from crush.wire.ids import RunId, SessionId, ToolCallId
from crush.wire.jobs import Job
from tests.tools.conftest import Caller
from tests.tools.processes import children, lives

FORKS = """
import os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with open("daemon.tmp", "w") as file:
            file.write(str(os.getpid()))
        os.rename("daemon.tmp", "daemon")
        time.sleep(600)
    os._exit(0)
os.wait()
"""


@pytest.fixture(autouse=True)
def _short_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that ends within a second of its start is no job; most tests need not wait for that."""
    monkeypatch.setattr(bash, "_INSTANT_FAILURE_S", 0.05)


@pytest.fixture
def before() -> set[int]:
    """The children that a test finds: none of its own."""
    return children()


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(10):
        while not condition():
            await anyio.lowlevel.checkpoint()


async def background(call: Caller, command: str) -> str:
    """The id of a job that runs it."""
    result = await call("bash", command=command, description="d", run_in_background=True)
    metadata = msgspec.json.decode(result.metadata_json())
    assert metadata["background"], result.content
    return str(metadata["shell_id"])


async def unwatched(call: Caller, name: str, **arguments: object) -> ToolResult:
    """A call that may overlap with others, which the watch over blocking calls cannot."""
    prepared = call.prepare(name, **arguments)
    return await prepared._tool.run(prepared._args, prepared._context)


def known(jobs: Jobs, job_id: str) -> Job:
    job = jobs.find(job_id)
    assert job is not None
    return job


def pid_in(path: Path) -> int:
    return int(path.read_text())


async def test_a_job_is_started_read_waited_for_and_told_of(
    call: Caller, project: Path, job_events: list[JobUpdated]
) -> None:
    result = await call(
        "bash",
        command="echo begun; until [ -e go ]; do sleep 0.01; done; echo over >&2; exit 3",
        description="d",
        run_in_background=True,
    )
    assert result.content == (
        "begun\n(Started as background job 001: job_output reads it, job_kill ends it.)"
        f"\n\n<cwd>{project}</cwd>"
    )
    read = await call("job_output", shell_id="001")
    assert read.content == "Status: running\n\nbegun"
    metadata = {"shell_id": "001", "description": "d", "working_directory": str(project)}
    said = msgspec.json.decode(read.metadata_json())
    assert said.pop("command").startswith("echo begun")
    assert said == {**metadata, "done": False}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.Path(project / "go").touch)
        read = await call("job_output", shell_id="1", wait=True)
    assert read.content == "Status: completed\n\nbegun\nover\nExit code 3"
    assert msgspec.json.decode(read.metadata_json())["done"]
    await until(lambda: len(job_events) == 2)
    begun, ended = (event.job for event in job_events)
    assert (begun.state, begun.exit_code, begun.ended_at_ms) == ("running", None, 0)
    assert (ended.state, ended.exit_code, ended.ended_by) == ("exited", 3, "")
    assert ended.output_bytes == len("begun\nover\n")
    assert ended.ended_at_ms >= ended.started_at_ms > 0
    assert (ended.id, ended.session_id, ended.run_id) == ("001", "session", "run")


async def test_a_command_that_fails_at_once_is_no_job(
    call: Caller, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    result = await call("bash", command="echo no >&2; exit 7", run_in_background=True)
    assert result.content.startswith("no\nExit code 7")
    assert not msgspec.json.decode(result.metadata_json())["background"]
    assert jobs.listed() == []


async def test_what_takes_long_becomes_a_job_with_all_its_output(
    call: Caller, project: Path, jobs: Jobs
) -> None:
    result = await call(
        "bash",
        command="echo one; echo two >&2; until [ -e go ]; do sleep 0.01; done; seq 3 100000",
        auto_background_after=1,
    )
    assert "\n(Still running after 1 s, now as background job 001" in result.content
    assert sorted(result.content.splitlines()[:2]) == ["one", "two"]
    live = "".join(call.live)
    assert sorted(live.splitlines()) == ["one", "two"]
    (project / "go").touch()
    read = await call("job_output", shell_id="001", wait=True)
    assert read.content.endswith("\n99999\n100000\nExit code 0")
    size = len("one\ntwo\n") + sum(len(f"{number}\n") for number in range(3, 100_001))
    assert known(jobs, "001").output_bytes == size
    assert "".join(call.live) == live  # the call is over: nobody watches it


async def test_a_command_that_ends_as_it_is_handed_over_has_one_result_with_everything(
    call: Caller,
) -> None:
    """Around the moment of the hand-over, from well before to well after."""
    handed_over: list[bool] = []

    async def run(seconds: float) -> None:
        command = f"echo a; sleep {seconds}; echo b"
        result = await unwatched(call, "bash", command=command, auto_background_after=1)
        job_id = msgspec.json.decode(result.metadata_json())["shell_id"]
        handed_over.append(bool(job_id))
        if job_id:
            read = await unwatched(call, "job_output", shell_id=job_id, wait=True)
            assert read.content == "Status: completed\n\na\nb\nExit code 0"
        else:
            assert result.content.startswith("a\nb\n\n<cwd>")

    async with anyio.create_task_group() as tasks:
        for step in range(16):
            tasks.start_soon(run, 0.6 + step * 0.05)
    assert set(handed_over) == {False, True}


async def test_a_job_that_forks_and_ignores_the_request_is_ended_with_its_daemon(
    call: Caller, project: Path, jobs: Jobs, before: set[int]
) -> None:
    (project / "forks.py").write_text(FORKS)
    job_id = await background(
        call,
        "trap '' TERM; python3 forks.py; (trap '' TERM; echo $BASHPID >child; exec sleep 600) & "
        "until [ -s child ]; do :; done; while :; do sleep 0.05; done",
    )
    await until(lambda: (project / "daemon").exists() and (project / "child").exists())
    started = time.monotonic()
    result = await call("job_kill", shell_id=job_id)
    assert time.monotonic() - started < 8
    assert result.content == f"Job {job_id} was ended. Exit code 137 (SIGKILL)"
    assert msgspec.json.decode(result.metadata_json())["shell_id"] == job_id
    assert not lives(pid_in(project / "daemon"))
    assert not lives(pid_in(project / "child"))
    assert children() <= before
    job = known(jobs, job_id)
    assert (job.state, job.ended_by, job.exit_code) == ("killed", "job_kill", 137)
    again = await call("job_kill", shell_id=job_id)
    assert again.content == f"Job {job_id} had already ended. Exit code 137 (SIGKILL)"


async def test_clean_up_traps_run_and_what_they_say_is_kept(call: Caller, jobs: Jobs) -> None:
    job_id = await background(
        call, "trap 'echo cleaned; exit 4' TERM; echo up; while :; do sleep 0.01; done"
    )
    await jobs.kill(job_id, by="c1")
    read = await call("job_output", shell_id=job_id)
    assert read.content.startswith("Status: completed\n\nup\n")
    assert read.content.endswith("\ncleaned\n(ended by c1)\nExit code 4")


async def test_a_daemon_that_keeps_the_pipe_of_a_job_holds_nobody(
    call: Caller, project: Path, jobs: Jobs
) -> None:
    (project / "forks.py").write_text(FORKS)
    job_id = await background(call, "sleep 0.3; python3 forks.py; echo done")
    with anyio.fail_after(8):
        read = await call("job_output", shell_id=job_id, wait=True)
    assert read.content == "Status: completed\n\ndone\nExit code 0"
    daemon = pid_in(project / "daemon")
    assert lives(daemon)  # it ended by itself, so what it left is left
    await jobs.close()
    assert not lives(daemon)  # but not beyond the server


async def test_a_job_that_closes_its_pipes_goes_on_and_costs_nothing(
    call: Caller, project: Path
) -> None:
    job_id = await background(
        call, "echo x; exec >&- 2>&-; until [ -e go ]; do sleep 0.05; done; exit 6"
    )
    assert (await call("job_output", shell_id=job_id)).content == "Status: running\n\nx"
    started = time.process_time()
    with anyio.move_on_after(0.5):
        await call("job_output", shell_id=job_id, wait=True)
    assert time.process_time() - started < 0.25
    (project / "go").touch()
    read = await call("job_output", shell_id=job_id, wait=True)
    assert read.content == "Status: completed\n\nx\nExit code 6"


async def test_64_megabytes_cost_neither_memory_nor_disk(
    call: Caller, jobs: Jobs, tmp_path: Path
) -> None:
    job_id = await background(call, "yes 0123456789abcde | head -c 67108864; sleep 1; echo end")
    read = await call("job_output", shell_id=job_id, wait=True)
    assert len(read.content) < 31_000
    assert read.content.endswith("0123456789abcde\nend\nExit code 0")
    assert known(jobs, job_id).output_bytes == 64 * 1024 * 1024 + 4
    first = await jobs.output(job_id, offset=0, limit=1000)
    assert first is not None
    assert (first.offset, first.next_offset, first.skipped, first.done) == (0, 1000, 0, False)
    middle = await jobs.output(job_id, offset=CAP_BYTES, limit=100)
    assert middle is not None
    assert middle.skipped == middle.offset - CAP_BYTES > 50 * 1024 * 1024
    assert middle.next_offset == middle.offset + 100
    assert list((tmp_path / "output").iterdir()) == []


async def test_output_is_read_by_offset_and_never_within_a_character_or_an_escape(
    call: Caller, jobs: Jobs
) -> None:
    text = "é\u001b[31mrot\u001b[0m 日本 \u001b]0;title\u0007ende\n"
    job_id = await background(call, f"printf '%s' '{text}'; sleep 0.3")
    await jobs.wait(job_id)
    for limit in range(1, 60):
        found, at = "", 0
        while True:
            stretch = await jobs.output(job_id, offset=at, limit=limit)
            assert stretch is not None
            assert "\u001b" not in stretch.text
            found, at = found + stretch.text, stretch.next_offset
            if stretch.done:
                break
        assert at == len(text.encode())
        if limit > len("\u001b]0;title\u0007"):
            assert found == "érot 日本 ende\n"


async def test_a_character_that_is_only_half_there_is_waited_for(
    call: Caller, project: Path, jobs: Jobs
) -> None:
    job_id = await background(
        call, r"printf 'a\303'; until [ -e go ]; do sleep 0.01; done; printf '\251'"
    )
    half = await jobs.output(job_id, offset=0, limit=100)
    assert half is not None
    assert (half.text, half.next_offset, half.done) == ("a", 1, False)
    (project / "go").touch()
    await jobs.wait(job_id)
    rest = await jobs.output(job_id, offset=1, limit=100)
    assert rest is not None
    assert (rest.text, rest.next_offset, rest.done) == ("é", 3, True)


async def test_a_job_belongs_to_its_session(call: Caller, jobs: Jobs) -> None:
    job_id = await background(call, "sleep 60")
    other = Caller(msgspec.structs.replace(call.context, session_id=SessionId("other")))
    for tool in ("job_output", "job_kill"):
        with pytest.raises(ToolError, match=r"no job '001'. This session has none"):
            await other(tool, shell_id=job_id)
        with pytest.raises(ToolError, match=r"no job 'zz'. Jobs of this session: 001\."):
            await call(tool, shell_id="zz")
    assert known(jobs, job_id).state == "running"


async def test_waiting_ends_with_the_turn_and_the_job_does_not(call: Caller, jobs: Jobs) -> None:
    job_id = await background(call, "sleep 60")
    with anyio.move_on_after(0.1) as scope:
        await call("job_output", shell_id=job_id, wait=True)
    assert scope.cancelled_caught
    assert known(jobs, job_id).state == "running"


async def test_a_call_that_is_cut_while_it_starts_a_job_leaves_none(
    call: Caller, project: Path, jobs: Jobs
) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(
            lambda: call("bash", command="echo $$ >pid; sleep 60", run_in_background=True)
        )
        await until(lambda: (project / "pid").exists() and (project / "pid").stat().st_size)
        tasks.cancel_scope.cancel()
    assert not lives(pid_in(project / "pid"))
    assert all(job.state == "killed" for job in jobs.listed())


async def test_closing_ends_every_job_and_says_by_whom(
    call: Caller, jobs: Jobs, job_events: list[JobUpdated], before: set[int]
) -> None:
    for _ in range(3):
        await background(call, "trap '' TERM; while :; do sleep 0.05; done")
    job_events.clear()
    started = time.monotonic()
    await jobs.close()
    assert time.monotonic() - started < 6
    assert sorted(event.job.id for event in job_events) == ["001", "002", "003"]
    assert {event.job.ended_by for event in job_events} == {"server"}
    assert children() <= before
    with pytest.raises(ToolError, match="stopping"):
        await call("bash", command="true")


async def test_a_job_that_cannot_be_told_of_runs_all_the_same(tmp_path: Path) -> None:
    async def publish(event: JobUpdated) -> None:
        raise StoreError("the disk is full")

    async with anyio.create_task_group() as tasks:
        jobs = Jobs(directory=str(tmp_path), tasks=tasks, publish=publish)
        process = await start(jobs, "echo x", tmp_path)
        job = await jobs.keep(process, described())
        await jobs.wait(job.id)
        assert known(jobs, job.id).exit_code == 0
        await jobs.close()


def described() -> Job:
    return Job(
        id="",
        session_id=SessionId("s"),
        run_id=RunId("r"),
        tool_call_id=ToolCallId("t"),
        command="",
        state="running",
    )


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


async def test_only_so_many_run_and_only_so_many_ended_ones_are_kept(
    jobs: Jobs, project: Path, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "MAX_RUNNING", 3)
    monkeypatch.setattr(jobs_module, "MAX_ENDED", 2)
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        await jobs.keep(await start(jobs, "exec sleep 60", project), described())
    with pytest.raises(ToolError, match="3 background jobs are running"):
        await call("bash", command="touch never", run_in_background=True)
    assert not (project / "never").exists()
    # What takes long goes on in the foreground until it is done: nothing is killed by time.
    result = await call("bash", command="sleep 1.2; echo over", auto_background_after=1)
    assert result.content.startswith("over\n")
    for job_id in ("002", "001", "003"):
        await jobs.kill(job_id, by="c")
    await until(lambda: len(jobs.listed()) == 2)
    assert [job.id for job in jobs.listed()] == ["001", "003"]  # 002 ended first
    assert jobs.find("002") is None
    await until(lambda: len(os.listdir("/proc/self/fd")) == descriptors)


async def test_what_ended_long_ago_is_forgotten(
    jobs: Jobs, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await jobs.keep(await start(jobs, "true", project), described())
    await jobs.wait("001")
    assert known(jobs, "001").state == "exited"
    monkeypatch.setattr(jobs_module, "KEEP_ENDED_S", -1.0)
    assert jobs.find("001") is None
    assert jobs.listed() == []


async def test_a_stopped_job_can_be_ended(call: Caller, project: Path, jobs: Jobs) -> None:
    job_id = await background(call, "echo $$ >pid; kill -STOP $$")
    job = await jobs.kill(job_id, by="c")
    assert job is not None
    assert job.exit_code == 128 + signal.SIGTERM
    assert not lives(pid_in(project / "pid"))
