"""Everything that a command behind a fence must not be able to do, as a program of its own.

Prints the name of each attack that worked. Standard library only: it also runs as a user who can
read neither this checkout nor the interpreter of the tests. Its argument is a JSON object of paths.
"""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
PTRACE_SEIZE, PTRACE_DETACH = 0x4206, 17
KEYCTL = {"x86_64": 250, "aarch64": 219}[os.uname().machine]
KEYCTL_GET_KEYRING_ID, SESSION_KEYRING = 0, -3
IO_URING_SETUP = 425
NEW_USER, NEW_MOUNTS = 0x10000000, 0x00020000


class FailedError(Exception):
    pass


class Attacks:
    """Each public method of those below is one."""

    def __init__(self, at: "dict[str, str]") -> None:
        self.at = at
        self.root = at["root"]
        self.outside = at["outside"]
        self.server = int(at["server"])

    def file(self, *parts: str) -> str:
        return os.path.join(self.root, *parts)


class OutsideAttacks(Attacks):
    """On files that are not the command's."""

    def write_outside(self) -> None:
        create(os.path.join(self.outside, "new"))

    def change_outside(self) -> None:
        append(os.path.join(self.outside, "file"))

    def truncate_outside(self) -> None:
        os.truncate(os.path.join(self.outside, "file"), 0)

    def remove_outside(self) -> None:
        os.unlink(os.path.join(self.outside, "doomed"))

    def write_usr(self) -> None:
        create("/usr/.crush-attack")
        os.unlink("/usr/.crush-attack")

    def core_pattern(self) -> None:
        os.close(os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY))

    def symlink_made_meanwhile(self) -> None:
        os.symlink(self.outside, self.file("src", "link"))
        create(self.file("src", "link", "by-symlink"))

    def hard_link(self) -> None:
        os.link(os.path.join(self.outside, "file"), self.file("src", "hard"))
        append(self.file("src", "hard"))

    def proc_root(self) -> None:
        append(f"/proc/{self.server}/root{self.outside}/file")

    def background_child(self) -> None:
        path = os.path.join(self.outside, "by-child")
        code = f"import os; os.setsid(); open({path!r}, 'x').close()"
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", code],
            stderr=subprocess.DEVNULL,
            check=False,
        )
        check(done.returncode)


class ServerAttacks(Attacks):
    """On the server: its socket, its secrets, its process."""

    def own_socket(self) -> None:
        with socket.socket(socket.AF_UNIX) as outgoing:
            outgoing.connect(self.at["socket"])

    def abstract_socket(self) -> None:
        with socket.socket(socket.AF_UNIX) as outgoing:
            outgoing.connect("\0" + self.at["abstract"])

    def tcp(self) -> None:
        socket.create_connection(("127.0.0.1", int(self.at["port"])), 1).close()

    def host_of_a_virtual_machine(self) -> None:
        """No network namespace divides these; without a fence they answer, if only by a refusal."""
        socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).close()

    def ring_of_calls(self) -> None:
        """What is asked for in one passes every filter of system calls."""
        ring = LIBC.syscall(IO_URING_SETUP, 1, ctypes.create_string_buffer(256))
        check(ring < 0)
        os.close(ring)

    def read_token(self) -> None:
        read(self.at["token"])

    def read_key(self) -> None:
        read(self.at["key"])

    def read_server_environment(self) -> None:
        check(b"ATTACK_MARKER" not in read(f"/proc/{self.server}/environ"))

    def trace_server(self) -> None:
        check(LIBC.ptrace(PTRACE_SEIZE, self.server, 0, 0))
        LIBC.ptrace(PTRACE_DETACH, self.server, 0, 0)

    def signal_server(self) -> None:
        os.kill(self.server, signal.SIGCONT)


class WorkspaceAttacks(Attacks):
    """On what is protected where the command may write."""

    def move_git(self) -> None:
        os.rename(self.file(".git"), self.file("moved"))
        os.rename(self.file("moved"), self.file(".git"))

    def git_config(self) -> None:
        append(self.file(".git", "config"))

    def git_config_by_rename(self) -> None:
        create(self.file(".git", "config.lock"))
        os.rename(self.file(".git", "config.lock"), self.file(".git", "config"))

    def git_hook(self) -> None:
        create(self.file(".git", "hooks", "pre-commit"))

    def move_hooks(self) -> None:
        os.rename(self.file(".git", "hooks"), self.file(".git", "h"))

    def git_common_dir(self) -> None:
        create(self.file(".git", "commondir"))

    def nested_repository(self) -> None:
        append(self.file("lib", ".git", "config"))

    def bare_repository(self) -> None:
        append(self.file("innocent", "config"))

    def instructions(self) -> None:
        append(self.file("AGENTS.md"))

    def replace_instructions(self) -> None:
        create(self.file("src", "new.md"))
        os.rename(self.file("src", "new.md"), self.file("AGENTS.md"))

    def nested_instructions(self) -> None:
        append(self.file("src", "CLAUDE.md"))

    def editor_task(self) -> None:
        create(self.file(".vscode", "tasks.json"))

    def remove_editor_settings(self) -> None:
        os.rename(self.file(".vscode"), self.file(".vs"))
        os.rename(self.file(".vs"), self.file(".vscode"))


class KernelAttacks(Attacks):
    """On the fence itself."""

    def mount(self) -> None:
        mount_on(self.file("src"))

    def mount_in_namespace(self) -> None:
        pid = os.fork()
        if pid == 0:
            try:
                check(LIBC.unshare(NEW_USER | NEW_MOUNTS))
                mount_on(self.file("src"))
            except (OSError, FailedError):
                os._exit(1)
            os._exit(0)
        check(os.waitpid(pid, 0)[1])

    def session_keys(self) -> None:
        check(LIBC.syscall(KEYCTL, KEYCTL_GET_KEYRING_ID, SESSION_KEYRING, 1) < 0)

    def make_device(self) -> None:
        os.mknod(self.file("src", "disk"), 0o60600, os.makedev(254, 0))


EVERY = {
    name: kind
    for kind in (OutsideAttacks, ServerAttacks, WorkspaceAttacks, KernelAttacks)
    for name in vars(kind)
    if not name.startswith("_")
}


def create(path: str) -> None:
    with open(path, "x") as file:
        file.write("x")


def append(path: str) -> None:
    with open(path, "a") as file:
        file.write("x")


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        content = file.read()
    check(not content)
    return content


def check(failed: object) -> None:
    if failed:
        raise FailedError


def mount_on(directory: str) -> None:
    target = directory.encode()
    check(LIBC.mount(b"tmpfs", target, b"tmpfs", 0, None))
    LIBC.umount2(target, 2)


def main() -> None:
    at = json.loads(sys.argv[1])
    for name, kind in EVERY.items():
        try:
            getattr(kind(at), name)()
        except (OSError, FailedError):
            continue
        print(name, flush=True)  # noqa: T201 - its output
    print("done")  # noqa: T201


if __name__ == "__main__":
    main()
