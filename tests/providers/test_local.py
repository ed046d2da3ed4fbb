"""The embedded model: the worker's owner against a scripted worker process, then the real model."""

import itertools
import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio
import msgspec
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from crush.config.settings import ProviderSettings
from crush.errors import ConfigError, ProviderError
from crush.paths import local_weights
from crush.providers._local_protocol import Chat
from crush.providers.base import (
    Answer,
    AssistantTurn,
    ImageBlock,
    ModelRequest,
    ReasoningBlock,
    StreamEvent,
    TextBlock,
    TextDelta,
    ToolResultBlock,
    ToolTurn,
    ToolUseBlock,
    Turn,
    Usage,
    UserTurn,
)
from crush.providers.local import LocalModels, LocalProvider, to_chat, worker_command
from crush.providers.weights import verify_weights

FAKE = str(Path(__file__).parents[1] / "fakes" / "local_worker.py")
SYSTEM = (
    "You are Crush, a small language model that talks with its user in a terminal. "
    + "Answer in plain words, be brief and say so when you do not know something. " * 15
)


def fake_models(idle_s: float = 60, verify: list[str] | None = None) -> LocalModels:
    checked = [] if verify is None else verify
    return LocalModels(command=(sys.executable, FAKE, str(idle_s)), verify=checked.append)


@pytest.fixture
async def models() -> AsyncIterator[LocalModels]:
    async with fake_models() as models:
        yield models


def asking(*turns: Turn, system: str = "", max_tokens: int = 0) -> ModelRequest:
    return ModelRequest(model="smollm2", system=system, turns=turns, max_tokens=max_tokens)


def said(text: str) -> UserTurn:
    return UserTurn((TextBlock(text),))


class Heard:
    """Collects the text of an answer and tells when some has come."""

    def __init__(self) -> None:
        self.text = ""
        self.began = anyio.Event()

    def emit(self, event: StreamEvent) -> None:
        assert isinstance(event, TextDelta)
        self.text += event.text
        self.began.set()


async def ask(models: LocalModels, script: str, weights: str = "/fine") -> tuple[str, Answer]:
    heard = Heard()
    answer = await models.chat(weights, to_chat(asking(said(script))), heard.emit)
    return heard.text, answer


@contextmanager
def watched(pid: int) -> Iterator[int]:
    """A descriptor that is readable once the process has ended."""
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


async def wait_ended(descriptor: int) -> None:
    with anyio.fail_after(5):
        await anyio.wait_readable(descriptor)


def present_pid(models: LocalModels) -> int:
    assert models.worker_pid is not None
    return models.worker_pid


async def test_an_answer_arrives_in_pieces_with_its_usage(models: LocalModels) -> None:
    text, answer = await ask(models, "count 3")
    assert text == "0 1 2 "
    assert answer == Answer(
        stop="end_turn", usage=Usage(input_tokens=6, cache_read_tokens=4, output_tokens=3)
    )


async def test_the_worker_is_started_when_first_asked_and_kept() -> None:
    checked: list[str] = []
    async with fake_models(verify=checked) as models:
        assert models.worker_pid is None
        await ask(models, "count 1")
        first = models.worker_pid
        await ask(models, "count 1")
        assert models.worker_pid == first
    assert checked == ["/fine"]


async def test_other_weights_take_the_place_of_those_loaded(models: LocalModels) -> None:
    await ask(models, "count 1")
    with watched(present_pid(models)) as first:
        assert (await ask(models, "count 1", weights="/other"))[0] == "0 "
        await wait_ended(first)


async def test_chats_are_answered_one_at_a_time_in_order(models: LocalModels) -> None:
    order: list[str] = []
    gate = anyio.Event()

    async def one(name: str) -> None:
        def emit(event: StreamEvent) -> None:
            order.append(name)
            gate.set()

        await models.chat("/fine", to_chat(asking(said("count 20"))), emit)

    async with anyio.create_task_group() as group:
        group.start_soon(one, "a")
        await gate.wait()
        group.start_soon(one, "b")
        group.start_soon(one, "c")
    assert order == ["a"] * 20 + ["b"] * 20 + ["c"] * 20


async def cancelled_midway(models: LocalModels, script: str) -> None:
    heard = Heard()
    async with anyio.create_task_group() as group:
        group.start_soon(models.chat, "/fine", to_chat(asking(said(script))), heard.emit)
        await heard.began.wait()
        group.cancel_scope.cancel()


async def test_cancelling_stops_the_generation_and_keeps_the_worker(models: LocalModels) -> None:
    await ask(models, "count 1")
    pid = models.worker_pid
    await cancelled_midway(models, "forever")
    assert (await ask(models, "count 2"))[0] == "0 1 "
    assert models.worker_pid == pid


async def test_a_worker_that_does_not_obey_a_cancel_is_replaced(models: LocalModels) -> None:
    await ask(models, "count 1")
    with watched(present_pid(models)) as deaf:
        await cancelled_midway(models, "deaf")
        assert (await ask(models, "count 2"))[0] == "0 1 "
        await wait_ended(deaf)


async def test_a_chat_that_is_cancelled_in_the_queue_is_never_asked(models: LocalModels) -> None:
    heard, unheard = Heard(), Heard()
    async with anyio.create_task_group() as group:
        group.start_soon(models.chat, "/fine", to_chat(asking(said("forever"))), heard.emit)
        await heard.began.wait()
        async with anyio.create_task_group() as waiting:
            waiting.start_soon(models.chat, "/fine", to_chat(asking(said("echo"))), unheard.emit)
            await checkpoint()
            waiting.cancel_scope.cancel()
        group.cancel_scope.cancel()
    assert unheard.text == ""
    assert (await ask(models, "count 1"))[0] == "0 "


async def test_a_reader_that_fails_leaves_the_worker_ready_for_the_next(
    models: LocalModels,
) -> None:
    def emit(event: StreamEvent) -> None:
        raise LookupError("the reader failed")

    with pytest.raises(LookupError):
        await models.chat("/fine", to_chat(asking(said("forever"))), emit)
    assert (await ask(models, "count 2"))[0] == "0 1 "


async def test_a_worker_that_dies_in_an_answer_is_a_retryable_error(models: LocalModels) -> None:
    with pytest.raises(ProviderError, match="killed by signal 9") as caught:
        await ask(models, "die after 3")
    assert caught.value.retryable
    assert (await ask(models, "count 1"))[0] == "0 "


async def test_a_chat_that_kills_every_worker_is_not_tried_for_ever(models: LocalModels) -> None:
    await ask(models, "count 1")
    with pytest.raises(ProviderError, match="killed by signal 9"):
        await ask(models, "die")


async def test_a_worker_that_ended_between_two_chats_goes_unnoticed(models: LocalModels) -> None:
    await ask(models, "count 1")
    pid = present_pid(models)
    with watched(pid) as first:
        os.kill(pid, signal.SIGKILL)
        await wait_ended(first)
    assert (await ask(models, "count 1"))[0] == "0 "
    assert models.worker_pid != pid


async def test_an_idle_worker_ends_and_the_next_chat_starts_another() -> None:
    async with fake_models(idle_s=1) as models:  # shorter, and a fresh one may be gone unasked
        await ask(models, "count 1")
        pid = present_pid(models)
        with watched(pid) as first:
            await wait_ended(first)
        assert (await ask(models, "count 1"))[0] == "0 "
        assert models.worker_pid != pid


async def test_a_chat_may_race_with_the_end_of_an_idle_worker() -> None:
    outcomes: list[str] = []
    async with fake_models(idle_s=0) as models:
        # With no patience at all a fresh worker may be gone before it is asked: then it is an
        # error that can be retried, never a hang and never half an answer.
        for _ in range(8):
            try:
                outcomes.append((await ask(models, "count 3"))[0])
            except ProviderError as exc:
                outcomes.append(f"retryable: {exc.retryable}")
    assert set(outcomes) <= {"0 1 2 ", "retryable: True"}


async def test_leaving_the_context_ends_the_worker() -> None:
    async with fake_models() as models:
        await ask(models, "count 1")
        descriptor = os.pidfd_open(present_pid(models))
    try:
        assert select.select([descriptor], [], [], 0)[0] == [descriptor]
    finally:
        os.close(descriptor)


async def test_closing_during_an_answer_ends_it_and_starts_nothing_new() -> None:
    errors: list[ProviderError] = []
    heard = Heard()

    async def one(models: LocalModels) -> None:
        try:
            await models.chat("/fine", to_chat(asking(said("forever"))), heard.emit)
        except ProviderError as exc:
            errors.append(exc)

    async with anyio.create_task_group() as group, fake_models() as models:
        group.start_soon(one, models)
        group.start_soon(one, models)
        await heard.began.wait()
    assert len(errors) == 2
    assert models.worker_pid is None


def test_the_worker_ends_when_its_server_is_killed() -> None:
    program = textwrap.dedent(f"""
        import anyio, sys
        from crush.providers.base import *
        from crush.providers.local import LocalModels, to_chat
        async def main():
            async with LocalModels(command=(sys.executable, {FAKE!r}, "60"), verify=len) as models:
                turns = (UserTurn((TextBlock("forever"),)),)
                chat = to_chat(ModelRequest(model="m", system="", turns=turns))
                told = []
                def emit(event):
                    if not told:
                        told.append(print(models.worker_pid, flush=True))
                await models.chat("/fine", chat, emit)
        anyio.run(main)
    """)
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        with watched(int(server.stdout.readline())) as worker:
            server.kill()
            assert select.select([worker], [], [], 5)[0] == [worker]


async def test_what_native_code_prints_never_reaches_the_protocol(
    models: LocalModels, capfd: pytest.CaptureFixture[str]
) -> None:
    assert (await ask(models, "noise"))[0] == "0 "
    out, err = capfd.readouterr()
    assert out == ""
    assert "noise" in err


async def test_a_worker_out_of_step_is_replaced(models: LocalModels) -> None:
    with pytest.raises(ProviderError, match="unexpected") as caught:
        await ask(models, "nonsense")
    assert caught.value.retryable
    assert (await ask(models, "count 1"))[0] == "0 "


async def test_a_prompt_that_is_too_long_is_an_overflow_and_keeps_the_worker(
    models: LocalModels,
) -> None:
    await ask(models, "count 1")
    pid = models.worker_pid
    with pytest.raises(ProviderError, match="too long") as caught:
        await ask(models, "overflow")
    assert caught.value.overflow
    assert not caught.value.retryable
    await ask(models, "count 1")
    assert models.worker_pid == pid


@pytest.mark.parametrize(
    ("weights", "hint"),
    [
        ("/no-engine", "pip install 'pycrush[local]'"),
        ("/old-engine", "it needs a current xllamacpp and the system's OpenMP library (libgomp1)"),
        ("/broken", "crush models install local"),
    ],
)
async def test_a_model_that_cannot_be_loaded_names_the_cure(
    models: LocalModels, weights: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        await ask(models, "count 1", weights=weights)
    assert caught.value.hint == hint
    assert (await ask(models, "count 1"))[0] == "0 "


async def test_a_worker_that_dies_while_loading_is_an_error(models: LocalModels) -> None:
    with pytest.raises(ProviderError, match="killed by signal 9"):
        await ask(models, "count 1", weights="/die-loading")


async def test_an_interpreter_without_the_engine_names_the_extra(tmp_path: Path) -> None:
    # A module of this name that cannot be imported stands in for one that is not installed.
    program = (
        "import sys; sys.modules['xllamacpp'] = None\n"
        "from crush.providers import _local_worker as worker\n"
        "worker.run(worker.LlamaEngine(), sys.argv[1:])"
    )
    command = (sys.executable, "-c", program, "60")
    async with LocalModels(command=command, verify=lambda _: None) as models:
        with pytest.raises(ConfigError, match="xllamacpp") as caught:
            await ask(models, "hi")
    assert caught.value.hint == "pip install 'pycrush[local]'"


async def test_missing_weights_name_the_command_that_installs_them(tmp_path: Path) -> None:
    settings = ProviderSettings(id="local", type="local", env={"CRUSH_GLOBAL_DATA": str(tmp_path)})
    async with LocalModels(command=worker_command(), verify=verify_weights) as models:
        provider = LocalProvider(settings, models=models)
        with pytest.raises(ConfigError, match="not installed") as caught:
            await provider.respond(asking(said("hi")), Heard().emit)
        assert models.worker_pid is None
    assert caught.value.hint == "crush models install local"


async def test_a_file_that_is_no_model_is_refused_by_the_engine_too(tmp_path: Path) -> None:
    weights = tmp_path / "model.gguf"
    weights.write_bytes(b"GGUF" + bytes(1000))
    async with LocalModels(command=worker_command(), verify=lambda _: None) as models:
        with pytest.raises(ConfigError, match="cannot be loaded") as caught:
            await ask(models, "hi", weights=str(weights))
    assert caught.value.hint == "crush models install local"


async def test_the_request_reaches_the_worker_whole(models: LocalModels) -> None:
    request = msgspec.structs.replace(
        asking(said("hello"), AssistantTurn((TextBlock("hi"),)), said("echo"), system="Be kind."),
        max_tokens=7,
        temperature=0.5,
        top_p=0.25,
    )
    heard = Heard()
    await models.chat("/fine", to_chat(request), heard.emit)
    chat = msgspec.json.decode(heard.text, type=Chat)
    assert msgspec.structs.replace(chat, id=0) == to_chat(request)
    assert [(m.role, m.content) for m in chat.messages] == [
        ("system", "Be kind."),
        ("user", "hello"),
        ("assistant", "hi"),
        ("user", "echo"),
    ]
    assert (chat.max_tokens, chat.temperature, chat.top_p) == (7, 0.5, 0.25)


def test_a_history_with_tools_becomes_plain_conversation() -> None:
    chat = to_chat(
        asking(
            UserTurn((TextBlock("look"), ImageBlock(b"\x89PNG", "image/png"))),
            AssistantTurn((ReasoningBlock("hm"), ToolUseBlock("1", "view", "{}"))),
            ToolTurn((ToolResultBlock("1", "view", "a long file"),)),
            AssistantTurn((TextBlock("I looked."),)),
            said("and?"),
        )
    )
    assert [(m.role, m.content) for m in chat.messages] == [
        ("user", "look\n\n[an image, which you cannot see]"),
        ("assistant", "I looked."),
        ("user", "and?"),
    ]


texts = st.text(min_size=1)
turns = st.one_of(
    st.builds(UserTurn, st.lists(st.builds(TextBlock, texts), min_size=1).map(tuple)),
    st.builds(
        AssistantTurn,
        st.lists(
            st.one_of(
                st.builds(TextBlock, texts),
                st.builds(ReasoningBlock, texts),
                st.builds(ToolUseBlock, texts, texts, st.just("{}")),
            ),
            min_size=1,
        ).map(tuple),
    ),
    st.builds(
        ToolTurn, st.lists(st.builds(ToolResultBlock, texts, texts, texts), min_size=1).map(tuple)
    ),
)


@given(st.lists(turns), st.text())
def test_any_history_takes_turns_and_loses_no_words(history: list[Turn], system: str) -> None:
    chat = to_chat(asking(*history, system=system))
    roles = [message.role for message in chat.messages]
    assert all(message.content for message in chat.messages)
    assert all(first != second for first, second in itertools.pairwise(roles))
    assert "system" not in roles[1:]
    for role, kind in (("user", UserTurn), ("assistant", AssistantTurn)):
        spoken = "".join(
            block.text
            for turn in history
            if isinstance(turn, kind)
            for block in turn.blocks
            if isinstance(block, TextBlock)
        )
        kept = "".join(message.content for message in chat.messages if message.role == role)
        assert kept.replace("\n\n", "") == spoken.replace("\n\n", "")


@pytest.fixture
async def real(local_env: Mapping[str, str]) -> AsyncIterator[tuple[LocalModels, LocalProvider]]:
    settings = ProviderSettings(id="local", type="local", env=local_env)
    async with LocalModels(command=worker_command(), verify=verify_weights) as models:
        yield models, LocalProvider(settings, models=models)


async def test_the_real_model_greets_within_a_second_and_a_half(
    real: tuple[LocalModels, LocalProvider],
) -> None:
    models, provider = real
    request = asking(said("hi"), system=SYSTEM, max_tokens=40)
    first = Heard()
    answer = await provider.respond(request, first.emit)
    assert first.text.strip()
    assert answer.stop in ("end_turn", "max_tokens")
    assert answer.usage is not None
    assert 200 <= answer.usage.input_tokens <= 300
    assert 0 < answer.usage.output_tokens <= 40

    second = Heard()
    asked_at = time.perf_counter()
    async with anyio.create_task_group() as group:
        group.start_soon(provider.respond, request, second.emit)
        with anyio.fail_after(1.5):
            await second.began.wait()
    assert time.perf_counter() > asked_at
    again = await provider.respond(request, Heard().emit)
    assert again.usage is not None
    assert again.usage.cache_read_tokens >= 200
    assert again.usage.input_tokens < 10

    with watched(present_pid(models)):
        assert_nobody_can_reach(present_pid(models))


def assert_nobody_can_reach(pid: int) -> None:
    """The engine opens a listener whether we want it or not: it must not be one to connect to."""
    inodes = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):
            target = os.readlink(f"/proc/{pid}/fd/{name}")
            if target.startswith("socket:["):
                inodes.add(target[len("socket:[") : -1])
    for table in ("tcp", "tcp6"):
        rows = [line.split() for line in Path("/proc/net", table).read_text().splitlines()[1:]]
        assert not inodes & {row[9] for row in rows}
    named = [row.split() for row in Path("/proc/net/unix").read_text().splitlines()[1:]]
    listening = [row[7:] for row in named if row[6] in inodes]
    assert listening == [["listener.sock"]]
    assert not (Path(f"/proc/{pid}/cwd") / "listener.sock").exists()
    assert str(Path(f"/proc/{pid}/cwd").readlink()) == "/"


async def test_the_real_model_can_be_cancelled_while_it_reads_and_while_it_speaks(
    real: tuple[LocalModels, LocalProvider],
) -> None:
    models, provider = real
    await provider.respond(asking(said("hi"), max_tokens=2), Heard().emit)
    pid = models.worker_pid
    unheard = Heard()
    with anyio.move_on_after(0.1) as scope:  # 3,000 tokens take ten seconds to read
        await provider.respond(asking(said("a story " * 1500)), unheard.emit)
    assert scope.cancelled_caught
    assert unheard.text == ""
    heard = Heard()
    async with anyio.create_task_group() as group:
        group.start_soon(provider.respond, asking(said("Tell me a long story.")), heard.emit)
        await heard.began.wait()
        group.cancel_scope.cancel()
    await provider.respond(asking(said("hi"), max_tokens=2), Heard().emit)
    assert models.worker_pid == pid


async def test_the_real_model_reports_an_overflow_and_a_full_answer(
    real: tuple[LocalModels, LocalProvider],
) -> None:
    _models, provider = real
    with pytest.raises(ProviderError) as caught:
        await provider.respond(asking(said("a story " * 3000)), Heard().emit)
    assert caught.value.overflow
    answer = await provider.respond(
        asking(said("Tell me a long story."), max_tokens=5), Heard().emit
    )
    assert answer.stop == "max_tokens"
    assert answer.usage is not None
    assert answer.usage.output_tokens == 5


def test_the_weights_lie_where_the_client_keeps_its_data(local_env: Mapping[str, str]) -> None:
    verify_weights(local_weights(local_env))
