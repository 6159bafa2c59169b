"""DSSE v1 envelopes (secure-systems-lab/dsse protocol.md): sign and verify bytes together with their type.

The original bytes are kept and hashed; nothing is re-serialised between reading and verifying.
"""

import base64
import binascii
from collections.abc import Iterable
from typing import Any

import msgspec
from pydantic import ValidationError

from bywire.model.errors import EvidenceError
from bywire.model.statement import PAYLOAD_TYPE, Statement
from bywire.seal import jcs
from bywire.seal.keys import Signer, VerifyKey
from bywire.seal.strict_json import one_reading

ENVELOPE_BYTES_MAX = 8 * 1024 * 1024
SIGNATURES_MAX = 16
_REFUSED = "do not use this document; ask its producer for the original"


class _Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sig: str
    keyid: str = ""


class _Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    payload: str
    payloadType: str  # noqa: N815  the spec's own name
    signatures: list[_Signature]


class Verified(msgspec.Struct, frozen=True):
    """A statement and the key that truly signed it."""

    statement: Statement
    key_id: str


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """PAE(type, body) of the DSSE specification."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def sign_statement(statement: Statement, key: Signer) -> bytes:
    """The envelope bytes of `statement`, signed by `key`."""
    payload = jcs.canonical(statement.as_json())
    signature = key.sign(pre_authentication_encoding(PAYLOAD_TYPE, payload))
    return jcs.canonical(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"keyid": key.key_id, "sig": base64.b64encode(signature).decode()}],
        }
    )


def verify_statement(envelope: bytes, trusted: Iterable[VerifyKey]) -> Verified:
    """Verify an envelope against the caller's keys and parse its statement.

    1. Bound and parse the envelope strictly: no unknown and no repeated fields. 2. Only our payload type. 3. Some
    signature verifies under some *trusted* key, whatever keyid it names. 4. Only then parse the payload, as strictly.
    Raises EvidenceError with codes envelope_too_large, envelope_malformed, payload_type, signature_invalid,
    statement_malformed.
    """
    parsed = _parse_envelope(envelope)
    if parsed.payloadType != PAYLOAD_TYPE:
        raise EvidenceError("the envelope carries another payload type", code="payload_type", next_step=_REFUSED)
    payload = _b64(parsed.payload)
    message = pre_authentication_encoding(parsed.payloadType, payload)
    key_id = _signed_by(message, parsed.signatures, tuple(trusted))
    return Verified(statement=parse_statement(payload), key_id=key_id)


def unverified_statement(envelope: bytes) -> Statement:
    """Parse without believing: for display of what a document *claims* only."""
    return parse_statement(_b64(_parse_envelope(envelope).payload))


def parse_statement(payload: bytes) -> Statement:
    """Strictly parse statement JSON; the payload must be canonical so that no second reading of it exists."""
    try:
        value: Any = msgspec.json.decode(payload)
        statement = Statement.model_validate(value)
        canonical = jcs.canonical(value) == payload
    except (EvidenceError, msgspec.DecodeError, ValidationError, UnicodeError, RecursionError) as error:
        raise EvidenceError("the statement is malformed", code="statement_malformed", next_step=_REFUSED) from error
    if not canonical:
        raise EvidenceError("the statement is not canonical JSON", code="statement_malformed", next_step=_REFUSED)
    return statement


def _parse_envelope(envelope: bytes) -> _Envelope:
    if len(envelope) > ENVELOPE_BYTES_MAX:
        raise EvidenceError("the envelope is too large", code="envelope_too_large", next_step=_REFUSED)
    try:
        parsed = msgspec.json.decode(envelope, type=_Envelope)
        # msgspec keeps the last of two equal fields, other readers the first: such a document has two readings.
        one_reading(envelope.decode())
    except (ValueError, RecursionError) as error:
        raise EvidenceError("the envelope is malformed", code="envelope_malformed", next_step=_REFUSED) from error
    if not 1 <= len(parsed.signatures) <= SIGNATURES_MAX:
        raise EvidenceError("the envelope is unsigned", code="signature_invalid", next_step=_REFUSED)
    return parsed


def _signed_by(message: bytes, signatures: list[_Signature], trusted: tuple[VerifyKey, ...]) -> str:
    for entry in signatures:
        signature = _b64(entry.sig)
        for key in trusted:
            try:
                key.verify(message, signature)
            except EvidenceError:
                continue
            return key.key_id
    raise EvidenceError("no signature of the envelope fits a trusted key", code="signature_invalid", next_step=_REFUSED)


def _b64(text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise EvidenceError("the envelope is not base64", code="envelope_malformed", next_step=_REFUSED) from error
    if base64.b64encode(raw).decode() != text:
        # Unused trailing bits would make two spellings of one document.
        raise EvidenceError("the envelope is not base64", code="envelope_malformed", next_step=_REFUSED)
    return raw
