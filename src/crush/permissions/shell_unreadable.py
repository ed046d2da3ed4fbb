"""The one way in which the readers of shell text give up: what follows cannot be judged."""


class UnreadableError(ValueError):
    """Reading ends at `at`, for a reason that a person is shown; never leaves the package."""

    def __init__(self, reason: str, at: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.at = at
