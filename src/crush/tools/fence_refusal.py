"""Whether a command failed because of its fence, judged by what programs print when the kernel refuses.

Precision before recall: a wrong guess asks a person for nothing, a missed one leaves the model with
the program's own message. Only lines in the form of a program's last words count, and only near the
end of what it said: a report of tests may quote them anywhere.
"""

import os
import re
from collections.abc import Callable, Iterator

from crush.permissions.rules import is_within
from crush.sandbox.fence import Fence, SandboxKind

_LAST_ERRORS = 20
_LAST_OUTPUT = 3
_LINE_CHARS = 300
_NOT_EXECUTABLE = 126

_PROGRAM = r"(?:[\w./+-]*/)?[\w.+-]+"
_READ_ONLY = re.compile(
    rf"{_PROGRAM}(?:\[\d+\])?: (?:.*: )?read-only file system(?: \(os error 30\))?\.?"
    r"|(?:OSError|PermissionError): \[Errno 30\] read-only file system\b.*"
    r"|(?:npm (?:ERR!|error) )?(?:Error: )?EROFS: read-only file system\b.*",
    re.IGNORECASE,
)
_NETWORK = re.compile(
    rf"{_PROGRAM}: .*\b(?:could not resolve host(?:name)?|unable to resolve host address)\b.*"
    rf"|{_PROGRAM}: (?:.*: )?(?:temporary failure in name resolution|network is unreachable)\.?"
    r"|(?:[\w.]+\.)?(?:gaierror|URLError|OSError|ConnectionError): .*"
    r"(?:temporary failure in name resolution|network is unreachable).*"
    r"|npm (?:ERR!|error) (?:code )?(?:EAI_AGAIN|ENOTFOUND|ENETUNREACH)\b.*"
    r"|(?:Error: )?getaddrinfo (?:EAI_AGAIN|ENOTFOUND) .*"
    r"|WARNING: Retrying \(.*(?:name resolution|network is unreachable).*"
    rf"|{_PROGRAM}: .*\bdial tcp: lookup .*",
    re.IGNORECASE,
)
# Names that need no network, or that no network would know.
_LOCAL = re.compile(r"\b(?:localhost|127\.\d+\.\d+\.\d+)\b|::1\b")
# Where a fence is no mount, the kernel's refusal looks like one of ordinary permissions.
_DENIED = re.compile(
    rf"{_PROGRAM}: (?:.*: )?(?P<path>[^:\s]+): (?:permission denied|operation not permitted)"
    rf"|{_PROGRAM}: .*['\u2018](?P<quoted>[^'\u2019]+)['\u2019]: "
    r"(?:permission denied|operation not permitted)"
    r"|PermissionError: \[Errno (?:1|13)\] .*: '(?P<python>[^']+)'",
    re.IGNORECASE,
)


def refusal(
    *,
    kind: SandboxKind,
    fence: Fence,
    cwd: str,
    exit_code: int,
    stdout: str,
    stderr: str,
    may_write: Callable[[str], bool],
) -> str:
    """What the fence refused, "" if it probably refused nothing.

    `may_write` tells whether the user may write at a path: what he may not, no fence refused.
    """
    if exit_code == 0 or kind == "none":
        return ""
    for line in _last_words(stdout, stderr):
        if _READ_ONLY.fullmatch(line):
            return f"a write ({line})"
        if not fence.network and _NETWORK.fullmatch(line) and not _LOCAL.search(line):
            return f"the network ({line})"
        if kind != "bubblewrap" and _was_denied(
            line, fence=fence, cwd=cwd, exit_code=exit_code, may_write=may_write
        ):
            return f"a write ({line})"
    return ""


def _last_words(stdout: str, stderr: str) -> Iterator[str]:
    for text, count in ((stderr, _LAST_ERRORS), (stdout, _LAST_OUTPUT)):
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        yield from (line[:_LINE_CHARS] for line in lines[-count:])


def _was_denied(
    line: str, *, fence: Fence, cwd: str, exit_code: int, may_write: Callable[[str], bool]
) -> bool:
    found = _DENIED.fullmatch(line)
    if found is None:
        return False
    path = os.path.normpath(os.path.join(cwd, next(filter(None, found.groups()))))
    inside = any(is_within(path, place) for place in (fence.root, fence.tmp, *fence.writable))
    # Inside it may be a script that is not executable; otherwise it is something protected.
    return not (inside and exit_code == _NOT_EXECUTABLE) and may_write(path)
