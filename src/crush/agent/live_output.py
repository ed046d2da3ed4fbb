"""What a running tool writes, as people who watch see it: shown, never stored."""

from crush.agent.feed import GrowingText
from crush.agent.journal import Journal
from crush.config.secret_values import HiddenStream, Secrets
from crush.wire.ids import ToolCallId


class LiveOutput:
    """The output of one call, from its start to `end`."""

    def __init__(self, journal: Journal, call_id: ToolCallId, *, secrets: Secrets) -> None:
        self._journal = journal
        self._hidden = HiddenStream(secrets)
        self._text = GrowingText(
            kind="tool_output",
            owner=call_id,
            part=0,
            session_id=journal.run.session_id,
            run_id=journal.run.id,
        )
        journal.feed.open_output(self._text)
        journal.begin(self._text)

    def grow(self, piece: str) -> None:
        if shown := self._hidden.feed(piece):
            self._journal.feed.grow(self._text, shown)

    def end(self) -> None:
        """What nobody has read by now is not shown any more: the result has it."""
        self._text.void = True
        self._journal.feed.close_output(self._text)
        self._journal.drop(self._text)
