"""Every command and option of `crush`; the modules are imported only when their command is used."""

from crush.cli.options import Command, Option

SHARED: tuple[Option, ...] = (
    Option("-c", "--cwd", value="DIR", help="work in DIR"),
    Option("-D", "--data-dir", value="DIR", help="keep the project's data in DIR"),
    Option("-d", "--debug", help="log more"),
    Option("-H", "--host", value="URL", help="server: unix://PATH, tcp://HOST:PORT, npipe://NAME"),
    Option("-h", "--help", help="show help"),
    Option("--version", help="show the version"),
)

_JSON = Option("--json", help="machine-readable output")

RUN = (
    Option("-m", "--model", value="MODEL", help="model, or provider/model, for this run"),
    Option("--small-model", value="MODEL", help="small model for this run"),
    Option("-s", "--session", value="ID", help="continue a session (id or short id)"),
    Option("-C", "--continue", help="continue the newest session"),
    Option("-y", "--yolo", help="allow everything without asking"),
    Option("--read-only", help="refuse every change"),
    Option(
        "--output-format",
        value="FORMAT",
        default="text",
        choices=("text", "json", "stream-json"),
        help="text, json (one object at the end) or stream-json (one event a line)",
    ),
    Option("--detach", help="print the run's id and leave it running"),
    Option("--timeout", value="SECONDS", default=0.0, help="end the run after this time"),
    Option("--max-steps", value="N", default=0, help="end the run after N requests to the model"),
    Option("-q", "--quiet", help="nothing on stderr but errors"),
    Option("-v", "--verbose", help="show tool calls and reasoning on stderr"),
)

COMMANDS: tuple[Command, ...] = (
    Command("", summary="the terminal interface (not built yet)", module="crush.cli.root"),
    Command(
        "run",
        summary="give the agent a prompt and print its answer",
        module="crush.cli.run",
        options=RUN,
        words="[PROMPT…]",
        aliases=("r",),
    ),
    Command(
        "server",
        summary="run the server in the foreground (clients start it by themselves)",
        module="crush.cli.server",
        options=(
            Option(
                "--dangerously-no-auth",
                help="on tcp: admit every program of this user without a token",
            ),
            Option("--ready-fd", value="FD", default=0, help="report readiness there"),
            Option("--start-lock-fd", value="FD", default=0, help="start lock to give back"),
        ),
        hidden=frozenset({"ready_fd", "start_lock_fd"}),
    ),
)
