"""What a run is given by the configuration of the directory that it works in."""

import pytest

from crush.config.trusted import Trusted
from crush.errors import ConfigError
from crush.server.runs import Place, find_place
from tests.config.checkout import Checkout


@pytest.fixture
def checkout(tmp_path: object) -> Checkout:
    checkout = Checkout(str(tmp_path))
    checkout.env |= {"OPENAI_API_KEY": "sk-of-the-user", "NPM_TOKEN": "npm-of-the-user"}
    return checkout


def texts(place: Place, source: str) -> list[str]:
    return [
        f"{rule.effect} {rule.text}"
        for rule in place.setup("ask", read_only=False).rules
        if rule.source == source
    ]


def hidden(place: Place) -> frozenset[str]:
    return place.setup("ask", read_only=False).hidden


async def test_rules_of_a_project_count_once_it_is_trusted_and_as_its_own(
    checkout: Checkout,
) -> None:
    checkout.write_global({"permissions": {"allow": ["command(make)"]}})
    checkout.write(
        "crush.json", {"permissions": {"allow": ["env(NPM_TOKEN)"], "deny": ["host(*)"]}}
    )

    before = await find_place(checkout.root, checkout.env)
    Trusted(checkout.env).add(checkout.load().what_runs)
    after = await find_place(checkout.root, checkout.env)

    assert texts(before, "project") == []
    assert "NPM_TOKEN" in hidden(before)
    assert texts(after, "project") == ["allow env(NPM_TOKEN)", "deny host(*)"]
    assert texts(after, "user") == ["allow command(make)"]
    assert "NPM_TOKEN" not in hidden(after)
    assert "OPENAI_API_KEY" in hidden(after)


async def test_a_rule_that_is_none_fails_the_run_that_would_need_it(checkout: Checkout) -> None:
    checkout.write_global({"permissions": {"deny": ["rm"]}})
    with pytest.raises(ConfigError, match=r"permissions\.deny\[0\]"):
        await find_place(checkout.root, checkout.env)
