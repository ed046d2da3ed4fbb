"""What Landlock and the filter of calls do beyond what every fence does, and what they cannot."""

import errno
import os
import sys
from collections.abc import Iterator

import pytest

from crush.sandbox.kernel import Kernel, machine
from crush.sandbox.seccomp import DIVIDED, KEYRINGS, RINGS, SOCKETS, refusing
from tests.sandbox.yard import Yard, interpreter, kinds, new_yard, run, shell

pytestmark = pytest.mark.skipif("landlock" not in kinds(), reason="the kernel has none")

CALLS = """
import ctypes, socket
def errno_of(call):
    try: call()
    except OSError as exc: return exc.errno
    return 0
libc = ctypes.CDLL(None, use_errno=True)
def ring():
    room = ctypes.create_string_buffer(256)
    if libc.syscall(425, 1, room) < 0: raise OSError(ctypes.get_errno(), "")
families = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_PACKET)
print(*(errno_of(lambda: socket.socket(f, socket.SOCK_DGRAM).close()) for f in families))
print(errno_of(ring), errno_of(socket.socketpair))
"""


@pytest.fixture
def yard() -> Iterator[Yard]:
    with new_yard() as made:
        yield made


async def test_no_socket_and_no_ring_can_be_made_and_pairs_can(yard: Yard) -> None:
    python = interpreter(os.getuid())
    ended = await run(
        yard.sandbox("landlock"), yard.fence(), python, "-I", "-W", "ignore", "-c", CALLS
    )
    refused = [str(errno.EPERM)] * 5
    assert ended.output.split() == [*refused, str(errno.EPERM), "0"]


async def test_no_capability_is_left_and_none_can_come_back(yard: Yard) -> None:
    ended = await shell(yard.sandbox("landlock"), yard.fence(), "cat /proc/self/status")
    status = dict(line.split(":\t") for line in ended.output.splitlines() if ":\t" in line)
    assert status["NoNewPrivs"] == "1"
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(status[name], 16) == 0
    if os.geteuid() == 0:
        assert int(status["CapBnd"], 16) == 0


async def test_files_of_the_workspace_change_and_new_ones_come_further_down(yard: Yard) -> None:
    """Not beside what is protected: there `.git` could be made, or a file be put in its place."""
    yard.write("project/a.txt", "a\n")
    yard.write("project/src/b.txt")
    sandbox, fence = yard.sandbox("landlock"), yard.fence()
    ended = await shell(
        sandbox, fence, "echo b >> a.txt && touch src/new && mv src/new src/newer && mkdir src/d"
    )
    assert (ended.returncode, ended.output) == (0, "")
    assert (yard.root / "a.txt").read_text() == "a\nb\n"
    assert (await shell(sandbox, fence, "touch new")).returncode != 0
    assert sorted(os.listdir(yard.root)) == ["a.txt", "src"]


async def test_git_shows_and_does_not_commit(yard: Yard) -> None:
    yard.git("init", "-q")
    yard.write("project/a.txt")
    yard.git("add", ".")
    yard.git("commit", "-qm", "one")
    sandbox, fence = yard.sandbox("landlock"), yard.fence()
    ended = await shell(sandbox, fence, "git --no-optional-locks status --short && git log -1")
    assert ended.returncode == 0, ended.output
    assert "one" in ended.output
    assert (await shell(sandbox, fence, "git commit --allow-empty -m two")).returncode != 0


@pytest.mark.parametrize("families", [(), DIVIDED])
def test_the_filter_is_whole_steps_with_jumps_that_stay_inside(families: tuple[int, ...]) -> None:
    program = refusing(machine(), SOCKETS, RINGS, KEYRINGS, families=families)
    assert len(program) % 8 == 0
    steps = [program[at : at + 8] for at in range(0, len(program), 8)]
    for number, step in enumerate(steps):
        yes, no = step[2], step[3]
        assert number + 1 + max(yes, no) <= len(steps) - (step[0] != 0x06)
    assert int.from_bytes(steps[-1][4:], sys.byteorder) & 0xFFFF == errno.EPERM


def test_a_path_with_a_link_on_the_way_is_not_granted(yard: Yard) -> None:
    kernel = Kernel()
    file = yard.write("outside/a/file")
    fd = kernel.open_place(str(file))
    assert os.path.samestat(os.fstat(fd), file.stat())
    os.close(fd)
    os.rename(yard.outside / "a", yard.outside / "b")
    (yard.outside / "a").symlink_to("b")
    with pytest.raises(OSError, match="symbolic links"):
        kernel.open_place(str(file))
