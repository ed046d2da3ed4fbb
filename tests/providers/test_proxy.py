"""Proxies and certificates from the asking client's environment, with real ones on loopback."""

import os
import shutil
import ssl
import time
from collections.abc import Mapping
from pathlib import Path

import anyio
import pytest

from crush.config.settings import ProviderSettings
from crush.errors import ConfigError, ProviderError
from crush.providers._http import HttpPool
from crush.providers.base import ModelRequest, TextBlock, UserTurn
from crush.providers.openai_chat import OpenAiChatProvider
from crush.providers.proxy import proxy_for
from crush.providers.tls import TlsContexts, ca_files
from tests.fakes.byte_server import Play, byte_server, connect_proxy, head, stream_of, watched_pool

CERTIFICATES = Path(__file__).parent / "certificates"
CA = str(CERTIFICATES / "ca.pem")
CA_SUBJECT_HASH = "53bf31eb.0"  # how OpenSSL finds a certificate in a directory
REQUEST = ModelRequest(model="m", system="s", turns=(UserTurn((TextBlock("hi"),)),))
GOOD = stream_of(
    b'data: {"choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":"stop"}]}\n\n',
    b"data: [DONE]\n\n",
)
PROXY = "http://proxy.test:3128"


@pytest.mark.parametrize(
    ("url", "env", "proxy"),
    [
        ("https://a.test/v1", {"HTTPS_PROXY": PROXY}, PROXY),
        ("https://a.test/v1", {"https_proxy": PROXY, "HTTPS_PROXY": "http://other"}, PROXY),
        ("http://a.test/v1", {"HTTP_PROXY": PROXY}, PROXY),
        ("http://a.test/v1", {"HTTPS_PROXY": PROXY}, None),
        ("https://a.test/v1", {"ALL_PROXY": PROXY}, PROXY),
        ("https://a.test/v1", {"https_proxy": "", "all_proxy": PROXY}, PROXY),
        ("https://a.test/v1", {"HTTPS_PROXY": "proxy.test:3128"}, PROXY),
        ("http://localhost:11434/v1", {"ALL_PROXY": PROXY}, None),
        ("http://127.0.0.2:1/v1", {"ALL_PROXY": PROXY}, None),
        ("http://[::1]:1/v1", {"ALL_PROXY": PROXY}, None),
        ("https://a.test/v1", {}, None),
    ],
)
def test_the_proxy_of_a_url_is_found(url: str, env: Mapping[str, str], proxy: str | None) -> None:
    assert proxy_for(url, env) == proxy


@pytest.mark.parametrize(
    ("entry", "url", "covered"),
    [
        ("*", "https://a.test", True),
        ("a.test", "https://a.test", True),
        ("a.test", "https://b.a.test", True),
        ("a.test", "https://ba.test", False),
        (".a.test", "https://b.a.test", True),
        ("*.a.test", "https://b.a.test", True),
        ("A.TEST", "https://a.test", True),
        ("x, a.test ,y", "https://a.test", True),
        ("x a.test", "https://a.test", True),
        ("a.test:443", "https://a.test", True),
        ("a.test:8443", "https://a.test", False),
        ("a.test:8443", "https://a.test:8443", True),
        ("10.0.0.0/8", "https://10.1.2.3", True),
        ("10.0.0.0/8", "https://11.1.2.3", False),
        ("10.1.2.3", "https://10.1.2.3", True),
        ("10.1.2.3:443", "https://10.1.2.3", True),
        ("[2001:db8::1]", "https://[2001:db8::1]", True),
        ("[2001:db8::1]:9", "https://[2001:db8::1]", False),
        ("2001:db8::/32", "https://[2001:db8::1]", True),
        (".", "https://a.test", False),
        ("", "https://a.test", False),
    ],
)
def test_no_proxy_takes_hosts_suffixes_ports_and_networks(
    entry: str, url: str, covered: bool
) -> None:
    env = {"HTTPS_PROXY": PROXY, "NO_PROXY": entry}
    assert (proxy_for(url, env) is None) is covered


@pytest.mark.parametrize("value", ["socks5://u:secret@h:1", "http://u:secret@", "http://secret:x"])
def test_a_proxy_that_cannot_be_used_is_named_by_its_variable_only(value: str) -> None:
    with pytest.raises(ConfigError, match="ALL_PROXY") as caught:
        proxy_for("https://a.test", {"ALL_PROXY": value})
    assert "secret" not in caught.value.message


@pytest.fixture
def tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "server.pem")
    return context


async def ask(pool: HttpPool, url: str, env: Mapping[str, str]) -> None:
    settings = ProviderSettings(
        id="test", type="openai-compat", name="Test", base_url=url, api_key="k", env=env
    )
    await OpenAiChatProvider(settings=settings, pool=pool).respond(REQUEST, lambda _event: None)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
async def test_a_ca_file_of_the_client_is_trusted(variable: str, tls: ssl.SSLContext) -> None:
    async with byte_server(GOOD, tls=tls) as server, watched_pool(backoff_s=()) as pool:
        await ask(pool, server.url, {variable: CA})
    assert len(server.requests) == 1


async def test_a_ca_directory_of_the_client_is_trusted(tls: ssl.SSLContext, tmp_path: Path) -> None:
    (tmp_path / CA_SUBJECT_HASH).symlink_to(CA)
    async with byte_server(GOOD, tls=tls) as server, watched_pool(backoff_s=()) as pool:
        await ask(pool, server.url, {"SSL_CERT_DIR": str(tmp_path)})
        await ask(pool, server.url, {"REQUESTS_CA_BUNDLE": str(tmp_path)})
    assert len(server.requests) == 2


async def test_the_trust_of_one_client_is_not_that_of_another(tls: ssl.SSLContext) -> None:
    async with byte_server(GOOD, tls=tls) as server, watched_pool() as pool:
        await ask(pool, server.url, {"SSL_CERT_FILE": CA})
        with pytest.raises(ProviderError, match="not trusted") as caught:
            await ask(pool, server.url, {})
    assert "SSL_CERT_FILE" in caught.value.hint
    assert not caught.value.retryable
    assert len(server.requests) == 1


async def test_cancelling_does_not_wait_for_the_peers_part_of_tls(tls: ssl.SSLContext) -> None:
    async with (
        byte_server(Play(pieces=(head(),), then="hang"), tls=tls) as server,
        watched_pool() as pool,
        anyio.create_task_group() as asking,
    ):
        asking.start_soon(ask, pool, server.url, {"SSL_CERT_FILE": CA})
        await server.played.wait()
        cancelled_at = time.monotonic()
        asking.cancel_scope.cancel()
        with anyio.fail_after(1, shield=True):
            await server.gone.wait()
        assert time.monotonic() - cancelled_at < 0.2


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_a_ca_file_that_cannot_be_loaded_is_named(
    content: str | None, tmp_path: Path, tls: ssl.SSLContext
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    async with byte_server(GOOD, tls=tls) as server, watched_pool() as pool:
        with pytest.raises(ConfigError, match="SSL_CERT_FILE") as caught:
            await ask(pool, server.url, {"SSL_CERT_FILE": str(file)})
    assert str(file) in caught.value.message


async def test_contexts_are_shared_until_their_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    shutil.copyfile(CA, file)
    contexts = TlsContexts()
    ca = ca_files({"SSL_CERT_FILE": str(file)})
    first = await contexts.context(ca)
    assert await contexts.context(ca) is first
    os.utime(file, ns=(1, 1))
    assert await contexts.context(ca) is not first


async def test_the_system_trusts_somebody() -> None:
    context = await TlsContexts().context(ca_files({}))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


async def test_plain_http_goes_through_the_proxy_of_the_client() -> None:
    async with byte_server(GOOD) as proxy, watched_pool(backoff_s=()) as pool:
        await ask(pool, "http://model.test", {"HTTP_PROXY": proxy.url})
    assert proxy.requests[0].line == "POST http://model.test/chat/completions HTTP/1.1"


async def test_https_is_tunnelled_and_the_proxy_sees_no_key(tls: ssl.SSLContext) -> None:
    async with (
        byte_server(GOOD, tls=tls) as server,
        connect_proxy(server.port) as proxy,
        watched_pool(backoff_s=()) as pool,
    ):
        address = f"http://user:pass@127.0.0.1:{proxy.port}"
        await ask(pool, "https://model.test", {"https_proxy": address, "SSL_CERT_FILE": CA})
    assert proxy.requests[0].line == "CONNECT model.test:443 HTTP/1.1"
    assert proxy.requests[0].headers["proxy-authorization"].startswith("Basic ")
    assert "authorization" not in proxy.requests[0].headers
    assert server.requests[0].headers["authorization"] == "Bearer k"
    assert "proxy-authorization" not in server.requests[0].headers


async def test_a_proxy_that_does_not_answer_is_named_as_the_culprit() -> None:
    async with byte_server(GOOD) as gone:
        pass
    async with watched_pool(backoff_s=()) as pool:
        with pytest.raises(ProviderError, match="proxy does not answer") as caught:
            await ask(pool, "http://model.test", {"HTTP_PROXY": f"http://u:pass@{gone.url[7:]}"})
    assert caught.value.retryable
    assert "pass" not in caught.value.message


async def test_a_proxy_that_refuses_the_tunnel_is_not_asked_again() -> None:
    refusing = Play(pieces=(b"HTTP/1.1 407 Who are you\r\ncontent-length: 0\r\n\r\n",))
    async with byte_server(refusing) as proxy, watched_pool() as pool:
        with pytest.raises(ProviderError, match=r"proxy refused: HTTP 407"):
            await ask(pool, "https://model.test", {"HTTPS_PROXY": proxy.url})
    assert proxy.connections == 1
