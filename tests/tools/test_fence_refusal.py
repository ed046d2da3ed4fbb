"""What programs print when a fence stops them, and what looks like it. Texts as the programs print them."""

import pytest

from crush.sandbox.fence import Fence, SandboxKind
from crush.tools.fence_refusal import refusal

FENCE = Fence(root="/work", tmp="/private/s", writable=("/home/u/.cache/pip",))
OPEN = Fence(root="/work", tmp="/private/s", network=True)


def judged(
    text: str,
    *,
    kind: SandboxKind = "bubblewrap",
    fence: Fence = FENCE,
    exit_code: int = 1,
    on_stdout: bool = False,
    may_write: bool = True,
) -> str:
    return refusal(
        kind=kind,
        fence=fence,
        cwd="/work",
        exit_code=exit_code,
        stdout=text if on_stdout else "",
        stderr="" if on_stdout else text,
        may_write=lambda path: may_write,
    )


@pytest.mark.parametrize(
    "text",
    [
        "touch: cannot touch '/usr/x': Read-only file system",
        "/usr/bin/bash: line 1: /etc/x: Read-only file system",
        "mkdir: cannot create directory \u2018/opt/x\u2019: Read-only file system",
        "fatal: Unable to create '/src/.git/index.lock': Read-only file system",
        "rm: cannot remove '/usr/bin/ls': Read-only file system\nsh: 1: more",
        "OSError: [Errno 30] Read-only file system: '/usr/x'",
        "error: failed to write /home/u/.cargo/x: Read-only file system (os error 30)",
        "Error: EROFS: read-only file system, open '/usr/x'",
        "npm error code EROFS\nnpm error EROFS: read-only file system, mkdir '/usr/lib/x'",
        "open /etc/x: read-only file system\nx: open /etc/x: read-only file system",
        "touch: cannot touch '/x': Read-only file system\nmake: *** [Makefile:2: all] Error 1",
    ],
)
def test_a_write_that_was_stopped_is_seen(text: str) -> None:
    assert judged(text).startswith("a write (")
    assert judged(text, exit_code=0) == ""
    assert judged(text, kind="none") == ""


@pytest.mark.parametrize(
    "text",
    [
        "curl: (6) Could not resolve host: example.com",
        "wget: unable to resolve host address \u2018example.com\u2019",
        "ssh: Could not resolve hostname h: Temporary failure in name resolution",
        "fatal: unable to access 'https://h/x/': Could not resolve host: h",
        "ping: example.com: Temporary failure in name resolution",
        "connect: Network is unreachable",
        "socket.gaierror: [Errno -3] Temporary failure in name resolution",
        "urllib.error.URLError: <urlopen error [Errno -3] Temporary failure in name resolution>",
        "OSError: [Errno 101] Network is unreachable",
        "npm error code EAI_AGAIN",
        "Error: getaddrinfo ENOTFOUND registry.example",
        'go: module x: Get "https://p/x": dial tcp: lookup p: no such host',
    ],
)
def test_a_network_that_is_switched_off_is_seen(text: str) -> None:
    assert judged(text).startswith("the network (")
    assert judged(text, fence=OPEN) == ""
    assert judged(text, exit_code=0) == ""


@pytest.mark.parametrize(
    "text",
    [
        "touch: cannot touch '/usr/x': Permission denied",
        "bash: line 1: /usr/x: Permission denied",
        "PermissionError: [Errno 13] Permission denied: '/usr/x'",
        "cp: cannot create regular file '/usr/x': Operation not permitted",
    ],
)
def test_a_fence_without_mounts_is_recognised_where_the_user_could_have_written(text: str) -> None:
    assert judged(text, kind="landlock").startswith("a write (")
    assert judged(text, kind="landlock", may_write=False) == ""
    assert judged(text, kind="bubblewrap") == ""
    protected = text.replace("/usr/x", ".git/config")
    assert judged(protected, kind="landlock").startswith("a write (")


def test_a_script_that_is_not_executable_was_not_refused_by_the_fence() -> None:
    text = "bash: line 1: ./x.sh: Permission denied"
    assert judged(text, kind="landlock", exit_code=126) == ""


@pytest.mark.parametrize(
    "text",
    [
        "E       OSError: [Errno 30] Read-only file system: '/usr/x'",
        "FAILED test_x.py::test_rofs - OSError: [Errno 30] Read-only file system: '/x'",
        "src/store.py:12:        raise StoreError('Read-only file system')",
        "+    touch: cannot touch '/x': Read-only file system",
        "assert 'touch: Read-only file system' in text",
        "the disk is a Read-only file system",
        "curl: (7) Failed to connect to localhost port 80: Connection refused",
        "curl: (6) Could not resolve host: localhost",
        "ls: cannot access '/x': No such file or directory",
        "",
    ],
)
def test_what_only_speaks_of_it_is_left_alone(text: str) -> None:
    assert judged(text) == ""
    assert judged(text, on_stdout=True) == ""


def test_what_a_report_quotes_far_from_its_end_is_left_alone() -> None:
    report = (
        "----- Captured stderr call -----\n"
        "touch: cannot touch '/usr/x': Read-only file system\n"
        "===== short test summary info =====\n"
        "FAILED test_x.py::test_x - assert 1 == 0\n"
        "===== 1 failed in 0.10s =====\n"
    )
    assert judged(report, on_stdout=True) == ""


def test_a_long_line_costs_no_time() -> None:
    assert judged("a" * 100_000 + ": " * 50_000 + "Read-only file system") == ""
