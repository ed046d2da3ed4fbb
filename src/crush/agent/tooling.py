"""What the calls of one turn work with: the context of tools, the judge, the fence, the gate."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence

from anyio.abc import TaskGroup
from msgspec import Struct

from crush import paths
from crush.agent.asker import SessionAsker
from crush.agent.calls import CallRunner
from crush.agent.facts import RunFacts
from crush.agent.fencing import Fencing, FindSandbox
from crush.agent.files import SessionFiles
from crush.agent.gate import Gate
from crush.agent.journal import Journal
from crush.agent.prompted import Prompted
from crush.agent.todos import SessionTodos
from crush.permissions.broker import Broker
from crush.permissions.judge import Judge
from crush.permissions.known_commands import KnownCommands
from crush.permissions.path_patterns import escape_path
from crush.permissions.rules import Rule
from crush.store.store import Store
from crush.tools.base import AnyTool, ToolContext
from crush.tools.jobs import Jobs
from crush.tools.session_tmp import session_tmp
from crush.wire.ids import ToolCallId


class Toolbox(Struct, frozen=True, kw_only=True):
    """What the tools of every turn of a project have in common.

    `known_commands` blocks when it is called for the first time.
    """

    store: Store
    broker: Broker
    tools: Mapping[str, AnyTool]
    jobs: Jobs
    known_commands: Callable[[], KnownCommands]
    find_sandbox: FindSandbox


async def call_runner(
    toolbox: Toolbox, *, prompted: Prompted, journal: Journal, tasks: TaskGroup
) -> CallRunner:
    """The runner of one turn's calls, which run in `tasks`."""
    session_id = journal.run.session_id
    reads = await toolbox.store.file_reads(session_id)
    session = await toolbox.store.session(session_id)
    env = {k: v for k, v in prompted.env.items() if k not in prompted.hidden}
    tmp = session_tmp(paths.sessions_tmp(os.environ), session_id)
    rules = (*prompted.rules, *_own_directory(prompted, tmp))
    context = ToolContext(
        session_id=session_id,
        run_id=journal.run.id,
        call_id=ToolCallId(""),
        cwd=prompted.cwd,
        env=env,
        umask=prompted.umask,
        tmp=tmp,
        fence=None,
        files=SessionFiles(known={read.path: read.digest for read in reads}, journal=journal),
        todos=SessionTodos(todos=session.todos or (), journal=journal),
        jobs=toolbox.jobs,
        asker=SessionAsker(can_ask=prompted.can_ask),
        facts=RunFacts(),
        emit_output=_nobody_watches,
        escape=_no_way_out,
        limits=prompted.limits,
    )
    fencing = Fencing(
        find_sandbox=toolbox.find_sandbox,
        mode=prompted.run.mode,
        cwd=prompted.cwd,
        tmp=tmp,
        env=env,
        rules=rules,
    )
    gate = Gate(
        build_judge=lambda: Judge(
            rules=rules,
            mode=prompted.run.mode,
            root=prompted.cwd,
            env=env,
            known=toolbox.known_commands(),
            has_bash=shutil.which("bash", path=env.get("PATH", os.defpath)) is not None,
            uid=os.geteuid(),
        ),
        fencing=fencing,
        broker=toolbox.broker,
        journal=journal,
        can_ask=prompted.can_ask,
    )
    return CallRunner(
        tools=toolbox.tools,
        context=context,
        gate=gate,
        fencing=fencing,
        journal=journal,
        tasks=tasks,
    )


def _own_directory(prompted: Prompted, tmp: str) -> Sequence[Rule]:
    """A fenced run has its `/tmp` to itself."""
    if prompted.run.mode != "workspace":
        return ()
    pattern = f"{escape_path(tmp)}/**"
    reason = "in the session's own directory"
    return [Rule("allow", kind, pattern, "mode", reason) for kind in ("read", "write")]


def _nobody_watches(text: str) -> None:
    """Until a call has its own output."""


async def _no_way_out(reason: str) -> bool:
    """Until a call has its own gate."""
    del reason
    return False
