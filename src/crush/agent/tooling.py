"""What the calls of one turn work with: the context of tools, the judge, the fence, the gate."""

import os
import time
from collections.abc import Mapping, Sequence
from functools import cache, partial

import anyio.from_thread
import anyio.to_thread
from anyio.abc import TaskGroup
from msgspec import Struct

from crush import paths
from crush.agent.asker import SessionAsker
from crush.agent.calls import CallRunner
from crush.agent.facts import About, RunFacts
from crush.agent.fencing import Fencing, FindSandbox
from crush.agent.files import SessionFiles
from crush.agent.gate import Gate
from crush.agent.journal import Journal
from crush.agent.prompted import Prompted
from crush.agent.questions import Questions
from crush.agent.todos import SessionTodos
from crush.agent.waiting import PersonWait
from crush.config.secret_log import SecretFilter
from crush.config.secret_values import Secrets
from crush.permissions.audit import Audit, Decision
from crush.permissions.broker import Answer, Broker
from crush.permissions.decision import BuildJudge
from crush.permissions.grants import Grants
from crush.permissions.path_patterns import escape_path
from crush.permissions.rule_text import parse_rule
from crush.permissions.rules import Rule
from crush.store.store import Store
from crush.tools.base import AnyTool, ToolContext
from crush.tools.jobs import Jobs
from crush.tools.registry import NEEDS_A_PERSON
from crush.tools.session_tmp import session_tmp
from crush.wire.ids import ToolCallId
from crush.wire.permissions import PermissionRequest


class Toolbox(Struct, frozen=True, kw_only=True):
    """What the tools of every turn of a project have in common.

    `log_path` is the server's log, `log_secrets` keeps what is in it clean.
    """

    store: Store
    broker: Broker
    questions: Questions
    tools: Mapping[str, AnyTool]
    jobs: Jobs
    build_judge: BuildJudge
    find_sandbox: FindSandbox
    log_path: str
    log_secrets: SecretFilter


def tools_of(toolbox: Toolbox, prompted: Prompted) -> dict[str, AnyTool]:
    """The tools of one turn, by name. The same for all turns of a kind, so that caches hit."""
    if prompted.model.small:
        return {}
    left_out = prompted.setup.left_out
    if not prompted.can_ask():
        left_out |= NEEDS_A_PERSON
    return {name: tool for name, tool in toolbox.tools.items() if name not in left_out}


async def call_runner(
    toolbox: Toolbox,
    *,
    tools: Mapping[str, AnyTool],
    prompted: Prompted,
    journal: Journal,
    tasks: TaskGroup,
) -> CallRunner:
    """The runner of one turn's calls, which run in `tasks`."""
    session_id, setup = journal.run.session_id, prompted.setup
    secrets = Secrets(setup.secrets)
    env = {k: v for k, v in prompted.env.items() if k not in setup.hidden}
    tmp = session_tmp(paths.sessions_tmp(os.environ), session_id)
    rules = cache(partial(_all_rules, prompted, tmp))
    waiting = PersonWait(journal=journal)
    asker = SessionAsker(
        questions=toolbox.questions, journal=journal, waiting=waiting, can_ask=prompted.can_ask
    )
    reads = await toolbox.store.file_reads(session_id)
    session = await toolbox.store.session(session_id)
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
        asker=asker,
        facts=RunFacts(
            about=_about(toolbox, prompted, tools),
            rules=rules,
            sandbox=partial(_sandbox_kind, toolbox.find_sandbox),
            log_path=toolbox.log_path,
            hide=secrets.hide,
        ),
        emit_output=_nobody_watches,
        escape=_no_way_out,
        limits=setup.limits,
    )
    fencing = Fencing(
        find_sandbox=toolbox.find_sandbox,
        mode=prompted.run.mode,
        cwd=prompted.cwd,
        data_dir=toolbox.store.data_dir,
        tmp=tmp,
        env=env,
        rules=rules,
    )
    gate = Gate(
        build_judge=lambda: toolbox.build_judge(
            rules=rules(), mode=prompted.run.mode, root=prompted.cwd, env=env
        ),
        fencing=fencing,
        broker=toolbox.broker,
        journal=journal,
        waiting=waiting,
        remember=partial(_remember, prompted),
        audit=partial(_audit, prompted, secrets),
        hide=secrets.hide,
        can_ask=prompted.can_ask,
    )
    return CallRunner(
        tools=tools,
        context=context,
        gate=gate,
        fencing=fencing,
        journal=journal,
        secrets=secrets,
        tasks=tasks,
    )


def _about(toolbox: Toolbox, prompted: Prompted, tools: Mapping[str, AnyTool]) -> About:
    model, setup = prompted.model, prompted.setup
    return About(
        cwd=prompted.cwd,
        data_dir=toolbox.store.data_dir,
        loaded=setup.loaded,
        missing=setup.missing,
        read_at=time.time(),
        models={"large": f"{model.provider.id}/{model.info.id}"},
        providers=[model.provider.id],
        mode=prompted.run.mode,
        read_only=prompted.run.read_only,
        tools=list(tools),
        notices=setup.notices,
    )


def _sandbox_kind(find_sandbox: FindSandbox) -> str:
    """In a worker thread of the event loop."""

    async def kind() -> str:
        return (await find_sandbox()).kind

    return anyio.from_thread.run(kind)


def _all_rules(prompted: Prompted, tmp: str) -> Sequence[Rule]:
    """With what was granted for good; a fenced run has its `/tmp` to itself. Blocks."""
    granted = [
        parse_rule(text, effect="allow", source="grant")
        for text in Grants(prompted.setup.client_env).of(prompted.cwd)
    ]
    own: list[Rule] = []
    if prompted.run.mode == "workspace":
        pattern = f"{escape_path(tmp)}/**"
        reason = "in the session's own directory"
        own += [Rule("allow", kind, pattern, "mode", reason) for kind in ("read", "write")]
    return (*prompted.setup.rules, *granted, *own)


async def _remember(prompted: Prompted, rules: Sequence[str], by: str) -> None:
    """For good, in the directory that the run works in."""
    grants = Grants(prompted.setup.client_env)
    await anyio.to_thread.run_sync(lambda: grants.add(prompted.cwd, rules, by=by))


async def _audit(
    prompted: Prompted, secrets: Secrets, request: PermissionRequest, answer: Answer
) -> None:
    decision = Decision(
        kind="permission",
        root=prompted.cwd,
        by=answer.by,
        session=request.session_id,
        run=prompted.run.id,
        tool=request.tool_name,
        what=request.description,
        outcome=answer.outcome,
        rules=answer.rules,
    )
    audit = Audit(prompted.setup.client_env)
    await anyio.to_thread.run_sync(lambda: audit.record(decision, hide=secrets.hide))


def _nobody_watches(text: str) -> None:
    """Until a call has its own output."""


async def _no_way_out(reason: str) -> bool:
    """Until a call has its own gate."""
    del reason
    return False
