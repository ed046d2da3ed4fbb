"""Every route of `/v1` and the function that answers it, as `module:function` of this package.

Names instead of functions: the table is read before the server listens, the modules after. A test
resolves them all.
"""

Route = tuple[str, str, str]

_W = "/v1/workspaces/{id}"
_S = _W + "/sessions/{sid}"
_A = _W + "/agent"
_AS = _A + "/sessions/{sid}"

ROUTES: tuple[Route, ...] = (
    ("POST", "/v1/control", "control:control"),
    ("GET", "/v1/status", "status:show"),
    ("DELETE", "/v1/clients/{client_id}", "workspaces:retire"),
    ("POST", "/v1/runs", "runs:start"),
    ("GET", "/v1/runs/{run_id}", "runs:show"),
    ("DELETE", "/v1/runs/{run_id}", "runs:cancel"),
    ("GET", "/v1/runs/{run_id}/events", "runs:events"),
    ("GET", "/v1/sessions", "sessions:of_directory"),
    ("GET", "/v1/sessions/{sid}", "sessions:found"),
    ("GET", "/v1/workspaces", "workspaces:index"),
    ("POST", "/v1/workspaces", "workspaces:create"),
    ("GET", _W, "workspaces:show"),
    ("DELETE", _W, "workspaces:release"),
    ("GET", _W + "/config", "workspaces:config"),
    ("GET", _W + "/events", "events:events"),
    ("GET", _W + "/sessions", "sessions:index"),
    ("POST", _W + "/sessions", "sessions:create"),
    ("GET", _S, "sessions:show"),
    ("GET", _S + "/messages", "sessions:messages"),
    ("GET", _S + "/history", "files:history"),
    ("GET", _S + "/history/{file_id}", "files:version"),
    ("GET", _S + "/filetracker/files", "files:tracked"),
    ("POST", _W + "/filetracker/read", "files:track"),
    ("GET", _W + "/filetracker/lastread", "files:last_read"),
    ("GET", _W + "/jobs", "jobs:index"),
    ("GET", _W + "/jobs/{job_id}", "jobs:show"),
    ("DELETE", _W + "/jobs/{job_id}", "jobs:kill"),
    ("GET", _W + "/jobs/{job_id}/output", "jobs:output"),
    ("GET", _A, "agent:info"),
    ("POST", _A, "agent:prompt"),
    ("POST", _A + "/init", "agent:init"),
    ("POST", _A + "/update", "agent:update"),
    ("GET", _AS, "agent:session"),
    ("POST", _AS + "/cancel", "agent:cancel"),
    ("GET", _AS + "/prompts/queued", "agent:queued"),
    ("GET", _AS + "/prompts/list", "agent:queue"),
    ("POST", _AS + "/prompts/clear", "agent:clear"),
    ("GET", _W + "/permissions/skip", "permissions:skip"),
    ("POST", _W + "/permissions/skip", "permissions:set_skip"),
    ("POST", _W + "/permissions/grant", "permissions:grant"),
    ("POST", _W + "/questions/answer", "questions:answer"),
    ("POST", _W + "/questions/cancel", "questions:cancel"),
    ("GET", _W + "/pending", "pending:index"),
    ("GET", _W + "/lsps", "unbuilt:empty_object"),
    ("GET", _W + "/mcp/states", "unbuilt:empty_object"),
    ("GET", _W + "/mcp/pending-auth", "unbuilt:empty_list"),
    ("GET", _W + "/skills", "unbuilt:empty_list"),
    ("GET", _W + "/{rest:.+}", "unbuilt:unknown"),
    ("POST", _W + "/{rest:.+}", "unbuilt:change"),
    ("PUT", _W + "/{rest:.+}", "unbuilt:change"),
    ("DELETE", _W + "/{rest:.+}", "unbuilt:change"),
)
