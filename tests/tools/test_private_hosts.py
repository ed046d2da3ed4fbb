import gc
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crush.tools.private_hosts import PrivateHosts, is_private_host, is_public
from crush.tools.target_path import CallArgs
from crush.tools.web_url import parse_url


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "1.1.1.1",
        "2606:4700::1111",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2002:808:808::1",
    ],
)
def test_public_addresses(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104 - judged, not bound to
        *("127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.0.1", "192.168.1.1"),
        *("169.254.169.254", "100.64.0.1", "192.0.0.1", "198.18.0.1", "224.0.0.1", "240.0.0.1"),
        *("255.255.255.255", "192.0.2.1"),
        *("::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "::ffff:0:127.0.0.1"),
        *("64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::808:808", "2002:7f00:1::", "2001::1"),
    ],
)
def test_addresses_that_are_not_everybodys(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@given(st.ip_addresses(v=4))
def test_an_address_inside_another_is_what_counts(inner: ipaddress.IPv4Address) -> None:
    number = int(inner)
    mapped = ipaddress.IPv6Address((0xFFFF << 32) | number)
    nat64 = ipaddress.IPv6Address((0x64FF9B << 96) | number)
    six_to_four = ipaddress.IPv6Address((0x2002 << 112) | (number << 80) | 1)
    assert is_public(mapped) == is_public(nat64) == is_public(six_to_four) == is_public(inner)


def test_a_url_may_say_itself_that_it_is_private() -> None:
    private = ("http://localhost:1/", "http://a.localhost/", "http://[::1]/", "http://10.1.2.3/")
    assert all(is_private_host(parse_url(url)) for url in private)
    assert not is_private_host(parse_url("http://localhost.example/"))
    assert not is_private_host(parse_url("http://8.8.8.8/"))


def test_a_call_reaches_what_is_public_and_what_its_needs_named() -> None:
    hosts = PrivateHosts()
    call = CallArgs()
    hosts.name(call, parse_url("http://10.1.2.3/"))
    reach = hosts.reach(call)
    assert reach.admits("10.1.2.3")
    assert reach.admits("8.8.8.8")
    assert not reach.admits("10.1.2.4")
    assert not reach.admits("no address")
    assert not reach.admits("fe80::1%eth0")
    assert reach.refused == ["10.1.2.4", "fe80::1"]


def test_localhost_is_loopback_and_nothing_else() -> None:
    hosts = PrivateHosts()
    call = CallArgs()
    hosts.name(call, parse_url("http://localhost:3000/"))
    reach = hosts.reach(call)
    assert reach.admits("127.0.0.1")
    assert reach.admits("::1")
    assert not reach.admits("10.0.0.1")


def test_a_call_that_nobody_asked_about_reaches_nothing_private() -> None:
    assert not PrivateHosts().reach(CallArgs()).admits("127.0.0.1")


def test_what_one_call_named_is_not_another_ones() -> None:
    hosts = PrivateHosts()
    asked, other = CallArgs(), CallArgs()
    hosts.name(asked, parse_url("http://10.1.2.3/"))
    hosts.name(other, parse_url("https://example.com/"))
    assert not hosts.reach(other).admits("10.1.2.3")


def test_where_a_name_led_is_named_by_the_next_call_only() -> None:
    hosts = PrivateHosts()
    url = parse_url("https://git.example/")
    first, second = CallArgs(), CallArgs()
    assert hosts.name(first, url) is None
    assert "10.0.0.5" in hosts.refuse(url.host, ["10.0.0.5", "10.0.0.6"]).message
    assert not hosts.reach(first).admits("10.0.0.5")
    assert hosts.name(second, url) == "10.0.0.5"
    assert hosts.reach(second).admits("10.0.0.5")
    assert not hosts.reach(second).admits("10.0.0.6")


def test_a_name_that_became_public_is_no_longer_asked_about() -> None:
    hosts = PrivateHosts()
    url = parse_url("https://git.example/")
    hosts.refuse(url.host, ["10.0.0.5"])
    reach = hosts.reach(CallArgs())
    assert reach.admits("8.8.8.8")
    assert not reach.used_named
    hosts.forget(url.host)
    assert hosts.name(CallArgs(), url) is None


def test_memory_is_bounded() -> None:
    hosts = PrivateHosts()
    for number in range(1000):
        hosts.refuse(f"h{number}.example", ["10.0.0.1"])
        hosts.name(CallArgs(), parse_url("https://h.example/"))
    gc.collect()
    assert len(hosts._learnt) == 256
    assert not hosts._named
