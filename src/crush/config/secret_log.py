"""What keeps secrets out of the server's log: a filter that knows the values of all live runs."""

import logging
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from typing_extensions import override

from crush.config.secret_values import Secrets


class SecretFilter(logging.Filter):
    """For a handler: every record that it writes is without the values that are known by then."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._uses: Counter[tuple[str, str]] = Counter()
        self._secrets = Secrets({})
        self._formatter = logging.Formatter()

    @contextmanager
    def keeping_out(self, values: Mapping[str, str]) -> Iterator[None]:
        """For as long as a run with these values lives."""
        self.add(values)
        try:
            yield
        finally:
            self.remove(values)

    def add(self, values: Mapping[str, str]) -> None:
        """A run with these has begun."""
        with self._lock:
            self._uses.update(values.items())
            self._rebuild()

    def remove(self, values: Mapping[str, str]) -> None:
        """It has ended; values that another one has too stay."""
        with self._lock:
            self._uses.subtract(values.items())
            self._uses = +self._uses
            self._rebuild()

    def _rebuild(self) -> None:
        # The same name may stand for other values in another client's environment.
        self._secrets = Secrets.of_pairs(self._uses)

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        hide = self._secrets.hide
        try:
            text = record.getMessage()
        except (TypeError, ValueError, KeyError):
            text = str(record.msg)  # the handler would report the misfit with all arguments
        record.msg, record.args = hide(text), None
        if record.exc_info and not record.exc_text:
            record.exc_text = self._formatter.formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = hide(record.exc_text)
        if record.stack_info:
            record.stack_info = hide(record.stack_info)
        return True
