"""The generated catalogue: small, complete, and consistent with itself."""

import os
from urllib.parse import urlsplit

import crush.config.catalogue
from crush.config.catalogue import load_catalogue
from crush.config.schema import PROVIDER_TYPES


def test_it_is_small() -> None:
    directory = os.path.dirname(crush.config.catalogue.__file__)
    assert os.path.getsize(os.path.join(directory, "catalogue.json")) <= 60_000


def test_the_providers_stand_in_the_order_of_choice() -> None:
    assert [provider.id for provider in load_catalogue()] == [
        "anthropic",
        "openai",
        "openrouter",
        "groq",
        "deepseek",
        "xai",
        "mistral",
        "cerebras",
        "together",
        "fireworks",
        "vercel",
    ]


def test_every_provider_has_a_protocol_a_key_and_an_address() -> None:
    providers = load_catalogue()
    assert len({provider.key for provider in providers}) == len(providers)
    for provider in providers:
        assert provider.type in PROVIDER_TYPES
        assert provider.base_url or provider.type in {"anthropic", "openai"}
        if provider.base_url:
            assert urlsplit(provider.base_url).scheme == "https"


def test_the_default_models_are_listed_and_the_small_one_is_not_dearer() -> None:
    for provider in load_catalogue():
        models = {model.id: model for model in provider.models}
        large, small = models[provider.large], models[provider.small]
        assert small.cost_per_1m_out <= large.cost_per_1m_out
        assert large.context_window or provider.id == "fireworks"


def test_the_price_of_writing_a_cache_is_not_taken_for_that_of_reading_it() -> None:
    anthropic = next(provider for provider in load_catalogue() if provider.id == "anthropic")
    for model in anthropic.models:
        assert 0 < model.cost_per_1m_out_cached < model.cost_per_1m_in < model.cost_per_1m_in_cached


def test_every_model_is_listed_once_with_plausible_prices() -> None:
    for provider in load_catalogue():
        ids = [model.id.casefold() for model in provider.models]
        assert len(set(ids)) == len(ids)
        for model in provider.models:
            assert 0 < model.cost_per_1m_in <= model.cost_per_1m_out < 1000
            assert model.cost_per_1m_out_cached < model.cost_per_1m_in
            assert 0 <= model.cost_per_1m_in_cached < 2 * model.cost_per_1m_in
            assert 0 <= model.context_window < 10_000_000
