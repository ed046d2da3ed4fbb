"""A live turn and a later load of what it stored say the same to the model, whatever happened."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings

from crush.agent.history import turns_from
from crush.errors import ProviderError, ToolError
from crush.providers.base import Turn, UserTurn
from crush.wire.ids import SessionId
from tests.agent.bench import Bench
from tests.agent.listener import Replica
from tests.agent.turn_scripts import answers, with_deeds
from tests.agent.validity import check_turns
from tests.fakes.provider import Item, Script, says
from tests.fakes.tools import need


def _extends(longer: Sequence[Turn], shorter: Sequence[Turn]) -> bool:
    """Whether the conversation only went on; what the user says next may join their last words."""
    *before, last = shorter
    if list(longer[: len(before)]) != before:
        return False
    now = longer[len(before)]
    if isinstance(last, UserTurn) and isinstance(now, UserTurn):
        return now.blocks[: len(last.blocks)] == last.blocks
    return now == last


class Conversation:
    """Turns of one session that were scripted at random, with deeds in their midst."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.session_id: SessionId | None = None
        bench.read.outcomes["fails"] = ToolError("no")
        bench.change.outcomes["fails"] = ValueError("no")
        bench.change.needed = bench.read.needed = lambda key: [need(key)] if key == "asks" else []

    async def deed(self, name: str) -> None:
        if name == "steer":
            await self.bench.send("by the way", session_id=self.session_id, steers=True)
        elif name == "queue":
            await self.bench.send("and then", session_id=self.session_id)
        elif name == "cancel" and self.session_id is not None:
            await self.bench.project.cancel_session(self.session_id)
        else:
            raise ProviderError("fell over")

    async def play(self, scripts: Sequence[Script]) -> None:
        provider = self.bench.provider
        provider.add(*scripts, *[says("end")] * 12)
        session = await self.bench.send("begin", mode="workspace")
        self.session_id = session.session_id
        await self.bench.idle()
        for _ in range(2):
            await self.bench.send("go on", session_id=self.session_id, mode="workspace")
            await self.bench.idle()


NAMES = ("steer", "steer", "queue", "cancel", "fail")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scripts=answers(*NAMES))
async def test_every_request_continues_the_one_before_it_and_equals_a_load(
    tmp_path_factory: pytest.TempPathFactory, scripts: list[list[Item | str]]
) -> None:
    async with Bench(tmp_path_factory.mktemp("bench")) as bench:
        conversation = Conversation(bench)
        await conversation.play(with_deeds(scripts, conversation.deed))
        await _check(bench)


async def _check(bench: Bench) -> None:
    requests = bench.provider.requests
    for request in requests:
        check_turns(request.turns)
    for earlier, later in pairwise(requests):
        assert _extends(later.turns, earlier.turns)
    (session,) = await bench.store.sessions()
    messages = await bench.store.messages(session.id)
    loaded = turns_from(messages)
    check_turns(loaded)
    assert _extends(loaded, requests[-1].turns)
    bench.ear.take()
    runs = await bench.store.runs_of(session.id)
    assert sorted(run.id for run in runs) == sorted(run.id for run in bench.ear.ends())
    replica = Replica()
    replica.apply(bench.ear.heard)
    assert replica.parts() == {message.id: message.parts for message in messages}
