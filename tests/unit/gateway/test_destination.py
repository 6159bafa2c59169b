"""Destinations before anybody connects: one reading of a host, every address judged, and who may go where."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bywire.gateway.destination import (
    AUTHORITY_CHARS_MAX,
    AddressClass,
    Destination,
    address_class,
    facts,
    is_raw,
    is_tunnel_host,
    parse_authority,
    parse_host,
    worst_class,
)
from bywire.model.errors import EvidenceError
from bywire.model.gateway_egress import EgressRule

AGENT = "agent:deploy"
WORST = list(AddressClass)


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("93.184.215.14", "public"),
        ("2606:4700::1111", "public"),
        ("::ffff:93.184.215.14", "public"),
        ("64:ff9b::5db8:d70e", "public"),
        ("10.0.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.168.0.1", "private"),
        ("100.127.255.255", "private"),
        ("fc00::1", "private"),
        ("fec0::1", "private"),
        ("::ffff:10.0.0.1", "private"),
        ("64:ff9b::a00:1", "private"),
        ("127.255.255.255", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("64:ff9b::7f00:1", "loopback"),
        ("2002:7f00:1::", "loopback"),
        ("2606:4700::5efe:7f00:1", "loopback"),
        ("0.0.0.0", "reserved"),
        ("::", "reserved"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "reserved"),
        ("224.0.0.251", "reserved"),
        ("ff02::1", "reserved"),
        ("64:ff9b:1::1", "reserved"),
        ("::7f00:1", "reserved"),
        ("169.254.0.1", "link_local"),
        ("fe80::1", "link_local"),
        ("fe80::1%eth0", "link_local"),
        ("::ffff:169.254.0.1", "link_local"),
        ("169.254.169.254", "metadata"),
        ("169.254.170.2", "metadata"),
        ("100.100.100.200", "metadata"),
        ("168.63.129.16", "metadata"),
        ("192.0.0.192", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("fd00:ec2::254%eth0", "metadata"),
        ("64:ff9b::a9fe:a9fe", "metadata"),
        ("::169.254.169.254", "metadata"),
        ("::1:169.254.169.254", "reserved"),
        ("2001:0:a9fe:a9fe::", "metadata"),
        ("2001:0:102:304::5601:5601", "metadata"),
        ("2001:0:102:304::80ff:fffe", "loopback"),
        ("2002:a9fe:a9fe::1", "metadata"),
        ("", "reserved"),
        ("1.2.3", "reserved"),
        ("api.example.com", "reserved"),
    ],
)
def test_what_an_address_is(address, found):
    assert address_class(address) == found


@given(st.ip_addresses())
def test_only_what_the_registry_calls_global_is_public(found):
    if address_class(str(found)) is AddressClass.PUBLIC:
        inner = getattr(found, "ipv4_mapped", None)
        translated = ipaddress.ip_address(int(found) & 0xFFFFFFFF) if str(found).startswith("64:ff9b::") else None
        assert (inner or translated or found).is_global


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_no_better_inside_an_ipv6_address(found):
    packed = int(found)
    for outer in (f"::ffff:{found}", str(ipaddress.IPv6Address((0x0064FF9B << 96) | packed))):
        assert WORST.index(address_class(outer)) >= WORST.index(address_class(str(found)))


@given(st.lists(st.ip_addresses().map(str), min_size=1, max_size=4))
def test_a_name_is_its_worst_address(addresses):
    found = worst_class("api.example.com", addresses)
    assert WORST.index(found) == max(WORST.index(address_class(one)) for one in addresses)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "1", "0x7f000001", "0X7F.1", "017700000001", "1.2.3.4.5", "a.0x", "x.1", "[::1]", "[::]"],
)
def test_an_address_in_any_spelling_is_raw(host):
    parsed = parse_host(host)
    assert is_raw(parsed)
    assert worst_class(parsed, ["93.184.215.14"]) is AddressClass.RAW


@pytest.mark.parametrize("host", ["169.254.169.254", "[fd00:ec2::254]"])
def test_the_metadata_address_is_that_before_it_is_a_raw_one(host):
    assert worst_class(parse_host(host), []) is AddressClass.METADATA


@pytest.mark.parametrize(
    "host", ["api.example.com", "localhost", "1.example", "0x.example", "a1", "xn--e1afmkfd.example"]
)
def test_a_name_is_not(host):
    assert parse_host(host) == host
    assert not is_raw(host)


def test_a_host_has_one_spelling():
    assert parse_host("API.Example.COM.") == "api.example.com"
    assert parse_host("[0:0:0:0:0:0:0:1]") == "[::1]"
    assert parse_host("[FE80::1%eth0]") == "[fe80::1]"


def test_a_host_and_an_authority_are_as_long_as_they_may_be():
    longest = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
    assert (len(longest), parse_host(longest), parse_host(f"{longest}.")) == (253, longest, longest)
    zone = "z" * (AUTHORITY_CHARS_MAX - len("[::1%]:443"))
    assert parse_authority(f"[::1%{zone}]:443") == Destination("[::1]", 443)
    for beyond in (f"[::1%{zone}z]:443", f"{longest}e:443"):
        with pytest.raises(EvidenceError):
            parse_authority(beyond)
    with pytest.raises(EvidenceError):
        parse_host(f"{longest}e")


def test_a_refusal_says_what_a_host_would_be():
    with pytest.raises(EvidenceError, match="no IPv6 address") as caught:
        parse_host("[x]")
    assert caught.value.code == "destination_malformed"
    with pytest.raises(EvidenceError, match="host:port") as caught:
        parse_authority("example.com")
    assert (caught.value.code, caught.value.next_step) == ("destination_malformed", "connect to a host name and a port")


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a..b",
        "-a",
        "a-",
        "a_b",
        "a b",
        "a%2eb",
        "a/b",
        "a\\b",
        "a@b",
        "a:b",
        "[::1",
        "::1",
        "[x]",
        "[::1]x",
        "\u0430pi",
        "a\u3002b",
        "\u2488",
        "a" * 64,
        ".".join(["a" * 50] * 6),
        "a\0",
        "a\n",
        "a..",
    ],
)
def test_what_is_no_host_is_refused(text):
    with pytest.raises(EvidenceError):
        parse_host(text)


@pytest.mark.parametrize(
    "text", ["a", "a:", "a:0", "a:65536", "a:01", "a:-1", "a: 1", "a:1 ", "a:\u0661", ":1", "a:1:2", "a:1e2"]
)
def test_what_is_no_authority_is_refused(text):
    with pytest.raises(EvidenceError):
        parse_authority(text)
    assert parse_authority("a:65535") == Destination("a", 65_535)


def listed(rule, host, port=443, addresses=("93.184.215.14",), principal=AGENT):
    return facts(principal, Destination(host, port), addresses, [rule])["listed"]


def test_a_wildcard_is_one_label_at_the_left():
    rule = EgressRule((AGENT,), "*.example.com", (443,))
    assert listed(rule, "api.example.com")
    for host in (
        "example.com",
        "a.b.example.com",
        "example.com.evil.example",
        "xexample.com",
        ".example.com",
    ):
        assert not listed(rule, host), host


def test_what_the_policy_is_told_of_a_destination():
    other = EgressRule(("agent:other",), "api.example.com", (443,))
    rule = EgressRule((AGENT,), "*.example.com", (22, 443))
    rules, addresses = [other, rule], ["93.184.215.14"]
    told = {"host": "api.example.com", "port": 443, "address_class": "public", "tunnel": False, "listed": True}
    assert facts(AGENT, Destination("api.example.com", 443), addresses, rules) == told
    unlisted = {**told, "listed": False}
    assert facts(AGENT, Destination("api.example.com", 443), addresses, [other]) == unlisted
    shell = {**unlisted, "port": 22, "tunnel": True}
    assert facts(AGENT, Destination("api.example.com", 22), addresses, rules) == shell
    unresolved = {**unlisted, "address_class": "unresolved"}
    assert facts(AGENT, Destination("api.example.com", 443), [], rules) == unresolved


def test_agent_port_and_kind_of_address_must_all_fit():
    rule = EgressRule((AGENT,), "api.example.com", (443,))
    assert listed(rule, "api.example.com")
    assert not listed(rule, "api.example.com", principal="agent:other")
    assert not listed(rule, "api.example.com", port=8443)
    assert not listed(rule, "api.example.com", addresses=())
    private = EgressRule((AGENT,), "api.example.com", (443,), private=True)
    for address, fits in [
        ("10.0.0.1", True),
        ("127.0.0.1", True),
        ("169.254.0.1", False),
        ("0.0.0.0", False),
        ("8.8.8.8", True),
    ]:
        assert listed(private, "api.example.com", addresses=(address,)) is fits
        assert listed(rule, "api.example.com", addresses=(address,)) is (address == "8.8.8.8")


@pytest.mark.parametrize("host", ["x.ngrok.io", "ngrok.io", "ssh.github.com", "a.b.trycloudflare.com", "x.onion"])
def test_a_wildcard_opens_no_tunnel(host):
    assert is_tunnel_host(host)
    assert not listed(EgressRule((AGENT,), f"*.{host.partition('.')[2]}", (443,)), host)
    assert not is_tunnel_host(f"{host}.example")


def test_metadata_names_are_metadata_whatever_they_resolve_to():
    assert worst_class("metadata.google.internal", ["93.184.215.14"]) is AddressClass.METADATA
