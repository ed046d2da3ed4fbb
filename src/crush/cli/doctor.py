"""`crush doctor`: is everything in place to work here? Changes nothing, starts nothing."""

import json
import os
import sys
from collections.abc import Iterator

from crush.cli.check import Check
from crush.cli.check_machine import check_machine, missing_packages
from crush.cli.harmless import harmless
from crush.cli.options import Parsed
from crush.cli.place import cwd_of, given_data_dir, host_of
from crush.cli.sighting import look_at
from crush.errors import Exit


def main(parsed: Parsed) -> int:
    checks: list[Check] = []
    as_json = parsed.flag("json")
    for check in _checks(parsed):
        checks.append(check)
        if not as_json:
            sys.stdout.write(_line(check))
    is_well = all(check.level != "fail" for check in checks)
    if as_json:
        record = {"ok": is_well, "checks": [_record(check) for check in checks]}
        sys.stdout.write(json.dumps(record) + "\n")
    return Exit.OK if is_well else Exit.ERROR


def _checks(parsed: Parsed) -> Iterator[Check]:
    host = host_of(parsed)
    cwd = os.path.realpath(cwd_of(parsed))
    yield from check_machine(host, look_at(host, env=os.environ), os.environ)
    if missing_packages():
        return
    # These need the packages that were looked for above.
    from crush.cli.check_engine import check_engine  # noqa: PLC0415
    from crush.cli.check_project import check_project  # noqa: PLC0415
    from crush.cli.check_sandbox import check_sandbox  # noqa: PLC0415 - as above

    yield from check_engine(os.environ)
    yield from check_sandbox(host, os.environ)
    yield from check_project(cwd, os.environ, data_dir=given_data_dir(parsed))


def _line(check: Check) -> str:
    line = f"{check.level:<4}  {check.name:<17} {check.text}\n"
    if check.hint and check.level != "ok":
        line += f"{'':<24}{check.hint}\n"
    return harmless(line)


def _record(check: Check) -> dict[str, str]:
    return {
        "name": check.name,
        "level": check.level,
        "text": check.text,
        "hint": check.hint,
    }
