import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.lowlevel
import msgspec
import pytest

from crush.errors import ToolError
from tests.tools.conftest import Caller
from tests.tools.processes import children, lives


async def output(call: Caller, command: str, **arguments: object) -> str:
    content = (await call("bash", command=command, **arguments)).content
    return content.removesuffix(f"\n\n<cwd>{call.context.cwd}</cwd>")


async def wait_until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while not condition():
            await anyio.lowlevel.checkpoint()


async def test_stdout_comes_before_stderr_and_the_exit_code_after(
    call: Caller, project: Path
) -> None:
    result = await call("bash", command="echo err >&2; echo out; exit 3", description="d")
    assert result.content == f"out\nerr\nExit code 3\n\n<cwd>{project}</cwd>"
    assert not result.is_error
    metadata = msgspec.json.decode(result.metadata_json())
    assert 0 <= metadata.pop("end_time") - metadata.pop("start_time") < 10_000
    assert metadata == {
        "output": "out\nerr\nExit code 3",
        "description": "d",
        "working_directory": str(project),
        "background": False,
        "shell_id": "",
        "sandbox": "none",
    }


async def test_a_command_that_says_nothing_says_so(call: Caller) -> None:
    result = await call("bash", command="true")
    assert result.content == "no output"
    assert msgspec.json.decode(result.metadata_json())["output"] == ""


async def test_the_need_is_the_command(call: Caller, project: Path) -> None:
    need = await call.need("bash", command="touch x", description="t")
    assert (need.action, need.kind, need.target) == ("execute", "execute", "touch x")
    assert msgspec.to_builtins(need.params) == {
        "command": "touch x",
        "description": "t",
        "working_dir": "",
        "run_in_background": False,
        "auto_background_after": 0,
    }
    assert not (project / "x").exists()


async def test_it_is_a_real_bash_without_start_up_files(call: Caller, project: Path) -> None:
    (project.parent / "home" / ".bashrc").write_text("echo from bashrc")
    text = await output(call, 'a=(1 2); [[ x == x ]] && echo "${a[1]} $0"')
    assert text.startswith("2 /")
    assert text.endswith("/bash")


async def test_the_text_of_the_command_is_the_users_own(call: Caller) -> None:
    assert "line 1: unexpected EOF" in await output(call, "echo 'one\nif")
    assert "line 2: syntax error" in await output(call, "true\n)")
    assert await output(call, "# only a comment\necho \"it's\" '$x' `echo y`") == "it's $x y"
    assert "command not found" in await output(call, "-x")


async def test_the_working_directory_is_that_of_the_run_or_of_the_call(
    call: Caller, project: Path
) -> None:
    (project / "sub").mkdir()
    assert await output(call, "pwd") == str(project)
    result = await call("bash", command="pwd", working_dir="sub")
    assert result.content == f"{project}/sub\n\n<cwd>{project}/sub</cwd>"
    with pytest.raises(ToolError, match="does not exist"):
        await call("bash", command="pwd", working_dir="nope")


async def test_nothing_is_left_of_the_shell_for_the_next_call(call: Caller, project: Path) -> None:
    assert await output(call, "cd / && X=1 && export X && pwd") == "/"
    assert await output(call, 'echo "$PWD:$X"') == f"{project}:"


async def test_the_environment_is_the_clients_and_has_nobody_to_talk_to(call: Caller) -> None:
    context = msgspec.structs.replace(
        call.context, env={**call.context.env, "OWN": "1", "EDITOR": "vim", "PAGER": "less"}
    )
    text = await output(
        Caller(context), 'echo "$OWN $PAGER $GIT_PAGER $EDITOR $CRUSH $AGENT $AI_AGENT $TERM"; env'
    )
    assert text.startswith("1 cat cat false 1 crush crush xterm-256color\n")
    assert "PYTEST" not in text


async def test_input_is_empty_and_there_is_no_terminal(call: Caller) -> None:
    assert await output(call, "cat; tty; (: </dev/tty) 2>/dev/null || echo none") == (
        "not a tty\nnone"
    )


async def test_files_get_the_umask_of_the_client(call: Caller, project: Path) -> None:
    context = msgspec.structs.replace(call.context, umask=0o077)
    assert await output(Caller(context), "umask; touch x; mkdir y") == "0077"
    assert (project / "x").stat().st_mode & 0o777 == 0o600
    assert (project / "y").stat().st_mode & 0o777 == 0o700


async def test_what_is_not_possible_is_an_error(call: Caller) -> None:
    with pytest.raises(ToolError, match="empty"):
        await call("bash", command="  ")
    with pytest.raises(ToolError, match="cannot start"):
        await call("bash", command="echo a\0b")
    with pytest.raises(ToolError, match="cannot start"):
        await call("bash", command="#" * 300_000)


async def test_an_end_by_a_signal_is_named(call: Caller) -> None:
    assert await output(call, "kill -9 $$") == "Exit code 137 (SIGKILL)"
    assert await output(call, "trap - TERM; kill -15 $$") == "Exit code 143 (SIGTERM)"
    assert await output(call, "exit 255") == "Exit code 255"


async def test_ten_megabytes_are_cut_in_the_middle_and_counted(call: Caller) -> None:
    text = await output(call, "seq 1 1500000")
    assert len(text) < 30_200
    assert text.startswith("1\n2\n3\n")
    assert text.endswith("\n1499999\n1500000")
    head, _, tail = text.partition("\n\n[... ")
    omitted, _, tail = tail.partition(" lines omitted ...]\n\n")
    assert int(omitted) + head.count("\n") + tail.count("\n") + 1 == 1_500_000


async def test_output_just_over_the_limit_is_cut_too(call: Caller) -> None:
    text = await output(call, "head -c 40000 /dev/zero | tr '\\0' x")
    assert text == f"{'x' * 15000}\n\n[... 0 lines omitted ...]\n\n{'x' * 15000}"


async def test_a_flood_of_errors_leaves_room_for_output(call: Caller) -> None:
    text = await output(call, "yes e | head -c 1000000 >&2; yes o | head -c 1000000")
    assert len(text) < 30_500
    assert text.startswith("o\no\n")
    assert text.endswith("\ne")


async def test_bytes_that_are_no_text_and_characters_cut_by_reads_are_handled(
    call: Caller,
) -> None:
    assert await output(call, r"printf 'a\xffb\303'; sleep 0.1; printf '\251'") == "a\ufffdbé"
    assert "".join(call.live) == "a\ufffdbé"


async def test_escapes_and_hidden_marks_do_not_reach_the_model_or_the_watchers(
    call: Caller,
) -> None:
    command = r"printf '\033[31mred\033[0m \033]52;c;eA==\007\342\200\256x\n'"
    assert await output(call, command) == "red x"
    assert "".join(call.live) == "red x\n"


async def test_scripts_may_open_their_own_streams_by_name(call: Caller) -> None:
    text = await output(call, "echo 1; echo 2 >/dev/stdout; echo 3 | tee /dev/stderr; echo 4 >&2")
    assert text == "1\n2\n3\n3\n4"


async def test_people_who_watch_see_output_while_the_command_runs(
    call: Caller, project: Path
) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(
            lambda: call("bash", command="echo begun; until [ -e go ]; do sleep 0.01; done")
        )
        await wait_until(lambda: "begun\n" in call.live)
        (project / "go").touch()


async def test_watchers_get_all_of_a_long_output_but_only_samples_of_a_flood(
    call: Caller,
) -> None:
    await call("bash", command="seq 1 100000")
    assert "".join(call.live) == "".join(f"{number}\n" for number in range(1, 100_001))
    call.live.clear()
    await call("bash", command="yes | head -c 50000000")
    assert 0 < sum(map(len, call.live)) < 8_000_000


async def test_a_command_that_closes_its_output_costs_nothing_while_it_runs_on(
    call: Caller, project: Path
) -> None:
    started = time.process_time()
    await call("bash", command="echo x; exec >&- 2>&-; sleep 0.7; touch done")
    assert (project / "done").exists()
    assert time.process_time() - started < 0.35


async def test_a_grandchild_that_keeps_the_output_open_does_not_hold_the_call(
    call: Caller, project: Path
) -> None:
    started = time.monotonic()
    text = await output(call, "sleep 60 & echo $! >pid; echo done")
    assert time.monotonic() - started < 10
    assert text == "done\n(background jobs of this command were ended with it)"
    pid = int((project / "pid").read_text())
    await wait_until(lambda: not lives(pid))


async def test_a_background_job_that_ignores_the_request_is_killed(
    call: Caller, project: Path
) -> None:
    await call(
        "bash",
        command="(trap '' TERM; echo $BASHPID >pid; while :; do sleep 0.05; done) & "
        "until [ -s pid ]; do :; done",
    )
    pid = int((project / "pid").read_text())
    await wait_until(lambda: not lives(pid))


@pytest.mark.skipif(shutil.which("setsid") is None, reason="needs setsid")
async def test_a_daemon_with_its_own_session_lives_on_and_holds_nobody(
    call: Caller, project: Path
) -> None:
    text = await output(
        call, "setsid sh -c 'echo $$ >pid; exec sleep 60' & until [ -s pid ]; do :; done; echo ok"
    )
    assert text == "ok"
    pid = int((project / "pid").read_text())
    assert lives(pid)
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("trap", ["", "trap '' TERM; "])
async def test_cancelling_ends_the_whole_group_and_leaves_no_zombie(
    trap: str, call: Caller, project: Path
) -> None:
    before = children(zombies_only=True)  # of other tests
    async with anyio.create_task_group() as tasks:
        command = f"{trap}sleep 60 & echo $! >pid.tmp; mv pid.tmp pid; wait; wait; sleep 60"
        tasks.start_soon(lambda: call("bash", command=command))
        await wait_until((project / "pid").exists)
        started = time.monotonic()
        tasks.cancel_scope.cancel()
    assert time.monotonic() - started < 10
    pid = int((project / "pid").read_text())
    await wait_until(lambda: not lives(pid))
    assert children(zombies_only=True) <= before


async def test_a_stopped_command_can_be_cancelled(call: Caller, project: Path) -> None:
    before = children(zombies_only=True)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: call("bash", command="echo $$ >pid; kill -STOP $$"))
        await wait_until(
            lambda: (project / "pid").exists() and (project / "pid").stat().st_size > 0
        )
        tasks.cancel_scope.cancel()
    assert children(zombies_only=True) <= before


async def test_calls_leave_no_descriptor_open(call: Caller) -> None:
    await call("bash", command="true")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        await call("bash", command="echo x")
    assert len(os.listdir("/proc/self/fd")) == before
