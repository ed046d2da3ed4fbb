"""Runs commands and says what each cost; a small process of its own.

A child's peak memory begins with that of the process that started it (Linux counts from before its
`exec`), so whoever starts what is measured has to be smaller than it. Started as a file by
`processes.Spawner`; a line of JSON in, one out.
"""

import json
import os
import sys
import time


def main() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for line in sys.stdin:
        order = json.loads(line)
        out = os.open(order["stdout"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        errors = os.open(order["stderr"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        actions = [(os.POSIX_SPAWN_DUP2, fd, n) for n, fd in enumerate((null, out, errors))]
        command = order["command"]
        began = time.perf_counter()
        pids = [
            os.posix_spawn(each[0], each, order["env"], file_actions=actions) for each in command
        ]
        ends = [os.wait4(pid, 0) for pid in pids]
        wall_s = time.perf_counter() - began
        os.close(out)
        os.close(errors)
        answer = {
            "wall_ms": wall_s * 1000,
            "cpu_ms": sum(usage.ru_utime + usage.ru_stime for _, _, usage in ends) * 1000,
            "peak_mib": max(usage.ru_maxrss for _, _, usage in ends) / 1024,
            "codes": [os.waitstatus_to_exitcode(status) for _, status, _ in ends],
        }
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
