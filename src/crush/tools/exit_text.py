"""How the end of a command is told."""

import signal


def exit_text(code: int) -> str:
    """The exit code with the name of its signal; "" for success."""
    return f"Exit code {code}{_signal_name(code)}" if code else ""


def _signal_name(code: int) -> str:
    try:
        return f" ({signal.Signals(code - 128).name})"
    except ValueError:
        return ""
