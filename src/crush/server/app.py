"""The server process, composed: listen first, then load the engine, then serve until it may leave.

Nothing but what is imported here stands between a spawn and readiness (a test holds the list). The
engine is loaded in a thread, so that `/v1/health` answers meanwhile; requests that need it wait.
"""

import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import cache, partial
from importlib import import_module

import anyio
import anyio.to_thread
from aiohttp import web
from anyio.abc import TaskGroup

from crush import paths
from crush.errors import ClosingError, CrushError
from crush.launch.bind import Listener
from crush.launch.host import Host
from crush.launch.lock import LockHeldError
from crush.launch.logs import rotate
from crush.launch.protocol import build_id
from crush.launch.ready import report
from crush.server.bodies import BODY_WITHIN_S, MAX_BODY_BYTES, whole_bodies
from crush.server.identity import Identity
from crush.server.lifetime import Lifetime, linger_s
from crush.server.peers import guard
from crush.server.problems import problems
from crush.server.routes.table import ROUTES
from crush.wire.codec import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from crush.permissions.decision import Judges
    from crush.permissions.known_commands import KnownCommands
    from crush.permissions.rules import Rule
    from crush.sandbox.sandbox import Sandbox
    from crush.server.services import Answer, Services
    from crush.wire.messages import Mode

log = logging.getLogger("crush.server")

MAX_HEADER_BYTES = 16 * 1024
# A connection is closed when it has brought no whole request head for so long.
HEAD_WITHIN_S = 120.0
# aiohttp waits so long for answers in flight, then again for handlers that it has cancelled.
FINISH_WITHIN_S = 2.0
LOOK_EVERY_S = 5.0
TELL_WHY_S = 1.0
REST_WITHIN_S = 10.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def serve(
    *,
    host: Host,
    listener: Listener,
    instance_id: str,
    directory: str,
    ready_fd: int,
    start_lock_fd: int,
    debug: bool,
) -> int:
    """Run the server of `host` until it leaves. Returns the exit code."""
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    server = Server(
        host=host,
        listener=listener,
        instance_id=instance_id,
        directory=directory,
    )
    try:
        anyio.run(server.run, ready_fd, start_lock_fd)
    except ExceptionGroup:
        log.exception("the server broke")  # its log is all that is left to look at
        raise
    return 0


class Server:
    """One life of a server."""

    def __init__(self, *, host: Host, listener: Listener, instance_id: str, directory: str) -> None:
        self._host = host
        self._listener = listener
        self._directory = directory
        self._identity = Identity(instance_id=instance_id, build_id=build_id(), pid=os.getpid())
        self._lifetime = Lifetime(linger_s=linger_s(os.environ))
        self._services: Services | None = None
        self._failure: CrushError = ClosingError("server is shutting down", hint="try again")
        self._engine_ready = anyio.Event()
        self._site: web.BaseSite

    async def run(self, ready_fd: int, start_lock_fd: int) -> None:
        runner = web.AppRunner(
            self._application(),
            access_log=None,
            handler_cancellation=False,
            keepalive_timeout=HEAD_WITHIN_S,
            shutdown_timeout=FINISH_WITHIN_S,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
        )
        async with anyio.create_task_group() as tasks, AsyncExitStack() as engine:
            await runner.setup()
            self._site = await self._listen(runner)
            tasks.start_soon(self._watch_signals)
            _report_ready(ready_fd, start_lock_fd)
            log.info(
                "serving %s, pid %d, build %s", self._host, os.getpid(), self._identity.build_id
            )
            await self._load_engine(tasks, engine)
            async with anyio.create_task_group() as looking:
                looking.start_soon(self._look_after, runner)
                await self._lifetime.wait_leaving()
                looking.cancel_scope.cancel()
            log.info("leaving")
            await self._site.stop()
            # The server lock is kept until the databases are closed: the next server needs them.
            self._listener.withdraw()
            if self._services is not None:
                await self._services.projects.close()
            await runner.cleanup()
            tasks.cancel_scope.cancel()

    async def _listen(self, runner: web.AppRunner) -> web.BaseSite:
        site: web.BaseSite
        if self._host.scheme == "npipe":
            site = web.NamedPipeSite(runner, self._host.address)
        else:
            if self._listener.socket is None:
                raise RuntimeError("nothing to listen on")
            site = web.SockSite(runner, self._listener.socket, backlog=1024)
        await site.start()
        return site

    async def _watch_signals(self) -> None:
        signals = [signal.SIGINT, signal.SIGTERM] if sys.platform != "win32" else [signal.SIGINT]
        with anyio.open_signal_receiver(*signals) as received:
            async for number in received:
                log.info("%s received", signal.Signals(number).name)
                self._lifetime.leave()

    async def _load_engine(self, tasks: TaskGroup, engine: AsyncExitStack) -> None:
        await anyio.to_thread.run_sync(_import_engine)
        try:
            self._services = await _compose(
                identity=self._identity,
                lifetime=self._lifetime,
                host=self._host,
                directory=self._directory,
                tasks=tasks,
                stack=engine,
            )
        except CrushError as exc:
            # Whoever waits is told the reason; the next client starts another server.
            log.exception("the engine could not be started")
            self._failure = exc
            self._engine_ready.set()
            await anyio.sleep(TELL_WHY_S)
            self._lifetime.leave()
            return
        self._engine_ready.set()
        tasks.start_soon(self._load_the_rest)

    async def _load_the_rest(self) -> None:
        # Beside the first run it would cost that one 10 ms: two threads take turns of 5.
        with anyio.move_on_after(REST_WITHIN_S):
            await self._lifetime.wait_unneeded()
        await anyio.to_thread.run_sync(_import_the_rest)
        if self._services is not None:
            await self._services.sandbox()  # 0.1 s that the first command need not wait
        await anyio.to_thread.run_sync(_clean_up, abandon_on_cancel=True)

    async def _look_after(self, runner: web.AppRunner) -> None:
        """Every few seconds: is the socket still ours, is anything to be closed, are logs full."""
        while True:
            await anyio.sleep(LOOK_EVERY_S)
            with anyio.CancelScope(shield=True):  # a look that has begun is finished
                await self._look(runner)

    async def _look(self, runner: web.AppRunner) -> None:
        if self._services is not None:
            await self._services.workspaces.close_unclaimed()
            await self._services.projects.close_idle()
        await anyio.to_thread.run_sync(self._rotate_logs)
        if await anyio.to_thread.run_sync(self._listener.still_ours):
            return
        try:
            await anyio.to_thread.run_sync(self._listener.rebind)
        except LockHeldError:
            log.warning("another server has taken our place")
            self._lifetime.leave()
            return
        log.warning("the socket was removed; listening on a new one")
        removed, self._site = self._site, await self._listen(runner)
        await removed.stop()

    def _rotate_logs(self) -> None:
        for fd, name in ((1, "stdout.log"), (2, "stderr.log")):
            path = os.path.join(self._directory, name)
            try:
                if os.path.samestat(os.fstat(fd), os.stat(path)):
                    rotate(path, fd)
            except OSError:
                continue  # in the foreground there are none

    def _application(self) -> web.Application:
        app = web.Application(
            client_max_size=MAX_BODY_BYTES,
            middlewares=[
                problems,
                guard(is_tcp=self._host.scheme == "tcp"),
                whole_bodies(max_bytes=MAX_BODY_BYTES, within_s=BODY_WITHIN_S),
            ],
        )
        app.router.add_get("/v1/health", self._health)
        app.router.add_get("/v1/version", self._version)
        for method, path, name in ROUTES:
            app.router.add_route(method, path, self._lazily(name))
        return app

    async def _health(self, _request: web.Request) -> web.StreamResponse:
        return web.Response()

    async def _version(self, _request: web.Request) -> web.StreamResponse:
        return web.Response(body=encode(self._identity.version()), content_type="application/json")

    def _lazily(self, name: str) -> Handler:
        """The handler of a route; the first request waits for the engine."""

        async def handle(request: web.Request) -> web.StreamResponse:
            with self._lifetime.hold():
                await self._engine_ready.wait()
                if self._services is None:
                    raise self._failure
                return await resolve(name)(request, self._services)

        return handle


def resolve(name: str) -> "Answer":
    """The function that a route names."""
    module, _, function = name.partition(":")
    answer: Answer = getattr(import_module(f"crush.server.routes.{module}"), function)
    return answer


def _report_ready(ready_fd: int, start_lock_fd: int) -> None:
    """Let others start, then tell the client that waits: it would find the lock taken."""
    if start_lock_fd:
        os.close(start_lock_fd)
    if ready_fd:
        report(ready_fd, state="ready", pid=os.getpid())
        os.close(ready_fd)


def _import_engine() -> None:
    for name in (
        "crush.agent.project",
        "crush.providers.registry",
        "crush.server.services",
        "crush.server.routes.runs",
        "crush.store.registry",
        "crush.tools.registry",
    ):
        import_module(name)


def _import_the_rest() -> None:
    """What a later run can need: an upgrade of the installed files must not reach a running server."""
    for name in (
        "crush.permissions.judge",
        "crush.providers.anthropic",
        "crush.providers.openai_chat",
        "crush.sandbox.choose",
        "pathspec",
    ):
        import_module(name)
    for _, _, name in ROUTES:
        resolve(name)


def _clean_up() -> None:
    from crush.tools.session_tmp import KEEP_S, remove_unused  # noqa: PLC0415 - after readiness

    remove_unused(paths.sessions_tmp(os.environ), before=time.time() - KEEP_S)


class _Judging:
    """Builds judges (`BuildJudge`). What knows commands is loaded with the first: no answer waits."""

    def __init__(self) -> None:
        self._known = cache(_load_known_commands)

    def __call__(
        self, *, rules: "Sequence[Rule]", mode: "Mode", root: str, env: Mapping[str, str]
    ) -> "Judges":
        from crush.permissions.judge import build_judge  # noqa: PLC0415 - 30 ms of a first answer

        return build_judge(self._known(), rules=rules, mode=mode, root=root, env=env)


def _load_known_commands() -> "KnownCommands":
    from crush.permissions.known_commands import KnownCommands  # noqa: PLC0415 - as above

    return KnownCommands.load()


async def _find_sandbox(hidden: Sequence[str]) -> "Sandbox":
    choose = await anyio.to_thread.run_sync(import_module, "crush.sandbox.choose")
    found: Sandbox = await choose.find_sandbox(os.environ, hidden=hidden)
    return found


async def _compose(
    *,
    identity: Identity,
    lifetime: Lifetime,
    host: Host,
    directory: str,
    tasks: TaskGroup,
    stack: AsyncExitStack,
) -> "Services":
    """The object graph of a server; what has a life of its own ends with `stack`."""
    from crush.agent.prompt import load_prompts  # noqa: PLC0415
    from crush.config.secret_log import SecretFilter  # noqa: PLC0415
    from crush.providers.local import LocalModels, worker_command  # noqa: PLC0415 - after readiness
    from crush.providers.registry import HttpPool, build_provider  # noqa: PLC0415
    from crush.providers.weights import verify_weights  # noqa: PLC0415
    from crush.sandbox.once import SandboxOnce  # noqa: PLC0415
    from crush.server.claims import Claims, detach_grace_s  # noqa: PLC0415
    from crush.server.file_limit import raise_file_limit  # noqa: PLC0415
    from crush.server.own_places import own_places  # noqa: PLC0415
    from crush.server.projects import Projects  # noqa: PLC0415
    from crush.server.runs import Owners  # noqa: PLC0415
    from crush.server.services import Services  # noqa: PLC0415
    from crush.server.workspaces import Workspaces  # noqa: PLC0415
    from crush.store.registry import Registry  # noqa: PLC0415
    from crush.tools.registry import core_tools  # noqa: PLC0415

    raise_file_limit()
    registry = await Registry.open(paths.registry_db(os.environ))
    stack.push_async_callback(registry.close)
    left = await registry.unfinished()
    pool = await stack.enter_async_context(HttpPool())
    models = await stack.enter_async_context(
        LocalModels(command=worker_command(), verify=verify_weights)
    )
    grace_s = detach_grace_s(os.environ)
    hidden = await anyio.to_thread.run_sync(own_places, host, directory, os.environ)
    log_secrets = SecretFilter()
    for handler in logging.getLogger().handlers:
        handler.addFilter(log_secrets)
    sandbox = SandboxOnce(partial(_find_sandbox, hidden))
    projects = Projects(
        registry=registry,
        owner=identity.instance_id,
        tools={tool.name: tool for tool in core_tools(sandbox=sandbox)},
        build_judge=_Judging(),
        find_sandbox=sandbox,
        log_path=os.path.join(directory, "stderr.log"),
        log_secrets=log_secrets,
        prompts=load_prompts(),
        build_provider=lambda model: build_provider(model.provider, pool=pool, models=models),
        tasks=tasks,
        lifetime=lifetime,
    )
    # Beside the first requests: a database that another program locks makes nobody else wait.
    tasks.start_soon(projects.recover, left)
    claims = Claims(lifetime=lifetime, grace_s=grace_s)
    return Services(
        identity=identity,
        lifetime=lifetime,
        projects=projects,
        workspaces=Workspaces(projects=projects, claims=claims),
        claims=claims,
        owners=Owners(tasks=tasks, grace_s=grace_s),
        sandbox=sandbox,
        expect=lambda model: tasks.start_soon(pool.prepare, model.provider),
    )
