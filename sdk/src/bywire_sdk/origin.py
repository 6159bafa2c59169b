"""Where the gateway is. The token goes to exactly this place, and in clear text only to the machine itself."""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

_PLAIN = re.compile(r"[\x21-\x7e]{1,2048}")
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*")


@dataclass(frozen=True)
class Origin:
    """Scheme, host, port and the path that every request starts with (no slash at its end)."""

    secure: bool
    host: str
    port: int
    prefix: str


def origin(url: str, *, allow_plaintext: bool = False) -> Origin:
    """Read a gateway's URL. Raises ValueError unless a token may be sent there.

    `allow_plaintext` permits http:// to another machine, for a network that protects it by other means.
    """
    if _PLAIN.fullmatch(url) is None or "\\" in url:
        raise ValueError("the gateway's URL is not plain text")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("the gateway's URL starts with http:// or https:// and names a host")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment or "?" in url:
        raise ValueError("the gateway's URL holds no user, query or fragment")
    prefix = parts.path.rstrip("/")
    if _PREFIX.fullmatch(prefix) is None or "/.." in prefix:
        raise ValueError("the gateway's path is not a plain one")
    secure = parts.scheme == "https"
    if not secure and not allow_plaintext and not loopback(parts.hostname):
        raise ValueError(
            f"http:// would show the token to the network between here and {parts.hostname}: "
            "use https://, or pass allow_plaintext=True where something else protects it"
        )
    return Origin(secure=secure, host=parts.hostname, port=parts.port or (443 if secure else 80), prefix=prefix)


def loopback(host: str) -> bool:
    """Whether `host` names this machine itself, without asking any resolver."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
