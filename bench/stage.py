"""Where benchmarks happen: an isolated machine, a scripted model, a server that comes and goes."""

import ssl
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import PY, BenchError, Cost, Spawner
from crush.launch.host import Host, parse_host
from crush.launch.spawn import server_command, spawn
from tests.e2e.machine import Machine
from tests.fakes.model_server import ModelServerProcess

READY_WITHIN_S = 30.0
CERTIFICATES = Path(__file__).parent.parent / "tests" / "providers" / "certificates"


@dataclass(frozen=True)
class Round:
    """A sample and, taken right before it, one of `python -c pass`."""

    py: Cost
    cost: Cost


class Stage:
    """One machine with one project `p`; the server runs or not, as a benchmark needs it."""

    def __init__(
        self, *, machine: Machine, model: ModelServerProcess, spawner: Spawner, rounds: int
    ) -> None:
        self.machine = machine
        self.model = model
        self.rounds = rounds
        self.env: Mapping[str, str] = machine.env
        self._spawner = spawner
        self.project = machine.project("p")

    @property
    def host(self) -> Host:
        return parse_host(self.machine.host)

    def crush(self, *arguments: str, project: Path | None = None) -> Cost:
        """One whole `crush`."""
        return self.crush_in([project or self.project], *arguments)

    def crush_in(self, projects: list[Path], *arguments: str) -> Cost:
        """A `crush` in each of these directories, all at once."""
        commands = [self.machine.command(project, *arguments) for project in projects]
        return self._spawner.run(*commands, env=self.env)

    def bare(self, *arguments: str) -> Cost:
        """A `crush` that needs neither a host nor a directory."""
        return self._spawner.run([self.machine.command(self.project)[0], *arguments], env=self.env)

    def py(self) -> Cost:
        return self._spawner.run(PY, env=self.env)

    def repeat(
        self,
        sample: Callable[[], Cost],
        *,
        rounds: int = 0,
        before: Callable[[], None] = lambda: None,
    ) -> list[Round]:
        """Samples of something and of a py in turn; the first round warms up and is not counted."""
        taken: list[Round] = []
        for _ in range((rounds or self.rounds) + 1):
            before()
            taken.append(Round(py=self.py(), cost=sample()))
        return taken[1:]

    def expect(self, cost: Cost, answer: str) -> None:
        if cost.out != answer:
            raise BenchError(f"expected {answer!r}, got {cost.out[:200]!r}; {cost.err[-500:]!r}")

    # -- the server ---------------------------------------------------------------------------

    def start_server(self) -> float:
        """Start a server as a client does; returns milliseconds until it is ready."""
        command = server_command()
        began = time.perf_counter()
        started = spawn(self.host, env=self.env, lock=None, command=command)
        report = started.wait(time.monotonic() + READY_WITHIN_S)
        took_ms = (time.perf_counter() - began) * 1000
        started.close()
        if report is None or report.get("state") != "ready":
            raise BenchError(f"the server did not start: {report!r} {started.last_words()!r}")
        return took_ms

    def stop_server(self) -> None:
        self.machine.close()

    def server_memory_mib(self) -> float:
        """Resident memory of the server now."""
        status = Path(f"/proc/{self.machine.server_pid()}/status").read_text()
        resident = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(resident.split()[1]) / 1024


def _bundle(root: Path) -> Path:
    """The system's certificates and the test's: a file of one would be loaded in no time."""
    bundle = root / "bundle.pem"
    system = ssl.get_default_verify_paths().cafile
    parts = [CERTIFICATES / "ca.pem", *([Path(system)] if system else [])]
    bundle.write_bytes(b"\n".join(part.read_bytes() for part in parts))
    return bundle


@contextmanager
def stage(*, rounds: int, tls: bool = False) -> Iterator[Stage]:
    """Everything in a directory of its own; nothing is left behind."""
    with ExitStack() as opened:
        root = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="crush-bench-")))
        model = opened.enter_context(
            ModelServerProcess(certificate=str(CERTIFICATES / "server.pem") if tls else "")
        )
        machine = Machine(root, model_url=model.url)
        if tls:
            machine.env["SSL_CERT_FILE"] = str(_bundle(root))
        spawner = opened.enter_context(Spawner(str(root)))
        opened.callback(machine.close)
        yield Stage(machine=machine, model=model, spawner=spawner, rounds=rounds)
