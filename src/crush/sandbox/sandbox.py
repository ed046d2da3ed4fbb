"""The sandbox of a server: chosen once, by what holds; then it starts commands behind fences.

Owns the life of one command: look at the disk, hold names, start, and put right what it left. How a
process gets behind the fence is the wall's; which commands go there is decided elsewhere.
"""

import errno
import os
import time
from collections.abc import Mapping, Sequence

import anyio.to_thread

from crush.permissions.rules import is_within
from crush.sandbox.aftermath import put_right
from crush.sandbox.caches import toolchain_caches
from crush.sandbox.child import FencedChild
from crush.sandbox.fence import Child, Fence, SandboxKind
from crush.sandbox.layout import Layout, home_secrets, lay_out
from crush.sandbox.placeholders import Placeholders
from crush.sandbox.survey import Surveyor, own_entries
from crush.sandbox.wall import Order, Wall


class Sandbox:
    """One per server. `wall` is None where there is none: then nothing can be started in it.

    `hidden` are real paths.

    Attributes:
        kind: which mechanism holds the fence.
        reason: why there is none, or what this kind cannot stop; "" if there is nothing to say.
        remedy: what to install or switch on; "" if nothing is needed.
        can_open_network: whether a fence with network can be asked for.
    """

    def __init__(
        self, *, wall: Wall | None, hidden: Sequence[str], reason: str, remedy: str
    ) -> None:
        self.kind: SandboxKind = "none" if wall is None else wall.kind
        self.reason = reason
        self.remedy = remedy
        self.can_open_network = wall is not None and wall.can_open_network
        self._wall = wall
        self._hidden = tuple(hidden)
        self._surveyor = Surveyor(clock=time.monotonic)
        self._placeholders = Placeholders()
        self._admitted: set[str] = set()

    async def start(
        self,
        argv: Sequence[str],
        *,
        fence: Fence,
        cwd: str,
        env: Mapping[str, str],
        umask: int,
        stdout: int,
        stderr: int,
    ) -> FencedChild:
        """Starts `argv` behind the fence, without input, as the leader of its own group.

        Raises OSError: nothing was started. Ends with the server where the kind allows it. The exit
        status of a command that a signal ended may be 128 + N, as a shell tells it.
        """
        wall = self._wall
        if wall is None:
            raise OSError(errno.ENOTSUP, f"there is no sandbox: {self.reason}")
        if fence.network and not wall.can_open_network:
            raise OSError(errno.ENOTSUP, f"a {wall.kind} sandbox cannot be given network")
        order = Order(argv=argv, cwd=cwd, env=env, umask=umask, stdout=stdout, stderr=stderr)
        # Cancelled before it begins or not at all: nobody would know of a process cut in two.
        return await anyio.to_thread.run_sync(self._start, wall, order, fence)

    def signal(self, child: Child, number: int) -> None:
        """To every process of the command, so that clean-up traps run; then wait, then SIGKILL.

        Looks through `/proc`, which blocks for a few milliseconds: call it in a thread.
        """
        if self._wall is not None and child.returncode is None:
            self._wall.signal(child.pid, number)

    def can_fence(self, root: str) -> bool:
        """Whether a workspace can be fenced: not where crush keeps its own things, nor everything."""
        return root != os.sep and not any(is_within(root, path) for path in self._hidden)

    def make_fence(
        self,
        *,
        cwd: str,
        data_dir: str,
        session_tmp: str,
        home: str,
        rules_writable: Sequence[str],
        network: bool,
    ) -> Fence:
        """The fence of a session in `cwd`, whose conversations are in `data_dir`.

        Looks at the disk: call it in a thread.
        """
        return make_fence(
            cwd=cwd,
            data_dir=data_dir,
            session_tmp=session_tmp,
            home=home,
            rules_writable=rules_writable,
            network=network and self.can_open_network,
        )

    def admit(self, path: str) -> None:
        """Somebody allowed `path` to be made: it is not taken for the doing of a command."""
        self._admitted.add(path)

    def _start(self, wall: Wall, order: Order, fence: Fence) -> FencedChild:
        _check(order, fence)
        layout = lay_out(fence, hidden=self._hidden, surveyor=self._surveyor)
        before = frozenset(own_entries(fence.root))
        held = self._placeholders.hold(layout.absent) if wall.holds_names else ()

        def settle() -> Sequence[str]:
            self._placeholders.release(layout.absent, held)
            return self._look_after(fence, layout, before)

        try:
            process = wall.start(order, fence=fence, layout=layout)
        except BaseException:
            self._placeholders.release(layout.absent, held)
            raise
        return FencedChild(process, settle=settle)

    def _look_after(self, fence: Fence, layout: Layout, before: frozenset[str]) -> Sequence[str]:
        expected = {*before, *layout.absent, *self._admitted}
        new = [path for path in own_entries(fence.root) if path not in expected]
        new_below = self._surveyor.new_below(fence.root)
        below = [path for path in new_below if path not in self._admitted]
        return put_right(
            fence.root, layout, new=new, new_below=below, admitted=frozenset(self._admitted)
        )


def make_fence(
    *,
    cwd: str,
    data_dir: str,
    session_tmp: str,
    home: str,
    rules_writable: Sequence[str],
    network: bool,
) -> Fence:
    """See `Sandbox.make_fence`."""
    by_rule = (os.path.realpath(path) for path in rules_writable if os.path.exists(path))
    data_dir = os.path.realpath(data_dir)
    return Fence(
        root=os.path.realpath(cwd),
        tmp=os.path.realpath(session_tmp),
        writable=tuple(dict.fromkeys((*toolchain_caches(home), *by_rule))),
        hidden=(data_dir,) if os.path.isdir(data_dir) else (),
        secrets=home_secrets(home),
        network=network,
    )


def _check(order: Order, fence: Fence) -> None:
    """What would otherwise be a message of a program that nobody started."""
    if fence.root == os.sep:
        raise PermissionError(errno.EPERM, "the whole machine is no workspace", fence.root)
    for directory in (fence.root, fence.tmp, order.cwd):
        if not os.path.isdir(directory):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), directory)
    program = order.argv[0]
    if os.path.isabs(program) and not os.access(program, os.X_OK):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), program)
