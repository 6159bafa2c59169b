"""What a destination is before anybody connects to it: a strictly read host and port, and what kind of address it has.

A name is ASCII letters, digits and hyphens; whatever a resolver could take for an address in another spelling (decimal,
octal, hexadecimal, IPv6, short forms) is `raw`. An address is judged together with every IPv4 address that is hidden
inside it. The policy and the forward proxy both rest on this one reading.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from bywire.model.errors import EvidenceError
from bywire.model.gateway_egress import EgressRule

OPEN_CONNECTION = "open_connection"
AUTHORITY_CHARS_MAX = 262
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
# The last label decides: no top-level domain is a number (WHATWG URL, 4.3 "ends in a number").
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORT = re.compile(r"[1-9][0-9]{0,4}")

# What clouds answer at, beside their link-local addresses: credentials of the machine for whoever asks.
_METADATA = frozenset(
    map(
        ipaddress.ip_address,
        (
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
        ),
    )
)
METADATA_NAMES = frozenset(
    {"metadata", "metadata.google.internal", "metadata.goog", "instance-data", "metadata.azure.internal"}
)
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
_SHARED = ipaddress.ip_network("100.64.0.0/10")
_ISATAP = (0x00005EFE, 0x02005EFE)

# SSH, Telnet, RDP, VNC; SOCKS, Tor, proxies; VPNs; DNS, which carries anything in its names.
_TUNNEL_PORTS = frozenset(
    (21, 22, 23, 53, 500, 512, 513, 514, 853, 1080, 1194, 1701, 1723, 2022, 2200, 2222, 3128, 3389, 4500, 5900, 5938,
     7844, 8118, 9040, 9050, 9051, 9150, 22022, 22222, 41641, 51820)
)  # fmt: skip
# Services whose only purpose is to reach something else, and SSH on the port of HTTPS.
TUNNEL_HOSTS = (
    "altssh.bitbucket.org", "altssh.gitlab.com", "argotunnel.com", "bore.pub", "cftunnel.com", "devtunnels.ms",
    "expose.dev", "ssh.github.com", "localhost.run", "localtunnel.me", "localxpose.io", "loca.lt", "loclx.io",
    "lhr.life", "lhr.rocks", "ngrok-free.app", "ngrok-free.dev", "ngrok.app", "ngrok.com", "ngrok.dev", "ngrok.io",
    "onion", "pagekite.me", "pinggy.io", "pinggy.link", "pinggy.online", "playit.gg", "serveo.net",
    "serveousercontent.com", "ssh.dev.azure.com", "sshx.io", "tailscale.com", "telebit.cloud", "telebit.io", "tmate.io",
    "trycloudflare.com", "ts.net", "tunnelmole.net", "tunnels.api.visualstudio.com", "vs-ssh.visualstudio.com",
    "webhookrelay.com", "zerotier.com", "zrok.io",
)  # fmt: skip


class AddressClass(StrEnum):
    """What a destination's address is. Later ones are worse: a name with several addresses is its worst one.

    `unresolved`: nobody asked, because nothing lists the name; a question to a name server is a message, too.
    """

    PUBLIC = "public"
    UNRESOLVED = "unresolved"
    PRIVATE = "private"
    LOOPBACK = "loopback"
    RESERVED = "reserved"
    LINK_LOCAL = "link_local"
    METADATA = "metadata"
    RAW = "raw"


_WORSE = list(AddressClass)


class Destination(msgspec.Struct, frozen=True):
    """A host in its one spelling (lower case, no dot at the end) and a port."""

    host: str
    port: int


def parse_authority(text: str) -> Destination:
    """`host:port` as a CONNECT names it (RFC 9112, 3.2.3). Raises EvidenceError `destination_malformed`.

    An address is understood as well, so that asking for one is a refused action and not only a malformed message.
    """
    host, colon, port = text.rpartition(":")
    if len(text) > AUTHORITY_CHARS_MAX or not colon or not _PORT.fullmatch(port) or int(port) > 65_535:
        raise _malformed("a destination is host:port")
    return Destination(parse_host(host), int(port))


def parse_host(text: str) -> str:
    """A host name, or an address in any spelling, in lower case without the dot at its end. Raises EvidenceError."""
    host = text.lower().removesuffix(".")
    if text.startswith("[") and text.endswith("]"):
        try:
            return f"[{ipaddress.IPv6Address(text[1:-1].partition('%')[0])}]"
        except ValueError:
            raise _malformed("that is no IPv6 address") from None
    if not text.isascii() or len(host) > 253 or _NAME.fullmatch(host) is None:
        raise _malformed("a host name is letters, digits, hyphens and dots (an international one in its xn-- form)")
    return host


def is_raw(host: str) -> bool:
    """Whether a host is an address, or what a resolver may read as one, rather than a name."""
    return host.startswith("[") or _NUMBER.fullmatch(host.rpartition(".")[2]) is not None


def is_tunnel_host(host: str) -> bool:
    """Whether a host's purpose is to carry other connections."""
    return any(host == name or host.endswith(f".{name}") for name in TUNNEL_HOSTS)


def is_tunnel_port(port: int) -> bool:
    """Whether a port is for SSH, remote shells, proxies, tunnels or name service."""
    return port in _TUNNEL_PORTS


def address_class(address: str) -> AddressClass:
    """What kind of place an address is; what cannot be read is `reserved`."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return AddressClass.RESERVED
    return max((_class(one) for one in (found, *_inside(found))), key=_WORSE.index)


def worst_class(host: str, addresses: Iterable[str]) -> AddressClass:
    """The worst of a destination's addresses: one good address does not excuse another."""
    if is_raw(host):
        kinds = {address_class(one) for one in (host.strip("[]"), *addresses)}
        return AddressClass.METADATA if AddressClass.METADATA in kinds else AddressClass.RAW
    if host in METADATA_NAMES:
        return AddressClass.METADATA
    return max(map(address_class, addresses), key=_WORSE.index, default=AddressClass.UNRESOLVED)


def facts(
    principal: str, destination: Destination, addresses: Sequence[str], rules: Iterable[EgressRule]
) -> dict[str, Any]:
    """`action.destination` of the policy input. `listed` holds only where a rule allows this class of address."""
    kind = worst_class(destination.host, addresses)
    is_listed = any(
        principal in rule.agents and rule.leads_to(destination.host, destination.port) and _fits(rule, kind)
        for rule in rules
    )
    tunnel = is_tunnel_host(destination.host) or is_tunnel_port(destination.port)
    return {
        "host": destination.host,
        "port": destination.port,
        "address_class": str(kind),
        "tunnel": tunnel,
        "listed": is_listed and not tunnel,
    }


def _fits(rule: EgressRule, kind: AddressClass) -> bool:
    return kind is AddressClass.PUBLIC or (rule.private and kind in {AddressClass.PRIVATE, AddressClass.LOOPBACK})


def _class(found: ipaddress.IPv4Address | ipaddress.IPv6Address) -> AddressClass:
    if found in _METADATA:
        return AddressClass.METADATA
    if getattr(found, "ipv4_mapped", None) is not None or found in _NAT64[0]:
        return AddressClass.PUBLIC  # as good as the address inside, which is judged beside it
    if found.is_link_local:
        return AddressClass.LINK_LOCAL
    if found.is_unspecified or found.is_multicast or (found.version == 4 and found.is_reserved):
        return AddressClass.RESERVED
    if found.is_loopback:
        return AddressClass.LOOPBACK
    if found.is_private or (found.version == 4 and found in _SHARED) or getattr(found, "is_site_local", False):
        return AddressClass.PRIVATE
    return AddressClass.RESERVED if found.is_reserved or not found.is_global else AddressClass.PUBLIC


def _inside(found: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Iterable[ipaddress.IPv4Address]:
    """Every IPv4 address that an IPv6 address may be translated to: mapped, compatible, 6to4, Teredo, NAT64, ISATAP."""
    if not isinstance(found, ipaddress.IPv6Address):
        return
    low = int(found) & 0xFFFF_FFFF
    if found.ipv4_mapped is not None:
        yield found.ipv4_mapped
    if found.sixtofour is not None:
        yield found.sixtofour
    if found.teredo is not None:
        yield from found.teredo
    is_compatible = int(found) >> 32 == 0
    if is_compatible or any(found in network for network in _NAT64) or int(found) >> 32 & 0xFFFF_FFFF in _ISATAP:
        yield ipaddress.IPv4Address(low)


def _malformed(why: str) -> EvidenceError:
    return EvidenceError(why, code="destination_malformed", next_step="connect to a host name and a port")
