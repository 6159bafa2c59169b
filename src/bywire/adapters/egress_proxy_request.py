"""What a client of the forward proxy asks for: its token and the destination, from one request head (RFC 9110, 9112).

Two forms exist: `CONNECT host:port` and `METHOD http://host[:port]/path`. A head that could be understood in two ways
is refused, and so is a request to this proxy itself.
"""

import base64
import re

import h11
import msgspec

from bywire.gateway.destination import Destination, parse_authority
from bywire.model.errors import EvidenceError

TOKEN_CHARS_MAX = 8_192
_METHODS = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"))
_ABSOLUTE = re.compile(rb"(?i:http)://([^/?#\\]{1,262})(/[!-~]*|\?[!-~]*)?")
_TRACE = re.compile(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_PRINTABLE = re.compile(r"[!-~]+")
_OURS = b"bywire"
# Meant for this hop, or said about the way here; the agent's token is for nobody else (RULES 23).
_DROPPED = frozenset(
    (b"authorization", b"connection", b"cookie", b"expect", b"forwarded", b"host", b"keep-alive", b"proxy-authenticate",
     b"proxy-authorization", b"proxy-connection", b"te", b"trailer", b"upgrade", b"via", b"x-forwarded-for",
     b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-proto", b"x-real-ip")
)  # fmt: skip
_DROPPED_BACK = frozenset(
    (b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"set-cookie",
     b"set-cookie2", b"te", b"trailer", b"upgrade")
)  # fmt: skip

Headers = list[tuple[bytes, bytes]]


class Wanted(msgspec.Struct, frozen=True):
    """A destination and who asks. `path` is empty for a tunnel; `trace` is a W3C traceparent or empty."""

    destination: Destination
    token: str
    path: bytes
    trace: str

    @property
    def tunnel(self) -> bool:
        """Whether this is a CONNECT."""
        return not self.path


def parse_wanted(request: h11.Request) -> Wanted:
    """What a head asks for. Raises EvidenceError `request_malformed` or `destination_malformed`."""
    headers = list(request.headers)
    names = [name for name, _ in headers]
    if b"content-length" in names and b"transfer-encoding" in names:
        raise _malformed("Content-Length and Transfer-Encoding together")
    if any(_OURS in value.lower().split() for name, value in headers if name == b"via"):
        raise _malformed("the request went through this proxy before")
    if request.method == b"CONNECT":
        destination, path = parse_authority(request.target.decode("latin-1")), b""
        if b"content-length" in names or b"transfer-encoding" in names:
            raise _malformed("a CONNECT has no body")
    else:
        destination, path = _absolute(request)
    traces = [value for name, value in headers if name == b"traceparent" and _TRACE.fullmatch(value)]
    return Wanted(destination, _token(headers), path, traces[0].decode() if len(traces) == 1 else "")


def request_headers(headers: Headers, authority: bytes) -> Headers:
    """What of a plain request's headers travels on; Host is what was asked for, whatever the client wrote there."""
    kept = [(name, value) for name, value in headers if name not in _DROPPED | _named(headers)]
    return [(b"host", authority), *kept, (b"via", b"1.1 " + _OURS), (b"connection", b"close")]


def response_headers(headers: Headers) -> Headers:
    """What of a plain answer's headers travels back."""
    kept = [(name, value) for name, value in headers if name not in _DROPPED_BACK | _named(headers)]
    return [*kept, (b"via", b"1.1 " + _OURS), (b"connection", b"close")]


def _absolute(request: h11.Request) -> tuple[Destination, bytes]:
    match = _ABSOLUTE.fullmatch(request.target)
    if request.method not in _METHODS or match is None:
        raise _malformed("a forward proxy is asked for http://host/path, or with CONNECT host:port")
    authority, path = match[1].decode("latin-1"), match[2] or b"/"
    if not re.search(r":[0-9]+\Z", authority):
        authority += ":80"
    return parse_authority(authority), path if path.startswith(b"/") else b"/" + path


def _token(headers: Headers) -> str:
    """The agent's token: a bearer, or the password of Basic. Empty when there is none, or more than one."""
    given = [value.decode("latin-1") for name, value in headers if name == b"proxy-authorization"]
    if len(given) != 1 or len(given[0]) > 2 * TOKEN_CHARS_MAX:
        return ""
    scheme, _, text = given[0].partition(" ")
    token = text.strip()
    if scheme.lower() == "basic":
        try:
            token = base64.b64decode(token, validate=True).decode("ascii").partition(":")[2]
        except ValueError:  # no base64, or not of ASCII on either side of it
            return ""
    elif scheme.lower() != "bearer":
        return ""
    return token if len(token) <= TOKEN_CHARS_MAX and _PRINTABLE.fullmatch(token) else ""


def _named(headers: Headers) -> set[bytes]:
    """Headers that Connection names; what frames the message is never among them."""
    named = {word.strip() for name, value in headers if name == b"connection" for word in value.lower().split(b",")}
    return named - {b"content-length", b"transfer-encoding", b"host"}


def _malformed(why: str) -> EvidenceError:
    return EvidenceError(why, code="request_malformed", next_step="send one plain proxy request")
