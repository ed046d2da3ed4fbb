"""What a person is asked about a call: needs that look the same to them are one question."""

import uuid
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from crush.agent.json_texts import change_texts
from crush.permissions.decision import Decision
from crush.permissions.rules import Need
from crush.wire.codec import params_object
from crush.wire.ids import PermissionId, SessionId, ToolCallId
from crush.wire.permissions import PermissionRequest

Hide = Callable[[str], str]


class Judged(Struct, frozen=True, kw_only=True):
    """A need and what the rules say of it."""

    need: Need
    decision: Decision


def one_question_each(judged: Sequence[Judged]) -> list[list[Judged]]:
    """Those with the same tool, action and params together, in the order of the first of each."""
    groups: dict[tuple[str, str, bytes], list[Judged]] = {}
    for item in judged:
        need = item.need
        key = (need.tool, need.action, bytes(params_object(need.params)))
        groups.setdefault(key, []).append(item)
    return [*groups.values()]


def request_for(
    group: Sequence[Judged], *, session_id: SessionId, call_id: str, hide: Hide
) -> PermissionRequest:
    """The request that is stored and shown; nothing in it is a secret."""
    need = group[0].need
    return PermissionRequest(
        id=PermissionId(str(uuid.uuid4())),
        session_id=session_id,
        tool_call_id=ToolCallId(call_id),
        tool_name=need.tool,
        description=hide(_description([item.need.description for item in group])),
        action=need.action,
        params=msgspec.Raw(change_texts(bytes(params_object(need.params)), hide)),
        path=hide(need.directory),
        reason=hide("; ".join(dict.fromkeys(item.decision.reason for item in group))),
        offers=_offers([item.decision.offers for item in group], hide),
    )


def _description(texts: Sequence[str]) -> str:
    """What one says with more words than another is not said twice."""
    said = dict.fromkeys(texts)
    return "; ".join(
        text for text in said if not any(o != text and o.startswith(text) for o in said)
    )


def _offers(offers: Sequence[Sequence[Sequence[str]]], hide: Hide) -> list[list[str]]:
    """Of several needs the narrowest together, if each has one: wider ones were not asked for.

    A rule that holds a secret would be kept in a file, and shown.
    """
    showable = [
        [list(offer) for offer in of_need if all(hide(rule) == rule for rule in offer)]
        for of_need in offers
    ]
    if len(showable) == 1:
        return showable[0]
    if not all(showable):
        return []
    return [[*dict.fromkeys(rule for of_need in showable for rule in of_need[0])]]
