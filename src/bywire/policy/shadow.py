"""Shadow rules (RULES 28): a rule that is recorded but not enforced, because a named person signed so, for a while.

A signature never shadows what makes the others worth something: who asks, stops and budgets, separation of duties, the
evidence of approvals, what the engine itself refuses, and hard rules; and it never does so in production.
"""

from collections.abc import Collection
from typing import Annotated, Any

import msgspec

from bywire.identity.trust import TrustRoot
from bywire.model.errors import EvidenceError, PolicyError
from bywire.model.statement import SHADOW_RULE, Statement, subject
from bywire.policy.conditions import ENVIRONMENTS
from bywire.policy.endorsement import person_statement
from bywire.seal.digest import sha256_hex
from bywire.seal.dsse import sign_statement
from bywire.seal.keys import Signer

DAYS_MAX = 30
REASON_CHARS_MAX = 500
DAY_MS = 86_400_000
NEVER = ("principal.", "grant.", "duties.", "state.", "input.", "engine.", "break_glass.", "shadow.")
PRODUCTION = "production"

_Line = Annotated[str, msgspec.Meta(min_length=1, max_length=REASON_CHARS_MAX)]


class Shadow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One rule shadowed by its owner until `expires_at_ms`, in one environment of one service."""

    rule: Annotated[str, msgspec.Meta(pattern=r"\A[a-z][a-z0-9_.-]{0,127}\Z")]
    owner: str
    expires_at_ms: int
    environment: _Line
    service: _Line
    reason: _Line
    at_ms: int

    def in_force(self, now_ms: int, service: str, environment: str) -> bool:
        """Whether it counts now, here."""
        here = (self.service, self.environment) == (service, environment)
        return here and environment != PRODUCTION and self.at_ms <= now_ms < self.expires_at_ms


def check_allowed(
    shadow: Shadow,
    rules: Collection[str],
    hard: Collection[str],
    never: Collection[str] = (),
    *,
    objections: Collection[str],
) -> None:
    """Refuse what may not be shadowed.

    Of the policy in force: `rules` are the ids that it can give, `objections` those of them that refuse or ask for a
    person, `hard` those no approval lifts, `never` the prefixes that it adds to NEVER. Raises PolicyError
    `shadow_refused`.
    """
    prefixes = (*NEVER, *never)
    days = (shadow.expires_at_ms - shadow.at_ms) / DAY_MS
    problems = (
        (
            shadow.environment not in ENVIRONMENTS,
            f"{shadow.environment} is no environment",
            f"use one of {', '.join(ENVIRONMENTS)}",
        ),
        (shadow.environment == PRODUCTION, "nothing is shadowed in production", "try the rule in staging"),
        (
            shadow.rule.startswith(prefixes),
            f"{shadow.rule} guards the guard; such rules are never shadowed",
            f"choose a rule that does not begin with {', '.join(sorted(set(prefixes)))}",
        ),
        (shadow.rule in hard, f"{shadow.rule} is a hard rule", "meet it; nothing lifts it"),
        (shadow.rule not in rules, f"the policy in force has no rule {shadow.rule}", "bywire policy check --json"),
        (
            shadow.rule not in objections,
            f"{shadow.rule} refuses nothing and asks nobody by itself",
            "choose the rule that objects: bywire explain DECISION",
        ),
        (not 0 < days <= DAYS_MAX, f"a shadow lasts 1 to {DAYS_MAX} days", f"--days N, at most {DAYS_MAX}"),
    )
    for refused, why, fix in problems:
        if refused:
            raise PolicyError(why, code="shadow_refused", next_step=fix)


def sign_shadow(shadow: Shadow, key: Signer) -> bytes:
    """The `shadow-rule` statement, in its envelope."""
    predicate: dict[str, Any] = msgspec.to_builtins(shadow)
    about = subject(shadow.rule, sha256_hex(shadow.rule.encode()))
    return sign_statement(Statement(subject=(about,), predicateType=SHADOW_RULE, predicate=predicate), key)


def verify_shadow(envelope: bytes, trust: TrustRoot) -> Shadow:
    """A shadow whose owner signed it with a key that is valid now; EvidenceError otherwise."""
    shadow: Shadow = person_statement(envelope, SHADOW_RULE, Shadow, trust, lambda it: it.owner, None).predicate
    if shadow.rule.startswith(NEVER) or shadow.environment == PRODUCTION:
        raise EvidenceError(
            f"{shadow.rule} is never shadowed", code="shadow_refused", next_step="bywire policy shadow end RULE"
        )
    return shadow
