"""A person's signature over a policy bundle: this digest, this revision, for whoever activates it later.

The statement is kept beside the policy as `bundle.dsse`. It covers the digest, hence every file that decides; tests and
messages decide nothing and may change under it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from bywire.identity.trust import TrustRoot
from bywire.model.errors import EvidenceError
from bywire.model.principal import KeyRole
from bywire.model.statement import POLICY_BUNDLE, Statement, subject
from bywire.policy.bundle import Bundle
from bywire.seal.dsse import sign_statement, unverified_statement, verify_statement
from bywire.seal.keys import Signer

SIGNATURE_FILE = "bundle.dsse"
SIGNATURE_BYTES_MAX = 65_536
_SIGN = "bywire policy sign --as PERSON"


class Endorsement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person signed. `at_ms` is when they said so, by their own clock."""

    digest: str
    revision: int
    person: str
    at_ms: int


class Signed(NamedTuple):
    """A predicate whose signer was verified, and the key that signed."""

    predicate: Any
    key_id: str


def sign_bundle(bundle: Bundle, person: str, key: Signer, now_ms: int) -> bytes:
    """The `policy-bundle` statement over `bundle`, in its envelope."""
    endorsement = Endorsement(bundle.digest, bundle.manifest.revision, person, now_ms)
    return sign_statement(
        Statement(
            subject=(subject("policy", bundle.digest),),
            predicateType=POLICY_BUNDLE,
            predicate=msgspec.to_builtins(endorsement),
        ),
        key,
    )


def verify_bundle(envelope: bytes, bundle: Bundle, trust: TrustRoot, index: int | None = None) -> Signed:
    """The Endorsement of exactly this bundle, by a key valid at log `index` (None: now).

    Raises EvidenceError `bundle_signature`: nobody we trust, or for another bundle.
    """
    signed = person_statement(envelope, POLICY_BUNDLE, Endorsement, trust, lambda it: it.person, index)
    endorsement: Endorsement = signed.predicate
    if (endorsement.digest, endorsement.revision) != (bundle.digest, bundle.manifest.revision):
        raise EvidenceError(
            f"{endorsement.person} signed revision {endorsement.revision}, {endorsement.digest[:16]}; this policy is"
            f" revision {bundle.manifest.revision}, {bundle.digest[:16]}",
            code="bundle_signature",
            next_step=f"look at what changed, then {_SIGN}",
        )
    return signed


def person_statement(
    envelope: bytes,
    kind: str,
    shape: type[Any],
    trust: TrustRoot,
    signer: Callable[[Any], str],
    index: int | None,
) -> Signed:
    """The predicate of a statement that the person it names signed with an approver key of theirs.

    1. Only the named person's approver keys in *our* root may have signed. 2. The statement is of this kind. 3. The
    predicate has this shape. Raises EvidenceError `signature_invalid`, `statement_malformed`, `signer_unknown`.
    """
    claimed = _shaped(unverified_statement(envelope).predicate, shape)
    keys = trust.keys_for(KeyRole.APPROVER, principal=signer(claimed), index=index)
    if not keys or not signer(claimed).startswith("person:"):
        raise EvidenceError(
            f"{signer(claimed) or 'nobody'} holds no approver key that is valid now",
            code="signer_unknown",
            next_step="have a person sign whose key is in trust.json",
        )
    verified = verify_statement(envelope, keys)
    if verified.statement.predicateType != kind:
        raise EvidenceError("the statement is of another kind", code="statement_malformed", next_step="sign it again")
    return Signed(_shaped(verified.statement.predicate, shape), verified.key_id)


def _shaped(predicate: dict[str, Any], shape: type[Any]) -> Any:
    try:
        return msgspec.convert(predicate, shape)
    except msgspec.ValidationError as error:
        raise EvidenceError(
            f"the statement is malformed: {error}", code="statement_malformed", next_step="sign it again"
        ) from error
