"""The scripted model server answers as documented, to our tests and to the vendors' own SDKs."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import anyio
import openai
import pytest

from tests.fakes.model_server import ModelServerProcess, start_model_server

TOOL: Any = {"name": "view", "description": "d", "input_schema": {"type": "object"}}
FUNCTION: Any = {"type": "function", "function": {"name": "view", "parameters": {"type": "object"}}}


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServerProcess]:
    with ModelServerProcess() as process:
        yield process


@pytest.fixture
def claude(model: ModelServerProcess) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=model.url, api_key="key-1234", max_retries=0) as client:
        yield client


@pytest.fixture
def gpt(model: ModelServerProcess) -> Iterator[openai.OpenAI]:
    url = model.url + "/v1"
    with openai.OpenAI(base_url=url, api_key="key-5678", max_retries=0) as client:
        yield client


def ask(claude: anthropic.Anthropic, messages: Any, **more: Any) -> anthropic.types.Message:
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    with claude.messages.stream(
        model="m", max_tokens=99, messages=messages, tools=[TOOL], **more
    ) as stream:
        return stream.get_final_message()


def text_of(message: anthropic.types.Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def test_text_without_a_directive_gets_a_greeting(claude: anthropic.Anthropic) -> None:
    message = ask(claude, "what can you do?\nnot SAY this")
    assert text_of(message) == "Hello, how can I help?"
    assert message.stop_reason == "end_turn"


def test_usage_is_told_with_its_cache_fields(claude: anthropic.Anthropic) -> None:
    usage = ask(claude, "SAY hi\nUSAGE 10 20 30 40").usage
    assert (usage.input_tokens, usage.output_tokens) == (10, 20)
    assert (usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (30, 40)


def test_thinking_text_and_calls_come_in_their_order(claude: anthropic.Anthropic) -> None:
    message = ask(claude, 'THINK hm, well\nSAY a\\nb\nTOOL view {"file_path": "x"}\nTOOL view')
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "tool_use"]
    thinking, _text, first, second = message.content
    assert thinking.type == "thinking"
    assert thinking.thinking == "hm, well"
    assert thinking.signature
    assert text_of(message) == "a\nb"
    assert first.type == second.type == "tool_use"
    assert (first.input, second.input) == ({"file_path": "x"}, {})
    assert first.id != second.id
    assert message.stop_reason == "tool_use"


def test_steps_follow_the_turns_since_the_last_user_text(claude: anthropic.Anthropic) -> None:
    said: Any = [{"role": "user", "content": "SAY one\nSTEPS 2 view {}\n---\nSAY last"}]
    seen = []
    for _ in range(4):
        message = ask(claude, said)
        seen.append(text_of(message) or "call")
        said.append({"role": "assistant", "content": message.content})
        results = [
            {"type": "tool_result", "tool_use_id": block.id, "content": "ok"}
            for block in message.content
            if block.type == "tool_use"
        ]
        said.append({"role": "user", "content": results or "and again"})
    assert seen == ["one", "call", "last", "Hello, how can I help?"]


def test_calls_are_left_out_when_no_tools_are_offered(claude: anthropic.Anthropic) -> None:
    messages: Any = [{"role": "user", "content": "TOOL view {}"}]
    message = claude.messages.create(model="m", max_tokens=9, messages=messages)
    assert text_of(message) == "Done."


def test_chat_completions_stream_the_same_answer(gpt: openai.OpenAI) -> None:
    content = 'THINK hm\nSAY hello there\nTOOL view {"a": 1}\nTOOL view {bad\nUSAGE 1 2 3 4'
    stream = gpt.chat.completions.create(
        model="m",
        messages=[{"role": "user", "content": content}],
        tools=[FUNCTION],
        stream=True,
        stream_options={"include_usage": True},
    )
    text, arguments, stop, usage = "", ["", ""], "", None
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            stop = choice.finish_reason or stop
            for call in choice.delta.tool_calls or ():
                assert call.function is not None
                arguments[call.index] += call.function.arguments or ""
    assert (text, arguments, stop) == ("hello there", ['{"a": 1}', "{bad"], "tool_calls")
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (8, 2)


def test_a_chat_completion_without_stream_comes_whole(gpt: openai.OpenAI) -> None:
    completion = gpt.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "ECHO"}]
    )
    assert completion.choices[0].message.content == "ECHO"
    assert completion.choices[0].finish_reason == "stop"


def test_the_key_answers_whoami_and_is_logged(
    model: ModelServerProcess, gpt: openai.OpenAI, claude: anthropic.Anthropic
) -> None:
    assert text_of(ask(claude, "WHOAMI")) == "1234"
    gpt.chat.completions.create(model="m", messages=[{"role": "user", "content": "WHOAMI"}])
    first, second = model.log()[-2:]
    assert (first.path, first.key, first.tools) == ("/v1/messages", "1234", 1)
    assert (second.path, second.key, second.outcome) == ("/v1/chat/completions", "5678", "answered")
    assert first.size_bytes == len(json.dumps(model.requests()[-2]["body"], separators=(",", ":")))


def test_models_are_listed_for_both_protocols(
    gpt: openai.OpenAI, claude: anthropic.Anthropic
) -> None:
    assert [model.id for model in gpt.models.list()] == ["scripted"]


def test_an_error_hits_a_request_once(claude: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.RateLimitError) as caught:
        ask(claude, "ERROR 429 7\nSAY better")
    assert caught.value.response.headers["retry-after"] == "7"
    assert text_of(ask(claude, "ERROR 429 7\nSAY better")) == "better"


def test_an_error_with_a_bang_hits_every_time(gpt: openai.OpenAI) -> None:
    for _ in range(2):
        with pytest.raises(openai.InternalServerError):
            gpt.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "ERROR! 503"}]
            )


def test_an_overflow_is_told_in_the_protocols_words(
    gpt: openai.OpenAI, claude: anthropic.Anthropic
) -> None:
    with pytest.raises(anthropic.BadRequestError, match="prompt is too long"):
        ask(claude, "OVERFLOW")
    with pytest.raises(openai.BadRequestError) as caught:
        gpt.chat.completions.create(model="m", messages=[{"role": "user", "content": "OVERFLOW"}])
    assert caught.value.code == "context_length_exceeded"


def test_an_error_after_content_is_an_event(claude: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.APIStatusError, match="overloaded"):
        ask(claude, "SAY half\nERROR! 529")


def test_a_page_instead_of_json(model: ModelServerProcess) -> None:
    with asking(model, "HTML 502") as connection:
        answer = receive_until(connection, b"</html>")
    assert answer.startswith(b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\n")


@pytest.mark.parametrize("directive", ["CUT", "SAY half of\nCUT"])
def test_a_cut_ends_the_stream_early(claude: anthropic.Anthropic, directive: str) -> None:
    with pytest.raises(Exception, match=r"incomplete chunked read|peer closed"):
        ask(claude, directive)


def test_a_reset_is_a_reset(model: ModelServerProcess) -> None:
    with asking(model, "RESET") as connection, pytest.raises(ConnectionResetError):
        connection.recv(1)
    assert model.log()[-1].outcome == "broken"


def test_a_hang_never_answers_and_notices_when_the_client_goes(model: ModelServerProcess) -> None:
    with asking(model, "SAY so far\nHANG") as connection:
        receive_until(connection, b'"far"')
        assert model.log()[-1].outcome == "open"
    wait_for_outcome(model, "gone")


def test_a_latch_holds_the_rest_back(model: ModelServerProcess, tmp_path: Path) -> None:
    latch = tmp_path / "open"
    with asking(model, f"SAY before\nLATCH {latch}\nSAY after") as connection:
        assert b"after" not in receive_until(connection, b"before")
        latch.touch()
        assert b"after" in receive_until(connection, b"message_stop")


def test_a_latch_lets_go_when_the_client_does(model: ModelServerProcess, tmp_path: Path) -> None:
    with asking(model, f"SAY before\nLATCH {tmp_path / 'never'}") as connection:
        receive_until(connection, b"before")
        assert model.log()[-1].outcome == "open"
    wait_for_outcome(model, "gone")


def test_paced_deltas_come_one_write_each(model: ModelServerProcess) -> None:
    with asking(model, "PACE 0\nDELTAS 3") as connection:
        received = receive_until(connection, b"message_stop")
    chunks = received.split(b"\r\n\r\n", 1)[1].split(b"\r\n")[1::2]
    assert sum(chunk.count(b"text_delta") for chunk in chunks) == 3
    assert max(chunk.count(b"text_delta") for chunk in chunks) == 1


def test_a_connection_serves_many_requests_and_chunked_bodies(model: ModelServerProcess) -> None:
    body = body_of("ECHO")
    head = b"POST /v1/messages HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunked = b"9\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (body[:9], len(body) - 9, body[9:])
    with connect(model) as connection:
        connection.sendall(http_request("ECHO") + head + chunked)
        received = receive_until(connection, b"0\r\n\r\n", times=2)
    assert received.count(b"event: message_stop") == 2


def test_thousands_of_deltas_cost_little(model: ModelServerProcess) -> None:
    started = time.perf_counter()
    with asking(model, "DELTAS 8000") as connection:
        received = receive_until(connection, b"event: message_stop")
    assert received.count(b'"text_delta"') == 8000
    assert time.perf_counter() - started < 2  # about 0.05 s on a quiet machine


def test_a_script_counts_the_assistants_turns_and_checks_results(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    steps = [
        {"reasoning": "hm", "tool_calls": [{"name": "view", "input": {"file_path": "a"}}]},
        {"text": "All good.", "expect_tool_result_contains": "found", "delay_ms": 1},
    ]
    script.write_text(json.dumps(steps))
    log = tmp_path / "log"
    said: Any = [{"role": "user", "content": "go"}]
    with (
        ModelServerProcess(script_path=str(script), log_path=str(log)) as model,
        anthropic.Anthropic(base_url=model.url, api_key="k", max_retries=0) as claude,
    ):
        call = ask(claude, said)
        use = call.content[-1]
        assert use.type == "tool_use"
        result = {"type": "tool_result", "tool_use_id": use.id, "content": "not here"}
        said += [
            {"role": "assistant", "content": call.content},
            {"role": "user", "content": [result]},
        ]
        with pytest.raises(anthropic.BadRequestError, match="step 1 expected 'found'"):
            ask(claude, said)
        result["content"] = "found it"
        assert text_of(ask(claude, said)) == "All good."
        said += [{"role": "assistant", "content": "All good."}, {"role": "user", "content": "more"}]
        assert text_of(ask(claude, said)) == "Done."
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [0, 1, 1, 2]


CALL: Any = {"type": "tool_use", "id": "c1", "name": "view", "input": {}}
RESULT: Any = {"type": "tool_result", "tool_use_id": "c1", "content": "ok"}
USER: Any = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([USER, {"role": "assistant", "content": [CALL]}], "the end: calls without a result"),
        ([USER, {"role": "assistant", "content": [CALL]}, USER], "2: calls without a result"),
        ([{"role": "user", "content": [RESULT]}], "0: results without a call"),
        ([{"role": "assistant", "content": "hi"}], "first one has to be the user's"),
        ([{"role": "user", "content": " "}], "must be non-empty"),
        ([{"role": "user", "content": []}], "content is empty"),
    ],
)
def test_a_conversation_that_anthropic_would_refuse_is_refused(
    claude: anthropic.Anthropic, messages: Any, complaint: str
) -> None:
    with pytest.raises(anthropic.BadRequestError, match=complaint):
        ask(claude, messages)


OPENAI_CALL: Any = {
    "role": "assistant",
    "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "view", "arguments": "{}"}}
    ],
}
OPENAI_RESULT: Any = {"role": "tool", "tool_call_id": "c1", "content": "ok"}


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([USER, OPENAI_CALL, USER], "2: calls without a result"),
        ([USER, OPENAI_CALL], "the end: calls without a result"),
        ([USER, OPENAI_RESULT], "the end: results without a call"),
        ([USER, {"role": "assistant", "content": ""}], "content is empty"),
        ([], "messages: empty"),
    ],
)
def test_a_conversation_that_openai_would_refuse_is_refused(
    gpt: openai.OpenAI, messages: Any, complaint: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=complaint):
        gpt.chat.completions.create(model="m", messages=messages)
    paired = [USER, OPENAI_CALL, OPENAI_RESULT]
    gpt.chat.completions.create(model="m", messages=paired)


async def test_it_runs_in_process_and_ends_connections_that_hang() -> None:
    async with start_model_server() as model:
        host, port = model.url.removeprefix("http://").split(":")
        connection = await anyio.connect_tcp(host, int(port))
        await connection.send(http_request("SAY half\nHANG"))
        received = b""
        while b"half" not in received:
            received += await connection.receive()
    async with connection:
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            await connection.receive()
    assert [entry.outcome for entry in model.log] == ["gone"]


def body_of(text: str) -> bytes:
    message = {"role": "user", "content": text}
    body = {"model": "m", "max_tokens": 99, "stream": True, "messages": [message]}
    return json.dumps(body).encode()


def http_request(text: str) -> bytes:
    body = body_of(text)
    return b"POST /v1/messages HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def connect(model: ModelServerProcess) -> socket.socket:
    host, port = model.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


@contextlib.contextmanager
def asking(model: ModelServerProcess, text: str) -> Iterator[socket.socket]:
    with connect(model) as connection:
        connection.sendall(http_request(text))
        yield connection


def receive_until(connection: socket.socket, mark: bytes, *, times: int = 1) -> bytes:
    received = b""
    while received.count(mark) < times:
        more = connection.recv(65536)
        assert more, f"closed before {mark!r}: {received!r}"
        received += more
    return received


def wait_for_outcome(model: ModelServerProcess, outcome: str) -> None:
    deadline = time.monotonic() + 10
    while (log := model.log()) and log[-1].outcome != outcome:
        assert time.monotonic() < deadline, log[-1]
