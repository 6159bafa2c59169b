"""A signed webhook out and a signed verdict in, both by the Standard Webhooks specification (1.0.0).

`webhook-signature` holds `v1,` and the Base64 of HMAC-SHA256 over `id.timestamp.body`; there may be several of them,
one for each secret that is valid while secrets change.
"""

import base64
import binascii
from typing import Annotated, Any

import msgspec

from bywire.approvals.channel_heard import SECRET_BYTES_MIN, Heard, check_window, mac, once, refused
from bywire.approvals.channel_text import Asked
from bywire.approvals.packet import REASON_CHARS_MAX
from bywire.model.errors import ConfigError
from bywire.seal import jcs
from bywire.seal.digest import same_digest

NAME = "webhook"
BODY_BYTES_MAX = 65_536
SIGNATURES_MAX = 4
_PREFIX = "whsec_"
_Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


class _Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    approval: Annotated[str, msgspec.Meta(pattern=r"^ap-[0-9a-f]{12}\Z")]
    packet_digest: _Digest
    verdict: str
    member: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    reason: Annotated[str, msgspec.Meta(max_length=REASON_CHARS_MAX)] = ""


class _Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    type: str
    data: _Said
    timestamp: str = ""


def event(kind: str, said: Asked, more: dict[str, Any]) -> bytes:
    """The body of one event: `approval.requested`, `approval.reminder`, `approval.escalated`, `approval.ended`."""
    return jcs.canonical({"type": kind, "data": {**msgspec.to_builtins(said), **more}})


def headers(identifier: str, timestamp: int, body: bytes, secret: str) -> dict[str, str]:
    """What is sent beside the body; `timestamp` in seconds."""
    return {
        "content-type": "application/json",
        "webhook-id": identifier,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": _signed(identifier.encode(), str(timestamp).encode(), body, secret_bytes(secret)),
    }


def heard(body: bytes, identifier: bytes, timestamp: bytes, signature: bytes, *, secret: str, now_ms: int) -> Heard:
    """A verdict of another system's person.

    1. One of the signatures is over exactly this id, time and body. 2. It is five minutes away at most. 3. It is a
    verdict. Raises EvidenceError `callback_refused`.
    """
    if not timestamp.isdigit() or len(timestamp) > 12 or not 1 <= len(identifier) <= 256 or len(body) > BODY_BYTES_MAX:
        raise refused("the callback has no id or time, or is too large")
    expected = _signed(identifier, timestamp, body, secret_bytes(secret))
    said = signature.decode("ascii", "replace").split(" ", SIGNATURES_MAX)[:SIGNATURES_MAX]
    if not any(same_digest(one, expected) for one in said):
        raise refused("the callback's signature is not the sender's")
    check_window(int(timestamp) * 1_000, now_ms)
    try:
        found = msgspec.json.decode(body, type=_Event)
    except (ValueError, RecursionError) as error:
        raise refused("the callback cannot be read") from error
    if found.type != "approval.verdict":
        raise refused("the callback is no verdict")
    data = found.data
    return Heard(
        channel=NAME,
        member=data.member,
        approval=data.approval,
        digest=data.packet_digest,
        verdict=data.verdict,
        once=once(NAME, identifier),
        reason=data.reason,
    )


def secret_bytes(secret: str) -> bytes:
    """The key in a `whsec_...` secret. ConfigError `secret_malformed`."""
    try:
        found = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (ValueError, binascii.Error) as error:
        raise _malformed() from error
    if not secret.startswith(_PREFIX) or len(found) < SECRET_BYTES_MIN:
        raise _malformed()
    return found


def _signed(identifier: bytes, timestamp: bytes, body: bytes, key: bytes) -> str:
    return "v1," + base64.b64encode(mac(key, b".".join((identifier, timestamp, body)))).decode()


def _malformed() -> ConfigError:
    return ConfigError(
        "a webhook's secret is not of the form whsec_BASE64, of 16 bytes or more",
        code="secret_malformed",
        next_step="make one: echo whsec_$(openssl rand -base64 32)",
    )
