"""What people do about policies: sign one, shadow a rule. Statements, verified again whenever they are read."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from bywire.adapters.sqlite_policy import SHADOWS_READ_MAX, ShadowRow
from bywire.identity.trust import TrustRoot
from bywire.model.errors import ConfigError, EvidenceError
from bywire.policy.rule_index import objections, rule_sites
from bywire.policy.shadow import DAY_MS, Shadow, check_allowed, sign_shadow, verify_shadow
from bywire.seal import jcs
from bywire.seal.keys import Signer
from bywire.wiring.approving import principal_of, refuse_secrets
from bywire.wiring.workspace import Workspace


class ListedShadow(msgspec.Struct, frozen=True):
    """A shadow and how it stands: in force, ended, expired, elsewhere, or not believed (and why)."""

    row: ShadowRow
    shadow: Shadow | None
    state: str


def active_shadows(workspace: Workspace, now_ms: int) -> list[dict[str, Any]]:
    """The policy input's `shadow`: rules whose owners' signatures verify now, each for its one place (RULES 28)."""
    return [
        {
            "rule": shadow.rule,
            "owner": shadow.owner,
            "expires_at_ms": shadow.expires_at_ms,
            "service": shadow.service,
            "environment": shadow.environment,
        }
        for row in workspace.policies.store.shadows(open_at_ms=now_ms)
        if (shadow := _verified(row, workspace.trust)) is not None
        and shadow.in_force(now_ms, shadow.service, shadow.environment)
    ]


def shadow_rule(
    workspace: Workspace,
    rule: str,
    person: str,
    days: int,
    reason: str,
    sign_with: Callable[[str], Signer],
    *,
    place: tuple[str, str] | None = None,
) -> tuple[Shadow, int]:
    """Let `rule` be recorded instead of enforced for some days, signed by a person; (shadow, ledger index).

    `place` is (service, environment), by default the operator's own: connected tools act elsewhere. Raises
    PolicyError `shadow_refused`; ConfigError `person_unknown`; EvidenceError `secret_found`.
    """
    owner = known_person(workspace, person)
    refuse_secrets(workspace, reason)
    now_ms, bundle = workspace.clock.now_ms(), workspace.bundle()
    service, environment = place or (workspace.operator.service, workspace.operator.environment)
    try:
        shadow = msgspec.convert(
            {
                "rule": rule,
                "owner": owner,
                "expires_at_ms": now_ms + days * DAY_MS,
                "environment": environment,
                "service": service,
                "reason": reason,
                "at_ms": now_ms,
            },
            Shadow,
        )
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"this is no shadow: {error}", code="shadow_malformed", next_step="bywire policy shadow --help"
        ) from error
    never = bundle.tables.get("shadow", {}).get("never", ())
    sites = rule_sites(bundle)
    check_allowed(shadow, sites, bundle.tables.get("hard_rules", {}), never, objections=objections(sites))
    key = sign_with(owner)
    envelope = sign_shadow(shadow, key)
    verify_shadow(envelope, workspace.trust)
    return shadow, workspace.policies.store.add_shadow(shadow, envelope, key.key_id, now_ms)


def end_shadow(workspace: Workspace, rule: str, person: str) -> tuple[int, int]:
    """Enforce a rule again: (how many shadows ended, ledger index). ConfigError `not_found` when none was open."""
    owner, now_ms = known_person(workspace, person), workspace.clock.now_ms()
    if not any(row.rule == rule for row in workspace.policies.store.shadows(open_at_ms=now_ms)):
        raise ConfigError(f"{rule} is not shadowed", code="not_found", next_step="bywire policy shadow list")
    record = jcs.canonical({"rule": rule, "by": owner, "at_ms": now_ms})
    return workspace.policies.store.end_shadow(rule, record, now_ms)


def listed_shadows(workspace: Workspace) -> tuple[ListedShadow, ...]:
    """Every shadow there was, newest first."""
    now_ms, operator, trust = workspace.clock.now_ms(), workspace.operator, workspace.trust
    found = []
    for row in workspace.policies.store.shadows():
        shadow = _verified(row, trust)
        if row.ended_ms is not None:
            state = "ended"
        elif row.expires_ms <= now_ms:
            state = "expired"
        elif shadow is None:
            state = "not believed: no key of its owner that is valid now signed it"
        elif shadow.in_force(now_ms, operator.service, operator.environment):
            state = "in force"
        else:
            state = f"in force for {shadow.service} in {shadow.environment}"
        found.append(ListedShadow(row, shadow, state))
    return tuple(found)


def known_person(workspace: Workspace, person: str) -> str:
    """The id of a person that operator.yaml lists. ConfigError `person_unknown`."""
    principal = principal_of(person)
    known = [listed.id for listed in workspace.operator.people]
    if principal not in known:
        raise ConfigError(
            f"operator.yaml lists no {principal}", code="person_unknown", next_step=f"use one of: {', '.join(known)}"
        )
    return principal


def _verified(row: ShadowRow, trust: TrustRoot) -> Shadow | None:
    """A stored shadow that still verifies; one that does not shadows nothing."""
    shadow = _believed(row.envelope, trust)
    return shadow if shadow and (shadow.rule, shadow.expires_at_ms) == (row.rule, row.expires_ms) else None


@lru_cache(maxsize=SHADOWS_READ_MAX)
def _believed(envelope: bytes, trust: TrustRoot) -> Shadow | None:
    try:
        return verify_shadow(envelope, trust)
    except EvidenceError:
        return None
