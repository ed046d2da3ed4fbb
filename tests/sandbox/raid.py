"""Runs the attacks as another user: `python raid.py UID KIND YARD`; prints which worked.

A process of its own, since a process gives up its user for good. `KIND` is a sandbox, or `none`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import anyio

from tests.sandbox.yard import Yard, interpreter, kinds, run, sandbox_of, standing_server

ATTACKS = str(Path(__file__).with_name("attacks.py").read_text())


async def raid(kind: str, yard: Yard, python: str) -> list[str]:
    with standing_server(yard) as at:
        argv = [python, "-I", "-S", "-c", ATTACKS, json.dumps(at)]
        if kind == "none":
            done = subprocess.run(  # noqa: ASYNC221 - nothing else runs
                argv, capture_output=True, text=True, check=True, cwd=yard.root
            )
            return done.stdout.split()
        ended = await run(yard.sandbox(kind), yard.fence(), *argv)
        return ended.output.split()


def main() -> None:
    uid, kind, top = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    yard = Yard(Path(top))
    python = interpreter(uid)
    kinds()
    anyio.run(anyio.sleep, 0)  # everything that is loaded late is loaded now
    sandbox_of(kinds()[0], [])
    if uid != os.getuid():
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    sys.stdout.write("\n".join(anyio.run(raid, kind, yard, python)))


if __name__ == "__main__":
    main()
