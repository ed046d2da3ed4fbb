"""What the commands of the fast path load: start-up is the product."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.machine import CRUSH, DEADLINE_S, Machine

HEAVY = {
    *("aiohttp", "anyio", "apsw", "msgspec"),
    *("argparse", "asyncio", "dataclasses", "enum", "pathlib", "re", "typing"),
}
ENGINE = {
    "server",
    "agent",
    "tools",
    "permissions",
    "providers",
    "store",
    "config",
    "wire",
    "client",
}
FAST = {
    "crush",
    "crush.__main__",
    "crush.cli",
    "crush.cli.main",
    "crush.cli.options",
    "crush.cli.table",
    "crush.errors",
}
RUN = FAST | {
    "crush.cli.place",
    "crush.cli.run",
    "crush.cli.run_output",
    "crush.cli.stdin",
    "crush.launch",
    "crush.launch.budget",
    "crush.launch.connect",
    "crush.launch.host",
    "crush.launch.http",
    "crush.launch.protocol",
    "crush.launch.response",
    "crush.launch.thin_json",
    "crush.paths",
}
HELP = FAST | {"crush.cli.help"}


def loaded(machine: Machine, project: Path, *arguments: str) -> set[str]:
    """The modules that a command imports after the interpreter and `site` are up."""
    script, *rest = machine.command(project, *arguments)
    assert [script] == CRUSH
    done = subprocess.run(
        [sys.executable, "-X", "importtime", script, *rest],
        env=machine.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    names = re.findall(r"^import time: +\d+ \| +\d+ \| +(\S+)$", done.stderr, re.MULTILINE)
    return set(names[names.index("site") + 1 :])


@pytest.mark.parametrize(
    ("line", "allowed", "budget"),
    [("--version", FAST, 8), ("--help", HELP, 9), ("run hi", RUN, 28)],
)
def test_the_fast_path_loads_what_it_needs_and_no_more(
    shared: Machine, here: Path, line: str, allowed: set[str], budget: int
) -> None:
    shared.run(here, "run", "hi")  # a server is up

    modules = loaded(shared, here, *line.split())

    ours = {name for name in modules if name.split(".")[0] == "crush"}
    assert ours <= allowed
    assert {name.split(".")[0] for name in modules} & HEAVY == set()
    assert len(modules) <= budget, sorted(modules)


def test_no_other_command_loads_the_server_or_the_agent(shared: Machine, here: Path) -> None:
    shared.run(here, "run", "hi")

    for line in ("status --json", "session list", "logs", "dirs", "models", "completion zsh"):
        modules = loaded(shared, here, *line.split())

        packages = {name.split(".")[1] for name in modules if name.startswith("crush.")}
        assert packages & {"server", "agent", "client"} == set()
        assert {name.split(".")[0] for name in modules} & {"aiohttp", "apsw"} == set()


def test_status_and_logs_need_no_engine(shared: Machine, here: Path) -> None:
    shared.run(here, "run", "hi")

    for line in ("status", "status --json", "stop --help", "completion bash"):
        modules = loaded(shared, here, *line.split())

        packages = {name.split(".")[1] for name in modules if name.startswith("crush.")}
        assert packages & ENGINE == set()
