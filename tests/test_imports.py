"""What a server loads before it listens: each module in it delays the first answer of a cold start."""

import re
import sys
import time
from pathlib import Path

from crush.launch.host import parse_host
from crush.launch.spawn import server_command, spawn
from tests.e2e.machine import DEADLINE_S, Machine, wait_until

LIBRARIES = {
    *("aiohappyeyeballs", "aiohttp", "aiosignal", "anyio", "attr", "frozenlist", "idna"),
    *("msgspec", "multidict", "propcache", "sniffio", "typing_extensions", "yarl"),
}
# What the libraries look for and do without.
TRIED = {"aiodns", "backports", "brotli", "brotlicffi", "org"}
# The wire and the launcher are what both sides speak; nothing of the engine is here.
OURS = {
    *("crush", "crush.__main__", "crush.errors", "crush.paths"),
    *("crush.cli", "crush.cli.main", "crush.cli.options", "crush.cli.server", "crush.cli.table"),
    *("crush.launch", "crush.launch.bind", "crush.launch.host", "crush.launch.http"),
    *("crush.launch.lock", "crush.launch.logs", "crush.launch.protocol", "crush.launch.ready"),
    *("crush.launch.response", "crush.launch.thin_json"),
    *("crush.server", "crush.server.app", "crush.server.bodies", "crush.server.identity"),
    *("crush.server.lean_aiohttp", "crush.server.lifetime", "crush.server.peers"),
    *("crush.server.problems", "crush.server.routes", "crush.server.routes.table"),
    *("crush.wire", "crush.wire.codec", "crush.wire.events", "crush.wire.ids"),
    *("crush.wire.messages", "crush.wire.params", "crush.wire.parts", "crush.wire.permissions"),
    *("crush.wire.problems", "crush.wire.requests", "crush.wire.files", "crush.wire.jobs"),
    *("crush.wire.questions", "crush.sandbox", "crush.sandbox.peer_namespace"),
}
MOST_MODULES = 400


def test_a_server_loads_no_engine_before_it_listens(tmp_path: Path) -> None:
    loaded = loaded_by_a_server(tmp_path)

    ours = {name for name in loaded if name.split(".")[0] == "crush"}
    assert ours <= OURS, sorted(ours - OURS)
    libraries = {name.split(".")[0] for name in loaded} - {"crush"} - sys.stdlib_module_names
    assert libraries <= LIBRARIES | TRIED, sorted(libraries - LIBRARIES - TRIED)
    assert len(loaded) <= MOST_MODULES


def test_the_first_to_load_aiohttp_leaves_its_certificates_out(tmp_path: Path) -> None:
    """`lean_aiohttp` only helps if nothing else was there before it."""
    loaded = loaded_by_a_server(tmp_path)

    # A package is listed when it is complete, so after everything that it loads itself.
    at = loaded.index("aiohttp")
    assert not [name for name in loaded[:at] if name.startswith("crush.server.")]
    first_of_ours = next(name for name in loaded[at:] if name.startswith("crush."))
    assert first_of_ours == "crush.server.lean_aiohttp"


def test_an_idle_server_loads_what_a_later_run_can_need(tmp_path: Path) -> None:
    """Files that an upgrade replaces under it are not read afterwards."""
    machine = Machine(tmp_path, model_url="")
    start_listing(machine)
    # What those load that `import_module` names; itself it is not listed.
    later = ("pathspec.gitignore", "crush.providers._anthropic_stream", "crush.config.view")
    wait_until(lambda: set(later) <= set(listed(machine.server_log())))
    machine.close()


def loaded_by_a_server(root: Path) -> list[str]:
    """The modules that a spawned server has loaded when it is ready, in order."""
    machine = Machine(root, model_url="")
    start_listing(machine)
    log = machine.server_log()
    machine.close()
    return listed(log.partition("serving unix://")[0])


def start_listing(machine: Machine) -> None:
    """Start a server that lists in its log what it loads; it is ready then."""
    interpreter, *rest = server_command()
    command = [interpreter, "-X", "importtime", *rest]
    started = spawn(parse_host(machine.host), env=machine.env, lock=None, command=command)
    report = started.wait(time.monotonic() + DEADLINE_S)
    started.close()
    assert report is not None, machine.server_log()
    assert report["state"] == "ready", machine.server_log()


def listed(log: str) -> list[str]:
    return re.findall(r"^import time: +\d+ \| +\d+ \| +(\S+)$", log, re.MULTILINE)
