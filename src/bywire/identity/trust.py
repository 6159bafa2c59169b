"""The trust root: which key may be believed, for which role, for whom, between which log indexes.

It comes from the operator, never from the document being verified (RULES 25). Agents and people cannot be confused: a
key's role fixes the kind of principal it may speak for.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

import msgspec

from bywire.model.errors import EvidenceError
from bywire.model.principal import KeyRole, Principal, PrincipalKind
from bywire.seal import jcs
from bywire.seal.keys import VerifyKey, verify_key

TRUST_BYTES_MAX = 1_048_576
KEYS_MAX = 1_024
_FIX = "get the trust root again from the operator, over a channel you trust"

# A name becomes part of idempotency keys and file names: one that could be read in two ways is none.
_NAME = re.compile(r"[^\W_][\w.@+-]{0,127}")
_APPLICATION = re.compile(r"ssh:[\x21-\x7e]{0,64}")

KIND_OF_ROLE = {
    KeyRole.AGENT: PrincipalKind.AGENT,
    KeyRole.APPROVER: PrincipalKind.PERSON,
    KeyRole.BUILDER: PrincipalKind.WORKLOAD,
    KeyRole.CHANNEL: PrincipalKind.WORKLOAD,
    KeyRole.LOG: PrincipalKind.WORKLOAD,
    KeyRole.TOKEN: PrincipalKind.WORKLOAD,
}


class TrustedKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One key. Valid for log indexes in [from_index, to_index); `to_index` None means still valid.

    `public` is the raw Ed25519 public key in hex; `owner` is the person answerable for an agent or workload.
    `application` is that of a FIDO token (OpenSSH writes `ssh:`) and empty for every other key: it fixes the algorithm.
    """

    key_id: str
    role: KeyRole
    principal: str
    public: str
    owner: str = ""
    from_index: int = 0
    to_index: int | None = None
    application: str = ""

    def valid_at(self, index: int | None) -> bool:
        """Whether the key may have signed the entry at `index`; None asks about now."""
        if index is None:
            return self.to_index is None
        return self.from_index <= index and (self.to_index is None or index < self.to_index)


class TrustRoot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every trusted key of one workspace. `origin` is the name its log signs under."""

    version: int
    origin: str
    keys: tuple[TrustedKey, ...]

    def keys_for(self, role: KeyRole, *, principal: str = "", index: int | None = None) -> tuple[VerifyKey, ...]:
        """The keys of `role` (and of `principal`, when named) valid at log `index` (None: now)."""
        return tuple(
            _verify_key(key.public, key.application)
            for key in self.keys
            if key.role is role and principal in {"", key.principal} and key.valid_at(index)
        )

    def entry(self, key_id: str) -> TrustedKey | None:
        """The trusted key with this id, or None."""
        return next((key for key in self.keys if key.key_id == key_id), None)

    def principal(self, principal_id: str) -> Principal | None:
        """The principal that some currently valid key of this root speaks for, or None."""
        for key in self.keys:
            if key.principal == principal_id and key.valid_at(None):
                return Principal(id=principal_id, kind=KIND_OF_ROLE[key.role], owner=key.owner)
        return None

    def holding(self, role: KeyRole, principal: str) -> tuple[TrustedKey, ...]:
        """The entries of one role and principal that are valid now."""
        return tuple(key for key in self.keys if (key.role, key.principal) == (role, principal) and key.valid_at(None))

    def retired(self, to_index: Mapping[str, int]) -> "TrustRoot":
        """This root with each named key ended at its index; nothing is ever extended. Itself when nothing changes."""
        keys = tuple(_ended(key, to_index[key.key_id]) if key.key_id in to_index else key for key in self.keys)
        return self if keys == self.keys else msgspec.structs.replace(self, keys=keys)

    def to_bytes(self) -> bytes:
        """The file form."""
        return jcs.canonical(msgspec.to_builtins(self)) + b"\n"


def parse_trust_root(data: bytes) -> TrustRoot:
    """Read a trust root file. Raises EvidenceError `trust_invalid` when anything about it is off."""
    if len(data) > TRUST_BYTES_MAX:
        raise EvidenceError("the trust root is too large", code="trust_invalid", next_step=_FIX)
    try:
        root = msgspec.json.decode(data, type=TrustRoot)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeError, RecursionError) as error:
        raise EvidenceError(f"the trust root cannot be read: {error}", code="trust_invalid", next_step=_FIX) from error
    check_trust_root(root)
    return root


def check_trust_root(root: TrustRoot) -> None:
    """Refuse a root in which a key does not fit its id, serves two roles, or speaks for the wrong kind or owner."""
    if root.version != 1 or not root.origin or not 1 <= len(root.keys) <= KEYS_MAX:
        raise EvidenceError("the trust root has no keys or an unknown version", code="trust_invalid", next_step=_FIX)
    for key in root.keys:
        fault = _fault(key)
        if fault:
            raise EvidenceError(f"key {key.key_id[:12]} {fault}", code="trust_invalid", next_step=_FIX)
    _refuse_shared(root.keys)


def _fault(key: TrustedKey) -> str:
    verifies = verify_key(key.public, key.application)
    if (verifies.key_id, verifies.raw_public.hex()) != (key.key_id, key.public):
        return "does not fit its id"
    kind = KIND_OF_ROLE[key.role]
    if key.application and (key.role is not KeyRole.APPROVER or _APPLICATION.fullmatch(key.application) is None):
        return "cannot be on a security key"
    if not is_principal(key.principal, kind):
        return f"of role {key.role} cannot speak for {key.principal}"
    if key.owner and (kind is PrincipalKind.PERSON or not is_principal(key.owner, PrincipalKind.PERSON)):
        return f"cannot be owned by {key.owner}"
    if key.from_index < 0 or (key.to_index is not None and key.to_index < key.from_index):
        return "is valid for no entry of a log"
    return ""


def is_principal(principal: str, kind: PrincipalKind) -> bool:
    """Whether this is a well-formed id of that kind."""
    prefix, _, name = principal.partition(":")
    return prefix == kind and _NAME.fullmatch(name) is not None


def _ended(key: TrustedKey, to_index: int) -> TrustedKey:
    end = to_index if key.to_index is None else min(to_index, key.to_index)
    return msgspec.structs.replace(key, to_index=max(end, key.from_index))


def _refuse_shared(keys: Iterable[TrustedKey]) -> None:
    holders: dict[str, tuple[KeyRole, str]] = {}
    owners: dict[str, str] = {}
    for key in keys:
        holder = (key.role, key.principal)
        if holders.setdefault(key.public, holder) != holder:
            raise EvidenceError(
                f"key {key.key_id[:12]} serves two roles or principals", code="trust_invalid", next_step=_FIX
            )
        if owners.setdefault(key.principal, key.owner) != key.owner:
            raise EvidenceError(f"{key.principal} has two owners", code="trust_invalid", next_step=_FIX)


@lru_cache(maxsize=KEYS_MAX)
def _verify_key(public_hex: str, application: str) -> VerifyKey:
    return verify_key(public_hex, application)
