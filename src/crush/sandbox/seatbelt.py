"""Apple's `sandbox-exec`: the profile as text. Written from its documentation, not run by our tests.

In a profile the last rule that matches decides.
"""

from collections.abc import Iterator

from crush.sandbox.fence import Fence
from crush.sandbox.layout import Layout

PROGRAM = "/usr/bin/sandbox-exec"

_BASE = (
    "(version 1)",
    "(deny default)",
    "(allow process-exec)",
    "(allow process-fork)",
    "(allow signal (target same-sandbox))",
    "(allow process-info* (target same-sandbox))",
    "(allow sysctl-read)",
    "(allow ipc-posix-sem)",
    "(allow pseudo-tty)",
    '(allow mach-lookup (global-name "com.apple.system.opendirectoryd.libinfo"))',
    "(allow file-read*)",
    '(allow file-write* (literal "/dev/null") (literal "/dev/zero") (literal "/dev/tty"))',
    '(allow file-read* file-write* file-ioctl (literal "/dev/ptmx") (regex #"^/dev/ttys[0-9]+$"))',
)


def profile(*, fence: Fence, layout: Layout) -> str:
    """The whole profile. Sockets are refused, local ones too: no rule can tell ours from others."""
    return "\n".join((*_BASE, *_rules(fence, layout)))


def _rules(fence: Fence, layout: Layout) -> Iterator[str]:
    yield f"(allow file-write* (subpath {_quoted(fence.tmp)}))"
    for path in layout.of("write"):
        yield f"(allow file-write* (subpath {_quoted(path)}))"
    for path in (*layout.of("read"), *layout.links, *layout.absent):
        yield f"(deny file-write* (subpath {_quoted(path)}))"
    for path in layout.of("hide"):
        yield f"(deny file-read* file-write* (subpath {_quoted(path)}))"
    yield "(deny network*)"


def _quoted(path: str) -> str:
    escaped = path.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
