import pytest

from crush.config.secret_names import is_secret_name, known_secrets, looks_secret, secret_names
from tests.config.checkout import Checkout

TELLING = """
GITHUB_TOKEN NPM_TOKEN GH_PAT AWS_SECRET_ACCESS_KEY AWS_ACCESS_KEY_ID AWS_SESSION_TOKEN TOKEN KEY
AWS_CONTAINER_CREDENTIALS_RELATIVE_URI AZURE_CLIENT_SECRET AZURE_CLIENT_ID ARM_CLIENT_SECRET
DB_PASSWORD PGPASSWORD MYSQL_PWD DB_PASS SENTRY_DSN API_KEY_PROD API_KEY_2 SECRET_KEY_BASE GHTOKEN
npm_config__authToken GOOGLE_APPLICATION_CREDENTIALS X_PASSWD MYAPIKEY COMPOSER_AUTH CRUSH_TOKEN
GPG_PASSPHRASE GITHUB_TOKEN_RO DOCKER_AUTH_CONFIG SSH_PRIVATE_KEY SESSION_COOKIE dbPassword
"""
HARMLESS = """
SSH_ASKPASS KEYBOARD TOKENIZERS_PARALLELISM MONKEY PWD OLDPWD SSH_AUTH_SOCK PATH KEYTIMEOUT HOME
MAX_TOKENS CLAUDE_CODE_MAX_OUTPUT_TOKENS AWS_REGION AWS_DEFAULT_REGION AWS_PROFILE TOKEN_URL
PASSWORD_STORE_DIR GPG_TTY XAUTHORITY DBUS_SESSION_BUS_ADDRESS LS_COLORS GIT_AUTHOR_NAME BYPASS
COMPASS LANG TERM SHELL XDG_RUNTIME_DIR VIRTUAL_ENV NODE_ENV PAT KEYMAP SECRET_NAME
"""


@pytest.mark.parametrize("name", TELLING.split())
def test_names_that_say_secret(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", HARMLESS.split())
def test_names_that_only_sound_like_it(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    "value",
    [
        "postgres://app:hunter2hunter2@db/prod",
        "https://user:pw@pypi.example/simple",
        "sk-" + "0123456789abcdef" * 2,
        "ghp_0123456789abcdef0123456789abcdef0123",
        "AKIAIOSFODNN7EXAMPLE12",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nabc",
    ],
)
def test_values_that_are_a_secret_under_any_name(value: str) -> None:
    assert looks_secret(value)


@pytest.mark.parametrize(
    "value", ["", "https://example.com/a@b", "postgres://db/x", "git@github.com:a/b", "http://[x@y"]
)
def test_values_that_are_none(value: str) -> None:
    assert not looks_secret(value)


def nothing(_name: str) -> bool:
    return False


def test_children_get_no_secret_unless_a_rule_passes_it(checkout: Checkout) -> None:
    checkout.env |= {
        "GITHUB_TOKEN": "x",
        "DATABASE_URL": "postgres://a:b@c/d",
        "PLAIN_URL": "postgres://c/d",
        "CRUSH_TOKEN": "server",
    }
    config = checkout.load()
    hidden = secret_names(config, checkout.env, passed=nothing)
    assert {"GITHUB_TOKEN", "DATABASE_URL", "CRUSH_TOKEN", "OPENAI_API_KEY"} <= hidden
    assert not {"PLAIN_URL", "HOME"} & hidden

    passed = secret_names(config, checkout.env, passed=lambda _name: True)
    assert passed == {"CRUSH_TOKEN"}


def test_a_proxy_with_a_password_passes_and_is_still_a_secret(checkout: Checkout) -> None:
    checkout.env["https_proxy"] = "http://me:hunter2hunter2@proxy:3128"
    config = checkout.load()
    assert "https_proxy" not in secret_names(config, checkout.env, passed=nothing)
    assert "https_proxy" in known_secrets(config, checkout.env)


def test_the_variables_of_configured_providers_are_secrets(checkout: Checkout) -> None:
    checkout.write_global({"providers": {"corp": {"base_url": "https://c", "api_key": "$CORP"}}})
    hidden = secret_names(checkout.load(), checkout.env, passed=nothing)
    assert {"CORP", "CRUSH_CORP"} <= hidden
