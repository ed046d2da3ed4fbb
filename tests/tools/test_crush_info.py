"""The two tools with which the agent looks at itself."""

import msgspec
import pytest

from tests.fakes.surroundings import FakeFacts
from tests.tools.conftest import Caller


@pytest.fixture
def facts(call: Caller) -> FakeFacts:
    facts = FakeFacts()
    call.context = msgspec.structs.replace(call.context, facts=facts)
    return facts


async def test_the_agent_may_know_how_it_is_set_up(call: Caller, facts: FakeFacts) -> None:
    facts.text = "model: fake\nmode: ask"
    result = await call("crush_info")
    assert result.content == "model: fake\nmode: ask"
    assert await call.prepare("crush_info").needs() == []


@pytest.mark.parametrize(
    ("wanted", "given"), [({}, 50), ({"lines": 7}, 7), ({"lines": 1000}, 100), ({"lines": 0}, 1)]
)
async def test_the_log_comes_in_at_most_a_hundred_lines(
    call: Caller, facts: FakeFacts, wanted: dict[str, object], given: int
) -> None:
    facts.log = [f"line {number}" for number in range(200)]
    result = await call("crush_logs", **wanted)
    assert result.content.splitlines() == facts.log[-given:]
    assert await call.prepare("crush_logs", **wanted).needs() == []


async def test_an_empty_log_is_said_to_be(call: Caller, facts: FakeFacts) -> None:
    assert (await call("crush_logs")).content == "The log is empty."
