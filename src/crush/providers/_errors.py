"""What a provider's refusal means: one table from status, error type and words to ProviderError.

Also what people read about it: the provider's own sentence with its status, never a key.
"""

import http
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import msgspec
from msgspec import Struct

from crush.errors import ProviderError

_MAX_SENTENCE = 600
_MIN_SECRET = 8  # shorter ones are placeholders such as "none"; hiding them garbles the text


class _Metadata(Struct, frozen=True):
    raw: object = None


class ErrorDetail(Struct, frozen=True):
    """The error object of any protocol; vendors put texts and numbers where they like."""

    message: object = None
    type: object = None
    code: object = None
    status: object = None
    metadata: _Metadata | str | list[object] | None = (
        None  # OpenRouter: what the vendor behind it said
    )


class _Body(Struct, frozen=True):
    error: ErrorDetail | str | None = None
    message: object = None
    detail: object = None
    type: object = None
    code: object = None


class _Verdict(Struct, frozen=True, kw_only=True):
    retryable: bool = False
    overflow: bool = False
    auth: bool = False
    hint: str = ""


class _Rule(Struct, frozen=True, kw_only=True):
    """Holds if the status is among `statuses` (empty: any) and a type or the words match.

    0 is the status of an error inside a stream. A rule without types and words needs the status
    only.
    """

    verdict: _Verdict
    statuses: frozenset[int] = frozenset()
    types: frozenset[str] = frozenset()
    words: tuple[str, ...] = ()

    def holds(self, status: int, types: frozenset[str], sentence: str) -> bool:
        if self.statuses and status not in self.statuses:
            return False
        if not self.types and not self.words:
            return True
        if self.types & types:
            return True
        return any(re.search(words, sentence, re.IGNORECASE) for words in self.words)


_AGAIN = _Verdict(retryable=True)
_OVERFLOW = _Verdict(overflow=True)
_AUTH = _Verdict(auth=True, hint="Check the API key of this provider.")
_BILLING = _Verdict(hint="Check the plan and the balance of the provider's account.")
_PLACE = _Verdict(hint="Check the model's id and the provider's base_url.")

_CLIENT_FAULTS = frozenset({0, 400, 413, 422, 500})  # some gateways answer 500 for all of these

_OVERFLOW_WORDS = (
    r"prompt is too long",  # Anthropic
    r"input length and `?max_tokens`? exceed context limit",  # Anthropic
    r"maximum context length",  # OpenAI, DeepSeek, vLLM, OpenRouter
    r"context[ _]length[ _]exceeded",
    r"exceeds? the (available )?context (size|window|length)",  # llama.cpp, Vercel
    r"context window (exceeds|is exceeded)",  # MiniMax
    r"context the overflows|context length of only",  # LM Studio
    r"range of input length should be",  # Alibaba
    r"input is too long",  # Bedrock behind a gateway
    r"maximum prompt length",  # xAI
    r"prompt exceeds max length",  # Z.ai
    r"prompt token count of \d+ exceeds",  # Copilot
    r"exceeded model token limit",  # Moonshot
    r"input token count.{0,40}exceeds the maximum",  # Gemini
    r"too large for model with \d+ maximum context",  # Mistral
    r"reduce the length of the messages",  # Groq
    r"`inputs` tokens \+ `max_new_tokens` must be",  # text-generation-inference
)

_RULES = (
    _Rule(
        verdict=_BILLING,
        types=frozenset({"insufficient_quota", "billing_error", "insufficient_credits"}),
        words=(r"credit balance is too low", r"insufficient (balance|credits|funds)"),
    ),
    _Rule(verdict=_BILLING, statuses=frozenset({402})),
    # Before overflow: a limit on tokens per minute also says "too large".
    _Rule(verdict=_AGAIN, statuses=frozenset({429})),
    _Rule(
        verdict=_OVERFLOW,
        statuses=_CLIENT_FAULTS,
        types=frozenset(
            {
                "context_length_exceeded",
                "exceed_context_size_error",
                "model_max_prompt_tokens_exceeded",
                "request_too_large",
            }
        ),
        words=_OVERFLOW_WORDS,
    ),
    _Rule(verdict=_OVERFLOW, statuses=frozenset({413})),
    _Rule(verdict=_AUTH, statuses=frozenset({401, 403})),
    _Rule(
        verdict=_AUTH,
        statuses=_CLIENT_FAULTS,
        types=frozenset({"authentication_error", "permission_error", "invalid_api_key"}),
        words=(r"(incorrect|invalid) api[ -]?key", r"api[ -]?key not valid"),
    ),
    _Rule(
        verdict=_AGAIN,
        statuses=frozenset({0}),
        types=frozenset(
            {
                "api_error",
                "internal_error",
                "internal_server_error",
                "overloaded_error",
                "rate_limit_error",
                "rate_limit_exceeded",
                "server_error",
                "timeout_error",
            }
        ),
    ),
    # 200: a web page where an answer should be.
    _Rule(verdict=_PLACE, statuses=frozenset({200, 404})),
    _Rule(verdict=_AGAIN, statuses=frozenset({408, 409, *range(500, 600)})),
)

_NO_VERDICT = _Verdict()

_bodies = msgspec.json.Decoder(_Body | list[_Body])


class ErrorSource(Struct, frozen=True):
    """Makes the errors of one provider: in its name, free of its secrets."""

    who: str
    secrets: tuple[str, ...]

    def refusal(self, *, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """An answer that is no success; `headers` are case-insensitive."""
        detail = _read(body)
        verdict, text = self._judge(status, detail)
        retryable = verdict.retryable
        if (advice := headers.get("x-should-retry", "").lower()) in {"true", "false"}:
            retryable = advice == "true"
        return ProviderError(
            text,
            hint=verdict.hint,
            status=status,
            retryable=retryable,
            retry_after_s=_retry_after_s(headers),
            overflow=verdict.overflow,
            auth=verdict.auth,
        )

    def in_stream(self, detail: ErrorDetail | str) -> ProviderError:
        """An error object in the middle of a stream, or in an answer that claims success."""
        told = ErrorDetail(message=detail) if isinstance(detail, str) else detail
        status = _status_of(told)
        verdict, text = self._judge(status, told)
        return ProviderError(
            text,
            hint=verdict.hint,
            status=status,
            retryable=verdict.retryable,
            overflow=verdict.overflow,
            auth=verdict.auth,
        )

    def failure(self, sentence: str, *, retryable: bool, hint: str = "") -> ProviderError:
        """What went wrong without the provider's word on it; `sentence` follows its name."""
        return ProviderError(f"{self.who} {self._clean(sentence)}", retryable=retryable, hint=hint)

    def broke_off(self) -> ProviderError:
        """A stream that ended before its end."""
        return self.failure("broke off before the end of the answer", retryable=True)

    def unreadable(self) -> ProviderError:
        """A stream that does not keep to its protocol."""
        return self.failure("sent an event that cannot be read", retryable=True)

    def _judge(self, status: int, detail: ErrorDetail) -> tuple[_Verdict, str]:
        sentence = self._clean(_sentence(detail))
        types = frozenset(
            word.lower()
            for word in (detail.type, detail.code, detail.status)
            if isinstance(word, str)
        )
        verdict = next(
            (rule.verdict for rule in _RULES if rule.holds(status, types, sentence)), _NO_VERDICT
        )
        if not sentence:
            sentence = ", ".join(sorted(types)) or _phrase(status)
        return verdict, f"{self.who}: {sentence}" + (f" (HTTP {status})" if status else "")

    def _clean(self, text: str) -> str:
        for secret in self.secrets:
            if len(secret) >= _MIN_SECRET:
                text = text.replace(secret, "…")
        text = "".join(c if c.isprintable() else " " for c in text[: 4 * _MAX_SENTENCE])
        text = " ".join(text.split())
        return text if len(text) <= _MAX_SENTENCE else text[: _MAX_SENTENCE - 1] + "…"


def _read(body: bytes) -> ErrorDetail:
    """The error of a body: a JSON object of some vendor, a web page, or plain text."""
    text = body.decode("utf-8", "replace").strip()
    if text.startswith("<"):
        title = re.search(r"<title[^>]*>(.*?)</title", text, re.IGNORECASE | re.DOTALL)
        named = f": {' '.join(title[1].split())}" if title and title[1].strip() else ""
        return ErrorDetail(message=f"answered with a web page{named}")
    try:
        decoded = _bodies.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ErrorDetail(message=text)
    if isinstance(decoded, list):  # Gemini's compatible endpoint
        decoded = decoded[0] if decoded else _Body()
    if isinstance(decoded.error, ErrorDetail):
        return decoded.error
    return ErrorDetail(
        message=decoded.error or decoded.message or decoded.detail or text,
        type=decoded.type,
        code=decoded.code,
    )


def _sentence(detail: ErrorDetail) -> str:
    sentence = detail.message
    if sentence is not None and not isinstance(sentence, str):
        sentence = msgspec.json.encode(sentence).decode()
    behind = detail.metadata.raw if isinstance(detail.metadata, _Metadata) else None
    return ": ".join(part for part in (sentence, behind) if isinstance(part, str) and part)


def _status_of(detail: ErrorDetail) -> int:
    """OpenRouter and vLLM put the HTTP status in `code`."""
    code = detail.code
    if isinstance(code, str) and code.isdecimal():
        code = int(code)
    return code if isinstance(code, int) and code in range(400, 600) else 0


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "refused without a reason"


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    if (milliseconds := _number(headers.get("retry-after-ms", ""))) is not None:
        return milliseconds / 1000
    value = headers.get("retry-after", "")
    if (seconds := _number(value)) is not None:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None
