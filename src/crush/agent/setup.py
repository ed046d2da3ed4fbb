"""What the configuration and the environment of the asking client say of one run."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from crush.config.schema import ToolLimits
from crush.permissions.rules import Rule


class Setup(Struct, frozen=True, kw_only=True):
    """Settled when the run is accepted; held in memory only, for it knows secrets.

    Attributes:
        rules: all of the run, before anything is granted.
        limits: of tools that look around.
        left_out: names of tools that the model does not get.
        hidden: names of variables that tools do not see.
        secrets: values that nobody is shown, by the name that is shown for them.
        client_env: as it came, without what the configuration adds: says where the user's state is.
        notices: sentences that the user should see before the turn begins.
        loaded, missing: configuration files that were read, and those that would be.
    """

    rules: Sequence[Rule]
    limits: ToolLimits
    left_out: frozenset[str]
    hidden: frozenset[str]
    secrets: Mapping[str, str]
    client_env: Mapping[str, str]
    notices: Sequence[str]
    loaded: Sequence[str]
    missing: Sequence[str]
