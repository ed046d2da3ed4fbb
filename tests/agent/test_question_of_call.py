"""Needs of one call that look the same to a person are one question; what it shows is no secret."""

import json

from crush.agent.question_of_call import Judged, one_question_each, request_for
from crush.config.secret_values import Secrets
from crush.permissions.decision import Decision
from crush.permissions.rules import Kind, Need
from crush.wire.ids import SessionId
from crush.wire.permissions import PermissionRequest

KEY = "k3y-of-somebody"
NOTHING = Secrets({})


def judged(
    description: str,
    *offers: tuple[str, ...],
    kind: Kind = "fetch",
    action: str = "download",
    params: object = None,
    reason: str = "why",
) -> Judged:
    need = Need(
        tool="download",
        action=action,
        kind=kind,
        target=description,
        directory="/p",
        description=description,
        params=params,
    )
    return Judged(need=need, decision=Decision(effect="ask", reason=reason, offers=offers))


def request(*group: Judged, secrets: Secrets = NOTHING) -> PermissionRequest:
    return request_for(group, session_id=SessionId("s"), call_id="c", hide=secrets.hide)


def test_only_needs_with_the_same_tool_action_and_params_are_one_question() -> None:
    shown = {"url": "u"}
    one, two = judged("one", params=shown), judged("two", kind="write", params=dict(shown))
    other, else_ = judged("other", params={"url": "v"}), judged("else", action="x", params=shown)
    assert one_question_each([one, other, two, else_]) == [[one, two], [other], [else_]]


def test_what_one_need_says_with_more_words_is_not_said_twice() -> None:
    group = [judged("Get a"), judged("Get a (private)", reason="more"), judged("Write b")]
    asked = request(*group)
    assert asked.description == "Get a (private); Write b"
    assert asked.reason == "why; more"


def test_a_single_need_keeps_all_its_offers_and_several_have_their_narrowest_together() -> None:
    one = judged("one", ("a",), ("a*",))
    assert request(one).offers == [["a"], ["a*"]]
    assert request(one, judged("two", ("b", "a"), ("b*",))).offers == [["a", "b"]]
    assert request(one, judged("three")).offers == []


def test_an_offer_that_holds_a_secret_is_not_made() -> None:
    secrets = Secrets({"KEY": KEY})
    one, other = judged("one", (f"command(curl {KEY})",), ("b",)), judged("two", (KEY,))
    assert request(one, secrets=secrets).offers == [["b"]]
    assert request(one, other, secrets=secrets).offers == []


def test_nothing_that_is_shown_holds_a_secret_and_params_stay_json() -> None:
    name = 'providers.a"b\\.api_key'
    asked = request(
        judged(f"curl {KEY}", params={"command": [f'x "{KEY}"', 12345678]}, reason=f"of {KEY}"),
        secrets=Secrets({name: KEY, "PIN": "12345678"}),
    )
    assert KEY not in f"{asked.description}{asked.reason}{bytes(asked.params)!r}"
    assert json.loads(bytes(asked.params)) == {"command": [f'x "[secret {name}]"', 12345678]}
