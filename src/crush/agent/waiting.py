"""A run that waits for a person says so, however many of its calls wait at once."""

from collections.abc import Iterator
from contextlib import contextmanager

from crush.agent.journal import Journal


class PersonWait:
    """The calls of one turn that wait for somebody; shared by the gate and the asker."""

    def __init__(self, *, journal: Journal) -> None:
        self._journal = journal
        self._calls = 0

    @contextmanager
    def one_call(self) -> Iterator[None]:
        """The run is `waiting` from the first such call to the end of the last."""
        if not self._calls:
            self._journal.move_run("waiting")
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1
            if not self._calls:
                self._journal.move_run("running")
