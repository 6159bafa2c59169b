"""The tables of destinations that nobody may reach by mistake, and the one tool that opens a connection, in full."""

import pytest

from bywire.gateway.contract import Catalogue, ContractError, Idempotency, Reversibility
from bywire.gateway.destination import (
    AUTHORITY_CHARS_MAX,
    METADATA_NAMES,
    OPEN_CONNECTION,
    TUNNEL_HOSTS,
    AddressClass,
    address_class,
    is_tunnel_host,
    is_tunnel_port,
    worst_class,
)
from bywire.gateway.egress_contracts import EGRESS, EGRESS_CONTRACTS

TUNNELS = [
    "altssh.bitbucket.org",
    "altssh.gitlab.com",
    "argotunnel.com",
    "bore.pub",
    "cftunnel.com",
    "devtunnels.ms",
    "expose.dev",
    "lhr.life",
    "lhr.rocks",
    "loca.lt",
    "localhost.run",
    "localtunnel.me",
    "localxpose.io",
    "loclx.io",
    "ngrok-free.app",
    "ngrok-free.dev",
    "ngrok.app",
    "ngrok.com",
    "ngrok.dev",
    "ngrok.io",
    "onion",
    "pagekite.me",
    "pinggy.io",
    "pinggy.link",
    "pinggy.online",
    "playit.gg",
    "serveo.net",
    "serveousercontent.com",
    "ssh.dev.azure.com",
    "ssh.github.com",
    "sshx.io",
    "tailscale.com",
    "telebit.cloud",
    "telebit.io",
    "tmate.io",
    "trycloudflare.com",
    "ts.net",
    "tunnelmole.net",
    "tunnels.api.visualstudio.com",
    "vs-ssh.visualstudio.com",
    "webhookrelay.com",
    "zerotier.com",
    "zrok.io",
]
# By what listens there: remote shells and files, name service, key exchange and VPNs, proxies, remote screens, Tor.
PORTS = {
    *(21, 22, 23, 512, 513, 514, 2022, 2200, 2222, 22022, 22222),
    *(53, 853),
    *(500, 1194, 1701, 1723, 4500, 41641, 51820),
    *(1080, 3128, 7844, 8118),
    *(3389, 5900, 5938),
    *(9040, 9050, 9051, 9150),
}
METADATA = [
    "169.254.169.254",
    "169.254.169.253",
    "169.254.169.249",
    "169.254.170.2",
    "169.254.170.23",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
]


def test_every_service_that_carries_other_connections_is_a_tunnel():
    assert sorted(TUNNEL_HOSTS) == sorted(TUNNELS)
    for host in TUNNELS:
        assert (is_tunnel_host(host), is_tunnel_host(f"a.{host}"), is_tunnel_host(f"a{host}")) == (True, True, False)


def test_every_port_that_carries_other_connections_is_a_tunnels():
    assert {port for port in range(65_536) if is_tunnel_port(port)} == PORTS


@pytest.mark.parametrize("address", METADATA)
def test_rule_23_what_gives_out_a_machines_credentials_is_metadata(address):
    assert address_class(address) is AddressClass.METADATA


def test_rule_23_what_gives_out_a_machines_credentials_has_names():
    names = {"metadata", "metadata.google.internal", "metadata.goog", "instance-data", "metadata.azure.internal"}
    assert names == METADATA_NAMES
    assert {worst_class(name, ["93.184.215.14"]) for name in names} == {AddressClass.METADATA}
    assert worst_class("metadata.example", ["93.184.215.14"]) is AddressClass.PUBLIC


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("2606:4700::5efe:0a00:1", "private"),
        ("2606:4700::200:5efe:0a00:1", "private"),
        ("2606:4700::5eff:0a00:1", "public"),
        ("2606:4700::200:5eff:0a00:1", "public"),
        ("2606:4700::5efe:a9fe:a9fe", "metadata"),
    ],
)
def test_rule_23_an_address_inside_an_isatap_address_is_judged(address, found):
    assert str(address_class(address)) == found


def test_the_words_of_the_policy_input_are_stable_from_good_to_bad():
    words = ["public", "unresolved", "private", "loopback", "reserved", "link_local", "metadata", "raw"]
    assert [str(one) for one in AddressClass] == words
    assert AUTHORITY_CHARS_MAX == 262


def test_the_tool_that_opens_a_connection():
    (tool,) = EGRESS_CONTRACTS
    assert (OPEN_CONNECTION, EGRESS) == ("open_connection", "egress")
    assert (tool.name, tool.category, tool.executor) == ("open_connection", "egress", "egress")
    assert (tool.read, tool.untrusted_output, tool.tells_others_words) == (True, True, True)
    assert (tool.idempotency, tool.reversibility) == (Idempotency.NONE, Reversibility.REVERSIBLE)
    assert tool.undo == "none needed"
    assert tool.expected == "a connection through the forward proxy, counted and bounded"


def fits(values):
    catalogue = Catalogue(EGRESS_CONTRACTS)
    try:
        catalogue.check(catalogue.find(OPEN_CONNECTION), values)
    except ContractError:
        return False
    return True


@pytest.mark.parametrize(
    ("values", "fit"),
    [
        ({"host": "a", "port": 1}, True),
        ({"host": "a" * 255, "port": 65_535}, True),
        ({"host": "", "port": 1}, False),
        ({"host": "a" * 256, "port": 1}, False),
        ({"host": 5, "port": 1}, False),
        ({"host": "a", "port": 0}, False),
        ({"host": "a", "port": 65_536}, False),
        ({"host": "a", "port": "1"}, False),
        ({"host": "a", "port": 1.5}, False),
        ({"host": "a"}, False),
        ({"port": 1}, False),
        ({"host": "a", "port": 1, "via": "b"}, False),
    ],
)
def test_a_connection_names_a_host_and_a_port_and_nothing_else(values, fit):
    assert fits(values) is fit
