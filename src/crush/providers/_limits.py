"""How long a request to a provider may take, and how it is repeated (F 7.4)."""

from msgspec import Struct

BACKOFF_S = (5.0, 10.0, 20.0)  # a first attempt and a retry after each of these
MAX_ADVISED_WAIT_S = 60.0  # a provider that asks for more is asked again by our own measure
KEEPALIVE_S = 60.0  # a turn comes back to the provider after its tools have run


class Limits(Struct, frozen=True, kw_only=True):
    """How long a request may take.

    Attributes:
        connect_s: name, TCP, proxy and TLS together.
        silence_s: between two pieces of an answer, and before the first.
        total_s: one request with all its retries.
        trailer_s: for what follows a finished answer: usage, the protocol's last event.
        eof_s: for the end of the body after that, which makes the connection reusable.
        refusal_s: for the body of an error.
    """

    connect_s: float = 30.0
    silence_s: float = 120.0
    total_s: float = 30 * 60.0
    trailer_s: float = 5.0
    eof_s: float = 0.05
    refusal_s: float = 10.0


LIMITS = Limits()
