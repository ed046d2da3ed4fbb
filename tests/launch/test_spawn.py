"""The lean interpreter of a server: what it knows, what it does not take from its client."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile

import pytest

import crush
from crush.launch.host import Host, default_host
from crush.launch.spawn import boot_command, server_command, spawn
from tests.launch.place import FAKES, Place, is_alive, wait_until

ECHO = """
import json, os, signal, sys

def main(arguments):
    from crush.launch import ready
    ready.report(int(arguments[arguments.index("--ready-fd") + 1]), state="ready", pid=os.getpid())
    json.dump({
        "arguments": arguments,
        "path": sys.path,
        "prefix": sys.prefix,
        "site": "site" in sys.modules,
        "crush": sys.modules["crush"].__file__,
        "ignored": [n.name for n in signal.valid_signals() if signal.getsignal(n) == signal.SIG_IGN],
        "blocked": [n.name for n in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
        "inherited": [fd for fd in map(int, os.listdir("/dev/fd")) if fd > 2 and os.path.exists(f"/dev/fd/{fd}") and os.get_inheritable(fd)],
        "stdin": os.readlink("/proc/self/fd/0"),
        "colour": os.environ.get("COLOUR"),
    }, sys.stdout)
    return 0
"""


@pytest.fixture
def echo(place: Place) -> Place:
    with open(f"{place.directory}/echo.py", "w", encoding="utf-8") as file:
        file.write(ECHO)
    place.command = boot_command("echo", "server", paths=[place.directory])
    return place


def run(place: Place, *, host: Host | None = None, **env: str) -> dict[str, object]:
    spawned = spawn(host or place.host, env={**place.env, **env}, lock=None, command=place.command)
    deadline = time.monotonic() + 10
    report = spawned.wait(deadline)
    assert report is not None, spawned.last_words()
    assert report["state"] == "ready"
    assert spawned.wait(deadline) is None
    assert spawned.died
    spawned.close()
    log = os.path.join(os.path.dirname(spawned.stderr_log), "stdout.log")
    with open(log, encoding="utf-8") as file:
        told: dict[str, object] = json.load(file)
    return told


def test_the_interpreter_is_lean_and_finds_what_the_launcher_finds(echo: Place) -> None:
    told = run(echo)
    assert told["site"] is False
    assert told["prefix"] == sys.prefix
    assert told["crush"] == crush.__file__
    assert isinstance(told["path"], list)
    assert [p for p in sys.path if p.endswith("site-packages")] == [
        p for p in told["path"] if p.endswith("site-packages")
    ]


def test_the_clients_directory_and_pythonpath_are_not_the_servers(
    echo: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = f"{echo.directory}/work"
    os.mkdir(here)
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(here)  # what `python -m` does
    monkeypatch.syspath_prepend("/nowhere/of/ours")
    echo.command = boot_command("echo", "server", paths=[echo.directory])
    told = run(echo, PYTHONPATH=f"/nowhere/of/ours:{here}")
    assert isinstance(told["path"], list)
    assert not {"", here, "/nowhere/of/ours"} & set(told["path"])


def test_a_repository_cannot_smuggle_code_into_a_server(
    echo: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = f"{echo.directory}/repository"
    os.mkdir(trap)
    for name in ("json", "socket", "crush", "sitecustomize", "echo"):
        with open(f"{trap}/{name}.py", "w", encoding="utf-8") as file:
            file.write(f"open({trap + '/sprung'!r}, 'w')")
    monkeypatch.chdir(trap)
    run(echo, PYTHONPATH=trap)
    assert not os.path.exists(f"{trap}/sprung")


def test_signals_that_the_client_ignores_or_blocks_reach_the_server(echo: Place) -> None:
    before = (
        signal.signal(signal.SIGINT, signal.SIG_IGN),
        signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        told = run(echo)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGHUP, before[1])
    # SIGPIPE and SIGXFSZ are Python's own doing.
    assert set(told["ignored"]) <= {"SIGPIPE", "SIGXFSZ"}  # type: ignore[call-overload]
    assert told["blocked"] == []


def test_a_server_has_no_terminal_and_passes_nothing_on(echo: Place) -> None:
    told = run(echo)
    assert told["stdin"] == "/dev/null"
    assert told["inherited"] == []


def test_the_environment_is_the_one_that_was_given(
    echo: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLOUR", "ours")
    assert run(echo)["colour"] is None
    assert run(echo, CRUSH_CACHE_DIR=f"{echo.directory}/other", COLOUR="given")["colour"] == "given"


def test_the_host_is_named_unless_it_is_the_default(echo: Place) -> None:
    assert run(echo)["arguments"] == ["server", "--host", str(echo.host), "--ready-fd", "3"]
    host = default_host(echo.env)
    assert run(echo, host=host)["arguments"] == ["server", "--ready-fd", "3"]


def test_the_package_can_be_started_from_a_zip_archive(echo: Place) -> None:
    archive = f"{echo.directory}/crush.pyz"
    source = os.path.dirname(os.path.dirname(crush.__file__))
    with zipfile.ZipFile(archive, "w") as file:
        for name in ("__init__.py", "errors.py", "paths.py"):
            file.write(f"{source}/crush/{name}", f"crush/{name}")
        for name in os.listdir(f"{source}/crush/launch"):
            if name.endswith(".py"):
                file.write(f"{source}/crush/launch/{name}", f"crush/launch/{name}")
    program = (
        f"import sys; sys.path.insert(0, {archive!r}); from crush.launch.spawn import boot_command; "
        f"import json; json.dump(boot_command('echo', paths=[{echo.directory!r}]), sys.stdout)"
    )
    made = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=15, check=True
    )
    echo.command = json.loads(made.stdout)
    told = run(echo)
    assert str(told["crush"]).startswith(archive)


def test_a_frozen_program_is_its_own_server(monkeypatch: pytest.MonkeyPatch) -> None:
    assert server_command()[-2:] == ["crush.__main__", "server"]
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert server_command() == [sys.executable, "server"]


def test_a_libc_without_sessions_still_gives_a_detached_server(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.posix_spawn

    def without_sessions(*arguments: object, **options: object) -> int:
        if "setsid" in options:
            raise NotImplementedError
        return real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "posix_spawn", without_sessions)
    spawned = spawn(
        place.host,
        env=place.env,
        lock=None,
        command=boot_command("tiny_server", paths=[FAKES]),
    )
    report = spawned.wait(time.monotonic() + 10)
    spawned.close()
    assert report is not None
    pid = int(str(report["pid"]))
    assert os.getsid(pid) not in {os.getsid(0), pid}


def test_an_unready_server_that_ignores_sigterm_is_killed(place: Place) -> None:
    with open(f"{place.directory}/stubborn.py", "w", encoding="utf-8") as file:
        file.write(
            "import signal, time\n"
            "def main(arguments):\n"
            "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "    print('up', flush=True)\n"
            "    time.sleep(60)\n"
        )
    command = boot_command("stubborn", paths=[place.directory])
    spawned = spawn(place.host, env=place.env, lock=None, command=command)
    stdout_log = f"{place.state}/stdout.log"
    wait_until(lambda: os.path.getsize(stdout_log))
    assert spawned.wait(time.monotonic()) is None
    pid = spawned._server
    assert is_alive(pid)
    spawned.end()
    assert spawned.died
    spawned.close()
    wait_until(lambda: not is_alive(pid))
