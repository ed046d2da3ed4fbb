"""An accepted prompt with everything that its turn needs."""

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from crush.agent.setup import Setup
from crush.config.settings import ChosenModel
from crush.wire.messages import Run
from crush.wire.parts import Part


class Prompted(Struct, frozen=True, kw_only=True):
    """One prompt on its way through a session.

    Attributes:
        run: as it was accepted; the turn keeps its own current copy.
        parts: text and attachments.
        stored: whether the user message was stored with the acceptance; a queued one is not.
        steers: a running turn may take it up before its next step (a prompt without a run id).
        env: the asking client's; never stored or logged.
        can_ask: whether a client that can answer follows the session now.
    """

    run: Run
    parts: Sequence[Part]
    stored: bool
    steers: bool
    model: ChosenModel
    cwd: str
    env: Mapping[str, str]
    umask: int
    setup: Setup
    max_steps: int
    timeout_s: float
    can_ask: Callable[[], bool]
