"""What is asked: an `ActionRequest`, and the canonical form of it that is decided, hashed, approved and logged."""

from typing import Any

import msgspec


class ActionRequest(msgspec.Struct, frozen=True):
    """One effect asked of the outside world, as the caller wrote it (RULES 4: the raw form; stays in memory).

    `evidence` holds sha256 hex digests of envelopes in the store. `plan` is the digest of an approved plan under
    which this action claims to run, or empty. `change` names the delivery whose facts apply, or empty. `tokens` is what
    the caller says it spent so far: a cost, which only ever adds. `destination` is where a surface saw that it leads
    (host, port, address class); no caller says it.
    """

    tool: str
    service: str
    environment: str
    parameters: dict[str, Any]
    idempotency_key: str
    evidence: tuple[str, ...] = ()
    plan: str = ""
    change: str = ""
    dry_run: bool = False
    tokens: int = 0
    destination: dict[str, Any] = {}


class CanonicalAction(msgspec.Struct, frozen=True):
    """The redacted, digestible form: decided, hashed, approved, logged and replayed.

    `digest` = sha256 hex over JCS of every other field. Secrets in `parameters` are replaced by
    `{"type", "hmac"}` objects; `redactor` names the version that did it.
    """

    tool: str
    service: str
    environment: str
    parameters: dict[str, Any]
    principal: str
    evidence: tuple[str, ...]
    plan: str
    change: str
    redactor: str
    digest: str
