"""What happens to each kind of call: by mode, with and without a person, a sandbox, `--read-only`."""

import os
from pathlib import Path
from typing import cast

import pytest

from crush.permissions.rule_text import parse_rule
from crush.permissions.rules import Kind, Need
from crush.wire.events import PermissionAsked, PermissionResolved, RunComplete
from crush.wire.messages import Mode
from tests.agent.bench import Bench
from tests.agent.listener import Listener
from tests.fakes.provider import calls, says
from tests.fakes.sandbox import no_sandbox, untried_sandbox
from tests.fakes.tools import need

RULES = [
    parse_rule("command(deploy)", effect="allow", source="user"),
    parse_rule("command(publish)", effect="ask", source="user"),
    parse_rule("command(erase *)", effect="deny", source="user"),
    parse_rule("read(kept/**)", effect="deny", source="user"),
    parse_rule("host(allowed.example)", effect="allow", source="user"),
]

# Of a need: kind and target; paths are below the working directory unless they begin with `/`.
NEEDS: dict[str, tuple[Kind, str]] = {
    "look inside": ("read", "a"),
    "list inside": ("list", "."),
    "look outside": ("read", "/etc/hostname"),
    "look at secrets": ("read", ".env"),
    "look at denied": ("read", "kept/a"),
    "write inside": ("write", "a"),
    "write outside": ("write", "/etc/hostname"),
    "write protected": ("write", ".git/config"),
    "known command": ("execute", "cat a | wc -l"),
    "known on secrets": ("execute", "cat .env"),
    "known outside": ("execute", "cat /etc/hostname"),
    "unknown command": ("execute", "make"),
    # Because there is a command that is denied: this may be it.
    "cannot be judged": ("execute", 'eval "$A"'),
    "known and unknown": ("execute", "ls; make"),
    "allowed command": ("execute", "deploy"),
    "asked command": ("execute", "publish"),
    "denied command": ("execute", "ls && erase all"),
    "fetch": ("fetch", "https://example.com/"),
    "fetch allowed": ("fetch", "https://allowed.example/"),
}

# With a person. `asks` is `denied` where there is none.
TABLE = """
                    ask     workspace  workspace+box  yolo
look inside         runs    runs       runs           runs
list inside         runs    runs       runs           runs
look outside        asks    asks       asks           runs
look at secrets     asks    asks       asks           runs
look at denied      denied  denied     denied         denied
write inside        asks    runs       runs           runs
write outside       asks    asks       asks           runs
write protected     asks    asks       asks           runs
known command       runs    runs       fenced         runs
known on secrets    asks    asks       asks           runs
known outside       runs    runs       fenced         runs
unknown command     asks    asks       fenced         runs
cannot be judged    asks    asks       asks           asks
known and unknown   asks    asks       fenced         runs
allowed command     runs    runs       runs           runs
asked command       asks    asks       asks           runs
denied command      denied  denied     denied         denied
fetch               asks    asks       asks           runs
fetch allowed       runs    runs       runs           runs
"""
READ_ONLY = """
                    ask     workspace  workspace+box  yolo
look inside         runs    runs       runs           runs
list inside         runs    runs       runs           runs
look outside        asks    asks       asks           runs
look at secrets     asks    asks       asks           runs
look at denied      denied  denied     denied         denied
write inside        denied  denied     denied         denied
write outside       denied  denied     denied         denied
write protected     denied  denied     denied         denied
known command       runs    runs       fenced         runs
known on secrets    asks    asks       asks           runs
known outside       runs    runs       fenced         runs
unknown command     denied  denied     denied         denied
cannot be judged    denied  denied     denied         denied
known and unknown   denied  denied     denied         denied
allowed command     denied  denied     denied         denied
asked command       denied  denied     denied         denied
denied command      denied  denied     denied         denied
fetch               asks    asks       asks           runs
fetch allowed       runs    runs       runs           runs
"""


def column(table: str, name: str) -> dict[str, str]:
    """What happens to each need in one column."""
    head, *rows = table.strip().splitlines()
    at = head.split().index(name)
    count = len(head.split())
    cells = (row.rsplit(maxsplit=count) for row in rows)
    return {row[0]: row[1:][at] for row in cells}


@pytest.mark.parametrize("person", [True, False], ids=["person", "headless"])
@pytest.mark.parametrize("name", ["ask", "workspace", "workspace+box", "yolo"])
@pytest.mark.parametrize("table", [TABLE, READ_ONLY], ids=["", "read-only"])
async def test_what_happens(tmp_path: Path, table: str, name: str, person: bool) -> None:
    expected = column(table, name)
    assert expected.keys() == NEEDS.keys()
    if not person:
        expected = {key: "denied" if said == "asks" else said for key, said in expected.items()}
    bench = Bench(tmp_path)
    bench.rules = RULES
    mode, _, box = name.partition("+")
    bench.find_sandbox = untried_sandbox if box else no_sandbox
    async with bench:
        happened = await happening(bench, cast("Mode", mode), table is READ_ONLY, person=person)
    assert happened == expected


async def happening(bench: Bench, mode: Mode, read_only: bool, *, person: bool) -> dict[str, str]:
    """One turn that makes all calls; a person allows what is asked for."""
    bench.change.needed = lambda key: [need_of(bench, key)]
    made = [part for key in NEEDS for part in calls("change", key, key=key)]
    bench.provider.add(made, says("done"))
    ear = bench.listen(can_answer=person)
    run = await bench.send(mode=mode, read_only=read_only)
    asked = await allowed_by_person(bench, ear)
    refused = {
        str(event.tool_call_id)
        for event in (item.event for item in ear.events())
        if isinstance(event, PermissionResolved) and event.outcome == "deny"
    }
    ended = await bench.ended(run)
    assert (ended.state, ended.denied) == ("done", len(refused))
    assert refused.isdisjoint(bench.change.ended)
    happened = {}
    for key in NEEDS:
        if key in refused:
            happened[key] = "denied"
            continue
        is_fenced = bench.change.fences[key] is not None
        assert not (is_fenced and key in asked)  # what a person allowed runs as they would run it
        happened[key] = "asks" if key in asked else "fenced" if is_fenced else "runs"
    return happened


async def allowed_by_person(bench: Bench, ear: Listener) -> set[str]:
    """The calls that were asked about until the end of the run."""
    asked: dict[str, PermissionAsked] = {}
    while True:
        await ear.wait(lambda me: len(_news(me, asked)) > 0)
        for event in _news(ear, asked):
            if isinstance(event, RunComplete):
                return {str(event.request.tool_call_id) for event in asked.values()}
            asked[event.request.id] = event
            await bench.project.broker.answer(event.request.id, "allow", by="me")


def _news(ear: Listener, known: dict[str, PermissionAsked]) -> list[PermissionAsked | RunComplete]:
    events = [item.event for item in ear.events()]
    return [
        event
        for event in events
        if isinstance(event, RunComplete)
        or (isinstance(event, PermissionAsked) and event.request.id not in known)
    ]


def need_of(bench: Bench, key: str) -> Need:
    kind, target = NEEDS[key]
    if kind in {"read", "list", "write"}:
        target = os.path.normpath(os.path.join(bench.cwd, target))
    tool = "bash" if kind == "execute" else "change"
    return need(target, kind=kind, tool=tool, directory=bench.cwd)
