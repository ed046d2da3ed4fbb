"""What a classic client is shown of the configuration."""

from crush.config.view import PLACEHOLDER, config_view
from crush.wire.codec import decode, encode
from crush.wire.requests import ConfigView
from tests.config.checkout import Checkout


def test_it_shows_the_chosen_models_and_their_provider_with_a_placeholder(
    checkout: Checkout,
) -> None:
    checkout.env["GROQ_API_KEY"] = "secret"
    view = config_view(checkout.load(), checkout.env)
    large = checkout.choose()
    assert view.models["large"] == large.selected
    assert view.models["small"] == checkout.choose(kind="small").selected
    assert list(view.providers) == ["groq"]
    groq = view.providers["groq"]
    assert (groq.type, groq.api_key) == ("openai-compat", PLACEHOLDER)
    assert large.info in groq.models
    assert view.options.data_directory == checkout.path(".crush")


def test_it_survives_the_wire(checkout: Checkout) -> None:
    checkout.env["ANTHROPIC_API_KEY"] = "secret"
    view = config_view(checkout.load(), checkout.env)
    assert decode(encode(view), ConfigView) == view


def test_a_server_without_a_key_shows_none(checkout: Checkout) -> None:
    entry = {"base_url": "http://127.0.0.1:9/v1", "models": [{"id": "m"}]}
    checkout.write("crush.json", {"providers": {"fake": entry}})
    shown = config_view(checkout.load(), checkout.env).providers["fake"]
    assert (shown.base_url, shown.api_key) == ("http://127.0.0.1:9/v1", "")


def test_without_a_provider_or_with_a_wrong_one_it_is_empty_and_no_error(
    checkout: Checkout,
) -> None:
    view = config_view(checkout.load(), checkout.env)
    assert (view.models, view.providers) == ({}, {})

    checkout.write("crush.json", {"models": {"large": {"provider": "nobody", "model": "m"}}})
    assert config_view(checkout.load(), checkout.env).models == {}


def test_it_shows_the_options_that_classic_clients_need(checkout: Checkout) -> None:
    checkout.write_global({"options": {"tui": {"compact_mode": True}}})
    options = config_view(checkout.load(), checkout.env).options
    assert options.tui.compact_mode
    assert options.disable_metrics
