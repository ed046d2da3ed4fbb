"""The table from refusals to errors: sentences as the vendors send them, and what they mean."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crush.errors import ProviderError
from crush.providers._errors import ErrorDetail, ErrorSource

SOURCE = ErrorSource("Test", ("sk-0123456789abcdef",))


def refused(status: int, body: object) -> ProviderError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return SOURCE.refusal(status=status, headers={}, body=raw)


def openai(message: str, kind: str = "invalid_request_error", code: object = None) -> object:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def anthropic(message: str, kind: str = "invalid_request_error") -> object:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, anthropic("prompt is too long: 210000 tokens > 200000 maximum")),
        (400, anthropic("input length and `max_tokens` exceed context limit: 1 + 2 > 2")),
        (413, anthropic("Request exceeds the maximum size", "request_too_large")),
        (413, b"<html><title>413 Request Entity Too Large</title></html>"),
        (400, openai("too many", code="context_length_exceeded")),
        (400, openai("This model's maximum context length is 8192 tokens. However, …")),
        (400, openai("the request exceeds the available context size (4096 tokens)")),
        (400, openai("n", "exceed_context_size_error", 400)),
        (400, openai("Trying to keep the first 9 tokens when context the overflows.")),
        (400, openai("<400> InternalError: Range of input length should be [1, 129024]")),
        (400, openai("This model's maximum prompt length is 131072 but it has 537812 tokens")),
        (400, openai("prompt token count of 64564 exceeds the limit of 12288")),
        (400, openai("The input token count (1048577) exceeds the maximum number of tokens")),
        (500, openai("context window exceeds limit")),
        (400, {"object": "error", "message": "maximum context length is 10", "code": 40303}),
        (422, {"detail": "`inputs` tokens + `max_new_tokens` must be <= 4096"}),
    ],
)
def test_a_conversation_that_is_too_long_is_an_overflow(status: int, body: object) -> None:
    error = refused(status, body)
    assert error.overflow
    assert not error.retryable


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, anthropic("invalid x-api-key", "authentication_error")),
        (401, b""),
        (403, anthropic("not allowed", "permission_error")),
        (400, openai("Incorrect API key provided", code="invalid_api_key")),
        (400, [{"error": {"code": 400, "message": "API key not valid.", "status": "INVALID"}}]),
    ],
)
def test_a_key_that_is_wrong_is_told_apart(status: int, body: object) -> None:
    error = refused(status, body)
    assert error.auth
    assert "key" in error.hint
    assert not error.retryable


def test_a_limit_per_minute_is_no_overflow_even_if_it_says_too_large() -> None:
    error = refused(429, openai("Request too large on tokens per min. maximum context length"))
    assert (error.overflow, error.retryable) == (False, True)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, openai("You exceeded your current quota", "insufficient_quota")),
        (400, anthropic("Your credit balance is too low to access the API.")),
        (402, openai("Insufficient Balance", "unknown_error")),
    ],
)
def test_an_empty_account_is_not_asked_again(status: int, body: object) -> None:
    error = refused(status, body)
    assert not error.retryable
    assert "balance" in error.hint


@pytest.mark.parametrize(
    "kind",
    ["server_error", "internal_error", "overloaded_error", "api_error", "rate_limit_error"],
)
def test_errors_inside_a_stream_may_be_retried_by_their_type(kind: str) -> None:
    error = SOURCE.in_stream(ErrorDetail(message="sorry", type=kind))
    assert (error.message, error.status, error.retryable) == ("Test: sorry", 0, True)


def test_an_error_inside_a_stream_that_blames_the_request_is_final() -> None:
    assert not SOURCE.in_stream(ErrorDetail(message="no", type="invalid_request_error")).retryable
    assert SOURCE.in_stream(ErrorDetail(message="prompt is too long: 3 > 2")).overflow
    assert SOURCE.in_stream(ErrorDetail(message="x", type="authentication_error")).auth


@pytest.mark.parametrize("code", [429, "502"])
def test_an_error_inside_a_stream_may_carry_an_http_status(code: object) -> None:
    error = SOURCE.in_stream(ErrorDetail(message="Provider returned error", code=code))
    assert error.retryable
    assert error.message == f"Test: Provider returned error (HTTP {code})"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"error": "model 'x' not found"}, "model 'x' not found"),
        ({"error": {"message": "a", "metadata": {"raw": "b", "provider_name": "P"}}}, "a: b"),
        ({"error": {"message": {"deep": 1}}}, '{"deep":1}'),
        ({"message": "m"}, "m"),
        ({"detail": [{"loc": ["body"], "msg": "field required"}]}, "field required"),
        ({"error": {"type": "strange_error"}}, "strange_error"),
        (b"plain words", "plain words"),
        (b"line one\r\nline two \x1b[31mred\x07", "line one line two [31mred"),
        (b"\xff\xfe", "��"),
        (b"", "Bad Request"),
        ([], "[]"),
    ],
)
def test_the_providers_own_sentence_is_found(body: object, sentence: str) -> None:
    message = refused(400, body).message
    assert message.startswith("Test: ")
    assert sentence in message
    assert message.endswith(" (HTTP 400)")


def test_a_status_that_http_does_not_know_has_a_sentence_too() -> None:
    assert refused(599, b"").message == "Test: refused without a reason (HTTP 599)"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "message", "type", "code", "metadata", "raw", "detail"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@settings(deadline=None)
@given(status=st.integers(400, 599), body=JSON | st.binary(max_size=80))
def test_any_body_becomes_an_error_of_bounded_length(status: int, body: object) -> None:
    error = refused(status, body)
    assert error.status == status
    assert len(error.message) < 700
    assert error.message.isprintable()


def test_a_secret_is_hidden_wherever_it_stands() -> None:
    error = refused(400, openai("key sk-0123456789abcdef, again sk-0123456789abcdef."))
    assert error.message == "Test: key …, again …. (HTTP 400)"
