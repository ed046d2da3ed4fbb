"""A file log in memory."""


class FakeFileLog:
    """What a session knows and changed, for as long as the test lives."""

    def __init__(self) -> None:
        self._digests: dict[str, str] = {}
        self.changes: list[tuple[str, str | None, str | None]] = []

    def digest(self, path: str) -> str | None:
        return self._digests.get(path)

    def record(self, path: str, digest: str) -> None:
        self._digests[path] = digest

    def changed(self, path: str, *, before: str | None, after: str | None) -> None:
        self.changes.append((path, before, after))
