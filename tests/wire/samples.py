"""One sample of every wire type and of every variant that looks different; `golden/` holds their bytes.

`python -m tests.wire.samples` writes the golden files anew: a change there is a change of the wire.
A sample is full (every field differs from its default) unless its name ends in `-bare`.
"""

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw

from crush.wire import (
    classic,
    events,
    files,
    jobs,
    messages,
    params,
    parts,
    pending,
    permissions,
    problems,
    questions,
    requests,
)
from crush.wire.codec import encode
from crush.wire.ids import ClientId, MessageId, PermissionId, RunId, SessionId, ToolCallId
from crush.wire.status import BusySession, HeldWorkspace, SandboxStatus, Status

GOLDEN = Path(__file__).parent / "golden"

SESSION = SessionId("9153b59e-9dd3-4de7-8fc3-0de3ff59e251")
MESSAGE = MessageId("a232e538-6c44-481d-9c79-8f9d3e868b28")
RUN = RunId("ae149345-7d17-49bf-8c89-e44be5a8a115")
PERMISSION = PermissionId("e59af362-c2f6-4ee0-b688-acd9dee2a375")
CLIENT = ClientId("e5988f4d-1f64-438b-9b33-bf9c50871519")
CALL = ToolCallId("call_1")

RESULT = parts.ToolResult(
    tool_call_id=CALL,
    name="view",
    content="seen",
    data=b"\x89PNG\xff\x00",
    mime_type="image/png",
    metadata='{"file_path":"a.png"}',
    is_error=True,
)

PARTS: dict[str, parts.Part] = {
    "text": parts.TextPart(parts.Text(text="a <b> & \u2028 \U0001f40d")),
    "text-bare": parts.TextPart(parts.Text()),
    "reasoning": parts.ReasoningPart(
        parts.Reasoning(thinking="hm", signature="sig", started_at=1, finished_at=2)
    ),
    "reasoning-bare": parts.ReasoningPart(parts.Reasoning()),
    "image_url": parts.ImageUrlPart(parts.ImageUrl(url="https://x.test/i.png", detail="low")),
    "image_url-bare": parts.ImageUrlPart(parts.ImageUrl(url="https://x.test/i.png")),
    "binary": parts.BinaryPart(
        parts.Binary(path="/p/a.png", mime_type="image/png", data=b"\xff\0")
    ),
    "binary-bare": parts.BinaryPart(parts.Binary()),
    "tool_call": parts.ToolCallPart(
        parts.ToolCall(
            id=CALL,
            name="bash",
            input='{"command":"ls"}',
            type="function",
            provider_executed=True,
            finished=True,
        )
    ),
    "tool_call-bare": parts.ToolCallPart(parts.ToolCall(id=CALL)),
    "tool_result": parts.ToolResultPart(RESULT),
    "tool_result-bare": parts.ToolResultPart(parts.ToolResult(tool_call_id=CALL)),
    "finish": parts.FinishPart(
        parts.Finish(reason="error", time=1795501705, message="broken", details="more")
    ),
    "finish-bare": parts.FinishPart(parts.Finish(reason="stop")),
    "shell_command": parts.ShellCommandPart(
        parts.ShellCommand(command="ls", output="a\n", exit_code=1)
    ),
    "shell_command-bare": parts.ShellCommandPart(parts.ShellCommand()),
    "opaque": parts.OpaquePart(parts.Opaque(type="hologram", data=Raw(b'{"depth":3}'))),
}

MESSAGE_FULL = messages.Message(
    parts=[parts.TextPart(parts.Text(text="hello")), parts.ToolResultPart(RESULT)],
    id=MESSAGE,
    role="assistant",
    session_id=SESSION,
    model="m",
    provider="p",
    created_at=1795501705,
    updated_at=1795501706,
    is_summary_message=True,
)
MESSAGE_BARE = messages.Message(parts=[], id=MESSAGE, role="user", session_id=SESSION)

SESSION_FULL = messages.Session(
    id=SESSION,
    parent_session_id="p",
    title="Work",
    message_count=2,
    prompt_tokens=10,
    completion_tokens=12,
    summary_message_id=MESSAGE,
    cost=0.25,
    todos=[messages.Todo(content="do", status="pending", active_form="doing")],
    created_at=1795501705,
    updated_at=1795501706,
    is_busy=True,
    attached_clients=1,
)
SESSION_BARE = messages.Session(id=SESSION)

RUN_ENDED = messages.Run(
    id=RUN,
    session_id=SESSION,
    state="failed",
    mode="yolo",
    read_only=True,
    detached=True,
    anonymous=True,
    message_id=MESSAGE,
    error=messages.RunError(code="provider", message="refused", hint="wait"),
    denied=1,
    steps=2,
    input_tokens=3,
    output_tokens=4,
    cache_read_tokens=5,
    cache_write_tokens=6,
    cost=0.5,
    folded_into="11111111-0000-4000-8000-000000000000",
    created_at_ms=1795501705001,
    started_at_ms=1795501705002,
    ended_at_ms=1795501705003,
)
RUN_BARE = messages.Run(id=RUN, session_id=SESSION, state="queued")

REQUEST = permissions.PermissionRequest(
    id=PERMISSION,
    session_id=SESSION,
    tool_call_id=CALL,
    tool_name="bash",
    description="ls",
    action="execute",
    params=Raw(b'{"command":"ls"}'),
    path="/p",
    reason="not known to only read",
    offers=[["command(ls)"], ["command(ls *)"]],
)

QUESTIONS = questions.QuestionRequest(
    id=PERMISSION,
    session_id=SESSION,
    tool_call_id=CALL,
    questions=[
        questions.Question(
            id="q1",
            type="single_choice",
            question="Which?",
            label="choice",
            description="of two",
            choices=[
                questions.Choice(id="a", label="A", description="first"),
                questions.Choice(id="b", label="B"),
            ],
        ),
        questions.Question(id="q2", type="yes_no", question="Sure?"),
    ],
    confirm_title="Send",
    confirm_description="both",
)
RESPONSES = [
    questions.QuestionResponse(
        request_id="q1", selected_ids=["a"], fill_in_text="or", yes=True, notes={"a": "n"}
    ),
    questions.QuestionResponse(request_id="q2"),
]
JOB = jobs.Job(
    id="00A",
    session_id=SESSION,
    run_id=RUN,
    tool_call_id=CALL,
    command="make",
    description="build",
    working_directory="/p",
    state="killed",
    exit_code=143,
    output_bytes=9,
    sandbox="bubblewrap",
    started_at_ms=1795501705001,
    ended_at_ms=1795501705002,
    ended_by="job_kill",
)
JOB_BARE = jobs.Job(
    id="00B", session_id=SESSION, run_id=RUN, tool_call_id=CALL, command="ls", state="running"
)
FILE = files.FileVersion(
    id="f",
    session_id=SESSION,
    path="/p/a",
    content="a",
    version=1,
    created_at=1795501705,
    updated_at=1795501706,
)

MODEL = requests.ModelInfo(
    id="m",
    name="M",
    cost_per_1m_in=1.0,
    cost_per_1m_out=2.0,
    cost_per_1m_in_cached=3.0,
    cost_per_1m_out_cached=4.0,
    context_window=200000,
    default_max_tokens=4096,
    can_reason=True,
    reasoning_levels=["low", "high"],
    default_reasoning_effort="low",
    supports_attachments=True,
)
SELECTED = requests.SelectedModel(
    model="m",
    provider="p",
    reasoning_effort="high",
    think=True,
    max_tokens=1000,
    temperature=0.5,
    top_p=0.9,
)
CONFIG = requests.ConfigView(
    models={"large": SELECTED},
    providers={
        "p": requests.ProviderView(
            id="p",
            name="P",
            base_url="http://127.0.0.1:1/v1",
            type="openai",
            api_key="*",
            disable=True,
            models=[MODEL],
        )
    },
    options=requests.OptionsView(
        data_directory="/p/.crush",
        tui=requests.TuiOptions(compact_mode=True),
        disable_metrics=False,
    ),
)
VERSION = requests.Version(
    version="0.1.0",
    commit="c0ffee",
    build_id="0.1.0+abc",
    go_version="python3.11.9",
    platform="linux",
    protocol=problems.ProtocolRange(min=1, max=2),
    instance_id="f00d",
    pid=7,
)

EVENTS: dict[str, events.AnyEvent] = {
    "session_created": events.SessionCreated(session_id=SESSION, session=SESSION_BARE),
    "session_updated": events.SessionUpdated(session_id=SESSION, session=SESSION_FULL),
    "run_updated": events.RunUpdated(session_id=SESSION, run=RUN_BARE),
    "run_complete": events.RunComplete(session_id=SESSION, run=RUN_ENDED),
    "message_started": events.MessageStarted(session_id=SESSION, message=MESSAGE_FULL, run_id=RUN),
    "message_started-bare": events.MessageStarted(session_id=SESSION, message=MESSAGE_BARE),
    "part_added": events.PartAdded(
        session_id=SESSION, message_id=MESSAGE, part=1, content=PARTS["tool_call"], run_id=RUN
    ),
    "part_added-result": events.PartAdded(
        session_id=SESSION, message_id=MESSAGE, part=1, content=PARTS["tool_result"], run_id=RUN
    ),
    "part_added-bare": events.PartAdded(
        session_id=SESSION, message_id=MESSAGE, content=PARTS["finish-bare"]
    ),
    "part_ended": events.PartEnded(
        session_id=SESSION,
        message_id=MESSAGE,
        part=1,
        kind="reasoning",
        size=7,
        signature="sig",
        run_id=RUN,
    ),
    "part_ended-bare": events.PartEnded(session_id=SESSION, message_id=MESSAGE, kind="text"),
    "message_reset": events.MessageReset(session_id=SESSION, message_id=MESSAGE, run_id=RUN),
    "retry_scheduled": events.RetryScheduled(
        session_id=SESSION, run_id=RUN, attempt=1, wait_ms=500, message="status 529"
    ),
    "permission_asked": events.PermissionAsked(session_id=SESSION, request=REQUEST, run_id=RUN),
    "permission_resolved": events.PermissionResolved(
        session_id=SESSION,
        permission_id=PERMISSION,
        tool_call_id=CALL,
        tool_name="bash",
        outcome="deny",
        by=CLIENT,
        what="ls",
        hint="use -y",
        rules=["command(ls)"],
        run_id=RUN,
    ),
    "permission_resolved-bare": events.PermissionResolved(
        session_id=SESSION,
        permission_id=PERMISSION,
        tool_call_id=CALL,
        tool_name="bash",
        outcome="withdrawn",
    ),
    "question_asked": events.QuestionAsked(session_id=SESSION, request=QUESTIONS, run_id=RUN),
    "question_resolved": events.QuestionResolved(
        session_id=SESSION,
        question_id=PERMISSION,
        outcome="answered",
        by=CLIENT,
        responses=RESPONSES,
        run_id=RUN,
    ),
    "question_resolved-bare": events.QuestionResolved(
        session_id=SESSION, question_id=PERMISSION, outcome="withdrawn"
    ),
    "job_updated": events.JobUpdated(session_id=SESSION, job=JOB, run_id=RUN),
    "job_updated-bare": events.JobUpdated(session_id=SESSION, job=JOB_BARE),
    "file_changed": events.FileChanged(session_id=SESSION, file=FILE, kept=False, run_id=RUN),
    "notice": events.Notice(session_id=SESSION, run_id=RUN, text="look"),
    "delta": events.Delta(message_id=MESSAGE, part=1, kind="text", offset=3, text="lo"),
    "delta-bare": events.Delta(message_id=MESSAGE, kind="reasoning", text="hel"),
    "tool_output": events.ToolOutput(tool_call_id=CALL, offset=3, text="lo"),
    "tool_output-bare": events.ToolOutput(tool_call_id=CALL, text="hel"),
}

CLASSIC: dict[str, classic.ClassicEvent] = {
    "message-created": classic.ClassicMessage(classic.Change("created", MESSAGE_BARE)),
    "message-updated": classic.ClassicMessage(classic.Change("updated", MESSAGE_FULL)),
    "message-deleted": classic.ClassicMessage(classic.Change("deleted", MESSAGE_BARE)),
    "session-created": classic.ClassicSession(classic.Change("created", SESSION_BARE)),
    "session-updated": classic.ClassicSession(classic.Change("updated", SESSION_FULL)),
    "permission_request": classic.ClassicPermissionRequest(classic.Change("created", REQUEST)),
    "permission_notification-pending": classic.ClassicPermissionNotification(
        classic.Change("created", classic.PermissionNotification(tool_call_id=CALL))
    ),
    "permission_notification-granted": classic.ClassicPermissionNotification(
        classic.Change("created", classic.PermissionNotification(tool_call_id=CALL, granted=True))
    ),
    "permission_notification-denied": classic.ClassicPermissionNotification(
        classic.Change("created", classic.PermissionNotification(tool_call_id=CALL, denied=True))
    ),
    "question_batch_request": classic.ClassicQuestionRequest(classic.Change("created", QUESTIONS)),
    "question_batch_notification": classic.ClassicQuestionNotification(
        classic.Change("created", classic.QuestionNotification(batch_id=PERMISSION))
    ),
    "file": classic.ClassicFile(classic.Change("created", FILE)),
    "agent_event-finished": classic.ClassicAgentEvent(
        classic.Change(
            "created",
            classic.AgentEvent(type="agent_finished", session_id=SESSION, session_title="Work"),
        )
    ),
    "agent_event-error": classic.ClassicAgentEvent(
        classic.Change(
            "created",
            classic.AgentEvent(type="error", error="refused", run_id=RUN, session_id=SESSION),
        )
    ),
    "run_complete": classic.ClassicRunComplete(
        classic.Change(
            "updated",
            classic.RunCompleted(
                session_id=SESSION,
                run_id=RUN,
                message_id=MESSAGE,
                text="hello",
                error="cut",
                cancelled=True,
            ),
        )
    ),
    "run_complete-bare": classic.ClassicRunComplete(
        classic.Change("updated", classic.RunCompleted(session_id=SESSION))
    ),
}

_CHANGED_FILE = {"file_path": "/p/a", "old_content": "a", "new_content": "b"}
PARAMS: dict[str, params.Params] = {
    "bash": params.BashParams(
        command="ls",
        description="look",
        working_dir="/p",
        run_in_background=True,
        auto_background_after=60,
    ),
    "bash-bare": params.BashParams(command="ls"),
    "download": params.DownloadParams(url="https://x.test/f", file_path="/p/f", timeout=9),
    "download-bare": params.DownloadParams(url="https://x.test/f", file_path="/p/f"),
    "edit": params.EditParams(**_CHANGED_FILE),
    "edit-bare": params.EditParams(file_path="/p/a"),
    "write": params.WriteParams(**_CHANGED_FILE),
    "multiedit": params.MultieditParams(**_CHANGED_FILE),
    "fetch": params.FetchParams(url="https://x.test", format="markdown", timeout=9),
    "agentic_fetch": params.AgenticFetchParams(prompt="what", url="https://x.test"),
    "agentic_fetch-bare": params.AgenticFetchParams(prompt="what"),
    "view": params.ViewParams(file_path="/p/a", offset=1, limit=2),
    "view-bare": params.ViewParams(file_path="/p/a"),
    "ls": params.LsParams(path="/p", ignore=["*.o"], depth=2),
    "ls-bare": params.LsParams(),
}

RECORDS: dict[str, msgspec.Struct] = {
    "open_requests": pending.OpenRequests(
        permissions=[
            pending.OpenPermission(**msgspec.structs.asdict(REQUEST), run_id=RUN, asked_at_ms=1)
        ],
        questions=[
            pending.OpenForm(**msgspec.structs.asdict(QUESTIONS), run_id=RUN, asked_at_ms=1)
        ],
    ),
    "open_requests-bare": pending.OpenRequests(permissions=[], questions=[]),
    "question_cancel": questions.QuestionCancel(batch_request_id=PERMISSION),
    "question_cancel-bare": questions.QuestionCancel(),
    "question_answer": questions.QuestionAnswer(batch_request_id=PERMISSION, responses=RESPONSES),
    "question_answer-bare": questions.QuestionAnswer(),
    "job": JOB,
    "job-bare": JOB_BARE,
    "job_output": jobs.JobOutput(text="a", offset=1, next_offset=2, skipped=1, done=True),
    "file_version": FILE,
    "history_entry": files.GoFileVersion(
        id="f", session_id=SESSION, path="/p/a", content="a", version=1, created_at=1, updated_at=2
    ),
    "track_read": files.TrackRead(session_id=SESSION, path="/p/a"),
    "message": MESSAGE_FULL,
    "message-bare": MESSAGE_BARE,
    "session": SESSION_FULL,
    "session-bare": SESSION_BARE,
    "run": RUN_ENDED,
    "run-bare": RUN_BARE,
    "committed": events.Committed(seq=7, run_id=RUN, event=EVENTS["notice"]),  # type: ignore[arg-type]  # it is committed
    "version": VERSION,
    "control": requests.Control(command="shutdown_if_idle"),
    "status": Status(
        version=VERSION,
        uptime_s=1.5,
        linger_s=1800.0,
        is_busy=True,
        sessions=[BusySession(id=SESSION, title="Work", data_dir="/p/.crush", runs=[RUN])],
        workspaces=[HeldWorkspace(path="/p", data_dir="/p/.crush", clients=1)],
        sandbox=SandboxStatus(kind="none", reason="bubblewrap is not installed"),
    ),
    "problem": problems.Problem(
        message="this server speaks protocol 1 to 1, the client 2-3",
        code="protocol",
        hint="wait",
        protocol=problems.ProtocolRange(min=1, max=1),
        replaceable=True,
    ),
    "problem-bare": problems.Problem(message="workspace not found"),
    "start_run": requests.StartRun(
        path="/p",
        prompt="hi",
        client_id=CLIENT,
        env={"PATH": "/bin"},
        model="p/m",
        small_model="p/s",
        session=SESSION,
        last=True,
        mode="yolo",
        read_only=True,
        detach=True,
        max_steps=3,
        timeout_s=2.5,
        umask=0o77,
        data_dir="/d",
    ),
    "start_run-bare": requests.StartRun(path="/p", prompt="hi"),
    "create_workspace": requests.CreateWorkspace(
        path="/p",
        client_id=CLIENT,
        env=["PATH=/bin"],
        data_dir="/d",
        yolo=True,
        debug=True,
        version="devel",
    ),
    "workspace": requests.Workspace(
        id="w",
        path="/p",
        data_dir="/p/.crush",
        version="0.1.0",
        config=CONFIG,
        yolo=True,
        debug=True,
        env=["A=1"],
    ),
    "workspace-bare": requests.Workspace(
        id="w", path="/p", data_dir="/p/.crush", version="0.1.0", config=requests.ConfigView()
    ),
    "config": CONFIG,
    "agent_info": requests.AgentInfo(is_busy=True, is_ready=True, model=MODEL, model_cfg=SELECTED),
    "agent_info-bare": requests.AgentInfo(
        is_busy=False,
        is_ready=False,
        model=requests.ModelInfo(id="m"),
        model_cfg=requests.SelectedModel(model="m", provider="p"),
    ),
    "agent_session": requests.AgentSession(id=SESSION, title="Work", is_busy=True),
    "agent_init": requests.AgentInit(interactive=False),
    "agent_message": requests.AgentMessage(
        session_id=SESSION,
        run_id=RUN,
        prompt="hi",
        attachments=[
            requests.Attachment(
                file_path="/p/a.png", file_name="a.png", mime_type="image/png", content=b"\xff"
            )
        ],
    ),
    "accepted": requests.Accepted(run_id=RUN),
    "new_session": requests.NewSession(title="New Session"),
    "session_with_messages": requests.SessionWithMessages(
        session=SESSION_FULL, messages=[MESSAGE_FULL]
    ),
    "startup_line": requests.StartupLine(state="failed", pid=7, error="no"),
    "permission_request": REQUEST,
    "permission_grant": permissions.PermissionGrant(
        permission=permissions.PermissionRef(id=PERMISSION),
        action="deny",
        feedback="use make",
        rules=["command(ls)"],
    ),
    "permission_grant-bare": permissions.PermissionGrant(
        permission=permissions.PermissionRef(id=PERMISSION), action="allow_session"
    ),
    "resolved": permissions.Resolved(
        resolved=False, outcome="allow_always", by=CLIENT, rules=["command(ls)"]
    ),
    "resolved-bare": permissions.Resolved(resolved=True),
    "skip": permissions.Skip(skip=True),
}

SAMPLES: dict[str, tuple[msgspec.Struct, Any]] = {
    **{f"part-{name}": (value, parts.Part) for name, value in PARTS.items()},
    **{f"event-{name}": (value, events.AnyEvent) for name, value in EVENTS.items()},
    **{f"classic-{name}": (value, classic.ClassicEvent) for name, value in CLASSIC.items()},
    **{f"params-{name}": (value, type(value)) for name, value in PARAMS.items()},
    **{name: (value, type(value)) for name, value in RECORDS.items()},
}


def write_golden() -> None:
    for path in GOLDEN.glob("*.json"):
        path.unlink()
    for name, (value, _) in SAMPLES.items():
        (GOLDEN / f"{name}.json").write_bytes(encode(value) + b"\n")


if __name__ == "__main__":
    write_golden()
