"""The first code of a spawned server: detach, find the packages, run the command.

Run as a file by `python -I -S boot.py PATHS PREFIX MODULE ARGUMENT…`, because an interpreter that
looks for nothing (no `site`, no environment, no current directory) starts a quarter faster and
runs nothing that a repository or a `.pth` file holds. It imports nothing of ours before that.
"""

import contextlib
import importlib
import os
import sys

_STDERR = 2


def main() -> None:
    paths, prefix, module, *arguments = sys.argv[1:]
    _detach(arguments)
    # Behind the standard library, as `site` would have put them.
    sys.path += paths.split(os.pathsep)
    # Without `site` a virtual environment does not know itself; scripts are looked for there.
    sys.prefix = sys.exec_prefix = prefix
    sys.argv[:] = ["crush", *arguments]
    raise SystemExit(importlib.import_module(module).main(arguments))


if sys.platform == "win32":

    def _detach(arguments: list[str]) -> None:
        """The flags of the spawn have done it."""
else:

    def _detach(arguments: list[str]) -> None:
        keep = {
            fd for flag in ("--ready-fd", "--start-lock-fd") if (fd := _value(arguments, flag)) > 0
        }
        # A terminal, or a CI job's pipe, that the client was given must not stay open for our sake.
        with contextlib.suppress(FileNotFoundError):  # a chroot without /dev
            for fd in map(int, os.listdir("/dev/fd")):
                if fd > _STDERR and fd not in keep:
                    with contextlib.suppress(OSError):
                        os.close(fd)
        for fd in keep:
            os.set_inheritable(fd, False)
        if os.getsid(0) != os.getpid():  # where `posix_spawn` knows no sessions
            os.setsid()
        os.chdir("/")
        # The spawner can reap this process at once and never has a zombie; ours has no terminal,
        # since it leads no session.
        if os.fork():
            os._exit(0)
        if (ready_fd := _value(arguments, "--ready-fd")) > 0:
            # Whoever started us may be dead by now: others wait for this server too.
            with contextlib.suppress(BrokenPipeError):
                os.write(ready_fd, b'{"state": "starting", "pid": %d}\n' % os.getpid())


def _value(arguments: list[str], flag: str) -> int:
    return int(arguments[arguments.index(flag) + 1]) if flag in arguments else 0


if __name__ == "__main__":
    main()
