"""Compact JWS as text: three parts, each in its one spelling, and JSON that has one reading (RFC 7515, RFC 8725).

What is refused here was never looked at further: no key is chosen and no signature is checked for it.
"""

import base64
import binascii
from typing import Any, NamedTuple

from bywire.model.errors import EvidenceError
from bywire.seal.strict_json import one_reading

MALFORMED = "token_malformed"
Members = dict[str, Any]


class Compact(NamedTuple):
    """The three parts of a token as they were sent, base64url."""

    header: str
    claims: str
    signature: str

    @property
    def signed(self) -> bytes:
        """What the signature covers."""
        return f"{self.header}.{self.claims}".encode()


class Reading(NamedTuple):
    """How one kind of token is read and refused: what it is called, how long it may be, what its bearer does next.

    Each of these raises EvidenceError `token_malformed`.
    """

    name: str
    bytes_max: int
    next_step: str

    def refused(self, code: str, why: str) -> EvidenceError:
        """The error for such a token."""
        return EvidenceError(f"{self.name} is refused: {why}", code=code, next_step=self.next_step)

    def parts(self, token: str) -> Compact:
        """Its three parts."""
        try:
            return split(token, self.bytes_max)
        except ValueError as error:
            raise self.refused(MALFORMED, str(error)) from error

    def raw(self, part: str) -> bytes:
        """The bytes of a part."""
        try:
            return decoded(part)
        except ValueError as error:
            raise self.refused(MALFORMED, str(error)) from error


def split(token: str, bytes_max: int) -> Compact:
    """The parts of a token. ValueError says in words what is wrong with it."""
    if len(token) > bytes_max or not token.isascii():
        raise ValueError("it is too long or not ASCII")
    parts = token.split(".")
    if len(parts) != 3:
        raise ValueError("it does not have three parts")
    return Compact(*parts)


def encoded(raw: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decoded(part: str) -> bytes:
    """The bytes of a part. ValueError unless it is base64url in its one spelling."""
    try:
        raw = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("a part of it is not base64url") from error
    if encoded(raw) != part:
        raise ValueError("a part of it is not base64url in its one spelling")
    return raw


def members(raw: bytes) -> Members:
    """The members of a JSON object. ValueError for anything else, and for what two readers would read differently."""
    try:
        found = one_reading(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError("its header or claims are not of our form") from error
    if not isinstance(found, dict):
        raise ValueError("its header or claims are no object")  # noqa: TRY004  one way to refuse what was sent
    return found
