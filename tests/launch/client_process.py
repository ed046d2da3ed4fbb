"""One client as a process of its own: get a server, run one request, print what came."""

import json
import os
import sys

from crush.errors import CrushError
from crush.launch.connect import open_or_start
from crush.launch.host import parse_host
from crush.launch.protocol import protocol_headers


def main() -> int:
    url, command = sys.argv[1], json.loads(sys.argv[2])
    headers = {**protocol_headers(), "Idempotency-Key": str(os.getpid())}
    try:
        response = open_or_start(
            parse_host(url),
            "POST",
            "/v1/runs",
            headers=headers,
            body=b'{"frames": 3}',
            env=os.environ,
            budget_s=15,
            command=command,
        )
        with response:
            frames = [last_id for last_id, _ in response.frames()]
    except CrushError as exc:
        sys.stderr.write(f"{exc.message}\n")
        return exc.exit_code
    sys.stdout.write(f"{frames[-1]}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
