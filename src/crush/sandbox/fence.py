"""What a fenced command may touch: the contract between whoever decides and whatever enforces."""

from collections.abc import Sequence
from typing import Literal, Protocol

from msgspec import Struct

SandboxKind = Literal["bubblewrap", "landlock", "seatbelt", "none"]


class Fence(Struct, frozen=True, kw_only=True):
    """The limits of one run's commands; every path is real and absolute.

    Attributes:
        root: the workspace, writable but for what is protected in it.
        tmp: the session's private directory; it is `/tmp` inside where mounts are possible.
        writable: further directories, for caches of toolchains and by rule.
        hidden: directories whose content nothing inside sees, beside those of the server.
        secrets: files and directories with keys, which look empty inside.
        network: whether addresses can be reached; our own socket and port never can.
    """

    root: str
    tmp: str
    writable: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    network: bool = False


class MakesFences(Protocol):
    """The sandbox of a server, as far as runs need it before a command starts (`sandbox.Sandbox`)."""

    kind: SandboxKind
    remedy: str
    can_open_network: bool

    def can_fence(self, root: str) -> bool: ...

    def admit(self, path: str) -> None: ...

    def make_fence(
        self,
        *,
        cwd: str,
        data_dir: str,
        session_tmp: str,
        home: str,
        rules_writable: Sequence[str],
        network: bool,
    ) -> Fence: ...


class Child(Protocol):
    """A process that was started, whoever forked it. `pid` leads its own process group."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None:
        """As `subprocess` has it: negative for a signal, None while it lives."""

    async def wait(self) -> int:
        """Until it has ended; it is reaped. May be called by several tasks, and again."""
