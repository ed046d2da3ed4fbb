"""The one thing that differs between the kinds of sandbox: how a process gets behind the fence."""

import subprocess
from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from crush.sandbox.fence import Fence, SandboxKind
from crush.sandbox.layout import Layout


class Order(Struct, frozen=True, kw_only=True):
    """What is to be started; `stdout` and `stderr` are descriptors of the caller."""

    argv: Sequence[str]
    cwd: str
    env: Mapping[str, str]
    umask: int
    stdout: int
    stderr: int


class Wall(Protocol):
    """One mechanism of one operating system."""

    @property
    def kind(self) -> SandboxKind: ...

    @property
    def can_open_network(self) -> bool:
        """Whether a fence with network still keeps our own socket and port out of reach."""

    @property
    def holds_names(self) -> bool:
        """Whether names that nobody may create must exist, for a mount to stand on."""

    @property
    def limits(self) -> str:
        """What it cannot stop, in a sentence; "" if there is nothing to say."""

    def start(self, order: Order, *, fence: Fence, layout: Layout) -> "subprocess.Popen[bytes]":
        """Blocks: call it in a thread, which may end before the process does. Raises OSError."""

    def signal(self, leader: int, number: int) -> None:
        """To every process of the command, and to nothing that holds the fence up."""
