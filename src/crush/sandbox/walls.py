"""The walls that exist: bubblewrap, Landlock, and Apple's `sandbox-exec`."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from crush.sandbox import bubblewrap, landlock, seatbelt
from crush.sandbox.child import signal_below, signal_group
from crush.sandbox.fence import Fence, SandboxKind
from crush.sandbox.held import Held
from crush.sandbox.kernel import Kernel, machine
from crush.sandbox.layout import Layout
from crush.sandbox.seccomp import DIVIDED, KEYRINGS, RINGS, refusing
from crush.sandbox.wall import Order


class BubblewrapWall:
    """Namespaces and mounts by the installed `bwrap`.

    `--die-with-parent` means the thread that forked, so one thread forks them all and lives as long
    as this.
    """

    kind: SandboxKind = "bubblewrap"
    can_open_network = True
    holds_names = True
    limits = ""

    def __init__(self, program: str, *, binds_descriptors: bool) -> None:
        self._program = program
        self._binds_descriptors = binds_descriptors
        self._forking = ThreadPoolExecutor(max_workers=1, thread_name_prefix="crush-fork")

    def start(self, order: Order, *, fence: Fence, layout: Layout) -> "subprocess.Popen[bytes]":
        with Held() as held:
            wrapped = bubblewrap.wrap(
                fence=fence,
                layout=layout,
                cwd=order.cwd,
                env=order.env,
                held=held if self._binds_descriptors else None,
            )
            argv = [self._program, "--args", str(held.file(bubblewrap.joined(wrapped.arguments)))]
            if known := machine():
                calls = refusing(known, RINGS, KEYRINGS, families=DIVIDED)
                argv += ["--seccomp", str(held.file(calls))]
            argv += ["--", *order.argv]
            return self._forking.submit(_popen, argv, order, wrapped.env, "/", held.fds).result()

    def signal(self, leader: int, number: int) -> None:
        """Not to bubblewrap's own two processes: with them everything inside ends at once."""
        if number != signal.SIGKILL and signal_below(leader, number, spare=1):
            return
        # Nothing has begun, so nothing has to be cleaned up. The first process inside hears no other
        # signal, and without bubblewrap, whose end it is not told of yet, it would go on alone.
        signal_group(leader, signal.SIGKILL)


class LandlockWall:
    """Restrictions of a thread that starts one process and ends."""

    kind: SandboxKind = "landlock"
    can_open_network = False
    holds_names = False

    def __init__(self, kernel: Kernel, version: int) -> None:
        self._kernel = kernel
        self._version = version

    @property
    def limits(self) -> str:
        older = self._version < landlock.WITH_SCOPES
        return (
            "commands can list directories and change modes and times of files anywhere, cannot"
            " make files beside protected ones (so not in the top directory of a project), open no"
            " terminals or sockets, and outlive a killed server"
            + ("; they can signal other processes of the user" if older else "")
        )

    def start(self, order: Order, *, fence: Fence, layout: Layout) -> "subprocess.Popen[bytes]":
        wanted = landlock.grants(layout, tmp=fence.tmp)
        started: list[subprocess.Popen[bytes] | OSError] = []

        def start_in_thread() -> None:
            try:
                ruleset = landlock.open_ruleset(self._kernel, self._version, wanted)
                try:
                    landlock.restrict_this_thread(self._kernel, ruleset)
                finally:
                    os.close(ruleset)
                env = {**order.env, "TMPDIR": fence.tmp}
                started.append(_popen(order.argv, order, env, order.cwd, ()))
            except OSError as exc:
                started.append(exc)

        thread = threading.Thread(target=start_in_thread, name="crush-landlock")
        thread.start()
        thread.join()
        if isinstance(started[0], OSError):
            raise started[0]
        return started[0]

    def signal(self, leader: int, number: int) -> None:
        signal_group(leader, number)


class SeatbeltWall:
    """A profile for Apple's `sandbox-exec`."""

    kind: SandboxKind = "seatbelt"
    can_open_network = False
    holds_names = False
    limits = "commands outlive a killed server"

    def start(self, order: Order, *, fence: Fence, layout: Layout) -> "subprocess.Popen[bytes]":
        profile = seatbelt.profile(fence=fence, layout=layout)
        argv = [seatbelt.PROGRAM, "-p", profile, *order.argv]
        env = {**order.env, "TMPDIR": fence.tmp}
        return _popen(argv, order, env, order.cwd, ())

    def signal(self, leader: int, number: int) -> None:
        signal_group(leader, number)


def available_walls() -> Sequence[BubblewrapWall | LandlockWall | SeatbeltWall]:
    """Best first; whether one holds is for its self-test to say. Blocks for a few system calls."""
    if sys.platform == "darwin":
        return [SeatbeltWall()] if os.access(seatbelt.PROGRAM, os.X_OK) else []
    if sys.platform != "linux":
        return []
    found: list[BubblewrapWall | LandlockWall | SeatbeltWall] = []
    if program := bubblewrap.find_bubblewrap():
        binds = bubblewrap.binds_descriptors(program)
        found.append(BubblewrapWall(program, binds_descriptors=binds))
    kernel = Kernel()
    if version := landlock.supported_version(kernel):
        found.append(LandlockWall(kernel, version))
    return found


def _popen(
    argv: Sequence[str], order: Order, env: dict[str, str], cwd: str, fds: Sequence[int]
) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # noqa: S603 - the fence is what makes it safe
        argv,
        stdin=subprocess.DEVNULL,
        stdout=order.stdout,
        stderr=order.stderr,
        cwd=cwd,
        env=env,
        umask=order.umask,
        start_new_session=True,
        pass_fds=fds,
    )
