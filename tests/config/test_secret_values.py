import base64
import json
import os
import time
from itertools import pairwise
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crush.config.secret_values import HiddenStream, Secrets, secret_values
from tests.config.checkout import Checkout

VALUE = 's3cr3t/+"väl?ue%\\& 1'
KEY = "\n".join(
    ["-----BEGIN OPENSSH PRIVATE KEY-----", "a1B2" * 17, "c3D4" * 17, "-----END X PRIVATE KEY-----"]
)


@pytest.mark.parametrize(
    "spelled",
    [
        VALUE,
        json.dumps(VALUE),
        json.dumps(VALUE, ensure_ascii=False),
        quote(VALUE),
        quote(VALUE, safe=""),
        quote_plus(VALUE),
        *(base64.b64encode((p + VALUE).encode()).decode() for p in ("", "u:", "ab:", "abc:")),
        base64.urlsafe_b64encode(f"x:{VALUE}:y".encode()).decode(),
    ],
)
def test_a_value_is_hidden_in_every_usual_spelling(spelled: str) -> None:
    hidden = Secrets({"MINE": VALUE}).hide(f"before {spelled} after")
    assert hidden.startswith("before ")
    assert hidden.endswith(" after")
    assert "[secret MINE]" in hidden
    assert (
        len(hidden) < len("before [secret MINE] after") + 16
    )  # what base64 shares with neighbours


def test_short_values_are_left_alone() -> None:
    assert Secrets({"A": "1234567", "B": ""}).hide("1234567 ") == "1234567 "


def test_the_longest_value_is_the_one_that_is_meant() -> None:
    secrets = Secrets({"SHORT": "abcdefgh", "LONG": "abcdefghijkl"})
    assert secrets.hide("abcdefghijkl abcdefgh") == "[secret LONG] [secret SHORT]"


def test_of_values_that_overlap_nothing_is_left() -> None:
    secrets = Secrets({"A": "abcdefgh", "B": "efghijkl"})
    assert secrets.hide("-abcdefghijkl-") == "-[secret A]-"


def test_the_lines_of_a_key_are_hidden_one_by_one() -> None:
    numbered = "\n".join(f"{n:4}|{line}" for n, line in enumerate(KEY.splitlines(), 1))
    hidden = Secrets({"KEY": KEY}).hide(numbered)
    assert "a1B2" not in hidden
    assert "c3D4" not in hidden
    assert Secrets({"KEY": KEY}).hide(KEY) == "[secret KEY]"


@st.composite
def pieces(draw: st.DrawFn) -> tuple[dict[str, str], list[str]]:
    letters = st.text("ab", min_size=8, max_size=12)
    values = draw(st.lists(letters, min_size=1, max_size=3))
    parts = draw(st.lists(st.sampled_from(values) | st.text("ab-", max_size=9), max_size=12))
    text = "".join(parts)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    bounds = [0, *cuts, len(text)]
    return (
        {f"N{n}": value for n, value in enumerate(values)},
        [text[a:b] for a, b in pairwise(bounds)],
    )


@given(pieces())
def test_a_stream_hides_what_the_whole_would_however_it_is_cut(
    drawn: tuple[dict[str, str], list[str]],
) -> None:
    values, cut = drawn
    secrets = Secrets(values)
    stream = HiddenStream(secrets)
    shown = []
    for piece in cut:
        shown.append(stream.feed(piece))
        assert len(stream._held) < secrets.longest()
    shown.append(stream.end())

    assert "".join(shown) == secrets.hide("".join(cut))
    for value in values.values():
        assert value not in "".join(shown)


def test_text_without_secrets_is_not_held_back() -> None:
    stream = HiddenStream(Secrets({"A": "abcdefgh"}))
    assert stream.feed("progress 10%\r") == "progress 10%\r"
    assert stream.feed("abcd") == ""
    assert stream.feed("!") == "abcd!"
    assert stream.end() == ""
    assert HiddenStream(Secrets({})).feed("x") == "x"


def test_a_megabyte_takes_moments() -> None:
    values = {f"N{n}": base64.b64encode(os.urandom(30)).decode() for n in range(40)}
    secrets = Secrets(values)
    text = "The quick brown fox jumps over the lazy dog.\n" * 23_000 + values["N7"]
    start = time.process_time()
    assert secrets.hide(text).endswith("[secret N7]")
    assert time.process_time() - start < 1  # 15 ms where it was written


def test_secrets_of_a_run_are_those_of_the_client_and_of_its_providers(checkout: Checkout) -> None:
    checkout.env |= {
        "GITHUB_TOKEN": "token-of-the-client",
        "OPENAI_API_KEY": "key-of-the-client",
        "DATABASE_URL": "postgres://app:hunter2%2Fhunter2@db/prod",
        "POSTGRES_PASSWORD": "postgres",
        "SOME_TOKEN": "short",
        "LOGIN_CREDENTIALS": checkout.home,
        "AWS_REGION": "eu-central-1",
        "EDITOR": "emacsclient",
    }
    checkout.write_global(
        {
            "providers": {
                "corp": {
                    "base_url": "https://corp.example",
                    "api_key": "literal-of-the-file",
                    "extra_headers": {
                        "Authorization": "Bearer of-the-header-1",
                        "Accept": "application/json",
                        "X-Api-Key": "$GITHUB_TOKEN",
                    },
                    "extra_body": {"api_key": "body-of-the-file", "mode": "whatever-else"},
                }
            }
        }
    )
    chosen = checkout.choose("openai/m").provider
    assert secret_values(checkout.load(), checkout.env, chosen) == {
        "GITHUB_TOKEN": "token-of-the-client",
        "OPENAI_API_KEY": "key-of-the-client",
        "DATABASE_URL": "hunter2%2Fhunter2",
        "providers.corp.headers.Authorization": "of-the-header-1",
        "providers.corp.body.api_key": "body-of-the-file",
        "providers.corp.api_key": "literal-of-the-file",
    }


def test_a_password_is_hidden_as_it_is_written_and_as_it_is_meant() -> None:
    secrets = Secrets({"URL": "hunter2%2Fhunter2"})
    assert secrets.hide("hunter2%2Fhunter2 hunter2/hunter2") == "[secret URL] [secret URL]"


def test_what_is_hidden_stays_useful() -> None:
    text = "postgres://app:hunter2hunter2@db/prod"
    assert Secrets({"U": "hunter2hunter2"}).hide(text) == "postgres://app:[secret U]@db/prod"
