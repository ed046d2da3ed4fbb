"""What the agent may know of itself (`tools.base.Facts`, F 4.7)."""


class RunFacts:
    """The facts of one run."""

    def describe(self) -> str:
        return ""

    def log_tail(self, lines: int) -> str:
        del lines
        return ""
