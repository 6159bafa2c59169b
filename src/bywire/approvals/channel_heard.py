"""What a channel heard a person say, whatever its wire shape, and the refusal of what nobody vouches for."""

import hashlib
import hmac

import msgspec

from bywire.model.errors import EvidenceError

WINDOW_MS = 300_000
SECRET_BYTES_MIN = 16


class Heard(msgspec.Struct, frozen=True):
    """One verdict as it came in.

    `member` is the platform's id of a person, `digest` the packet's, whole or at least its first 16 digits. `once` is
    unique for the message: what has it again is a replay.
    """

    channel: str
    member: str
    approval: str
    digest: str
    verdict: str
    once: str
    reason: str = ""


def refused(why: str) -> EvidenceError:
    """What came in is not the platform's word: forged, late, or of no known form. It is told as little as that."""
    return EvidenceError(
        why, code="callback_refused", next_step="check the signing secret and the clock; see docs/gateway.md, channels"
    )


def check_window(at_ms: int, now_ms: int) -> None:
    """Raises EvidenceError `callback_refused` for what was signed more than five minutes away from now."""
    if abs(now_ms - at_ms) > WINDOW_MS:
        raise refused("the callback is too old, or of the future")


def mac(secret: bytes, message: bytes) -> bytes:
    """HMAC-SHA256."""
    return hmac.new(secret, message, hashlib.sha256).digest()


def check_mac(said: bytes, expected: bytes) -> None:
    """Constant time. Raises EvidenceError `callback_refused`."""
    if not hmac.compare_digest(said, expected):
        raise refused("the callback's signature is not the platform's")


def once(channel: str, *parts: bytes) -> str:
    """A name for one message, which does not say what was in it."""
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "big") + part)
    return f"{channel}:{found.hexdigest()}"
