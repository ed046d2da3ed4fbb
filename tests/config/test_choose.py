"""Which model is asked, and what a user is told when there is none or more than one."""

import pytest

from crush.config.choose import available_models, choose_model
from crush.errors import ConfigError, Exit, NoProviderError
from tests.config.checkout import Checkout

LOOPBACK = "http://127.0.0.1:9/v1"


def custom(*models: str, **more: object) -> dict[str, object]:
    return {"base_url": LOOPBACK, "models": [{"id": model} for model in models], **more}


def problem(checkout: Checkout, wanted: str = "") -> str:
    with pytest.raises(ConfigError) as caught:
        checkout.choose(wanted)
    assert caught.value.exit_code == Exit.CONFIG
    return f"{caught.value} {caught.value.hint}"


def test_without_any_provider_the_three_ways_to_get_one_are_named(checkout: Checkout) -> None:
    with pytest.raises(NoProviderError) as caught:
        checkout.choose()
    said = str(caught.value)
    assert "ANTHROPIC_API_KEY" in said
    assert f"{checkout.home}/.config/crush/crush.json" in said
    assert "`crush models install local`" in said
    assert caught.value.code == "no_provider"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["VERCEL_API_KEY", "GROQ_API_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"], "anthropic"),
        (["VERCEL_API_KEY", "GROQ_API_KEY", "OPENAI_API_KEY"], "openai"),
        (["VERCEL_API_KEY", "GROQ_API_KEY"], "groq"),
        (["XAI_API_KEY"], "xai"),
        (["CRUSH_MISTRAL_API_KEY"], "mistral"),
    ],
)
def test_the_first_provider_that_has_a_key_is_asked(
    checkout: Checkout, keys: list[str], expected: str
) -> None:
    checkout.env |= dict.fromkeys(keys, "k")
    chosen = checkout.choose()
    assert (chosen.provider.id, chosen.provider.api_key) == (expected, "k")
    assert chosen.selected.provider == expected
    assert chosen.info.context_window > 0
    assert not chosen.small


def test_an_empty_key_is_no_key(checkout: Checkout) -> None:
    checkout.env |= {"ANTHROPIC_API_KEY": "", "OPENAI_API_KEY": "k", "CRUSH_OPENAI_API_KEY": ""}
    assert "no model to ask" in problem(checkout)


def test_white_space_around_a_key_is_dropped_and_other_strange_characters_refused(
    checkout: Checkout,
) -> None:
    checkout.env["OPENAI_API_KEY"] = " key\n"
    assert checkout.choose().provider.api_key == "key"
    for wrong in ("two\nlines", "schlüssel", "a\0b"):
        checkout.env["OPENAI_API_KEY"] = wrong
        said = problem(checkout)
        assert "characters that cannot be sent" in said
        assert wrong not in said


def test_a_provider_of_a_file_is_asked_when_no_key_is_set(checkout: Checkout) -> None:
    checkout.write("crush.json", {"providers": {"fake": custom("one", "two")}})
    chosen = checkout.choose()
    assert (chosen.provider.id, chosen.info.id) == ("fake", "one")
    assert checkout.choose(kind="small").info.id == "one"


def test_the_configured_model_stands_before_every_default(checkout: Checkout) -> None:
    checkout.env["OPENAI_API_KEY"] = "k"
    checkout.write(
        "crush.json",
        {
            "providers": {"fake": custom("one", "two")},
            "models": {
                "large": {"provider": "fake", "model": "TWO", "max_tokens": 7, "temperature": 0.5}
            },
        },
    )
    chosen = checkout.choose()
    assert (chosen.provider.base_url, chosen.info.id) == (LOOPBACK, "two")
    assert (chosen.selected.max_tokens, chosen.selected.temperature) == (7, 0.5)


def test_the_settings_of_a_configured_model_are_not_those_of_another(checkout: Checkout) -> None:
    checkout.write(
        "crush.json",
        {
            "providers": {"fake": custom("one", "two")},
            "models": {"large": {"provider": "fake", "model": "one", "max_tokens": 7}},
        },
    )
    assert checkout.choose("fake/one").selected.max_tokens == 7
    assert checkout.choose("fake/two").selected.max_tokens == 0


def test_a_configured_provider_without_its_key_is_an_error_and_no_other_is_asked(
    checkout: Checkout,
) -> None:
    checkout.env["OPENAI_API_KEY"] = "k"
    checkout.write_global({"models": {"large": {"provider": "anthropic", "model": "m"}}})
    assert "models.large names the provider 'anthropic': set ANTHROPIC_API_KEY" in problem(checkout)


def test_a_configured_provider_that_nobody_knows_is_an_error(checkout: Checkout) -> None:
    checkout.write_global({"models": {"large": {"provider": "nobody", "model": "m"}}})
    assert "'nobody', which is not configured" in problem(checkout)


def test_half_a_configured_model_is_completed(checkout: Checkout) -> None:
    checkout.env |= {"OPENAI_API_KEY": "k", "GROQ_API_KEY": "k"}
    checkout.write_global({"models": {"large": {"provider": "groq"}, "small": {"model": "o3"}}})
    assert checkout.choose().provider.id == "groq"
    assert checkout.choose(kind="small").provider.id == "openai"


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("two", "fake/two"),
        ("TWO", "fake/two"),
        ("fake/two", "fake/two"),
        ("Fake/Two", "fake/two"),
        ("other/one", "other/one"),
        ("vendor/model", "other/vendor/model"),
        ("other/vendor/model", "other/vendor/model"),
        ("fake/not-listed:7b", "fake/not-listed:7b"),
        ("other/vendor/not-listed", "other/vendor/not-listed"),
    ],
)
def test_a_wanted_model_is_found_by_its_name_with_or_without_the_provider(
    checkout: Checkout, wanted: str, expected: str
) -> None:
    checkout.write(
        "crush.json",
        {"providers": {"fake": custom("one", "two"), "other": custom("one", "vendor/model")}},
    )
    selected = checkout.choose(wanted).selected
    assert f"{selected.provider}/{selected.model}" == expected


def test_a_listed_model_stands_before_an_unlisted_one_of_a_provider_of_that_name(
    checkout: Checkout,
) -> None:
    checkout.env |= {"ANTHROPIC_API_KEY": "k", "OPENROUTER_API_KEY": "k"}
    assert checkout.choose("anthropic/claude-sonnet-5.5").provider.id == "openrouter"
    assert checkout.choose("anthropic/claude-sonnet-5-5").provider.id == "anthropic"
    assert checkout.choose("anthropic/claude-next").provider.id == "anthropic"


def test_a_model_that_several_providers_have_is_an_error_that_names_them(
    checkout: Checkout,
) -> None:
    checkout.write("crush.json", {"providers": {"fake": custom("m"), "other": custom("m")}})
    said = problem(checkout, "M")
    assert "fake/m, other/m" in said
    assert "-m provider/model" in said


def test_a_model_that_nobody_has_is_an_error_with_those_that_are_like_it(
    checkout: Checkout,
) -> None:
    checkout.env["OPENAI_API_KEY"] = "k"
    said = problem(checkout, "gpt-5.6")
    assert "openai/gpt-5.6-sol" in said
    assert "openai/o3" not in said
    assert "openai/gpt-6-astra" in problem(checkout, "unheard-of")
    assert "and 13 more" in problem(checkout, "unheard-of")


def test_a_wanted_model_of_a_provider_without_a_key_says_which_variable_to_set(
    checkout: Checkout,
) -> None:
    assert "'groq': set GROQ_API_KEY" in problem(checkout, "groq/anything")
    assert "set OPENAI_API_KEY" in problem(checkout, "o3")
    assert "no model to ask" in problem(checkout, "unheard-of")


def test_a_provider_whose_key_expands_to_nothing_says_which_variable_is_not_set(
    checkout: Checkout,
) -> None:
    checkout.write_global({"providers": {"corp": custom("m", api_key="${CORP_KEY}")}})
    assert "its api_key is empty: CORP_KEY is not set" in problem(checkout, "corp/m")
    assert "no model to ask" in problem(checkout)


def test_a_provider_without_an_address_says_so(checkout: Checkout) -> None:
    checkout.write_global({"providers": {"corp": {"api_key": "k", "models": [{"id": "m"}]}}})
    assert "it has no base_url" in problem(checkout, "corp/m")
    checkout.write_global({"providers": {"corp": {"type": "anthropic", "models": [{"id": "m"}]}}})
    assert "it has no api_key" in problem(checkout, "corp/m")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x.example",
        "x.example/v1",
        "http://",
        "http://x.example/v1?key=1",
        "http://u:p@x.example",
        "http://x.example/#a",
        "http://x y.example",
        "http://x.example:99999",
        "http://[::1",
        "http://x.example\n/v1",
        "$UNSET",
    ],
)
def test_an_address_that_is_none_is_an_error(checkout: Checkout, url: str) -> None:
    checkout.write_global({"providers": {"corp": {"base_url": url, "api_key": "k"}}})
    assert "not an http(s) address" in problem(checkout, "corp/m")


def test_a_header_that_cannot_be_sent_is_an_error_without_its_value(checkout: Checkout) -> None:
    for header in ({"X-A": "own\nInjected: 1"}, {"X A": "own"}, {"": "own"}):
        checkout.write_global({"providers": {"corp": custom(extra_headers=header)}})
        said = problem(checkout, "corp/m")
        assert "providers.corp.extra_headers" in said
        assert "own" not in said


def test_the_small_model_of_a_known_provider_is_its_small_one(checkout: Checkout) -> None:
    checkout.env["OPENAI_API_KEY"] = "k"
    large, small = checkout.choose(), checkout.choose(kind="small")
    assert small.provider.id == "openai"
    assert small.info.cost_per_1m_out < large.info.cost_per_1m_out


def test_beside_a_wanted_large_model_the_small_one_is_of_the_same_provider(
    checkout: Checkout,
) -> None:
    checkout.env |= {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}
    checkout.write(
        "crush.json",
        {
            "providers": {"fake": custom("m")},
            "models": {"small": {"provider": "anthropic", "model": "claude-haiku-4-5"}},
        },
    )
    config = checkout.load()
    assert choose_model(config, checkout.env, kind="small").info.id == "claude-haiku-4-5"
    for wanted, small in (("o3", "gpt-6-luna"), ("fake/m", "m")):
        large = choose_model(config, checkout.env, wanted=wanted)
        chosen = choose_model(config, checkout.env, kind="small", beside=large)
        assert (chosen.provider.id, chosen.info.id) == (large.provider.id, small)


def test_a_small_model_that_cannot_be_had_is_replaced(checkout: Checkout) -> None:
    checkout.env["OPENAI_API_KEY"] = "k"
    checkout.write_global({"models": {"small": {"provider": "anthropic", "model": "m"}}})
    assert checkout.choose(kind="small").provider.id == "openai"


def test_the_embedded_model_counts_only_when_it_is_installed_and_chosen(
    checkout: Checkout,
) -> None:
    assert "`crush models install local`" in problem(checkout, "local/smollm2")

    checkout.install_local_model()
    assert "no model to ask" in problem(checkout)
    assert "no configured provider has the model 'local/other'" in problem(checkout, "local/other")
    for wanted in ("local/smollm2", "smollm2", "Local/SmolLM2"):
        chosen = checkout.choose(wanted)
        assert (chosen.provider.type, chosen.small) == ("local", True)
        assert chosen.info.context_window == 8192

    checkout.write_global({"models": {"large": {"provider": "local", "model": "smollm2"}}})
    assert checkout.choose().provider.id == "local"
    assert checkout.choose(kind="small").provider.id == "local"
    checkout.write_global({"providers": {"local": {"disable": True}}})
    assert "no model to ask" in problem(checkout, "local/smollm2")


def test_a_server_of_the_user_may_be_called_local_too(checkout: Checkout) -> None:
    checkout.write_global({"providers": {"local": custom("m")}})
    assert checkout.choose().provider.type == "openai-compat"


def test_a_disabled_provider_is_not_there(checkout: Checkout) -> None:
    checkout.env |= {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}
    checkout.write_global({"providers": {"anthropic": {"disable": True}}})
    assert checkout.choose().provider.id == "openai"
    assert all(model.provider != "anthropic" for model in available_models(checkout.load(), {}))


@pytest.mark.parametrize("by_file", [True, False])
def test_the_catalogue_can_be_switched_off(checkout: Checkout, *, by_file: bool) -> None:
    checkout.env["OPENAI_API_KEY"] = "k"
    if by_file:
        checkout.write_global({"options": {"disable_default_providers": True}})
    else:
        checkout.env["CRUSH_DISABLE_DEFAULT_PROVIDERS"] = "1"
    assert "no model to ask" in problem(checkout)


def test_what_a_user_says_of_a_known_model_is_laid_over_the_catalogue(checkout: Checkout) -> None:
    checkout.env["OPENAI_API_KEY"] = "k"
    checkout.write_global(
        {"providers": {"openai": {"models": [{"id": "o3", "context_window": 5}, {"id": "new"}]}}}
    )
    info = checkout.choose("openai/o3").info
    assert (info.context_window, info.name) == (5, "o3")
    assert info.cost_per_1m_in > 0
    assert checkout.choose("new").provider.id == "openai"


def test_the_address_of_a_known_provider_may_come_from_the_environment(checkout: Checkout) -> None:
    checkout.env |= {"OPENAI_API_KEY": "k", "OPENAI_API_ENDPOINT": "https://proxy.example/v1/"}
    assert checkout.choose().provider.base_url == "https://proxy.example/v1"


def test_the_environment_of_the_run_goes_with_the_provider(checkout: Checkout) -> None:
    checkout.env |= {"OPENAI_API_KEY": "k", "HTTPS_PROXY": "http://proxy:1"}
    checkout.write_global({"env": {"SSL_CERT_FILE": "/ca.pem"}})
    assert checkout.choose().provider.env == checkout.env | {"SSL_CERT_FILE": "/ca.pem"}


def test_a_body_and_a_flat_rate_are_passed_on_as_they_are(checkout: Checkout) -> None:
    body = {"reasoning": {"effort": "$HIGH"}, "stop": None}
    checkout.write_global({"providers": {"corp": custom("m", extra_body=body, flat_rate=True)}})
    settings = checkout.choose("corp/m").provider
    assert settings.extra_body == body
    assert settings.flat_rate


def test_all_models_are_listed_with_whether_they_can_be_asked(checkout: Checkout) -> None:
    checkout.env["GROQ_API_KEY"] = "k"
    checkout.write_global({"providers": {"corp": custom("m")}})
    listed = available_models(checkout.load(), checkout.env)
    ready = {model.provider for model in listed if model.configured}
    assert ready == {"groq", "corp"}
    assert {"anthropic", "openai", "local"} <= {model.provider for model in listed}
    assert [model.model.id for model in listed if model.provider == "corp"] == ["m"]
