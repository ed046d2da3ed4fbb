"""How long the judgement of a command takes, rules and a look at the disk included."""

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.figure import Figure
from crush.permissions.defaults import rules_for
from crush.permissions.judge import Judge
from crush.permissions.known_commands import KnownCommands
from crush.permissions.rules import Need

# Each as often as the other.
USUAL = (
    "ls -la",
    "git status",
    "git diff HEAD~1 -- src | head -50",
    "cd src && grep -rn foo . | sort | uniq -c",
    "npm test",
    "python3 -m pytest -x -q tests/unit 2>&1 | tail -20",
    "cat README.md | head -40",
    "rg -n 'def main' -g '*.py'",
)
# Ten thousand bytes of each.
SCRIPTS: Mapping[str, str] = {
    "loops": 'for f in a.txt b.txt; do if [ -f "$f" ]; then wc -l "$f"; fi; done\n',
    "pipelines": 'ls -la src | grep -v test | head -3 && echo "$HOME"\n',
    "text": "cat <<'END'\nsome lines of text with $nothing in them\nEND\n",
}
SCRIPT_BYTES = 10_000
_USUAL_MS = 1.0
_SCRIPT_MS = 20.0


def permissions(rounds: int) -> Iterator[Figure]:
    """A usual command, and 10 kB of script of three kinds."""
    with tempfile.TemporaryDirectory(prefix="crush-bench-") as directory:
        root = Path(directory).resolve()
        (root / "src").mkdir()
        for name in ("a.txt", "b.txt", "README.md", "src/app.py"):
            (root / name).write_text("text\n")
        yield from measure(root, rounds=rounds)


def measure(root: Path, *, rounds: int) -> Iterator[Figure]:
    """All figures, for a run that begins in `root`."""
    judge = _judge(str(root))
    usual = tuple(_milliseconds(judge, command, root) for _ in range(rounds) for command in USUAL)
    yield Figure(
        name="permission",
        what="judging a usual command",
        unit="ms",
        samples=usual,
        budget=_USUAL_MS,
        note=f"median of {len(USUAL)} commands, {rounds} rounds each",
    )
    for kind, line in SCRIPTS.items():
        script = line * (SCRIPT_BYTES // len(line) + 1)
        yield Figure(
            name=f"permission-{kind}",
            what=f"judging 10 kB of script: {kind}",
            unit="ms",
            samples=tuple(_milliseconds(judge, script, root) for _ in range(rounds)),
            budget=_SCRIPT_MS,
        )


def _judge(root: str) -> Judge:
    env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": "/nonexistent"}
    judge = Judge(
        rules=rules_for("workspace", read_only=False, root=root, user=(), project=()),
        mode="workspace",
        root=root,
        env=env,
        known=KnownCommands.load(),
        has_bash=True,
        uid=os.geteuid(),
    )
    judge.judge(_need("ls", root))  # reads the grammar, once for each process
    return judge


def _milliseconds(judge: Judge, command: str, root: Path) -> float:
    need = _need(command, str(root))
    began = time.perf_counter()
    judge.judge(need)
    return (time.perf_counter() - began) * 1000


def _need(command: str, root: str) -> Need:
    return Need(
        tool="bash",
        action="execute",
        kind="execute",
        target=command,
        directory=root,
        description=command,
    )
