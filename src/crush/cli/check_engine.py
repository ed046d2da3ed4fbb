"""What `crush doctor` checks of the parts that come with the engine: ripgrep, the embedded model."""

import os
from collections.abc import Iterator
from importlib.util import find_spec

from crush.cli.check import Check
from crush.paths import Env, local_weights
from crush.providers.weights import EXTRA_HINT, INSTALL_HINT, weights_are_intact
from crush.tools.ripgrep import find_ripgrep


def check_engine(env: Env) -> Iterator[Check]:
    yield _ripgrep()
    yield _embedded_model(local_weights(env))


def _ripgrep() -> Check:
    found = find_ripgrep()
    if found is None:
        return Check("ripgrep", "warn", "not found: searches are slower", hint="install ripgrep")
    return Check("ripgrep", "ok", found)


def _embedded_model(weights: str) -> Check:
    name = "embedded model"
    if not os.path.exists(weights):
        return Check(name, "ok", f"not installed (`{INSTALL_HINT}`)")
    if not weights_are_intact(weights):
        return Check(name, "fail", f"{weights} is damaged", hint=INSTALL_HINT)
    if find_spec("xllamacpp") is None:
        return Check(name, "warn", "its engine is missing", hint=EXTRA_HINT)
    return Check(name, "ok", weights)
