"""Places: paths that leave where they belong, and hosts that a parameter would have somebody connect to.

Addresses are read the way careless programs read them (decimal, octal, hexadecimal, shortened, inside IPv6), because
that is how they are hidden. No name is resolved.
"""

import ipaddress
import re
from collections.abc import Iterator

from bywire.gateway.destination import (
    METADATA_NAMES,
    TUNNEL_HOSTS,
    AddressClass,
    address_class,
    is_tunnel_host,
    is_tunnel_port,
)
from bywire.gateway.sensitive_pattern import Pattern, either

TRAVERSAL, ABSOLUTE, SYSTEM_PATH, NUL = "path_traversal", "absolute_path", "system_path", "nul_byte"
SSH, TUNNEL, RAW_IP, METADATA, LOOPBACK, REBINDING, COLLECTOR, AMBIGUOUS = (
    "ssh_destination",
    "tunnel",
    "raw_ip",
    "metadata_address",
    "loopback",
    "rebinding_host",
    "collector_host",
    "ambiguous_host",
)
_KINDS = {
    AddressClass.METADATA: METADATA,
    AddressClass.LINK_LOCAL: METADATA,
    AddressClass.LOOPBACK: LOOPBACK,
}
_SYSTEM_PATH = (
    r"/etc/(?:passwd|g?shadow|sudoers|ssh|kubernetes)|/proc/(?:self|[0-9]{1,8})/|/root/|\.ssh/(?:id_|authorized_keys|config)"
    r"|/var/run/(?:secrets|docker\.sock)|/run/(?:secrets|docker\.sock|containerd)|\.aws/credentials|\.kube/config|\.docker/config"
    r"|\.gnupg/|\.config/(?:gcloud|gh/hosts\.yml)|\.azure/|\.vault-token|\.pgpass"
    r"|\.git-credentials|\.netrc|\.npmrc|\.pypirc|/dev/(?:tcp|udp|mem|sd[a-z])|(?i:c:\\windows\\system32)"
)
_TRAVERSAL = r"(?m:(?:^|[^.A-Za-z0-9_])\.{2,4}[\\/;]|[\\/]\.\.(?:$|[\x00\"'\s?#])|^\.\.$)"
_OVERLONG = r"(?i:%c0%a[ef]|%e0%80%a[ef]|%c1%9c|%u(?:ff0e|2215|2216|002e|002f))"
_TUNNELS = (
    r"\b(?:ngrok|cloudflared|localtunnel|frpc|pagekite|telebit|ligolo|stunnel|sshuttle|ptunnel|chisel\s(?:client|server))\b"
    r"|(?m:^|[\s\"'])-[fgnNTvqC]{0,8}[RL][ =]?(?:[A-Za-z0-9.\[\]*-]{0,64}:)?[0-9]{1,5}"
    r":[A-Za-z0-9.\[\]:-]{1,255}:[0-9]{1,5}\b"
    r"|\bssh\b.{0,200}\s-[fgnNTvqC]{0,8}[RLDW]\s?[0-9A-Za-z.:]"
    r"|\b(?:RemoteForward|LocalForward|DynamicForward|ProxyCommand|ProxyJump)\b|\btailscale\s+funnel\b"
    r"|\bsocat\s.{0,80}(?i:tcp|exec|openssl)|\bnc(?:at)?\s.{0,40}-[a-z]*[ec]\b|/dev/(?:tcp|udp)/"
)
_COLLECTORS = (
    r"\b(?:webhook\.site|requestbin\.(?:com|net)|pipedream\.net|requestcatcher\.com|beeceptor\.com|hookbin\.com|burpcollaborator\.net"
    r"|interact\.sh|oast\.(?:pro|live|site|online|fun|me|com)|oastify\.com|canarytokens\.(?:com|org)|dnslog\.cn|ceye\.io|transfer\.sh"
    r"|file\.io|paste\.rs|pastebin\.com|termbin\.com|ix\.io|0x0\.st|temp\.sh|bashupload\.com)\b"
)
_REBINDING = r"\b(?:nip\.io|sslip\.io|xip\.io|lvh\.me|localtest\.me|rbndr\.us|1u\.ms|vcap\.me|traefik\.me)\b"
_SSH_URL = r"(?i:\b(?:ssh|sftp|scp|git\+ssh|ssh\+git|svn\+ssh|rsync|telnet)://)"
# `name@sha256:…` is an image; a login at a host without a domain is told by its path or by the login's name.
_SCP = (
    r"[A-Za-z0-9_]@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z0-9-]{1,63}:[A-Za-z0-9/~._]|[A-Za-z0-9_]@[A-Za-z0-9-]{1,63}:[/~.]"
    r"|\b(?:root|admin|ubuntu|ec2-user|deploy|centos|debian|git|ansible|user)@[A-Za-z0-9-]{1,63}:[A-Za-z0-9_]"
)
_SSH_COMMAND = r"\b(?:ssh|scp|sftp|autossh|mosh)\s{1,4}[^\s]"
_URL_HOST = re.compile(
    r"(?i)\b[a-z][a-z0-9+.-]{1,15}:[\\/]{2,4}(?:[^\s/@\"'<>]{0,256}@)?(\[[0-9a-f:.%]+\]|[^\s/:?#\"'<>\\,;)]+)"
)
_IPV4 = r"(?:^|[^0-9A-Za-z._-])(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])(?:\.(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])){3}"
_BARE = re.compile(r"(?<![0-9A-Za-z._-])([0-9]{1,3}(?:\.[0-9]{1,3}){3})(?![0-9A-Za-z_-]|\.[0-9])(?!/[0-9]{1,2}\b)")
_IPV6 = re.compile(
    r"(?<![0-9A-Za-z:.])\[?((?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9A-Fa-f]{0,4}|[0-9]{1,3}(?:\.[0-9]{1,3}){3}))\]?(?!\.?[0-9A-Za-z:])"
)
_WHOLE_HOST = re.compile(r"\s*(\[[0-9A-Fa-f:.%]+\]|[0-9A-Fa-f:]{2,45}|[A-Za-z0-9._-]{1,255})(?::[0-9]{1,5})?\s*\Z")
# Somebody at a host, or a host with a port: what a parameter that means a host should hold the host of alone.
_ENDPOINT = re.compile(r"\s*(?:([^\s@/]{1,64})@)?(?:\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]{1,255})(?::([0-9]{1,5}))?\s*\Z")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
# A host is over at the first of these, for some programs; others look for the last '@'.
_HOST_END = re.compile(r"[/?#@\s\x00-\x1f\x7f]")
# A scheme without both of its slashes, or a host that is empty.
_NO_AUTHORITY = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?/")
_NUMBER = re.compile(r"0[xX][0-9A-Fa-f]{1,16}\Z|[0-9]{1,16}\Z")
CALLS_FOR_A_LOOK = (
    r"\x00",
    _TRAVERSAL, _OVERLONG, _SYSTEM_PATH, _TUNNELS, _COLLECTORS, _REBINDING, _SSH_URL, _SCP, _SSH_COMMAND, _IPV4,
    r"(?i:[a-z][a-z0-9+.-]{1,15}:[\\/]{2,4}(?:[^\s/@]{0,256}@)?(?:\[|0|[1-9][0-9.xa-f]{0,20}(?:[\s/:?#]|(?m:$))|metadata|instance-data|localhost))",
    rf"(?i:{'|'.join(re.escape(name) for name in TUNNEL_HOSTS)})(?m:$|[^A-Za-z0-9.-])",
    r"(?i:metadata\.google\.internal|::ffff:|fd00:ec2|\blocalhost\b)|(?m:^)\[?[0-9A-Fa-f:]*::",
)  # fmt: skip
_NAMED = tuple(
    (kind, Pattern(expression), certain)
    for kind, expression, certain in (
        (TUNNEL, _TUNNELS, True),
        (COLLECTOR, _COLLECTORS, True),
        (REBINDING, _REBINDING, True),
        (SSH, either((_SSH_URL, _SSH_COMMAND)), True),
    )
)
_LEAVING = Pattern(_TRAVERSAL)
_FAR = Pattern(r"(?:\.\.[\\/]){2}")
_LEAVING_ENCODED = Pattern(_OVERLONG)
_OF_THE_SYSTEM = Pattern(_SYSTEM_PATH)
_COPY = re.compile(rf"[A-Za-z0-9._-]{{0,63}}(?:{_SCP})")
_ROOTED = re.compile(r"\s*(?:/|~|[A-Za-z]:[\\/]|\\|file:)")


def paths(text: bytes, *, relative: bool) -> Iterator[tuple[str, bool]]:
    """(kind, certain) of what leads elsewhere; `relative`: the parameter means a path below its tool's own place."""
    alone = relative or b" " not in text.strip()
    if _LEAVING_ENCODED.found(text):
        yield TRAVERSAL, True
    elif _LEAVING.found(text) and (alone or _FAR.found(text)):
        # In prose one step up is a link beside it, two are worth a look.
        yield TRAVERSAL, alone
    if alone and _OF_THE_SYSTEM.found(text):
        yield SYSTEM_PATH, True
    if b"\x00" in text:
        yield NUL, True
    if relative and _ROOTED.match(text.decode("utf-8", "replace")):
        yield ABSOLUTE, True


def destinations(text: bytes, *, is_host: bool) -> Iterator[tuple[str, bool]]:
    """(kind, certain) of whom `text` would have somebody connect to; `is_host`: the parameter means a host."""
    for kind, form, certain in _NAMED:
        if form.found(text):
            yield kind, certain
    drawn = text.decode("utf-8", "replace")
    copies = [match.group() for match in _COPY.finditer(drawn)]
    if copies:
        # A repository of a forge is an SSH destination as well; which ones are allowed is the policy's business.
        yield SSH, not all(copy.startswith("git@") for copy in copies)
    for match in _URL_HOST.finditer(drawn):
        yield from _host(match.group(1), certain=True)
    if is_host and _ambiguous(drawn.strip()):
        yield AMBIGUOUS, True
    endpoint = _ENDPOINT.match(drawn) if is_host else None
    if endpoint is not None and (endpoint.group(1) or is_tunnel_port(int(endpoint.group(2) or 0))):
        yield SSH, True
    whole = _WHOLE_HOST.match(drawn) if is_host or len(text) <= 255 else None
    if whole is not None:
        yield from _host(whole.group(1), certain=is_host, bare=not is_host)
    for pattern in (_BARE, _IPV6):
        for match in pattern.finditer(drawn):
            yield from _host(match.group(1), certain=False, bare=True)


def _ambiguous(text: str) -> bool:
    """Whether programs differ in which host this leads to."""
    scheme, is_url, after = text.partition("://")
    place = after if is_url and _SCHEME.fullmatch(scheme) else text
    before_last_at = place.rpartition("@")[0]
    return "\\" in text or _NO_AUTHORITY.match(place) is not None or _HOST_END.search(before_last_at) is not None


def _host(host: str, *, certain: bool, bare: bool = False) -> Iterator[tuple[str, bool]]:
    """`bare`: nothing says that it is a host, so a single number or a short dotted one is none."""
    name = host.strip("[]").rstrip(".").split("%")[0].lower()
    if name in METADATA_NAMES and not (bare and "." not in name):
        yield METADATA, True
    if is_tunnel_host(name) and "." in name:
        yield TUNNEL, True
    if name == "localhost" or name.endswith(".localhost"):
        yield LOOPBACK, certain
    address = address_of(name, loose=not bare)
    if address is not None:
        kind = _KINDS.get(address_class(address), RAW_IP)
        yield kind, certain or kind == METADATA


def address_of(name: str, *, loose: bool = True) -> str | None:
    """The address that a program would take `name` for, in its one spelling. None: it is a name.

    `loose` reads IPv4 as inet_aton does: one to four parts, each decimal, octal or hexadecimal; the last fills up.
    """
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return _loose(name) if loose else None


def _loose(name: str) -> str | None:
    parts = name.split(".")
    if not 1 <= len(parts) <= 4 or not all(map(_NUMBER.match, parts)):
        return None
    try:
        values = [
            int(part, 16) if part[:2] in ("0x", "0X") else int(part, 8) if part[0] == "0" else int(part)
            for part in parts
        ]
    except ValueError:
        return None
    *leading, last = values
    if any(value > 255 for value in leading) or last >= 256 ** (4 - len(leading)):
        return None
    total = sum(value << (24 - 8 * index) for index, value in enumerate(leading)) + last
    return str(ipaddress.IPv4Address(total))
