"""Where the web tools connect to: redirects, names that lead elsewhere, proxies, certificates."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from crush.errors import ToolError
from tests.fakes.byte_server import ByteServer, byte_server, connect_proxy
from tests.fakes.names import FakeNames
from tests.tools.conftest import Caller
from tests.tools.web import plain, redirect, with_web

CERTIFICATES = Path(__file__).parents[1] / "providers" / "certificates"


@pytest.fixture
def names() -> FakeNames:
    return FakeNames()


@pytest.fixture
def fetch(call: Caller, names: FakeNames) -> Caller:
    with_web(call, names)
    return call


@pytest.fixture
async def server() -> AsyncIterator[ByteServer]:
    async with byte_server(plain("ok")) as server:
        yield server


def with_env(call: Caller, **variables: str) -> None:
    env = {**call.context.env, **variables}
    call.context = msgspec.structs.replace(call.context, env=env)


async def test_redirects_on_the_same_host_are_followed(fetch: Caller, server: ByteServer) -> None:
    server.plays = [redirect("/b", status=301), redirect("c?d", status=307), plain("there")]
    assert (await fetch("fetch", url=server.url)).content == "there"
    assert [request.line for request in server.requests] == [
        "GET / HTTP/1.1",
        "GET /b HTTP/1.1",
        "GET /c?d HTTP/1.1",
    ]


async def test_five_redirects_are_followed_and_no_sixth(fetch: Caller, server: ByteServer) -> None:
    server.plays = [*[redirect("/again")] * 5, plain("there")]
    assert (await fetch("fetch", url=server.url)).content == "there"
    server.plays = [redirect("/again")]
    server.requests.clear()
    with pytest.raises(ToolError, match="after 5 redirects"):
        await fetch("fetch", url=server.url)
    assert len(server.requests) == 6


async def test_a_redirect_to_another_host_is_told_and_nothing_is_sent_there(
    fetch: Caller, server: ByteServer
) -> None:
    async with byte_server(plain("secret")) as other:
        server.plays = [redirect(f"{other.url}/metadata")]
        with pytest.raises(ToolError, match=f"another host.*{other.url}/metadata"):
            await fetch("fetch", url=server.url)
        assert other.connections == 0


async def test_a_redirect_without_a_target_is_an_answer(fetch: Caller, server: ByteServer) -> None:
    server.plays = [plain("choose", status=302)]
    with pytest.raises(ToolError, match="HTTP 302"):
        await fetch("fetch", url=server.url)


async def test_no_cookie_comes_back(fetch: Caller, server: ByteServer) -> None:
    server.plays = [
        plain(b"", status=302, more="location: /b\r\nset-cookie: a=b; Path=/\r\n"),
        plain("ok"),
    ]
    await fetch("fetch", url=server.url)
    assert all("cookie" not in request.headers for request in server.requests)


async def test_localhost_is_reached_when_it_was_asked_for(
    fetch: Caller, names: FakeNames, server: ByteServer
) -> None:
    names.addresses["localhost"] = ["127.0.0.1"]
    assert (await fetch("fetch", url=f"http://localhost:{server.port}/")).content == "ok"


async def test_a_private_address_is_refused_to_a_call_that_was_not_asked_about(
    fetch: Caller, server: ByteServer
) -> None:
    with pytest.raises(ToolError, match="a private address"):
        await fetch.prepare("fetch", url=server.url).run()
    assert server.connections == 0


async def test_a_public_name_that_leads_to_a_private_address_is_refused_and_then_asked_about(
    fetch: Caller, names: FakeNames, server: ByteServer
) -> None:
    names.addresses["git.example"] = ["127.0.0.1"]
    url = f"http://git.example:{server.port}/x"
    with pytest.raises(ToolError, match=r"'git\.example' leads to 127\.0\.0\.1.*nothing was sent"):
        await fetch("fetch", url=url)
    assert server.connections == 0
    again = fetch.prepare("fetch", url=url)
    by_name, by_address = await again.needs()
    assert by_name.target == url
    assert by_address.target == f"http://127.0.0.1:{server.port}/x"
    assert by_address.description == f"Fetch {url} from 127.0.0.1 (a private address)"
    assert (await again.run()).content == "ok"
    assert server.requests[0].headers["host"] == f"git.example:{server.port}"
    assert len(await fetch.prepare("fetch", url=url).needs()) == 2  # and so is every later one


async def test_an_answer_that_changes_between_asking_and_connecting_gains_nothing(
    fetch: Caller, names: FakeNames, server: ByteServer
) -> None:
    names.addresses["rebind.example"] = ["10.0.0.9"]
    url = f"http://rebind.example:{server.port}/"
    with pytest.raises(ToolError, match=r"10\.0\.0\.9"):
        await fetch("fetch", url=url)
    again = fetch.prepare("fetch", url=url)
    await again.needs()  # names 10.0.0.9
    names.addresses["rebind.example"] = ["127.0.0.1"]
    with pytest.raises(ToolError, match=r"127\.0\.0\.1"):
        await again.run()
    assert server.connections == 0


async def test_each_redirect_is_looked_up_and_judged_anew(
    fetch: Caller, names: FakeNames, server: ByteServer
) -> None:
    """The first answer is allowed by its address, www. then leads into the local network."""
    names.addresses["site.example"] = ["127.0.0.1"]
    names.addresses["www.site.example"] = ["10.255.255.1"]
    server.plays = [redirect(f"http://www.site.example:{server.port}/")]
    url = f"http://site.example:{server.port}/"
    with pytest.raises(ToolError, match=r"'site\.example' leads"):
        await fetch("fetch", url=url)
    with pytest.raises(ToolError, match=r"'www\.site\.example' leads to 10\.255\.255\.1"):
        await fetch("fetch", url=url)
    assert len(server.requests) == 1


@pytest.mark.parametrize("address", ["::ffff:127.0.0.1", "::1", "0.0.0.0", "fe80::1%lo"])  # noqa: S104
async def test_no_other_spelling_of_an_address_gets_through(
    address: str, fetch: Caller, names: FakeNames, server: ByteServer
) -> None:
    names.addresses["a.example"] = [address]
    with pytest.raises(ToolError, match="a private address"):
        await fetch("fetch", url=f"http://a.example:{server.port}/")
    assert server.connections == 0


async def test_a_proxy_of_the_client_is_used_and_may_be_private(
    fetch: Caller, names: FakeNames, server: ByteServer
) -> None:
    with_env(fetch, http_proxy=server.url)
    assert (await fetch("fetch", url="http://only.the.proxy.knows/x")).content == "ok"
    assert server.requests[0].line == "GET http://only.the.proxy.knows/x HTTP/1.1"


@pytest.mark.parametrize("host", ["10.0.0.1", "intern.example"])
async def test_a_proxy_is_not_asked_for_what_is_private_unless_that_was_allowed(
    host: str, fetch: Caller, names: FakeNames, server: ByteServer
) -> None:
    names.addresses["intern.example"] = ["10.0.0.1"]
    with_env(fetch, http_proxy=server.url)
    with pytest.raises(ToolError, match="a private address"):
        await fetch.prepare("fetch", url=f"http://{host}/").run()
    assert server.connections == 0
    await fetch("fetch", url=f"http://{host}/")
    assert server.connections == 1


async def test_no_proxy_leads_past_it(fetch: Caller, names: FakeNames, server: ByteServer) -> None:
    with_env(fetch, http_proxy="http://127.0.0.1:1", no_proxy="localhost")
    names.addresses["localhost"] = ["127.0.0.1"]
    assert (await fetch("fetch", url=f"http://localhost:{server.port}/")).content == "ok"


async def test_a_proxy_that_cannot_be_used_is_said(fetch: Caller) -> None:
    with_env(fetch, http_proxy="socks5://127.0.0.1:1")
    with pytest.raises(ToolError, match="socks5 proxy"):
        await fetch("fetch", url="http://a.example/")
    with_env(fetch, http_proxy="http://127.0.0.1:1")
    with pytest.raises(ToolError, match=r"The proxy does not lead to a\.example"):
        await fetch("fetch", url="http://a.example/")


@pytest.fixture
async def secure() -> AsyncIterator[ByteServer]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(CERTIFICATES / "server.pem")
    async with byte_server(plain("secure"), tls=tls) as server:
        yield server


async def test_https_trusts_the_ca_file_of_the_client(fetch: Caller, secure: ByteServer) -> None:
    with_env(fetch, SSL_CERT_FILE=str(CERTIFICATES / "ca.pem"))
    assert (await fetch("fetch", url=secure.url)).content == "secure"


async def test_https_is_tunnelled_through_a_proxy(fetch: Caller, secure: ByteServer) -> None:
    async with connect_proxy(secure.port) as proxy:
        with_env(
            fetch,
            SSL_CERT_FILE=str(CERTIFICATES / "ca.pem"),
            https_proxy=f"http://127.0.0.1:{proxy.port}",
        )
        # The certificate is for 127.0.0.1, which never goes through a proxy.
        with pytest.raises(ToolError, match="not trusted: Hostname mismatch"):
            await fetch("fetch", url="https://a.example/")
        assert proxy.requests[0].line == "CONNECT a.example:443 HTTP/1.1"


async def test_a_certificate_that_nobody_vouches_for_is_an_error(
    fetch: Caller, secure: ByteServer
) -> None:
    with pytest.raises(ToolError, match="not trusted"):
        await fetch("fetch", url=secure.url)


async def test_a_ca_file_that_is_not_there_is_said(fetch: Caller, secure: ByteServer) -> None:
    with_env(fetch, SSL_CERT_FILE="/nowhere.pem")
    with pytest.raises(ToolError, match="SSL_CERT_FILE"):
        await fetch("fetch", url=secure.url)
