"""Where the server keeps what no fenced command may see: socket, state, keys, databases, logs."""

import os
import stat

from crush import paths
from crush.launch.host import Host


def own_places(host: Host, directory: str, env: paths.Env) -> list[str]:
    """Real paths that exist; `directory` is that of the server's logs and locks.

    Of a socket in a directory that others use too, only the socket itself is among them.
    """
    places = [
        directory,
        paths.state_dir(env),
        paths.cache_dir(env),
        paths.global_data_dir(env),
        paths.global_config_dir(env),
    ]
    if host.scheme == "unix":
        parent = os.path.dirname(host.address)
        is_private = os.path.isdir(parent) and _is_private(parent, env)
        places.append(parent if is_private else host.address)
    return [os.path.realpath(place) for place in places if os.path.lexists(place)]


def _is_private(directory: str, env: paths.Env) -> bool:
    """Whether it is a directory of runtime files: the user's alone, and not where people work."""
    mode = stat.S_IMODE(os.stat(directory).st_mode)
    home = os.path.realpath(paths.home(env))
    holds_home = (home + os.sep).startswith(os.path.realpath(directory).rstrip(os.sep) + os.sep)
    return mode == stat.S_IRWXU and not holds_home
