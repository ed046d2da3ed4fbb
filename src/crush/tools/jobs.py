"""Background jobs of one project: started, listed, read, ended as a group, gone with the server."""


class Jobs:
    """The jobs of one project."""

    async def close(self) -> None:
        """End every job and wait until it is gone."""
