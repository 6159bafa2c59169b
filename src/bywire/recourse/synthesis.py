"""Synthesis of recourse: reasons in, the smallest admissible edits and the producers' commands out, re-checked.

Pure. A patch only ever adds a file of desired state; everything else about a denial is answered by running the producer
of the evidence again, or by a person.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from bywire.evidence.manifests import ManifestDocument, ManifestFacts, facts_of
from bywire.evidence.path_classes import may_be_patched
from bywire.model.decision import Decision, Effect, Reason
from bywire.model.json_value import JsonObject
from bywire.recourse.guidance import todo_for
from bywire.recourse.network_policy import Workload, as_yaml, path_for, policy_for
from bywire.recourse.recourse import CommandStep, Patch, Recourse, Unsupported, refuse_path

NETWORK_POLICY_MISSING = "gate.network_policy_missing"
ASSET_RULES = ("gate.asset_provenance_missing", "gate.asset_provenance_stale")
REASONS_MAX = 200
_WRITE_POLICY = "give the workload's pods labels, and write a NetworkPolicy that selects them in their namespace"


def synthesise(
    decision: Decision,
    facts: JsonObject,
    documents: Sequence[ManifestDocument],
    read_file: Callable[[str], bytes | None],
) -> Recourse:
    """Answer each reason of a denial.

    `facts` is the policy input's, `documents` are the service's parsed manifests at the judged commit, `read_file`
    gives a path's bytes there or None. An allow has no recourse: empty. Raises EvidenceError `recourse_path_refused`
    when a reason would lead a patch to evidence, keys, policy or CI.
    """
    reasons = decision.reasons[:REASONS_MAX] if decision.effect is Effect.DENY else ()
    isolating = [reason for reason in reasons if reason.rule == NETWORK_POLICY_MISSING]
    patches, unpatched = _isolate(isolating, documents, read_file)
    answers = [*unpatched, *(_answer(reason, facts) for reason in reasons if reason.rule != NETWORK_POLICY_MISSING)]
    commands = {answer.argv: answer for answer in answers if isinstance(answer, CommandStep)}
    unsupported = {(answer.rule, answer.todo): answer for answer in answers if isinstance(answer, Unsupported)}
    return Recourse(
        decision=decision.id,
        patches=tuple(sorted(patches, key=lambda patch: patch.path)),
        commands=tuple(commands[argv] for argv in sorted(commands)),
        unsupported=tuple(unsupported[key] for key in sorted(unsupported)),
    )


def patched_facts(
    facts: JsonObject, patches: Sequence[Patch], parse: Callable[[bytes, str], Sequence[Any]]
) -> dict[str, Any]:
    """`facts` as the change with `patches` applied would state them; `parse` reads a manifest file's documents."""
    added = [
        ManifestDocument(path=patch.path, value=value)
        for patch in patches
        for value in parse(patch.content, patch.path)
    ]
    manifests = [*facts["manifests"], *(msgspec.to_builtins(item) for item in facts_of(added))]
    return {**facts, "manifests": manifests}


def confirm(
    recourse: Recourse,
    decision: Decision,
    facts: JsonObject,
    parse: Callable[[bytes, str], Sequence[Any]],
    recheck: Callable[[dict[str, Any]], Decision],
) -> Recourse:
    """Re-check the patches with the real policy: `recheck(facts)` decides again on the patched facts.

    The answer says which rules the patches clear and which remain. A patch whose own rule fires as often as before is
    no answer: all patches for that rule become unsupported.
    """
    if not recourse.patches:
        return recourse
    after = recheck(patched_facts(facts, recourse.patches, parse))
    before_count, after_count = _rules(decision), _rules(after)
    useless = {
        patch.rule for patch in recourse.patches if after_count.get(patch.rule, 0) >= before_count.get(patch.rule, 0)
    }
    kept = tuple(patch for patch in recourse.patches if patch.rule not in useless)
    lost = tuple(Unsupported(rule, todo_for(rule)) for rule in sorted(useless))
    return msgspec.structs.replace(
        recourse,
        patches=kept,
        unsupported=(*recourse.unsupported, *lost),
        cleared=tuple(sorted(set(before_count) - set(after_count))),
        remaining=tuple(sorted(after_count)),
    )


def _isolate(
    reasons: Sequence[Reason], documents: Sequence[ManifestDocument], read_file: Callable[[str], bytes | None]
) -> tuple[list[Patch], list[Unsupported]]:
    """One policy per workload, fewest labels first: a policy with a broader selector covers the narrower ones too."""
    known = list(documents)
    isolated: list[ManifestFacts] = []
    patches: list[Patch] = []
    unpatched: list[Unsupported] = []
    workloads = [(_workload(reason.facts), reason) for reason in reasons]
    for workload, reason in sorted(
        workloads, key=lambda pair: (len(pair[0].labels), pair[0].path) if pair[0] else (0, "")
    ):
        if workload is not None and any(_covers(policy, workload) for policy in isolated):
            continue
        policy = policy_for(workload, known) if workload else None
        path = path_for(workload, lambda path: _is_free(path, known, read_file)) if workload else ""
        if workload is None or policy is None or not path:
            unpatched.append(Unsupported(reason.rule, _WRITE_POLICY))
            continue
        if not (may_be_patched(workload.path) and may_be_patched(path)):
            raise refuse_path(path)
        added = ManifestDocument(path=path, value=policy)
        known.append(added)
        isolated += facts_of([added])
        patches.append(Patch(path, as_yaml(policy), reason.rule, _explain(workload, policy)))
    return patches, unpatched


def _covers(policy: ManifestFacts, workload: Workload) -> bool:
    return policy.namespace == workload.namespace and policy.selector.items() <= workload.labels.items()


def _is_free(path: str, known: Sequence[ManifestDocument], read_file: Callable[[str], bytes | None]) -> bool:
    return all(document.path != path for document in known) and read_file(path) is None


def _explain(workload: Workload, policy: Mapping[str, Any]) -> str:
    reach = (
        "its own service's pods in the namespace may reach its declared ports"
        if "ingress" in policy["spec"]
        else "it declares no port, so nothing may reach it"
    )
    return f"isolates {workload.name} in namespace {workload.namespace}: {reach}"


def _workload(facts: Mapping[str, Any]) -> Workload | None:
    try:
        return msgspec.convert(
            {
                "path": facts.get("path"),
                "name": facts.get("workload"),
                "namespace": facts.get("namespace"),
                "labels": facts.get("labels"),
            },
            Workload,
        )
    except msgspec.ValidationError:
        return None  # a reason without these facts gets no patch; the caller says what a person must do


def _answer(reason: Reason, facts: JsonObject) -> CommandStep | Unsupported:
    if reason.rule not in ASSET_RULES:
        return Unsupported(reason.rule, todo_for(reason.rule))
    name = str(reason.facts.get("asset"))
    known = {asset["name"]: asset for asset in facts["assets"]}
    if name not in known:
        return Unsupported(reason.rule, "declare the asset in an asset manifest, with the command that makes it")
    return CommandStep(rule=reason.rule, argv=("bywire", "assets", "attest", name), who="the asset's producer")


def _rules(decision: Decision) -> dict[str, int]:
    counts: dict[str, int] = {}
    if decision.effect is Effect.DENY:
        for reason in decision.reasons:
            counts[reason.rule] = counts.get(reason.rule, 0) + 1
    return counts
