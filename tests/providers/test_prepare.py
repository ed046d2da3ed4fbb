"""Certificates are loaded as soon as a model is expected to be asked, and only where it needs some."""

from pathlib import Path

import pytest

from crush.config.settings import ProviderSettings
from crush.providers._http import HttpPool
from crush.providers.tls import CaFiles

CA = str(Path(__file__).parent / "certificates" / "ca.pem")


def settings(base_url: str, ca: str) -> ProviderSettings:
    return ProviderSettings(
        id="p", type="openai-compat", base_url=base_url, env={"SSL_CERT_FILE": ca}
    )


@pytest.mark.parametrize("base_url", ["https://model.test/v1", ""])
async def test_a_request_finds_what_was_prepared_for_it(base_url: str) -> None:
    async with HttpPool() as pool:
        await pool.prepare(settings(base_url, CA))
        ((_, prepared),) = pool._tls._contexts.values()
        await pool.prepare(settings(base_url, CA))
        assert await pool._tls.context(CaFiles(CA, "", "SSL_CERT_FILE")) is prepared


async def test_a_model_without_tls_needs_none() -> None:
    async with HttpPool() as pool:
        await pool.prepare(settings("http://127.0.0.1:1/v1", CA))
        assert pool._tls._contexts == {}


async def test_certificates_that_cannot_be_loaded_are_the_requests_failure(tmp_path: Path) -> None:
    async with HttpPool() as pool:
        await pool.prepare(settings("https://model.test/v1", str(tmp_path / "none.pem")))
        assert pool._tls._contexts == {}
