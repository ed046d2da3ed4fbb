"""`python -m bench [--only NAME] [-n ROUNDS] [--json]`: every budget, measured here and now.

The exit code says whether everything ran, not whether it was fast: a figure over its budget is
marked in the table.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator

from bench import clients, fanout, permissions, search, starts, streams, turns
from bench.figure import Figure
from bench.processes import BenchError
from bench.table import rows

BENCHMARKS: dict[str, Callable[[int], Iterator[Figure]]] = {
    "hello": clients.hello,
    "flags": clients.flags,
    "cold": starts.cold,
    "storm": starts.storm,
    "ready": starts.ready,
    "memory": starts.memory,
    "deltas": streams.deltas,
    "event-bytes": streams.event_bytes,
    "fan-out": fanout.fan_out,
    "steps": turns.steps,
    "model-bytes": turns.model_bytes,
    "session": turns.long_session,
    "search": search.search,
    "permissions": permissions.permissions,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=BENCHMARKS, metavar="NAME")
    parser.add_argument("-n", type=int, default=20, help="rounds of short figures (20)")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    options = parser.parse_args()
    figures: list[Figure] = []
    failed: dict[str, str] = {}
    for name in options.only or BENCHMARKS:
        sys.stderr.write(f"{name} …\n")
        try:
            figures += BENCHMARKS[name](options.n)
        except (BenchError, AssertionError, OSError) as exc:
            failed[name] = str(exc)
    if options.json:
        document = {
            "machine": _machine(),
            "figures": [figure.as_json() for figure in figures],
            "failed": failed,
        }
        sys.stdout.write(json.dumps(document, indent=1) + "\n")
    else:
        sys.stdout.write(f"{_machine()}\n\n" + "\n".join(rows(figures)) + "\n")
        sys.stdout.writelines(f"\n{each.what}: {each.note}" for each in figures if each.note)
        sys.stdout.write("\n")
        sys.stdout.writelines(f"{name} did not run: {why}\n" for name, why in failed.items())
    return 1 if failed else 0


def _machine() -> str:
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, "
        f"Python {platform.python_version()}, load {load}"
    )


if __name__ == "__main__":
    sys.exit(main())
