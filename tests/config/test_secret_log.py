import io
import logging
from collections.abc import Iterator

import pytest

from crush.config.secret_log import SecretFilter

VALUES = {"MINE": "hunter2hunter2"}


class Log:
    def __init__(self) -> None:
        self.secrets = SecretFilter()
        self.written = io.StringIO()
        handler = logging.StreamHandler(self.written)
        handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
        handler.addFilter(self.secrets)
        self.logger = logging.getLogger("tests.secret_log")
        self.logger.propagate = False
        self.logger.handlers = [handler]

    def text(self) -> str:
        return self.written.getvalue()


@pytest.fixture
def log() -> Iterator[Log]:
    log = Log()
    yield log
    log.logger.handlers = []


def test_messages_arguments_and_tracebacks_are_without_secrets(log: Log) -> None:
    log.secrets.add(VALUES)
    log.logger.warning("asked with %s, %d times", "hunter2hunter2", 3)
    try:
        int("wrong key hunter2hunter2")
    except ValueError:
        log.logger.exception("failed", stack_info=True)

    assert "hunter2" not in log.text()
    assert "WARNING asked with [secret MINE], 3 times" in log.text()
    assert "'wrong key [secret MINE]'" in log.text()


def test_arguments_that_do_not_fit_are_not_shown_either(
    log: Log, capsys: pytest.CaptureFixture[str]
) -> None:
    log.secrets.add(VALUES)
    log.logger.warning("one %d", "hunter2hunter2")
    assert log.text() == "WARNING one %d\n"
    assert capsys.readouterr().err == ""


def test_a_value_counts_as_long_as_one_run_has_it(log: Log) -> None:
    log.secrets.add(VALUES)
    log.secrets.add({**VALUES, "OTHER": "other-secret"})
    log.secrets.remove(VALUES)
    log.logger.warning("hunter2hunter2 other-secret")
    log.secrets.remove({**VALUES, "OTHER": "other-secret"})
    log.logger.warning("hunter2hunter2")
    assert log.text() == "WARNING [secret MINE] [secret OTHER]\nWARNING hunter2hunter2\n"


def test_two_clients_may_have_different_values_under_one_name(log: Log) -> None:
    log.secrets.add({"KEY": "first-value"})
    log.secrets.add({"KEY": "second-value"})
    log.logger.warning("first-value second-value")
    assert log.text() == "WARNING [secret KEY] [secret KEY]\n"
