"""The intent of one decided call: everything that its transaction checks, uses up and keeps."""

from typing import Any

import msgspec

from bywire.gateway.asking import Asked
from bywire.gateway.contract import Contract
from bywire.gateway.deciding import Judged
from bywire.gateway.ports import Debit, Intent
from bywire.gateway.sealing import seal_parameters
from bywire.model.connected import Cost


def intent_of(
    judged: Judged,
    contract: Contract,
    envelope: bytes,
    debits: tuple[Debit, ...],
    charged: tuple[tuple[Cost, ...], str],
    workspace_key: bytes,
    *,
    mediated: bool,
) -> Intent:
    """The retreat that was authorised with its rollout uses nothing up and costs nobody anything (RULES 16).

    `charged` is (costs, team); `mediated` False: the caller carries it out.
    """
    asked, decision, grant = judged.asked, judged.decision, judged.grant
    broken = next((str(item["id"]) for item in decision.obligations if item.get("kind") == "break_glass"), "")
    consumed = grant.id if grant and not judged.preauthorised and not broken else ""
    request, sealed = _kept(asked, consumed, workspace_key, mediated=mediated)
    costs, team = charged
    return Intent(
        key=asked.key,
        action_digest=asked.action.digest,
        principal=asked.action.principal,
        tool=contract.name,
        service=asked.action.service,
        environment=asked.action.environment,
        change=asked.action.change,
        session_id=asked.snapshot.session.id,
        integrity=asked.snapshot.session.integrity,
        stop_epoch=asked.snapshot.stop_epoch,
        bundle_digest=decision.bundle_digest,
        grant_id=consumed,
        debits=() if judged.preauthorised else debits,
        exposure_reducing=judged.preauthorised,
        now_ms=asked.now_ms,
        deadline_ms=asked.now_ms + contract.deadline_seconds * 1000,
        precondition={"version": asked.target.get("version")},
        request=request,
        decision=decision,
        decision_envelope=envelope,
        grant_uses=1 if contract.uses_grant else 0,
        break_glass_id=broken,
        sealed=sealed,
        costs=() if judged.preauthorised else costs,
        team=team,
    )


def _kept(asked: Asked, grant_id: str, workspace_key: bytes, *, mediated: bool) -> tuple[dict[str, Any], bytes]:
    """(what the journal keeps of the request, the raw parameters sealed when they hold a secret)."""
    raw, digest = asked.request.parameters, asked.action.digest
    secret = asked.action.parameters != raw
    kept = {
        "parameters": asked.action.parameters,
        "evidence": list(asked.action.evidence),
        "redacted": secret,
        "asked": asked.first_digest,
        "integrity": asked.snapshot.session.integrity,
        "session": asked.snapshot.session.id,
        "grant": grant_id,
        **({} if mediated else {"mediated": False}),
        **({"sanitized": msgspec.to_builtins(asked.sanitized)} if asked.sanitized else {}),
    }
    # What its caller carries out is never sent again from here.
    if not secret or not mediated:
        return kept, b""
    return kept, seal_parameters(raw, workspace_key, asked.key, digest, asked.now_ms)
