"""One assistant message in the making: from the first delta to its finish part."""

import time
import uuid
from typing import Literal

from crush.agent.feed import GrowingText, LiveMessage
from crush.agent.journal import Journal
from crush.wire.events import MessageReset, MessageStarted, PartAdded, PartEnded
from crush.wire.ids import MessageId
from crush.wire.messages import Message
from crush.wire.parts import (
    Finish,
    FinishPart,
    FinishReason,
    Part,
    Reasoning,
    ReasoningPart,
    Text,
    TextPart,
    ToolCall,
    ToolCallPart,
)


class Draft:
    """The answer of one step; every change goes to the journal."""

    def __init__(self, journal: Journal, *, model: str, provider: str) -> None:
        now = int(time.time())
        self._journal = journal
        self._session_id = journal.run.session_id
        header = Message(
            parts=[],
            id=MessageId(str(uuid.uuid4())),
            role="assistant",
            session_id=self._session_id,
            model=model,
            provider=provider,
            created_at=now,
            updated_at=now,
        )
        self.id = header.id
        self.is_finished = False
        self._live = LiveMessage(header)
        journal.open(self._live)
        journal.note(
            MessageStarted(session_id=self._session_id, message=header, run_id=journal.run.id)
        )

    def text(self, piece: str) -> None:
        if piece:
            self._grow("text", piece)

    def reasoning(self, piece: str) -> None:
        if piece:
            self._grow("reasoning", piece)

    def end_reasoning(self, signature: str) -> None:
        """A signature without text is kept: some providers show none and want it back."""
        parts = self._live.parts
        if parts and isinstance(last := parts[-1], GrowingText) and last.kind == "reasoning":
            self._close_text(signature)
        elif signature:
            self._close_text()
            self._put(len(parts), ReasoningPart(Reasoning(signature=signature)))

    def tool_call(self, call_id: str, name: str, text: str, *, finished: bool) -> None:
        """A call as far as it is known; a later one of the same id replaces it."""
        self._close_text()
        call = ToolCall(id=call_id, name=name, input=text, finished=finished)
        self._put(self._index_of_call(call_id), ToolCallPart(call))

    def reset(self) -> None:
        """The provider is asked again: nothing of this message counts."""
        for part in self._live.parts:
            if isinstance(part, GrowingText):
                part.void = True
        self._live.parts.clear()
        self._journal.note(
            MessageReset(
                session_id=self._session_id, message_id=self.id, run_id=self._journal.run.id
            )
        )

    def finish(self, reason: FinishReason, *, message: str = "", details: str = "") -> None:
        """Nothing is added to this message any more."""
        self._close_text()
        finish = Finish(reason=reason, time=int(time.time()), message=message, details=details)
        self._put(len(self._live.parts), FinishPart(finish))
        self._journal.close()
        self.is_finished = True

    def parts(self) -> list[Part]:
        return self._live.snapshot().parts

    def calls(self) -> list[ToolCall]:
        return [part.data for part in self._live.parts if isinstance(part, ToolCallPart)]

    def _grow(self, kind: Literal["text", "reasoning"], piece: str) -> None:
        parts = self._live.parts
        last = parts[-1] if parts else None
        if not isinstance(last, GrowingText) or last.kind != kind:
            self._close_text()
            last = GrowingText(
                kind=kind,
                owner=self.id,
                part=len(parts),
                session_id=self._session_id,
                run_id=self._journal.run.id,
            )
            parts.append(last)
            self._journal.begin(last)
        self._journal.grow(last, piece)

    def _close_text(self, signature: str = "") -> None:
        parts = self._live.parts
        if not parts or not isinstance(text := parts[-1], GrowingText):
            return
        kind: Literal["text", "reasoning"] = "text"
        part: Part = TextPart(Text(text=text.text()))
        if text.kind == "reasoning":
            kind = "reasoning"
            part = ReasoningPart(Reasoning(thinking=text.text(), signature=signature))
        parts[-1] = part
        ended = PartEnded(
            session_id=self._session_id,
            message_id=self.id,
            part=text.part,
            kind=kind,
            size=text.size,
            signature=signature,
            run_id=self._journal.run.id,
        )
        self._journal.note(ended, text)

    def _index_of_call(self, call_id: str) -> int:
        for index, part in enumerate(self._live.parts):
            if isinstance(part, ToolCallPart) and part.data.id == call_id:
                return index
        return len(self._live.parts)

    def _put(self, index: int, part: Part) -> None:
        self._live.parts[index : index + 1] = [part]
        self._journal.note(
            PartAdded(
                session_id=self._session_id,
                message_id=self.id,
                part=index,
                content=part,
                run_id=self._journal.run.id,
            )
        )
