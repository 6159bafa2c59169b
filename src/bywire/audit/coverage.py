"""Compares what a target did with what the journal intended. Pure: the same two accounts give the same findings.

Every version of a target is one change. A change is mediated when an intent of the journal explains it: by its key
and by what it left serving where the target remembers that, else by the version that the intent's outcome names. What
nothing explains is a finding, once: its id is derived from what was found (RULES 10, 17).
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from bywire.evidence.timestamps import rfc3339
from bywire.model.target_change import Serving, TargetChange
from bywire.seal import jcs

_DIGEST_SHOWN = 12
# The parameter of an intent that names what a verb leaves serving, and where the target's change shows it.
_CANARY = {"stage": "canary", "set_weight": "canary", "warm": "canary"}
_SHOWS = {
    "artifact": {**_CANARY, "promote": "stable"},
    "deployment_id": {"set_weight": "canary"},
    "weight": {"set_weight": "weight"},
    "target_percentage": {"set_weight": "weight"},
    "to": {"retreat": "stable"},
}
# Verbs without a key, and the tool that sends them.
_KEYLESS = {"configure": "start_rollout"}


class Mediated(msgspec.Struct, frozen=True):
    """One intent for the target, as the journal holds it.

    `target_key` is the key the target saw; `state` is intended, committed, failed or unknown; `before` and `version`
    are the target's versions that the intent was decided on and that its outcome names (0: none).
    """

    key: str
    target_key: str
    tool: str
    state: str
    before: int
    version: int
    parameters: dict[str, Any]


class Finding(msgspec.Struct, frozen=True):
    """Something on the target that the journal does not explain. `facts` are plain JSON; `next_step` is a command."""

    id: str
    kind: str
    says: str
    facts: dict[str, Any]
    next_step: str


class Coverage(msgspec.Struct, frozen=True):
    """How much of what happened to the target was mediated: counts of changes, and of those out of sight."""

    changes: int
    mediated: int
    unexplained: int
    out_of_sight: int

    @property
    def share(self) -> float:
        """Mediated changes over all of them, 0..1; 1 when there was none."""
        return self.mediated / self.changes if self.changes else 1.0


class Comparison(msgspec.Struct, frozen=True):
    """The findings in the order of what happened, and the coverage."""

    findings: tuple[Finding, ...]
    coverage: Coverage


def compare(
    serving: Serving,
    history: Sequence[TargetChange],
    intents: Sequence[Mediated],
    *,
    known: frozenset[str],
    gated: frozenset[str],
    epoch: int,
) -> Comparison:
    """Compare a target with the journal.

    `history` is what the target remembers, oldest first; `known` are digests that some intent deployed; `gated` are
    those with a verified, passed verification summary; `epoch` is the newest that bywire took.
    """
    by_key = {intent.target_key: intent for intent in intents}
    visible = {change.version: change for change in history if change.version <= serving.version}
    claimed = {intent.version for intent in intents if intent.state == "committed"}
    unseen = [v for v in range(1, serving.version + 1) if v not in visible and v not in claimed]
    changed = [
        finding
        for change in visible.values()
        if (finding := _judged(change, by_key.get(change.key), intents)) is not None
    ]
    findings = (
        *(_out_of_sight(first, last) for first, last in _ranges(unseen)),
        *changed,
        *_state_findings(serving, history, intents, epoch),
        *_release_findings(serving, known, gated),
    )
    missing = len(unseen) + len(changed)
    return Comparison(findings, Coverage(serving.version, serving.version - missing, len(changed), len(unseen)))


def _judged(change: TargetChange, intent: Mediated | None, intents: Sequence[Mediated]) -> Finding | None:
    """What is wrong with one change, if anything."""
    facts = msgspec.to_builtins(change)
    what = f"{change.verb} made version {change.version} at {rfc3339(change.at_ms)}: {_serves(change)}"
    if intent is None:
        if not change.key and any(_sent(change, other) for other in intents):
            return None
        return _finding(
            "out_of_band_change",
            [change.version, change.key, change.at_ms],
            f"no intent of the ledger explains that {what}",
            facts,
        )
    named = {"intent": intent.key, "tool": intent.tool}
    if intent.state == "committed" and intent.version not in {0, change.version}:
        says = f"its key is that of {intent.tool}, which made version {intent.version}, but {what}"
        return _finding("out_of_band_change", [change.version, change.key, change.at_ms], says, {**facts, **named})
    if intent.state == "failed":
        says = f"the ledger says that {intent.tool} failed, but {what}"
        return _finding("outcome_differs", [change.version, change.key], says, {**facts, **named})
    if any(_differs(change, name, value) for name, value in intent.parameters.items()):
        says = f"{intent.tool} was intended otherwise: {what}"
        return _finding("effect_differs", [change.version, change.key], says, {**facts, **named})
    return None


def _sent(change: TargetChange, intent: Mediated) -> bool:
    """Whether an intent explains a change without a key: it saw the version before and named the one after."""
    if intent.tool != _KEYLESS.get(change.verb) or intent.state == "failed":
        return False
    return intent.before == change.version - 1 and intent.version in {0, change.version}


def _differs(change: TargetChange, name: str, value: Any) -> bool:
    field = _SHOWS.get(name, {}).get(change.verb)
    return field is not None and getattr(change, field) != value


def _serves(change: TargetChange) -> str:
    stable = change.stable[:_DIGEST_SHOWN] or "nothing"
    return f"stable {stable}" + (
        f", canary {change.canary[:_DIGEST_SHOWN]} at {change.weight:g}%" if change.canary else ""
    )


def _out_of_sight(first: int, last: int) -> Finding:
    which = f"version {first}" if first == last else f"versions {first} to {last}"
    says = f"the target does not remember {which} any more, and no outcome of the ledger names it"
    return _finding("out_of_sight", [first, last], says, {"first": first, "last": last})


def _state_findings(
    serving: Serving, history: Sequence[TargetChange], intents: Sequence[Mediated], epoch: int
) -> Iterator[Finding]:
    """Where the target as a whole is not where its own changes, or the journal, left it."""
    newest = max((intent.version for intent in intents if intent.state == "committed"), default=0)
    if newest > serving.version:
        says = f"the target is at version {serving.version}, but the ledger carried it to version {newest}"
        yield _finding("target_behind", [newest], says, {"target": serving.version, "ledger": newest})
    if serving.epoch > epoch:
        says = f"somebody took epoch {serving.epoch} at the target; bywire is at {epoch} and is fenced off"
        yield _finding("epoch_ahead", [serving.epoch], says, {"target": serving.epoch, "bywire": epoch})
    last = history[-1] if history else None
    if last is None:
        return
    same = (serving.version, serving.stable, serving.canary) == (last.version, last.stable, last.canary)
    # A share that reads 0 is a lease that nobody renewed: it fell back to stable by itself.
    if not same or serving.weight not in {0.0, last.weight}:
        facts = {"serving": msgspec.to_builtins(serving), "last_change": msgspec.to_builtins(last)}
        identity = [serving.version, serving.stable, serving.canary, serving.weight]
        yield _finding("state_differs", identity, "the target serves otherwise than its own last change says", facts)


def _release_findings(serving: Serving, known: frozenset[str], gated: frozenset[str]) -> Iterator[Finding]:
    for arm, digest in (("stable", serving.stable), ("canary", serving.canary)):
        if digest and digest not in gated:
            says = f"release {digest[:_DIGEST_SHOWN]} is {arm}, but no gate ever passed it"
            yield _finding("ungated_release", [digest], says, {"digest": digest, "arm": arm})
    for digest in serving.others:
        if digest not in known | gated:
            says = f"an instance of {digest[:_DIGEST_SHOWN]} runs, which nothing in the ledger started"
            yield _finding("unknown_instance", [digest], says, {"digest": digest})


def _finding(kind: str, identity: list[Any], says: str, facts: dict[str, Any]) -> Finding:
    name = "rf-" + jcs.digest([kind, *identity])[:12]
    return Finding(
        name, kind, says, facts, f'bywire reconcile own {name} --as PERSON --explanation "who did it, and why"'
    )


def _ranges(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Runs of consecutive numbers, as (first, last)."""
    run: tuple[int, int] | None = None
    for number in numbers:
        if run is not None and number == run[1] + 1:
            run = (run[0], number)
        else:
            if run is not None:
                yield run
            run = (number, number)
    if run is not None:
        yield run
