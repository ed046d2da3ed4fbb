"""A read log in memory."""


class FakeReadLog:
    """What a session knows, for as long as the test lives."""

    def __init__(self) -> None:
        self._digests: dict[str, str] = {}

    def digest(self, path: str) -> str | None:
        return self._digests.get(path)

    def record(self, path: str, digest: str) -> None:
        self._digests[path] = digest
