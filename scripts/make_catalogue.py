"""Writes `src/crush/config/catalogue.json` from the data of the `genai-prices` package.

Which providers and models we offer, and in which order, is said here; limits and prices come from the
package. Run it with the package on the path: `pip install genai-prices`, then
`python scripts/make_catalogue.py`, and read the difference before you commit it.
"""

import datetime as dt
import json
import os
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple, Protocol

from genai_prices import data as prices

TARGET = os.path.join(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
    "src",
    "crush",
    "config",
    "catalogue.json",
)


Entry = dict[str, object]


class PricedModel(Protocol):
    """What we read of a model of the package, which may be absent when types are checked."""

    id: str
    name: str | None
    context_window: int | None
    deprecated: bool | None

    def get_prices(self, request_timestamp: dt.datetime) -> object: ...


class PricedProvider(Protocol):
    """What we read of a provider of the package."""

    id: str
    models: Sequence[PricedModel]


class Source(NamedTuple):
    """A provider as we offer it; `source` and `prefix` say how the package calls it and its models.

    Models of `through` are offered by a gateway at the price of their makers: our id, the package's
    provider, the package's id.
    """

    id: str
    name: str
    key: str
    large: str
    small: str
    models: tuple[str, ...] = ()
    type: str = "openai-compat"
    base_url: str = ""
    endpoint: str = ""
    source: str = ""
    prefix: str = ""
    through: tuple[tuple[str, str, str], ...] = ()
    max_tokens: int = 0


CLAUDE = (
    "claude-fable-5-2",
    "claude-opus-5-5",
    "claude-sonnet-5-5",
    "claude-haiku-5-5",
    "claude-fable-5-1",
    "claude-opus-5",
    "claude-sonnet-5",
    "claude-opus-4-8",
    "claude-opus-4-7",
    "claude-opus-4-6",
    "claude-sonnet-4-6",
    "claude-opus-4-5",
    "claude-sonnet-4-5",
    "claude-haiku-4-5",
)
# What answers on Chat Completions; the Responses-only models (`-pro`, `-codex`) are left out.
GPT = (
    "gpt-6-astra",
    "gpt-6.1-sol",
    "gpt-6.1-terra",
    "gpt-6-sol",
    "gpt-6-luna",
    "gpt-5.6-sol",
    "gpt-5.6-terra",
    "gpt-5.6-luna",
    "gpt-5.5",
    "gpt-5.4",
    "gpt-5.4-mini",
    "gpt-5.4-nano",
    "gpt-5.2",
    "gpt-5.1",
    "gpt-5",
    "gpt-5-mini",
    "gpt-5-nano",
    "gpt-4.1",
    "gpt-4.1-mini",
    "gpt-4o",
    "gpt-4o-mini",
    "o3",
    "o4-mini",
)
GROK = ("grok-4.7", "grok-4.6", "grok-4.5", "grok-4.3", "grok-code-fast-1")


def dotted(model: str) -> str:
    """`claude-sonnet-5-5` as gateways write it: `claude-sonnet-5.5`."""
    return re.sub(r"-(\d+)-(\d+)$", r"-\1.\2", model)


SOURCES = (
    Source(
        id="anthropic",
        name="Anthropic",
        type="anthropic",
        key="ANTHROPIC_API_KEY",
        endpoint="ANTHROPIC_API_ENDPOINT",
        large="claude-sonnet-5-5",
        small="claude-haiku-5-5",
        models=CLAUDE,
        max_tokens=32_000,  # the protocol wants a number
    ),
    Source(
        id="openai",
        name="OpenAI",
        type="openai",
        key="OPENAI_API_KEY",
        endpoint="OPENAI_API_ENDPOINT",
        large="gpt-6.1-sol",
        small="gpt-6-luna",
        models=GPT,
    ),
    Source(
        id="openrouter",
        name="OpenRouter",
        type="openrouter",
        key="OPENROUTER_API_KEY",
        base_url="https://openrouter.ai/api/v1",
        large="anthropic/claude-sonnet-5.5",
        small="anthropic/claude-haiku-5.5",
        models=(
            "anthropic/claude-fable-5.1",
            "anthropic/claude-opus-5.5",
            "anthropic/claude-sonnet-5.5",
            "anthropic/claude-haiku-5.5",
            "anthropic/claude-opus-5",
            "anthropic/claude-sonnet-5",
            "anthropic/claude-sonnet-4.5",
            "anthropic/claude-haiku-4.5",
            "openai/gpt-6-astra",
            "openai/gpt-6.1-sol",
            "openai/gpt-6.1-terra",
            "openai/gpt-6-luna",
            "openai/gpt-5.6-sol",
            "openai/gpt-5.6-luna",
            "openai/gpt-5.4",
            "openai/gpt-5.4-mini",
            "openai/gpt-oss-120b",
            "google/gemini-4-argon",
            "google/gemini-3.8-flash",
            "google/gemini-3.1-pro-preview",
            "google/gemini-2.5-pro",
            "google/gemini-2.5-flash",
            "x-ai/grok-4.7",
            "x-ai/grok-4.3",
            "deepseek/deepseek-v4-pro-0813",
            "deepseek/deepseek-v4.1-flash",
            "moonshotai/kimi-k3",
            "moonshotai/kimi-k3.1-pro",
            "moonshotai/kimi-k2.7-code",
            "z-ai/glm-5.3",
            "z-ai/glm-5.3-flash",
            "z-ai/glm-5.2",
            "qwen/qwen3.8-2.4t-a95b",
            "qwen/qwen3.8-flash",
            "qwen/qwen3.8-27b",
            "qwen/qwen3-coder-plus",
            "minimax/minimax-m3",
            "mistralai/mistral-large-2512",
            "mistralai/mistral-medium-3-5",
            "mistralai/devstral-2512",
            "mistralai/codestral-2508",
        ),
    ),
    Source(
        id="groq",
        name="Groq",
        key="GROQ_API_KEY",
        base_url="https://api.groq.com/openai/v1",
        large="openai/gpt-oss-120b",
        small="openai/gpt-oss-20b",
        models=(
            "openai/gpt-oss-120b",
            "openai/gpt-oss-20b",
            "qwen/qwen3.8-27b",
            "qwen/qwen3-32b",
            "llama-3.3-70b-versatile",
        ),
    ),
    Source(
        id="deepseek",
        name="DeepSeek",
        key="DEEPSEEK_API_KEY",
        base_url="https://api.deepseek.com/v1",
        large="deepseek-v4-pro",
        small="deepseek-v4-flash",
        models=("deepseek-v4-pro", "deepseek-v4-flash", "deepseek-flash"),
    ),
    Source(
        id="xai",
        name="xAI",
        key="XAI_API_KEY",
        source="x-ai",
        base_url="https://api.x.ai/v1",
        large="grok-4.7",
        small="grok-4.3",
        models=GROK,
    ),
    Source(
        id="mistral",
        name="Mistral",
        key="MISTRAL_API_KEY",
        base_url="https://api.mistral.ai/v1",
        large="mistral-large-4",
        small="mistral-small-latest",
        models=(
            "mistral-large-4",
            "mistral-large-2512",
            "mistral-medium-3-5",
            "mistral-medium-latest",
            "mistral-small-latest",
            "codestral-2508",
            "ministral-8b-2512",
        ),
    ),
    Source(
        id="cerebras",
        name="Cerebras",
        key="CEREBRAS_API_KEY",
        base_url="https://api.cerebras.ai/v1",
        large="gpt-oss-120b",
        small="gpt-oss-120b",
        models=("gpt-oss-120b", "qwen-3.8-27b"),
    ),
    Source(
        id="together",
        name="Together AI",
        key="TOGETHER_API_KEY",
        base_url="https://api.together.xyz/v1",
        large="zai-org/GLM-5.3",
        small="zai-org/GLM-5.3-Flash",
        models=(
            "zai-org/GLM-5.3",
            "zai-org/GLM-5.3-Flash",
            "moonshotai/Kimi-K3",
            "moonshotai/Kimi-K3.1-Pro",
            "deepseek-ai/DeepSeek-V4-Pro-0813",
            "deepseek-ai/DeepSeek-V4.1-Flash",
            "Qwen/Qwen3.8-2.4T-A95B",
            "Qwen/Qwen3.8-Flash",
            "MiniMaxAI/MiniMax-M3",
            "openai/gpt-oss-120b",
        ),
    ),
    Source(
        id="fireworks",
        name="Fireworks AI",
        key="FIREWORKS_API_KEY",
        base_url="https://api.fireworks.ai/inference/v1",
        prefix="accounts/fireworks/models/",
        large="accounts/fireworks/models/glm-5p3",
        small="accounts/fireworks/models/glm-5p3-flash",
        models=(
            "glm-5p3",
            "glm-5p3-flash",
            "kimi-k3",
            "kimi-k3p1-pro",
            "deepseek-v4-pro",
            "deepseek-v4p1-flash",
            "qwen3p8-max",
            "minimax-m3",
            "gpt-oss-120b",
        ),
    ),
    Source(
        id="vercel",
        name="Vercel AI Gateway",
        type="vercel",
        key="VERCEL_API_KEY",
        base_url="https://ai-gateway.vercel.sh/v1",
        large="anthropic/claude-sonnet-5.5",
        small="anthropic/claude-haiku-5.5",
        through=(
            *((f"anthropic/{dotted(model)}", "anthropic", model) for model in CLAUDE),
            *((f"openai/{model}", "openai", model) for model in GPT),
            *((f"xai/{model}", "x-ai", model) for model in GROK),
        ),
    ),
)

REASONS = re.compile(
    r"claude-|gpt-[56]|gpt-oss|(^|/)o[34]|grok-4|gemini-|deepseek-|glm-5|kimi-k3|qwen-?3[.p]|minimax-m3",
    re.IGNORECASE,
)
LEVELS = re.compile(r"(^|/)(gpt-[56]|gpt-oss|o[34])")
SEES = re.compile(r"claude-|gpt-(4o|4\.1|5|6)|(^|/)o[34]|gemini-|grok-4")


def main() -> None:
    now = dt.datetime.now(tz=dt.UTC)
    data: Sequence[PricedProvider] = prices.providers
    providers = [provider_entry(source, data, now) for source in SOURCES]
    with open(TARGET, "w", encoding="utf-8") as stream:
        stream.write(render(providers))


def provider_entry(
    source: Source, data: Sequence[PricedProvider], now: dt.datetime
) -> tuple[Entry, list[Entry]]:
    entry = {
        "id": source.id,
        "name": source.name,
        "type": source.type,
        "key": source.key,
        "endpoint": source.endpoint,
        "base_url": source.base_url,
        "large": source.large,
        "small": source.small,
    }
    models = [
        model_entry(our_id, find(data, provider, model), source, now)
        for our_id, provider, model in wanted(source)
    ]
    return {key: value for key, value in entry.items() if value}, models


def wanted(source: Source) -> Iterator[tuple[str, str, str]]:
    for model in source.models:
        yield source.prefix + model, source.source or source.id, model
    yield from source.through


def find(data: Sequence[PricedProvider], provider_id: str, model_id: str) -> PricedModel:
    provider = next(provider for provider in data if provider.id == provider_id)
    model = next((model for model in provider.models if model.id == model_id), None)
    if model is None or model.deprecated:
        raise SystemExit(f"{provider_id} no longer offers {model_id}")
    return model


def model_entry(our_id: str, model: PricedModel, source: Source, now: dt.datetime) -> Entry:
    """`in_cached` is the price of writing a cache, `out_cached` that of reading it."""
    entry = {
        "id": our_id,
        "name": model.name or our_id,
        "cost_per_1m_in": price(model, "input_mtok", now),
        "cost_per_1m_out": price(model, "output_mtok", now),
        "cost_per_1m_in_cached": price(model, "cache_write_mtok", now),
        "cost_per_1m_out_cached": price(model, "cache_read_mtok", now),
        "context_window": model.context_window or 0,
        "default_max_tokens": source.max_tokens,
        "can_reason": bool(REASONS.search(our_id)),
        "reasoning_levels": ["low", "medium", "high"] if LEVELS.search(our_id) else None,
        "supports_attachments": bool(SEES.search(our_id)),
    }
    return {key: value for key, value in entry.items() if value}


def price(model: PricedModel, field: str, now: dt.datetime) -> float:
    """Of a price that depends on the hour the dearest, of one that grows with the prompt the lowest."""
    hours = (now.replace(hour=hour, minute=30) for hour in range(24))
    return max(float(amount(getattr(model.get_prices(hour), field))) for hour in hours)


def amount(value: object) -> Decimal:
    base = getattr(value, "base", value)
    return base if isinstance(base, Decimal) else Decimal(0)


def render(providers: list[tuple[Entry, list[Entry]]]) -> str:
    """One line for a model, so that a difference reads like a price list."""
    blocks = []
    for provider, models in providers:
        head = json.dumps(provider, ensure_ascii=False)
        lines = ",\n".join(json.dumps(model, ensure_ascii=False) for model in models)
        blocks.append(f'{head[:-1]}, "models": [\n{lines}\n]}}')
    return '{"providers": [\n' + ",\n".join(blocks) + "\n]}\n"


if __name__ == "__main__":
    main()
