"""Names and their addresses, as a test wants them; a list of several lists answers in turn."""

from collections.abc import Sequence


class FakeNames:
    def __init__(self, **addresses: Sequence[str]) -> None:
        self.addresses: dict[str, Sequence[str]] = {
            name.replace("_", "."): found for name, found in addresses.items()
        }
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        if host not in self.addresses:
            raise OSError(f"no such name: {host}")
        return self.addresses[host]
