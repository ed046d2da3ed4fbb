import pytest
from hypothesis import given
from hypothesis import strategies as st

from crush.errors import ToolError
from crush.tools.web_url import parse_url, redirect_target


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("https://example.com", "https://example.com/"),
        (" HTTP://EXAMPLE.com:80/a?b=c#d ", "http://example.com/a?b=c"),
        ("https://example.com:443/", "https://example.com/"),
        ("https://example.com:8443/", "https://example.com:8443/"),
        ("https://example.com./", "https://example.com/"),
        ("http://LOCALHOST./", "http://localhost/"),
        ("https://bücher.example/ä?ö", "https://xn--bcher-kva.example/%C3%A4?%C3%B6"),
        ("https://example。com/", "https://example.com/"),
        ("http://[::1]:3000/x", "http://[::1]:3000/x"),
        ("http://[::FFFF:127.0.0.1]/", "http://[::ffff:7f00:1]/"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/"),
        ("http://\uff11\uff12\uff17.0.0.\uff11/", "http://127.0.0.1/"),
        ("https://a.b/%2e%2E/x%20y", "https://a.b/%2e%2E/x%20y"),
    ],
)
def test_one_form_stands_for_all_spellings(text: str, meant: str) -> None:
    assert str(parse_url(text)) == meant


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "https://"),
        ("example.com", "https://"),
        ("//example.com/", "https://"),
        ("file:///etc/passwd", "'file'"),
        ("ftp://example.com/", "'ftp'"),
        ("javascript:alert(1)", "'javascript'"),
        ("https://", "not a host name"),
        ("https:///path", "not a host name"),
        ("https://user@example.com/", "user name"),
        ("https://a.com:80@b.com/", "not a URL|user name"),
        ("https://user:word@example.com/", "user name"),
        ("https://example.com\\@evil.example/", "backslash"),
        ("https://exa mple.com/", "blank"),
        ("https://example.com/a\nb", "control"),
        ("https://example.com/\ud800", "control"),
        ("https://example.com:0/", "Port 0"),
        ("https://example.com:99999/", "not a URL"),
        ("https://example.com:x/", "not a URL"),
        ("https://example..com/", "not a host name"),
        ("https://example.com../", "not a host name"),
        ("https://-a.com/", "not a host name"),
        ("https://%31.example/", "not a host name"),
        ("https://[::1/", "not a URL"),
        ("https://[fe80::1%25eth0]/", "zone|not a URL|not an IPv6"),
        ("https://[1.2.3.4]/", "not a"),
        ("https://straße.example/", "xn--"),
        ("http://2130706433/", "four decimal"),
        ("http://0x7f000001/", "four decimal"),
        ("http://0x7f.0.0.1/", "four decimal"),
        ("http://0177.0.0.1/", "four decimal"),
        ("http://127.1/", "four decimal"),
        ("http://127.0.0.1.5/", "four decimal"),
        ("http://1.2.3.0x/", "four decimal"),
        ("https://example.com/" + "a" * 8000, "longer"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(text: str, why: str) -> None:
    with pytest.raises(ToolError, match=why):
        parse_url(text)


@given(st.text(max_size=60), st.sampled_from(["http://", "https://", "https://a.b", ""]))
def test_any_text_is_an_error_or_a_form_that_means_itself(text: str, start: str) -> None:
    try:
        url = parse_url(start + text)
    except ToolError:
        return
    assert parse_url(str(url)) == url
    assert str(url).isascii()
    assert url.host == url.host.lower().rstrip(".")


@pytest.mark.parametrize(
    ("start", "location", "target"),
    [
        ("https://a.com/x", "/y?z", "https://a.com/y?z"),
        ("https://a.com/x/", "y", "https://a.com/x/y"),
        ("https://a.com/", "https://www.a.com/", "https://www.a.com/"),
        ("https://www.a.com/", "//a.com/b", "https://a.com/b"),
        ("http://a.com/", "https://a.com/", "https://a.com/"),
        ("http://a.com/", "https://www.a.com/", "https://www.a.com/"),
        ("http://a.com:8000/", "http://a.com:8000/b", "http://a.com:8000/b"),
        ("https://a.com/", "/b c/ä", "https://a.com/b%20c/%C3%A4"),
        ("https://a.com/", "/\udce4", "https://a.com/%E4"),
    ],
)
def test_a_redirect_within_what_was_permitted_is_followed(
    start: str, location: str, target: str
) -> None:
    assert str(redirect_target(parse_url(start), location)) == target


@pytest.mark.parametrize(
    ("start", "location", "why"),
    [
        ("https://a.com/", "https://b.com/", "another host.*https://b.com/"),
        ("https://a.com/", "//a.com.evil.example/", "another host"),
        ("https://a.com/", "https://login.a.com/", "another host"),
        ("https://a.com/", "http://a.com/", "https to http"),
        ("https://a.com/", "https://a.com:8443/", "another host"),
        ("http://localhost:3000/", "http://localhost:6379/", "another host"),
        ("http://a.com:8000/", "https://a.com/", "another host"),
        ("https://a.com/", "file:///etc/passwd", "'file'"),
        ("https://a.com/", "https://x@a.com/", "user name"),
        ("https://a.com/", "http://169.254.169.254/", "https to http"),
        ("http://a.com/", "http://169.254.169.254/", "another host"),
        ("https://a.com/", "https://[::1", "what is not a URL"),
    ],
)
def test_any_other_redirect_is_named_and_not_followed(start: str, location: str, why: str) -> None:
    with pytest.raises(ToolError, match=why):
        redirect_target(parse_url(start), location)
