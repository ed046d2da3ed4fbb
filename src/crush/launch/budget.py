"""How long a client waits for a server: `CRUSH_SERVER_READY_TIMEOUT` (W 1.5)."""

from crush.paths import Env

DEFAULT_READY_S = 10.0
_UNIT_S = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}


def ready_budget_s(env: Env) -> float:
    """The budget for getting a ready server; what cannot be read, or is not positive, is 10 s."""
    text = env.get("CRUSH_SERVER_READY_TIMEOUT", "").strip()
    try:
        seconds = parse_duration_s(text)
    except ValueError:
        return DEFAULT_READY_S
    return seconds if 0 < seconds < float("inf") else DEFAULT_READY_S


def parse_duration_s(text: str) -> float:
    """Seconds of a Go duration (`1m30s`, `1.5h`, `300ms`) or of a bare number."""
    if text and text[-1] in "0123456789.":
        return _number(text.removeprefix("+"))
    rest = text.removeprefix("+")
    if not rest:
        raise ValueError(f"invalid duration {text!r}")
    total = 0.0
    while rest:
        digits = len(rest) - len(rest.lstrip("0123456789."))
        letters = len(rest[digits:]) - len(rest[digits:].lstrip("hmnsuµμ"))
        unit = rest[digits : digits + letters]
        if unit not in _UNIT_S:
            raise ValueError(f"invalid duration {text!r}")
        total += _number(rest[:digits]) * _UNIT_S[unit]
        rest = rest[digits + letters :]
    return total


def _number(text: str) -> float:
    # `float` also reads "1_0", "1e3" and "nan", which Go does not.
    if not text.isascii() or text.strip("0123456789."):
        raise ValueError(f"invalid number {text!r}")
    return float(text)
