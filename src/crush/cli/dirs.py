"""`crush dirs`: where things are, for this environment, this directory and this server."""

import json
import os
import sys

from crush import paths
from crush.cli.harmless import harmless
from crush.cli.options import Parsed
from crush.cli.place import data_dir_of, host_of
from crush.errors import Exit
from crush.launch.host import server_dir


def main(parsed: Parsed) -> int:
    found = directories(parsed)
    if parsed.flag("json"):
        names = {name.lower().replace(" ", "_"): path for name, path in found.items()}
        sys.stdout.write(json.dumps(names) + "\n")
        return Exit.OK
    width = max(map(len, found))
    sys.stdout.writelines(harmless(f"{name:<{width}}  {path}\n") for name, path in found.items())
    return Exit.OK


def directories(parsed: Parsed) -> dict[str, str]:
    """Every directory by its name; they need not exist."""
    return {
        "Config": os.path.abspath(paths.global_config_dir(os.environ)),
        "Data": os.path.abspath(paths.global_data_dir(os.environ)),
        "State": os.path.abspath(paths.state_dir(os.environ)),
        "Cache": os.path.abspath(paths.cache_dir(os.environ)),
        "Project data": data_dir_of(parsed),
        "Server": server_dir(host_of(parsed), os.environ),
    }
